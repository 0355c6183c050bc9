//! `+`, `-`, `*`, `/`, `%`.

use super::{Library, mismatch};
use crate::ast::operators as op;
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::value::Value;

pub(crate) const OVERFLOW: Error = Error::fixed("integer overflow");
pub(crate) const UNSIGNED_OVERFLOW: Error = Error::fixed("unsigned integer overflow");

pub(super) fn register(library: &mut Library) {
    library
        .add(op::ADD, "add_bytes", "(bytes, bytes) -> bytes", add)
        .cost(rules::JOIN_TWO);
    library.add(op::ADD, "add_double", "(double, double) -> double", add);
    library.add(
        op::ADD,
        "add_duration_duration",
        "(duration, duration) -> duration",
        add,
    );
    library.add(
        op::ADD,
        "add_duration_timestamp",
        "(duration, timestamp) -> timestamp",
        add,
    );
    library.add(
        op::ADD,
        "add_timestamp_duration",
        "(timestamp, duration) -> timestamp",
        add,
    );
    library.add(op::ADD, "add_int64", "(int, int) -> int", add);
    library
        .add(op::ADD, "add_list", "(list(A), list(A)) -> list(A)", add)
        .cost(rules::ADD_LISTS);
    library
        .add(op::ADD, "add_string", "(string, string) -> string", add)
        .cost(rules::JOIN_TWO);
    library.add(op::ADD, "add_uint64", "(uint, uint) -> uint", add);

    library.add(op::DIVIDE, "divide_double", "(double, double) -> double", divide);
    library.add(op::DIVIDE, "divide_int64", "(int, int) -> int", divide);
    library.add(op::DIVIDE, "divide_uint64", "(uint, uint) -> uint", divide);

    library.add(op::MODULO, "modulo_int64", "(int, int) -> int", modulo);
    library.add(op::MODULO, "modulo_uint64", "(uint, uint) -> uint", modulo);

    library.add(
        op::MULTIPLY,
        "multiply_double",
        "(double, double) -> double",
        multiply,
    );
    library.add(op::MULTIPLY, "multiply_int64", "(int, int) -> int", multiply);
    library.add(op::MULTIPLY, "multiply_uint64", "(uint, uint) -> uint", multiply);

    library.add(op::NEGATE, "negate_double", "(double) -> double", negate);
    library.add(op::NEGATE, "negate_int64", "(int) -> int", negate);

    library.add(
        op::SUBTRACT,
        "subtract_double",
        "(double, double) -> double",
        subtract,
    );
    library.add(
        op::SUBTRACT,
        "subtract_duration_duration",
        "(duration, duration) -> duration",
        subtract,
    );
    library.add(op::SUBTRACT, "subtract_int64", "(int, int) -> int", subtract);
    library.add(
        op::SUBTRACT,
        "subtract_timestamp_duration",
        "(timestamp, duration) -> timestamp",
        subtract,
    );
    library.add(
        op::SUBTRACT,
        "subtract_timestamp_timestamp",
        "(timestamp, timestamp) -> duration",
        subtract,
    );
    library.add(op::SUBTRACT, "subtract_uint64", "(uint, uint) -> uint", subtract);
}

/// An error if the left value takes no part in such operations at all.
fn unfit<'a>(args: &[Value<'a>], name: &str, fits: fn(&Value<'_>) -> bool) -> Result<Value<'a>> {
    match args.first() {
        Some(left) if !fits(left) => Err(Error::new(format!("no such overload: {name}"))),
        _ => mismatch(),
    }
}

fn is_number(value: &Value<'_>) -> bool {
    matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_))
}

pub(crate) fn add<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(match args {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_add(*b).ok_or(OVERFLOW)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_add(*b).ok_or(UNSIGNED_OVERFLOW)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a + b),
        [Value::String(a), Value::String(b)] => {
            let mut sum = String::with_capacity(a.len() + b.len());
            sum.push_str(a);
            sum.push_str(b);
            sum.into()
        }
        [Value::Bytes(a), Value::Bytes(b)] => Value::Bytes(a.iter().chain(b.iter()).copied().collect()),
        [Value::List(a), Value::List(b)] => Value::List(a.concat(b)?),
        [Value::Duration(a), Value::Duration(b)] => Value::Duration(a.checked_add(*b).ok_or(OVERFLOW)?),
        [Value::Duration(d), Value::Timestamp(t)] | [Value::Timestamp(t), Value::Duration(d)] => {
            Value::Timestamp(t.add(*d)?)
        }
        _ => {
            return unfit(args, op::ADD, |left| {
                is_number(left)
                    || matches!(
                        left,
                        Value::String(_)
                            | Value::Bytes(_)
                            | Value::List(_)
                            | Value::Duration(_)
                            | Value::Timestamp(_)
                    )
            });
        }
    })
}

fn subtract<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(match args {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_sub(*b).ok_or(OVERFLOW)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_sub(*b).ok_or(UNSIGNED_OVERFLOW)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a - b),
        [Value::Duration(a), Value::Duration(b)] => Value::Duration(a.checked_sub(*b).ok_or(OVERFLOW)?),
        [Value::Timestamp(t), Value::Duration(d)] => {
            Value::Timestamp(t.add(d.checked_neg().ok_or(OVERFLOW)?)?)
        }
        [Value::Timestamp(a), Value::Timestamp(b)] => Value::Duration(a.since(b)?),
        _ => {
            return unfit(args, op::SUBTRACT, |left| {
                is_number(left) || matches!(left, Value::Duration(_) | Value::Timestamp(_))
            });
        }
    })
}

fn multiply<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(match args {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_mul(*b).ok_or(OVERFLOW)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_mul(*b).ok_or(UNSIGNED_OVERFLOW)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a * b),
        _ => return unfit(args, op::MULTIPLY, is_number),
    })
}

fn divide<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    const BY_ZERO: Error = Error::fixed("division by zero");
    Ok(match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => return Err(BY_ZERO),
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_div(*b).ok_or(OVERFLOW)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a / b),
        [Value::Double(a), Value::Double(b)] => Value::Double(a / b),
        _ => return unfit(args, op::DIVIDE, is_number),
    })
}

fn modulo<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    const BY_ZERO: Error = Error::fixed("modulus by zero");
    Ok(match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => return Err(BY_ZERO),
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_rem(*b).ok_or(OVERFLOW)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a % b),
        _ => {
            return unfit(args, op::MODULO, |left| {
                matches!(left, Value::Int(_) | Value::Uint(_))
            });
        }
    })
}

fn negate<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(match args {
        [Value::Int(i)] => Value::Int(i.checked_neg().ok_or(OVERFLOW)?),
        [Value::Double(d)] => Value::Double(-d),
        [Value::Duration(d)] => Value::Duration(d.checked_neg().ok_or(OVERFLOW)?),
        [Value::Bool(_)] => return mismatch(),
        _ => return Err(Error::fixed("no such overload: -_")),
    })
}
