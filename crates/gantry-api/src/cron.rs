//! Schedules of CronJobs: five fields of numbers, ranges and steps, or a name such as `@daily`.
//!
//! Source of the grammar and its messages: github.com/robfig/cron/v3, parser.go.

use crate::duration;
use std::time::Duration;

/// When something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At each minute that all fields fit.
    At(Fields),
    /// Again and again after a while.
    Every(Duration),
}

/// The minutes that fit. Bit n of a field stands for the number n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 1 to 31.
    pub day_of_month: u64,
    /// 1 to 12.
    pub month: u64,
    /// 0 to 6, from Sunday.
    pub day_of_week: u64,
    /// Whether the day of the month was `*`. If neither day was, one that fits is enough.
    pub any_day_of_month: bool,
    /// Whether the day of the week was `*`.
    pub any_day_of_week: bool,
    /// The time zone that the schedule names itself, as older ones do.
    pub time_zone: Option<String>,
}

struct Bounds {
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const MINUTES: Bounds = Bounds {
    low: 0,
    high: 59,
    names: &[],
};
const HOURS: Bounds = Bounds {
    low: 0,
    high: 23,
    names: &[],
};
const DAYS_OF_MONTH: Bounds = Bounds {
    low: 1,
    high: 31,
    names: &[],
};
const MONTHS: Bounds = Bounds {
    low: 1,
    high: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const DAYS_OF_WEEK: Bounds = Bounds {
    low: 0,
    high: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl Schedule {
    /// Reads a schedule; an error says what is wrong with it. `knows` tells which time zones there are.
    pub fn parse(text: &str, knows: impl Fn(&str) -> bool) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty spec string".into());
        }
        let (time_zone, text) = match text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) {
            None => (None, text),
            Some(rest) => {
                // What Go's runtime says of the slice that upstream takes here.
                let (zone, rest) = rest
                    .split_once(' ')
                    .ok_or("invalid schedule format: runtime error: slice bounds out of range [:-1]")?;
                if !knows(zone) {
                    return Err(format!("provided bad location {zone}: unknown time zone {zone}"));
                }
                (Some(zone.to_string()), rest.trim())
            }
        };
        if text.starts_with('@') {
            return named(text, time_zone);
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields[..] else {
            let (count, shown) = (fields.len(), fields.join(" "));
            return Err(format!("expected exactly 5 fields, found {count}: [{shown}]"));
        };
        let (minute, hour) = (field(minute, &MINUTES)?, field(hour, &HOURS)?);
        let day_of_month = field(day_of_month, &DAYS_OF_MONTH)?;
        let month = field(month, &MONTHS)?;
        let day_of_week = field(day_of_week, &DAYS_OF_WEEK)?;
        Ok(Schedule::At(Fields {
            minute: minute.0,
            hour: hour.0,
            day_of_month: day_of_month.0,
            month: month.0,
            day_of_week: day_of_week.0,
            any_day_of_month: day_of_month.1,
            any_day_of_week: day_of_week.1,
            time_zone,
        }))
    }
}

/// A field's bits, and whether a star is among its parts.
fn field(text: &str, bounds: &Bounds) -> Result<(u64, bool), String> {
    let (mut bits, mut any) = (0, false);
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (more, star) = range(part, bounds)?;
        bits |= more;
        any |= star;
    }
    Ok((bits, any))
}

fn range(text: &str, bounds: &Bounds) -> Result<(u64, bool), String> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let mut star = matches!(ends[0], "*" | "?");
    let (start, mut end) = match ends[..] {
        _ if star => (bounds.low, bounds.high),
        [one] => {
            let one = number_or_name(one, bounds)?;
            (one, one)
        }
        [start, end] => (number_or_name(start, bounds)?, number_or_name(end, bounds)?),
        _ => return Err(format!("too many hyphens: {text}")),
    };
    let step = match parts[..] {
        [_] => 1,
        [_, step] => {
            let step = number(step)?;
            // From one number on, in steps.
            if ends.len() == 1 {
                end = bounds.high;
            }
            star &= step <= 1;
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if start < bounds.low {
        return Err(format!(
            "beginning of range ({start}) below minimum ({}): {text}",
            bounds.low
        ));
    }
    if end > bounds.high {
        return Err(format!(
            "end of range ({end}) above maximum ({}): {text}",
            bounds.high
        ));
    }
    if start > end {
        return Err(format!(
            "beginning of range ({start}) beyond end of range ({end}): {text}"
        ));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    let bits = (start..=end)
        .step_by(step as usize)
        .fold(0, |bits, n| bits | 1 << n);
    Ok((bits, star))
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let lower = text.to_lowercase();
    match (bounds.low..).zip(bounds.names).find(|(_, name)| **name == lower) {
        Some((number, _)) => Ok(number),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"
        ));
    }
    let Ok(number) = text.parse::<i64>() else {
        return Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {text:?}: value out of range"
        ));
    };
    if number < 0 {
        return Err(format!("negative number ({number}) not allowed: {text}"));
    }
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

fn named(text: &str, time_zone: Option<String>) -> Result<Schedule, String> {
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let Some(every) = text.strip_prefix("@every ") else {
                return Err(format!("unrecognized descriptor: {text}"));
            };
            let every =
                duration::parse(every).map_err(|e| format!("failed to parse duration {text}: {e}"))?;
            // No finer than seconds, and not less than one.
            return Ok(Schedule::Every(Duration::from_secs(every.as_secs().max(1))));
        }
    };
    match Schedule::parse(fields, |_| true)? {
        Schedule::At(fields) => Ok(Schedule::At(Fields { time_zone, ..fields })),
        every => Ok(every),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Schedule, String> {
        Schedule::parse(text, |zone| zone == "UTC")
    }

    #[test]
    fn what_is_a_schedule() {
        let check = |text: &str, pick: fn(&Fields) -> u64, numbers: &[u32]| {
            let Ok(Schedule::At(fields)) = parse(text) else {
                panic!("{text}")
            };
            let bits = numbers.iter().fold(0u64, |bits, n| bits | 1 << n);
            assert_eq!(pick(&fields), bits, "{text}");
        };
        check("*/15 * * * ?", |f| f.minute, &[0, 15, 30, 45]);
        check("5/20 * * * *", |f| f.minute, &[5, 25, 45]);
        check("0 9-17/4,20 * * *", |f| f.hour, &[9, 13, 17, 20]);
        check("0 0 1 Jan,JUL *", |f| f.month, &[1, 7]);
        check("0 0 * * mon-fri", |f| f.day_of_week, &[1, 2, 3, 4, 5]);
        check("@weekly", |f| f.day_of_week, &[0]);
        check("TZ=UTC 1 2 * * *", |f| f.hour, &[2]);
        assert_eq!(
            parse("@every 1h30m"),
            Ok(Schedule::Every(Duration::from_secs(5400)))
        );
        let Ok(Schedule::At(fields)) = parse("0 0 */1 * */2") else {
            panic!()
        };
        assert_eq!((fields.any_day_of_month, fields.any_day_of_week), (true, false));
    }

    #[test]
    fn what_is_none() {
        let check = |text: &str, expected: &str| assert_eq!(parse(text), Err(expected.to_string()), "{text}");
        check("", "empty spec string");
        check("* * * *", "expected exactly 5 fields, found 4: [* * * *]");
        check("error", "expected exactly 5 fields, found 1: [error]");
        check("60 * * * *", "end of range (60) above maximum (59): 60");
        check("* * 0 * *", "beginning of range (0) below minimum (1): 0");
        check(
            "5-1 * * * *",
            "beginning of range (5) beyond end of range (1): 5-1",
        );
        check("*/0 * * * *", "step of range should be a positive number: */0");
        check("1-2-3 * * * *", "too many hyphens: 1-2-3");
        check("1/2/3 * * * *", "too many slashes: 1/2/3");
        check(
            "a * * * *",
            "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax",
        );
        check("@never", "unrecognized descriptor: @never");
        check(
            "@every x",
            "failed to parse duration @every x: time: invalid duration \"x\"",
        );
        check(
            "TZ=Nowhere * * * * *",
            "provided bad location Nowhere: unknown time zone Nowhere",
        );
    }
}
