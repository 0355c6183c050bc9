//! Patterns of Go's regexp package, run by the regex crate: both are RE2's syntax, but for what is translated here.

use regex::{Regex, RegexBuilder};
use std::fmt::Write;
use std::sync::OnceLock;

/// A compiled pattern may take this much memory, and so may the automaton that runs it.
const SIZE_LIMIT: usize = 1 << 20;

/// A pattern. It is compiled when it is first needed: most are never.
#[derive(Debug)]
pub struct Pattern {
    text: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// A pattern that has been checked with [`Pattern::check`].
    pub fn new(text: &str) -> Self {
        Pattern {
            text: text.into(),
            compiled: OnceLock::new(),
        }
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a text has a match. A pattern that cannot be compiled matches nothing.
    pub fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| {
            taken_by_go(&self.text).ok()?;
            compile(&self.text).ok()
        });
        compiled.as_ref().is_some_and(|r| r.is_match(text))
    }

    /// The pattern for other uses than [`Pattern::matches`].
    ///
    /// # Errors
    ///
    /// What [`Pattern::check`] says of it.
    pub fn compile(text: &str) -> Result<Regex, String> {
        Pattern::check(text)?;
        compile(text).map_err(|e| e.to_string())
    }

    /// Says what is wrong with a pattern, if it cannot be used, in Go's words for what is usual.
    pub fn check(text: &str) -> Result<(), String> {
        taken_by_go(text)?;
        compile(text).map(drop).map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => "expression too large".to_string(),
            other => format!("error parsing regexp: {}", explain(text, &other.to_string())),
        })
    }
}

/// Says what is wrong with a pattern that the regex crate takes and Go does not.
fn taken_by_go(text: &str) -> Result<(), String> {
    let mut count = None;
    translated(text, &mut count);
    if let Some(count) = count {
        return Err(format!("error parsing regexp: invalid repeat count: `{count}`"));
    }
    match stacked(text) {
        Some(operators) => Err(format!(
            "error parsing regexp: invalid nested repetition operator: `{operators}`"
        )),
        None => Ok(()),
    }
}

/// What Go says of a pattern that the regex crate refuses with `why`.
fn explain(text: &str, why: &str) -> String {
    let last = why
        .lines()
        .last()
        .unwrap_or("")
        .trim()
        .trim_start_matches("error: ");
    match last {
        "unclosed group" => format!("missing closing ): `{text}`"),
        "unopened group" => format!("unexpected ): `{text}`"),
        "unclosed character class" => {
            let from = text.find('[').unwrap_or(0);
            format!("missing closing ]: `{}`", &text[from..])
        }
        "repetition operator missing expression" => {
            let operator = text.chars().find(|c| "*+?".contains(*c)).unwrap_or('*');
            format!("missing argument to repetition operator: `{operator}`")
        }
        _ if last.starts_with("look-around") => {
            let group = ["(?=", "(?!", "(?<"]
                .into_iter()
                .filter_map(|g| text.find(g).map(|i| (i, g)))
                .min();
            format!(
                "invalid or unsupported Perl syntax: `{}`",
                group.map_or("(?", |(_, g)| g)
            )
        }
        "unrecognized escape sequence" | "backreferences are not supported" => {
            let escape = escapes(text).find(|e| compile(e).is_err());
            format!("invalid escape sequence: `{}`", escape.unwrap_or_default())
        }
        "incomplete escape sequence, reached end of pattern prematurely" => {
            "trailing backslash at end of expression: ``".into()
        }
        other => other.into(),
    }
}

/// The escaped characters of a pattern.
fn escapes(text: &str) -> impl Iterator<Item = String> {
    let mut characters = text.chars();
    std::iter::from_fn(move || {
        characters.by_ref().find(|c| *c == '\\')?;
        Some(format!("\\{}", characters.next()?))
    })
}

/// The repetition that `rest` is within the braces of, if it is of more than Go allows.
fn too_often(rest: &str) -> Option<String> {
    const MOST: usize = 1000;
    let (count, _) = rest.split_once('}')?;
    let numbers = count.split(',').filter(|n| !n.is_empty());
    let over = numbers
        .map(str::parse)
        .any(|n| n.map_or(true, |n: usize| n > MOST));
    over.then(|| format!("{{{count}}}"))
}

fn compile(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&translated(text, &mut None))
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(SIZE_LIMIT)
        .build()
}

/// The pattern in the regex crate's words: classes such as `\d` are ASCII's, a brace that is no repetition stands for
/// itself, and within brackets `[`, `&`, `~` and `-` mean nothing more than in Go. A repetition of too many is noted.
fn translated(pattern: &str, repeated: &mut Option<String>) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = after;
        match c {
            '\\' => {
                let Some(next) = after.chars().next() else {
                    out.push('\\');
                    break;
                };
                rest = &after[next.len_utf8()..];
                match next {
                    'd' | 'D' | 'w' | 'W' | 's' | 'S' => {
                        let class = match next.to_ascii_lowercase() {
                            'd' => "0-9",
                            'w' => "0-9A-Za-z_",
                            _ => r"\t\n\f\r ",
                        };
                        let not = if next.is_ascii_uppercase() { "^" } else { "" };
                        // Infallible: the target is a String.
                        let _ = write!(out, "[{not}{class}]");
                    }
                    'b' | 'B' if !in_class => {
                        let _ = write!(out, "(?-u:\\{next})");
                    }
                    'Q' => {
                        let (quoted, end) = after[1..].split_once("\\E").unwrap_or((&after[1..], ""));
                        out.push_str(&regex::escape(quoted));
                        rest = end;
                    }
                    _ => {
                        out.push('\\');
                        out.push(next);
                    }
                }
            }
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if let Some(after) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = after;
                }
                // The first bracket is one of the characters.
                if let Some(after) = rest.strip_prefix(']') {
                    out.push_str("\\]");
                    rest = after;
                }
            }
            '[' => match rest.strip_prefix(':').and_then(|r| r.split_once(":]")) {
                Some((name, after)) => {
                    let _ = write!(out, "[:{name}:]");
                    rest = after;
                }
                None => out.push_str("\\["),
            },
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '-' if in_class && (rest.starts_with('-') || rest.starts_with(']')) => out.push_str("\\-"),
            '{' if !in_class && !is_repetition(rest) => out.push_str("\\{"),
            '{' if !in_class => {
                *repeated = repeated.take().or_else(|| too_often(rest));
                out.push('{');
            }
            c => out.push(c),
        }
    }
    out
}

/// Two repetitions one after the other, which Go refuses.
fn stacked(pattern: &str) -> Option<&str> {
    let bytes = pattern.as_bytes();
    let mut at = 0;
    let mut before = None;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'\\' if pattern[at..].starts_with("\\Q") => {
                at = pattern[at..].find("\\E").map_or(bytes.len(), |end| at + end + 2);
            }
            b'\\' => at += 2,
            b'[' => at = class_end(bytes, at),
            b'*' | b'+' | b'?' | b'{' => {
                at += 1;
                if bytes[start] == b'{' {
                    if !is_repetition(&pattern[at..]) {
                        continue;
                    }
                    at += pattern[at..].find('}').map_or(0, |end| end + 1);
                }
                if bytes.get(at) == Some(&b'?') {
                    at += 1;
                }
                // What follows an opening parenthesis is no repetition.
                if start > 0 && bytes[start - 1] == b'(' {
                    continue;
                }
                match before {
                    Some((from, end)) if end == start => return Some(&pattern[from..at]),
                    _ => before = Some((start, at)),
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// Where a class that begins with a bracket ends.
fn class_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    at += usize::from(bytes.get(at) == Some(&b'^'));
    at += usize::from(bytes.get(at) == Some(&b']'));
    while at < bytes.len() {
        match bytes[at] {
            b']' => return at + 1,
            b'\\' => at += 2,
            b'[' if bytes.get(at + 1) == Some(&b':') => {
                let end = bytes[at..].windows(2).position(|w| w == b":]");
                at += end.map_or(1, |end| end + 2);
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether what follows a brace makes it a repetition: `n}`, `n,}` or `n,m}`.
fn is_repetition(rest: &str) -> bool {
    let Some((inside, _)) = rest.split_once('}') else {
        return false;
    };
    let (from, to) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |t: &str| t.chars().all(|c| c.is_ascii_digit());
    !from.is_empty() && digits(from) && digits(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_do_in_go() {
        let check = |pattern: &str, text: &str, expected: bool| {
            Pattern::check(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
        };
        check(r"^\d+$", "123", true);
        check(r"^\d+$", "١", false);
        check(r"^[\w.-]+$", "a_b.c-d", true);
        check(r"^[^\s]+$", "a b", false);
        check(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "a-b", true);
        check(r"^{x}$", "{x}", true);
        check(r"^a{2,3}$", "aa", true);
        check(r"[[]", "[", true);
        check(r"^[]a]+$", "]a", true);
        check(r"^[a&&b]+$", "&ab", true);
        check(r"^[[:alpha:]]+$", "ab", true);
        check(r"^\Qa.b\E$", "a.b", true);
        check(r"^\Qa.b\E$", "axb", false);
        check(r"\bfoo\b", "a foo b", true);
        check(r"^\/a\/$", "/a/", true);
        check(r"^\{2000}$", "{2000}", true);
        check(r"^[{2000}]+$", "{0}", true);
        let refused = |pattern: &str, why: &str| {
            assert_eq!(Pattern::check(pattern), Err(why.to_string()));
            assert!(!Pattern::new(pattern).matches("xxxxxxx"), "{pattern}");
        };
        refused(r"(\pL{1000}){1000}", "expression too large");
        refused("a(", "error parsing regexp: missing closing ): `a(`");
        refused("a)", "error parsing regexp: unexpected ): `a)`");
        refused("a[b", "error parsing regexp: missing closing ]: `[b`");
        refused(
            "*a",
            "error parsing regexp: missing argument to repetition operator: `*`",
        );
        refused(
            "x++",
            "error parsing regexp: invalid nested repetition operator: `++`",
        );
        refused(
            "x{2}{3}",
            "error parsing regexp: invalid nested repetition operator: `{2}{3}`",
        );
        check("x*?[+*]+(?:a)+", "x*a", true);
        refused("a{2000}", "error parsing regexp: invalid repeat count: `{2000}`");
        refused(
            "(?=a)",
            "error parsing regexp: invalid or unsupported Perl syntax: `(?=`",
        );
        refused(r"\d\Z", r"error parsing regexp: invalid escape sequence: `\Z`");
    }
}
