//! Quantities: `100m`, `1.5Gi`, `2e3`. Source of the grammar: k8s.io/apimachinery/pkg/api/resource.

use serde_json::Value;
use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Sub};

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
pub struct ParseError;

/// How a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `n u m` none `k M G T P E`.
    DecimalSi,
    /// `Ki Mi Gi Ti Pi Ei`.
    BinarySi,
    /// `e3`.
    DecimalExponent,
}

/// A fixed-point number, exact to a billionth; finer parts are rounded up, as upstream does.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

const NANO: i128 = 1_000_000_000;
const DECIMAL: [(&str, i32); 10] = [
    ("E", 18),
    ("P", 15),
    ("T", 12),
    ("G", 9),
    ("M", 6),
    ("k", 3),
    ("", 0),
    ("m", -3),
    ("u", -6),
    ("n", -9),
];
const BINARY: [(&str, u32); 6] = [
    ("Ei", 60),
    ("Pi", 50),
    ("Ti", 40),
    ("Gi", 30),
    ("Mi", 20),
    ("Ki", 10),
];

impl Quantity {
    /// Nothing.
    pub const ZERO: Quantity = Quantity {
        nanos: 0,
        format: Format::DecimalSi,
    };

    /// A whole number.
    pub fn of(value: i64) -> Self {
        Quantity {
            nanos: i128::from(value) * NANO,
            format: Format::DecimalSi,
        }
    }

    /// Thousandths.
    pub fn of_milli(value: i64) -> Self {
        Quantity {
            nanos: i128::from(value) * (NANO / 1000),
            format: Format::DecimalSi,
        }
    }

    /// A whole number of bytes, written in powers of two.
    pub fn of_bytes(value: i64) -> Self {
        Quantity {
            nanos: i128::from(value) * NANO,
            format: Format::BinarySi,
        }
    }

    /// Parses a text.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let split = text
            .find(|c: char| !matches!(c, '+' | '-' | '0'..='9' | '.'))
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(split);
        let (negative, digits) = match number.as_bytes().first() {
            Some(b'-') => (true, &number[1..]),
            Some(b'+') => (false, &number[1..]),
            _ => (false, number),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
            return Err(ParseError);
        }
        // More digits than this cannot matter: quantities are capped at 2^63-1.
        if whole.trim_start_matches('0').len() > 30 {
            return Ok(Quantity {
                nanos: if negative { -MAX } else { MAX },
                format: Format::DecimalSi,
            });
        }
        let (format, power2, power10) = scale(suffix)?;
        let kept = &fraction[..fraction.len().min(18)];
        let mut mantissa: i128 = format!("{whole}{kept}").parse().unwrap_or(0);
        let lost = fraction[kept.len()..].bytes().any(|b| b != b'0');
        mantissa = mantissa.saturating_mul(1 << power2);
        let exponent = power10 + 9 - kept.len() as i32;
        let mut nanos = match exponent {
            0.. => mantissa.saturating_mul(10i128.checked_pow(exponent as u32).unwrap_or(i128::MAX)),
            _ => {
                let by = 10i128.checked_pow(exponent.unsigned_abs()).unwrap_or(i128::MAX);
                mantissa / by + i128::from(mantissa % by != 0 || lost)
            }
        };
        nanos = nanos.min(MAX);
        Ok(Quantity {
            nanos: if negative { -nanos } else { nanos },
            format,
        })
    }

    /// Reads a JSON value, which may be a text or a number.
    pub fn from_json(value: &Value) -> Result<Self, ParseError> {
        match value {
            Value::String(text) => Quantity::parse(text),
            Value::Number(number) => Quantity::parse(&number.to_string()),
            _ => Err(ParseError),
        }
    }

    /// The whole number, rounded up (away from zero).
    pub fn value(&self) -> i64 {
        round_up(self.nanos, NANO)
    }

    /// Thousandths, rounded up (away from zero).
    pub fn milli_value(&self) -> i64 {
        round_up(self.nanos, NANO / 1000)
    }

    /// How it was written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        self.nanos.signum() as i32
    }
}

const MAX: i128 = i64::MAX as i128 * NANO;

fn round_up(nanos: i128, unit: i128) -> i64 {
    let (whole, rest) = (nanos / unit, nanos % unit);
    let rounded = whole + rest.signum();
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}

/// A suffix as its format and its powers of two and ten.
fn scale(suffix: &str) -> Result<(Format, u32, i32), ParseError> {
    if let Some((_, power)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Ok((Format::BinarySi, *power, 0));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Ok((Format::DecimalSi, 0, *power));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(ParseError)?;
    let power: i32 = exponent.parse().map_err(|_| ParseError)?;
    Ok((Format::DecimalExponent, 0, power.clamp(-40, 40)))
}

/// The canonical form: the largest suffix that leaves no fraction.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let whole = self.nanos % NANO == 0;
        let value = self.nanos / NANO;
        // Below 1024 binary quantities are written as decimal ones.
        if self.format == Format::BinarySi && whole {
            let found = BINARY
                .iter()
                .find(|(_, power)| value.abs() >= 1024 && value % (1i128 << power) == 0);
            return match found {
                Some((suffix, power)) => write!(f, "{}{suffix}", value >> power),
                None => write!(f, "{value}"),
            };
        }
        for (suffix, power) in DECIMAL {
            let unit = 10i128.pow((power + 9) as u32);
            if self.nanos % unit == 0 {
                let number = self.nanos / unit;
                return match (self.format, power) {
                    (Format::DecimalExponent, 0) => write!(f, "{number}"),
                    (Format::DecimalExponent, _) => write!(f, "{number}e{power}"),
                    _ => write!(f, "{number}{suffix}"),
                };
            }
        }
        unreachable!("every quantity is a whole number of billionths")
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// A sum is written as its left side is, unless that is zero.
impl Add for Quantity {
    type Output = Quantity;

    fn add(self, other: Self) -> Self {
        let format = if self.nanos == 0 {
            other.format
        } else {
            self.format
        };
        Quantity {
            nanos: self.nanos.saturating_add(other.nanos),
            format,
        }
    }
}

impl Sub for Quantity {
    type Output = Quantity;

    fn sub(self, other: Self) -> Self {
        let format = if self.nanos == 0 {
            other.format
        } else {
            self.format
        };
        Quantity {
            nanos: self.nanos.saturating_sub(other.nanos),
            format,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms() {
        let check = |text: &str, canonical: &str| {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), canonical, "{text}");
        };
        check("0", "0");
        check("1000m", "1");
        check("100m", "100m");
        check("0.1", "100m");
        check("1.5", "1500m");
        check("1500", "1500");
        check("1000", "1k");
        check("1024Mi", "1Gi");
        check("1.5Gi", "1536Mi");
        check("512", "512");
        check("0.5Ki", "512");
        check("2e3", "2e3");
        check("12E0", "12");
        check("-200m", "-200m");
        check(".5", "500m");
        check("5.", "5");
        check("1E", "1E");
        check("0.0000000001", "1n");
        check("100000000000000000000", "9223372036854775807");
    }

    #[test]
    fn values_round_up() {
        let check = |text: &str, value: i64, milli: i64| {
            let quantity = Quantity::parse(text).unwrap();
            assert_eq!(
                (quantity.value(), quantity.milli_value()),
                (value, milli),
                "{text}"
            );
        };
        check("1", 1, 1000);
        check("100m", 1, 100);
        check("1500m", 2, 1500);
        check("1Ki", 1024, 1_024_000);
        check("1n", 1, 1);
        check("-1500m", -2, -1500);
    }

    #[test]
    fn what_is_no_quantity() {
        for text in ["", "a", "1x", "1.2.3", "1 Gi", "--1", "1e", "1Kib", "."] {
            assert_eq!(Quantity::parse(text).err(), Some(ParseError), "{text}");
        }
    }
}
