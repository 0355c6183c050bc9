//! Quantities such as `1.5Gi`. Source: k8s.io/apimachinery/pkg/api/resource.

use super::{Library, mismatch};
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::value::{Object, Value};
use std::any::Any;
use std::cmp::Ordering;

/// A fixed-point number: so many times a power of ten.
#[derive(Clone, Copy, Debug)]
struct Quantity {
    value: i128,
    scale: i32,
    /// Whether upstream holds it as a machine word; only such can be whole numbers to it.
    small: bool,
}

impl Object for Quantity {
    fn type_name(&self) -> &'static str {
        "kubernetes.Quantity"
    }

    fn equals(&self, other: &dyn Object) -> Option<bool> {
        let other = other.as_any().downcast_ref()?;
        Some(self.compare(other).is_eq())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(super) fn register(library: &mut Library) {
    const ONE: &str = "kubernetes.Quantity";
    let alone = |to: &str| format!("({ONE}) -> {to}");
    let with = |other: &str, to: &str| format!("({ONE}, {other}) -> {to}");
    library
        .add(
            "quantity",
            "string_to_quantity",
            &format!("(string) -> {ONE}"),
            quantity,
        )
        .cost(rules::ARGUMENT);
    library
        .add(
            "isQuantity",
            "is_quantity_string",
            "(string) -> bool",
            is_quantity,
        )
        .cost(rules::ARGUMENT);
    library.add("sign", "quantity_sign", &alone("int"), sign);
    let greater = with(ONE, "bool");
    library.add_member("isGreaterThan", "quantity_is_greater_than", &greater, |args| {
        compared(args, |order| Value::Bool(order.is_gt()))
    });
    library.add_member("isLessThan", "quantity_is_less_than", &greater, |args| {
        compared(args, |order| Value::Bool(order.is_lt()))
    });
    library.add_member("compareTo", "quantity_compare_to", &with(ONE, "int"), |args| {
        compared(args, |order| Value::Int(order as i64))
    });
    library.add_member(
        "asApproximateFloat",
        "quantity_get_float",
        &alone("double"),
        float,
    );
    library.add_member("asInteger", "quantity_get_int", &alone("int"), integer);
    library.add_member("isInteger", "quantity_is_integer", &alone("bool"), is_integer);
    library.add_member("add", "quantity_add", &with(ONE, ONE), |args| sum(args, 1));
    library.add_member("add", "quantity_add_int", &with("int", ONE), |args| sum(args, 1));
    library.add_member("sub", "quantity_sub", &with(ONE, ONE), |args| sum(args, -1));
    library.add_member("sub", "quantity_sub_int", &with("int", ONE), |args| sum(args, -1));
}

const WRONG_FORM: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const WRONG_SUFFIX: &str = "unable to parse quantity's suffix";
const WRONG_NUMBER: &str = "unable to parse numeric part of quantity";

const MOST: i128 = i64::MAX as i128;
const NANO: i32 = -9;
/// No number has more digits: it would not fit.
const DIGITS: usize = 37;

impl Quantity {
    fn parse(text: &str) -> std::result::Result<Quantity, &'static str> {
        if text.is_empty() {
            return Err(WRONG_FORM);
        }
        let (negative, unsigned) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let unsigned = unsigned.trim_start_matches('0');
        let digits = |t: &str| t.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, rest) = unsigned.split_at(digits(unsigned));
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(digits(rest)),
            None => ("", rest),
        };
        let letters = suffix.bytes().take_while(|b| b"eEinumkKMGTP".contains(b)).count();
        let exponent = suffix[letters..]
            .strip_prefix(['+', '-'])
            .unwrap_or(&suffix[letters..]);
        if digits(exponent) != exponent.len() {
            return Err(WRONG_FORM);
        }
        let (power2, power10) = scale(suffix).ok_or(WRONG_SUFFIX)?;
        let sign = if negative { -1 } else { 1 };
        let places = whole.len().max(1) + fraction.len();
        let small = match power2 {
            // What follows is how upstream decides that a number fits into a machine word.
            0 => places <= 18 && power10 - fraction.len() as i32 >= NANO,
            power => fraction.is_empty() && 14 >= places + (power as usize * 3) / 10,
        };
        if whole.len() > DIGITS {
            return Err(WRONG_NUMBER);
        }
        let kept = &fraction[..fraction.len().min(DIGITS - whole.len())];
        let number = format!("0{whole}{kept}");
        let mut value: i128 = number.parse().map_err(|_| WRONG_NUMBER)?;
        let mut scale = power10 - kept.len() as i32;
        let lost = fraction[kept.len()..].bytes().any(|b| b != b'0');
        value = value.saturating_mul(1i128 << power2);
        if !small {
            // Finer than a billionth is rounded up.
            if scale < NANO || lost {
                let by = 10i128
                    .checked_pow((NANO - scale).max(0) as u32)
                    .unwrap_or(i128::MAX);
                value = value / by + i128::from(value % by != 0 || lost);
                scale = scale.max(NANO);
            }
            if power2 > 0 && value > shift(MOST, -scale) {
                (value, scale) = (MOST, 0);
            }
        }
        Ok(Quantity {
            value: sign * value,
            scale,
            small,
        })
    }

    fn of(value: i64) -> Quantity {
        Quantity {
            value: value.into(),
            scale: 0,
            small: true,
        }
    }

    fn compare(&self, other: &Quantity) -> Ordering {
        let scale = self.scale.min(other.scale);
        let at = |q: &Quantity| shift(q.value, q.scale - scale);
        at(self).cmp(&at(other))
    }

    fn as_integer(&self) -> Option<i64> {
        if !self.small || self.scale < 0 {
            return None;
        }
        i64::try_from(shift(self.value, self.scale)).ok()
    }

    /// The sum, with `sign` of the other.
    fn plus(&self, other: &Quantity, sign: i128) -> Quantity {
        if other.value == 0 && self.small && other.small {
            return *self;
        }
        if self.value == 0 && self.small && other.small {
            return Quantity {
                value: sign * other.value,
                ..*other
            };
        }
        let scale = self.scale.min(other.scale);
        let ours = shift(self.value, self.scale - scale);
        let theirs = shift(other.value, other.scale - scale);
        let value = ours.saturating_add(sign.saturating_mul(theirs));
        let fits = |v: i128| i64::try_from(v).is_ok();
        Quantity {
            value,
            scale,
            small: self.small && other.small && fits(ours) && fits(theirs) && fits(value),
        }
    }
}

fn shift(value: i128, digits: i32) -> i128 {
    let by = u32::try_from(digits).ok().and_then(|d| 10i128.checked_pow(d));
    value.saturating_mul(by.unwrap_or(i128::MAX))
}

/// A suffix as powers of two and ten.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "" => (0, 0),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        _ => {
            let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (0, power.clamp(-100, 100))
        }
    })
}

fn as_quantity<'v>(value: Option<&'v Value<'_>>) -> Option<&'v Quantity> {
    value?.as_object()
}

fn quantity<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text)] => Quantity::parse(text).map(Value::object).map_err(Error::fixed),
        _ => mismatch(),
    }
}

fn is_quantity<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(Quantity::parse(text).is_ok())),
        _ => mismatch(),
    }
}

fn sign<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    as_quantity(args.first()).map_or_else(mismatch, |q| Ok(Value::Int(q.value.signum() as i64)))
}

fn compared<'a>(args: &[Value<'a>], of: impl Fn(Ordering) -> Value<'a>) -> Result<Value<'a>> {
    match (as_quantity(args.first()), as_quantity(args.get(1))) {
        (Some(a), Some(b)) => Ok(of(a.compare(b))),
        _ => mismatch(),
    }
}

fn float<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    as_quantity(args.first()).map_or_else(mismatch, |q| {
        let base = q.value as f64;
        Ok(Value::Double(match q.scale {
            0 => base,
            scale => base * 10f64.powi(scale),
        }))
    })
}

fn integer<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    as_quantity(args.first()).map_or_else(mismatch, |q| {
        q.as_integer()
            .map(Value::Int)
            .ok_or(Error::fixed("cannot convert value to integer"))
    })
}

fn is_integer<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    as_quantity(args.first()).map_or_else(mismatch, |q| Ok(Value::Bool(q.as_integer().is_some())))
}

fn sum<'a>(args: &[Value<'a>], sign: i128) -> Result<Value<'a>> {
    let Some(quantity) = as_quantity(args.first()) else {
        return mismatch();
    };
    match args.get(1) {
        Some(Value::Int(i)) => Ok(Value::object(quantity.plus(&Quantity::of(*i), sign))),
        other => match as_quantity(other) {
            Some(other) => Ok(Value::object(quantity.plus(other, sign))),
            None => mismatch(),
        },
    }
}
