//! Points in time and time spans, read and written as Go does.

use crate::error::{Error, Result};
use std::fmt::Write;

const NANOS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// The years 1 to 9999, in seconds since 1970.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

pub(crate) const OUT_OF_RANGE: Error = Error::fixed("timestamp overflow");

/// A point in time, and the offset from UTC it was written with.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
    offset: i32,
}

/// A point in time as a calendar and a clock show it.
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: u32,
    /// From 1.
    pub(crate) day: u32,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    /// From 0.
    pub(crate) day_of_year: i64,
    /// From 0, Sunday.
    pub(crate) weekday: i64,
}

/// Days since 1970 of a date.
fn days(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = i64::from((month + 9) % 12);
    let of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * month + 2) / 5 + 1) as u32;
    let month = if month < 10 { month + 3 } else { month - 9 } as u32;
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn days_in(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Timestamp {
    /// Seconds since 1970; an error beyond the years 1 to 9999.
    pub(crate) fn of_seconds(seconds: i64) -> Result<Self> {
        Timestamp::new(seconds, 0, 0)
    }

    fn new(seconds: i64, nanos: u32, offset: i32) -> Result<Self> {
        match seconds {
            FIRST..=LAST => Ok(Timestamp {
                seconds,
                nanos,
                offset,
            }),
            _ => Err(OUT_OF_RANGE),
        }
    }

    /// What says when it is, wherever.
    pub(crate) fn instant(&self) -> (i64, u32) {
        (self.seconds, self.nanos)
    }

    pub(crate) fn seconds(&self) -> i64 {
        self.seconds
    }

    pub(crate) fn milliseconds(&self) -> i64 {
        i64::from(self.nanos) / 1_000_000
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.seconds == FIRST && self.nanos == 0
    }

    pub(crate) fn add(&self, nanos: i64) -> Result<Self> {
        let total = i64::from(self.nanos) + nanos % NANOS;
        let seconds = self
            .seconds
            .checked_add(nanos / NANOS)
            .and_then(|s| s.checked_add(total.div_euclid(NANOS)))
            .ok_or(Error::fixed("integer overflow"))?;
        Timestamp::new(seconds, total.rem_euclid(NANOS) as u32, self.offset)
    }

    /// The time since another, in nanoseconds.
    pub(crate) fn since(&self, other: &Timestamp) -> Result<i64> {
        let seconds = self.seconds - other.seconds;
        seconds
            .checked_mul(NANOS)
            .and_then(|n| n.checked_add(i64::from(self.nanos) - i64::from(other.nanos)))
            .ok_or(Error::fixed("integer overflow"))
    }

    /// What a calendar shows so many seconds east of Greenwich.
    pub(crate) fn civil(&self, offset: i64) -> Civil {
        let local = self.seconds + offset;
        let (day_number, second) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (year, month, day) = date(day_number);
        Civil {
            year,
            month,
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            day_of_year: day_number - days(year, 1, 1),
            weekday: (day_number + 4).rem_euclid(7),
        }
    }

    /// Reads RFC 3339.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        parse_rfc3339(text, true)
    }

    /// Reads `format: date`.
    pub(crate) fn parse_date(text: &str) -> std::result::Result<Self, String> {
        let mut rest = text;
        let seconds = read_date(&mut rest).filter(|_| rest.is_empty()).map(|d| d * DAY);
        let seconds = seconds.ok_or_else(|| {
            format!("parsing time {text:?} as \"2006-01-02\": cannot parse {text:?} as \"2006\"")
        })?;
        Ok(Timestamp {
            seconds,
            nanos: 0,
            offset: 0,
        })
    }

    /// Reads `format: date-time`, which may lack the time zone.
    pub(crate) fn parse_date_time(text: &str) -> std::result::Result<Self, String> {
        if text.is_empty() {
            return Ok(Timestamp {
                seconds: 0,
                nanos: 0,
                offset: 0,
            });
        }
        let found = parse_rfc3339(text, true).or_else(|| parse_rfc3339(text, false));
        found.ok_or_else(|| {
            format!("parsing time {text:?} as \"2006-01-02T15:04:05\": cannot parse {text:?} as \"2006\"")
        })
    }

    /// RFC 3339 with as many digits as it takes, at the offset it was read with.
    pub(crate) fn format(&self) -> String {
        self.format_at(self.offset)
    }

    pub(crate) fn format_utc(&self) -> String {
        self.format_at(0)
    }

    fn format_at(&self, offset: i32) -> String {
        let c = self.civil(offset.into());
        let mut out = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            c.year, c.month, c.day, c.hour, c.minute, c.second
        );
        if self.nanos > 0 {
            let digits = format!("{:09}", self.nanos);
            out.push('.');
            out.push_str(digits.trim_end_matches('0'));
        }
        match offset {
            0 => out.push('Z'),
            _ => {
                let minutes = offset.abs() / 60;
                let sign = if offset < 0 { '-' } else { '+' };
                // Infallible: the target is a String.
                let _ = write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
            }
        }
        out
    }
}

fn number(rest: &mut &str, digits: usize) -> Option<i64> {
    let text = rest
        .get(..digits)
        .filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
    *rest = &rest[digits..];
    text.parse().ok()
}

fn literal(rest: &mut &str, c: char) -> Option<()> {
    *rest = rest.strip_prefix(c)?;
    Some(())
}

fn read_date(rest: &mut &str) -> Option<i64> {
    let year = number(rest, 4)?;
    literal(rest, '-')?;
    let month = number(rest, 2).filter(|m| (1..=12).contains(m))? as u32;
    literal(rest, '-')?;
    let day = number(rest, 2)? as u32;
    (1..=days_in(year, month))
        .contains(&day)
        .then(|| days(year, month, day))
}

fn parse_rfc3339(text: &str, zoned: bool) -> Option<Timestamp> {
    let mut rest = text;
    let day = read_date(&mut rest)?;
    literal(&mut rest, 'T')?;
    // Go takes an hour of one digit.
    let two = rest.len() > 1 && rest.as_bytes()[1].is_ascii_digit();
    let hour = number(&mut rest, if two { 2 } else { 1 }).filter(|h| *h < 24)?;
    literal(&mut rest, ':')?;
    let minute = number(&mut rest, 2).filter(|m| *m < 60)?;
    literal(&mut rest, ':')?;
    let second = number(&mut rest, 2).filter(|s| *s < 60)?;
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 {
            return None;
        }
        let kept = &fraction[..length.min(9)];
        nanos = kept.parse::<u32>().ok()? * 10u32.pow(9 - kept.len() as u32);
        rest = &fraction[length..];
    }
    let offset = match (zoned, rest) {
        (false, "") => 0,
        (true, "Z") => 0,
        (true, _) => {
            let sign = match rest.chars().next()? {
                '+' => 1,
                '-' => -1,
                _ => return None,
            };
            rest = &rest[1..];
            let hours = number(&mut rest, 2).filter(|h| *h <= 24)?;
            literal(&mut rest, ':')?;
            let minutes = number(&mut rest, 2).filter(|m| *m < 60)?;
            if !rest.is_empty() {
                return None;
            }
            sign * (hours * 3600 + minutes * 60)
        }
        _ => return None,
    };
    Some(Timestamp {
        seconds: day * DAY + hour * 3600 + minute * 60 + second - offset,
        nanos,
        offset: offset as i32,
    })
}

/// Whether a time is one that expressions may make.
pub(crate) fn in_range(time: &Timestamp) -> bool {
    (FIRST..=LAST).contains(&time.seconds)
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A duration as Go writes it, in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let whole = rest.bytes().take_while(u8::is_ascii_digit).count();
        let value: u64 = if whole > 0 { rest[..whole].parse().ok()? } else { 0 };
        rest = &rest[whole..];
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            let length = after.bytes().take_while(u8::is_ascii_digit).count();
            fraction = &after[..length];
            rest = &after[length..];
        }
        if whole == 0 && fraction.is_empty() {
            return None;
        }
        let end = rest
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == &rest[..end])?;
        rest = &rest[end..];
        let mut nanos = value.checked_mul(*unit).filter(|n| *n <= 1 << 63)?;
        if !fraction.is_empty() {
            // As Go does: digits that no longer fit are dropped.
            let (mut parts, mut scale) = (0u64, 1.0f64);
            for digit in fraction.bytes() {
                match parts
                    .checked_mul(10)
                    .and_then(|p| p.checked_add(u64::from(digit - b'0')))
                {
                    Some(more) if more <= (1 << 63) - 1 => {
                        parts = more;
                        scale *= 10.0;
                    }
                    _ => break,
                }
            }
            nanos = nanos.checked_add((parts as f64 * (*unit as f64 / scale)) as u64)?;
        }
        total = total.checked_add(nanos).filter(|t| *t <= 1 << 63)?;
    }
    match (negative, total) {
        (true, 9_223_372_036_854_775_808) => Some(i64::MIN),
        (true, _) => Some(-(total as i64)),
        (false, _) => i64::try_from(total).ok(),
    }
}

/// Reads `format: duration`: Go's form, or words such as `3 days`.
pub(crate) fn parse_format_duration(text: &str) -> std::result::Result<i64, String> {
    if let Some(nanos) = parse_duration(text) {
        return Ok(nanos);
    }
    const WORDS: [(&[&str], u64); 8] = [
        (&["ns", "nano"], 1),
        (&["us", "µs", "micro"], 1_000),
        (&["ms", "milli"], 1_000_000),
        (&["s", "sec"], 1_000_000_000),
        (&["m", "min"], 60_000_000_000),
        (&["h", "hr", "hour"], 3_600_000_000_000),
        (&["d", "day"], 86_400_000_000_000),
        (&["w", "wk", "week"], 604_800_000_000_000),
    ];
    let mut total: Option<i64> = None;
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        rest = &rest[start..];
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: Option<i64> = rest[..length].parse().ok();
        rest = rest[length..].trim_start();
        let length = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let word = rest[..length].to_lowercase();
        rest = &rest[length..];
        let fits = |words: &[&str]| {
            words.contains(&word.as_str()) || words.last().is_some_and(|last| word.starts_with(last))
        };
        if let (Some(count), Some((_, unit))) = (count, WORDS.iter().find(|(words, _)| fits(words))) {
            let nanos = count.wrapping_mul(*unit as i64);
            total = Some(total.unwrap_or(0).wrapping_add(nanos));
        }
    }
    total.ok_or_else(|| format!("unable to parse {text} as duration"))
}
