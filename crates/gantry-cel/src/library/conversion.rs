//! Conversions between types.

use super::arithmetic::{OVERFLOW, UNSIGNED_OVERFLOW};
use super::{Library, mismatch};
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::value::{Timestamp, Value, text, time};

pub(super) fn register(library: &mut Library) {
    library.add("type", "type", "(A) -> type(A)", type_of);
    library.add("dyn", "to_dyn", "(A) -> dyn", same);

    library.add("bool", "bool_to_bool", "(bool) -> bool", same);
    library.add("bool", "string_to_bool", "(string) -> bool", to_bool);

    library.add("bytes", "bytes_to_bytes", "(bytes) -> bytes", same);
    library
        .add("bytes", "string_to_bytes", "(string) -> bytes", to_bytes)
        .cost(rules::TO_BYTES);

    library.add("double", "double_to_double", "(double) -> double", same);
    library.add("double", "int64_to_double", "(int) -> double", to_double);
    library.add("double", "string_to_double", "(string) -> double", to_double);
    library.add("double", "uint64_to_double", "(uint) -> double", to_double);

    library.add("duration", "duration_to_duration", "(duration) -> duration", same);
    library.add("duration", "int64_to_duration", "(int) -> duration", to_duration);
    library.add(
        "duration",
        "string_to_duration",
        "(string) -> duration",
        to_duration,
    );

    library.add("int", "int64_to_int64", "(int) -> int", same);
    library.add("int", "double_to_int64", "(double) -> int", to_int);
    library.add("int", "duration_to_int64", "(duration) -> int", to_int);
    library.add("int", "string_to_int64", "(string) -> int", to_int);
    library.add("int", "timestamp_to_int64", "(timestamp) -> int", to_int);
    library.add("int", "uint64_to_int64", "(uint) -> int", to_int);

    library.add("string", "string_to_string", "(string) -> string", same);
    library.add("string", "bool_to_string", "(bool) -> string", to_string);
    library
        .add("string", "bytes_to_string", "(bytes) -> string", to_string)
        .cost(rules::TO_TEXT);
    library.add("string", "double_to_string", "(double) -> string", to_string);
    library.add("string", "duration_to_string", "(duration) -> string", to_string);
    library.add("string", "int64_to_string", "(int) -> string", to_string);
    library.add(
        "string",
        "timestamp_to_string",
        "(timestamp) -> string",
        to_string,
    );
    library.add("string", "uint64_to_string", "(uint) -> string", to_string);

    library.add(
        "timestamp",
        "timestamp_to_timestamp",
        "(timestamp) -> timestamp",
        same,
    );
    library.add(
        "timestamp",
        "int64_to_timestamp",
        "(int) -> timestamp",
        to_timestamp,
    );
    library.add(
        "timestamp",
        "string_to_timestamp",
        "(string) -> timestamp",
        to_timestamp,
    );

    library.add("uint", "uint64_to_uint64", "(uint) -> uint", same);
    library.add("uint", "double_to_uint64", "(double) -> uint", to_uint);
    library.add("uint", "int64_to_uint64", "(int) -> uint", to_uint);
    library.add("uint", "string_to_uint64", "(string) -> uint", to_uint);
}

/// Whether a call of a constant is evaluated once, when the expression is compiled.
pub(crate) fn is_conversion(name: &str) -> bool {
    matches!(
        name,
        "bool" | "bytes" | "double" | "duration" | "dyn" | "int" | "string" | "timestamp" | "type" | "uint"
    )
}

fn same<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    args.first().cloned().map_or_else(mismatch, Ok)
}

fn type_of<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    args.first()
        .map_or_else(mismatch, |value| Ok(Value::Type(value.type_name())))
}

fn cannot<R>(value: &Value<'_>, to: &str) -> Result<R> {
    let name = value.type_name();
    Err(Error::new(format!(
        "type conversion error from '{name}' to '{to}'"
    )))
}

fn to_bool<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(s)] => match &**s {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => cannot(&args[0], "bool"),
        },
        _ => mismatch(),
    }
}

fn to_bytes<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(s)] => Ok(Value::Bytes(s.as_bytes().into())),
        _ => mismatch(),
    }
}

/// A number as Go's strconv reads it.
fn go_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let named = matches!(unsigned.to_ascii_lowercase().as_str(), "inf" | "infinity" | "nan");
    let value: f64 = text.parse().ok()?;
    // What is too large is an error, not infinite.
    (named || value.is_finite()).then_some(value)
}

fn to_double<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Int(i)] => Ok(Value::Double(*i as f64)),
        [Value::Uint(u)] => Ok(Value::Double(*u as f64)),
        [Value::String(s)] => match go_float(s) {
            Some(d) => Ok(Value::Double(d)),
            None => cannot(&args[0], "double"),
        },
        _ => mismatch(),
    }
}

fn to_duration<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(s)] => match time::parse_duration(s) {
            Some(nanos) => Ok(Value::Duration(nanos)),
            None => cannot(&args[0], "google.protobuf.Duration"),
        },
        [Value::Int(_)] => cannot(&args[0], "google.protobuf.Duration"),
        _ => mismatch(),
    }
}

fn to_int<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::Int(match args {
        [Value::Double(d)] if *d > i64::MIN as f64 && *d < i64::MAX as f64 => *d as i64,
        [Value::Double(_)] => return Err(OVERFLOW),
        [Value::Duration(nanos)] => *nanos,
        [Value::Timestamp(t)] => t.seconds(),
        [Value::Uint(u)] => i64::try_from(*u).map_err(|_| OVERFLOW)?,
        [Value::String(s)] => match s.parse() {
            Ok(i) => i,
            Err(_) => return cannot(&args[0], "int"),
        },
        _ => return mismatch(),
    }))
}

fn to_uint<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::Uint(match args {
        [Value::Double(d)] if *d >= 0.0 && *d < 18_446_744_073_709_551_616.0 => *d as u64,
        [Value::Double(_)] => return Err(UNSIGNED_OVERFLOW),
        [Value::Int(i)] => u64::try_from(*i).map_err(|_| UNSIGNED_OVERFLOW)?,
        [Value::String(s)] => match s.parse() {
            // Go takes no sign here.
            Ok(u) if !s.starts_with('+') => u,
            _ => return cannot(&args[0], "uint"),
        },
        _ => return mismatch(),
    }))
}

pub(crate) fn to_string<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(match args {
        [Value::String(_)] => args[0].clone(),
        [Value::Bool(b)] => if *b { "true" } else { "false" }.into(),
        [Value::Bytes(bytes)] => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => return Err(Error::fixed("invalid UTF-8 in bytes, cannot convert to string")),
        },
        [Value::Double(d)] => text::double(*d).into(),
        [Value::Duration(nanos)] => format!("{}s", text::seconds(*nanos)).into(),
        [Value::Int(i)] => i.to_string().into(),
        [Value::Uint(u)] => u.to_string().into(),
        [Value::Timestamp(t)] => t.format().into(),
        [Value::Type(name)] => name.as_str().into(),
        [Value::Null] => "null".into(),
        _ => return mismatch(),
    })
}

fn to_timestamp<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Int(seconds)] => Timestamp::of_seconds(*seconds).map(Value::Timestamp),
        [Value::String(s)] => match Timestamp::parse(s) {
            Some(t) if time::in_range(&t) => Ok(Value::Timestamp(t)),
            Some(_) => Err(time::OUT_OF_RANGE),
            None => cannot(&args[0], "google.protobuf.Timestamp"),
        },
        _ => mismatch(),
    }
}
