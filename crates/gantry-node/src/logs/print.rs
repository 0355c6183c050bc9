//! Lines of a log, as they are shown. Pure.

use super::{Options, Stream};
use crate::clock;

/// A line in CRI's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line<'a> {
    time: &'a str,
    /// The time, in nanoseconds since 1970.
    nanos: i64,
    stream: Stream,
    /// The text, with its end of line unless more of it follows.
    text: &'a [u8],
}

/// Reads a line; `None` if it is not in the format.
fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |b| *b == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let nanos = clock::parse(time)?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let tags = parts.next()?;
    let mut text = parts.next()?;
    // The first of the tags, which colons part.
    if tags.split(|b| *b == b':').next() == Some(b"P") {
        text = text.strip_suffix(b"\n").unwrap_or(text);
    }
    Some(Line {
        time,
        nanos,
        stream,
        text,
    })
}

/// Shows lines as the options want them.
#[derive(Debug)]
pub struct Printer {
    options: Options,
    /// Lines of the log, and bytes, that may still be shown.
    lines: u64,
    bytes: u64,
    /// Whether what comes next begins a line.
    fresh: bool,
}

impl Printer {
    /// A printer that has not shown anything yet.
    pub fn new(options: Options) -> Self {
        let lines = match options.follow {
            true => None,
            false => options.tail,
        };
        Printer {
            lines: lines.unwrap_or(u64::MAX),
            bytes: options.limit.unwrap_or(u64::MAX),
            options,
            fresh: true,
        }
    }

    /// Whether no more is wanted.
    pub fn is_done(&self) -> bool {
        self.lines == 0 || self.bytes == 0
    }

    /// Appends what is to be shown of a line.
    pub fn print(&mut self, line: &[u8], to: &mut Vec<u8>) {
        let Some(line) = parse(line) else {
            tracing::debug!("a line of a log is not in CRI's format");
            return;
        };
        let wanted = self.options.stream.is_none_or(|s| s == line.stream)
            && self.options.since.is_none_or(|since| line.nanos >= since);
        if wanted {
            if self.options.timestamps && self.fresh {
                self.put(fixed(line.time).as_bytes(), to);
                self.put(b" ", to);
            }
            self.put(line.text, to);
        }
        self.lines -= 1;
        self.fresh = line.text.is_empty() || line.text.ends_with(b"\n");
    }

    fn put(&mut self, text: &[u8], to: &mut Vec<u8>) {
        let fits = usize::try_from(self.bytes).map_or(text.len(), |left| left.min(text.len()));
        to.extend_from_slice(&text[..fits]);
        self.bytes -= u64::try_from(fits).unwrap_or(self.bytes);
    }
}

/// A time with all nine digits of its fraction, so that times stand in columns.
fn fixed(time: &str) -> String {
    let Some(seconds) = time.get(..19) else {
        return time.to_string();
    };
    let rest = time[19..].strip_prefix('.').unwrap_or(&time[19..]);
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (fraction, zone) = rest.split_at(digits);
    // A time without a fraction has its zone at once, which is no digit.
    format!("{seconds}.{fraction:0<9}{zone}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2026-01-01T00:00:00.5Z stdout F one
2026-01-01T00:00:01Z stderr F two
not a line
2026-01-01T00:00:02.123456789Z stdout P thr
2026-01-01T00:00:03+00:00 stdout F:x ee
2026-01-01T00:00:04Z stdout F 
";

    #[test]
    fn shows_lines_as_wanted() {
        let check = |options: Options, expected: &str| {
            let mut printer = Printer::new(options.clone());
            let mut out = Vec::new();
            for line in LOG.split_inclusive('\n') {
                if printer.is_done() {
                    break;
                }
                printer.print(line.as_bytes(), &mut out);
            }
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{options:?}");
        };
        let all = Options::default;
        check(all(), "one\ntwo\nthree\n\n");
        check(
            Options {
                timestamps: true,
                ..all()
            },
            "2026-01-01T00:00:00.500000000Z one\n2026-01-01T00:00:01.000000000Z two\n\
             2026-01-01T00:00:02.123456789Z three\n2026-01-01T00:00:04.000000000Z \n",
        );
        check(
            Options {
                stream: Some(Stream::Stderr),
                ..all()
            },
            "two\n",
        );
        check(
            Options {
                since: clock::parse("2026-01-01T00:00:02Z"),
                ..all()
            },
            "three\n\n",
        );
        check(
            Options {
                limit: Some(6),
                ..all()
            },
            "one\ntw",
        );
        check(
            Options {
                tail: Some(1),
                ..all()
            },
            "one\n",
        );
        check(
            Options {
                tail: Some(0),
                ..all()
            },
            "",
        );
        check(
            Options {
                tail: Some(1),
                follow: true,
                ..all()
            },
            "one\ntwo\nthree\n\n",
        );
    }
}
