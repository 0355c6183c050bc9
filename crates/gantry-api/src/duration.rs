//! Durations as Go writes them.

use std::time::Duration;

/// A duration as Go writes it, such as `1h30m`; what is below zero is zero.
///
/// # Errors
///
/// What Go says of a text that is none.
pub fn parse(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut seconds = 0.0;
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
        };
        seconds += number * factor;
        rest = after;
    }
    match negative {
        true => Ok(Duration::ZERO),
        false => Duration::try_from_secs_f64(seconds).map_err(|_| invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, expected: Result<u128, &str>| {
            let found = parse(text).map(|d| d.as_millis());
            assert_eq!(found, expected.map_err(String::from), "{text}");
        };
        check("1h30m", Ok(5_400_000));
        check("1.5s", Ok(1_500));
        check("0", Ok(0));
        check("-3s", Ok(0));
        check("5", Err("time: missing unit in duration \"5\""));
        check("5x", Err("time: unknown unit \"x\" in duration \"5x\""));
        check("", Err("time: invalid duration \"\""));
        check(".s", Err("time: invalid duration \".s\""));
        check(
            "99999999999999999999h",
            Err("time: invalid duration \"99999999999999999999h\""),
        );
    }
}
