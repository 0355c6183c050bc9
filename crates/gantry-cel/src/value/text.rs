//! Values as Go writes them.

use super::{List, Map, Value};
use std::fmt;

/// As messages show it.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(self))
    }
}

/// A value as messages show it.
pub(crate) fn show(value: &Value<'_>) -> String {
    match value {
        Value::Null => "NULL_VALUE".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Uint(u) => u.to_string(),
        Value::Double(d) => double(*d),
        Value::String(text) => text.to_string(),
        Value::Bytes(bytes) => {
            let parts: Vec<String> = bytes.iter().map(u8::to_string).collect();
            format!("[{}]", parts.join(" "))
        }
        Value::Duration(nanos) => format!("{}s", seconds(*nanos)),
        Value::Timestamp(time) => time.format(),
        Value::List(list) => show_list(list),
        Value::Map(map) => show_map(map),
        Value::Type(name) => name.to_string(),
        Value::Optional(None) => "optional.none()".into(),
        Value::Optional(Some(value)) => format!("optional({})", show(value)),
        Value::Object(object) => object.type_name().into(),
        Value::Preserved(json) => json.to_string(),
    }
}

fn show_list(list: &List<'_>) -> String {
    let items: Vec<String> = list
        .iter()
        .map(|item| item.map_or_else(|e| e.to_string(), |i| show(&i)))
        .collect();
    format!("[{}]", items.join(", "))
}

fn show_map(map: &Map<'_>) -> String {
    let entries: Vec<String> = map
        .keys()
        .iter()
        .map(|key| match map.find(key) {
            Ok(Some(value)) => format!("{}: {}", show(key), show(&value)),
            Ok(None) => show(key),
            Err(e) => format!("{}: {e}", show(key)),
        })
        .collect();
    format!("{{{}}}", entries.join(", "))
}

/// How upstream's messages name the kind of a value.
pub(crate) fn go_type<'v>(value: &'v Value<'_>) -> &'v str {
    match value {
        Value::Null => "types.Null",
        Value::Bool(_) => "types.Bool",
        Value::Int(_) => "types.Int",
        Value::Uint(_) => "types.Uint",
        Value::Double(_) => "types.Double",
        Value::String(_) => "types.String",
        Value::Bytes(_) => "types.Bytes",
        Value::Duration(_) => "types.Duration",
        Value::Timestamp(_) => "types.Timestamp",
        Value::List(list) if list.is_declared() => "*common.unstructuredList",
        Value::List(_) => "*types.baseList",
        Value::Map(map) if map.is_declared() => "*common.unstructuredMap",
        Value::Map(_) => "*types.baseMap",
        Value::Type(_) => "*types.Type",
        Value::Optional(_) => "*types.Optional",
        Value::Object(object) => object.type_name(),
        Value::Preserved(_) => "*common.unknownPreserved",
    }
}

/// A duration's seconds, with as many digits as it takes.
pub(crate) fn seconds(nanos: i64) -> String {
    let whole = nanos / 1_000_000_000;
    let rest = nanos % 1_000_000_000;
    // As a floating point number, for that is what upstream writes.
    format!("{}", whole as f64 + rest as f64 / 1e9)
}

/// A floating point number as Go's `%g` writes it: the shortest that reads the same, with an exponent if it is large or
/// small.
pub(crate) fn double(d: f64) -> String {
    if d.is_nan() {
        return "NaN".into();
    }
    if d.is_infinite() {
        return if d > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    if d == 0.0 {
        return if d.is_sign_negative() { "-0" } else { "0" }.into();
    }
    let scientific = format!("{d:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{d}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// A text in quotation marks, escaped as Go escapes it.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
