//! Reading and changing objects as trees.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::hash::Hash;

/// A text, or nothing.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// The bytes of a text in base64; none when it is absent. Decoding has refused what is no base64.
pub fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(text(value)).unwrap_or_default()
}

/// A number, 0 when absent.
pub fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// A flag, false when absent.
pub fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or(false)
}

/// Whether a value is there.
pub fn given(value: &Value) -> bool {
    !value.is_null()
}

/// A list's items; none when absent.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or(&[])
}

/// Of each item, whether one before it has the same key. A look at all that came before would take as long as somebody
/// likes who sends a hundred thousand.
pub fn repeats<'a, T, K: Eq + Hash>(items: &'a [T], key: impl Fn(&'a T) -> K) -> Vec<bool> {
    let mut seen = HashSet::with_capacity(items.len());
    items.iter().map(|item| !seen.insert(key(item))).collect()
}

/// A list's items, to change.
pub fn list_mut<'a>(of: &'a mut Value, field: &str) -> &'a mut [Value] {
    match of.get_mut(field).and_then(Value::as_array_mut) {
        Some(items) => items,
        None => &mut [],
    }
}

/// A field that is there, to change.
pub fn field_mut<'a>(of: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    of.get_mut(field).filter(|v| v.is_object())
}

/// A map's entries in the order of their keys; none when absent.
pub fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// How many entries a map or list has.
pub fn size(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    }
}

/// The items of a list that are texts, joined.
pub fn joined<'a>(texts: impl IntoIterator<Item = &'a str>, separator: &str) -> String {
    texts.into_iter().collect::<Vec<_>>().join(separator)
}

/// Sets a field that is absent.
pub fn default_to(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut()
        && !map.get(field).is_some_and(given)
    {
        map.insert(field.into(), value.into());
    }
}

/// Sets a field that is absent, empty or 0: one whose zero value means that nothing was said.
pub fn default_if_zero(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        if map.get(field).is_some_and(is_zero) {
            map.remove(field);
        }
        map.entry(field).or_insert_with(|| value.into());
    }
}

/// Makes sure that a field holds a map, and returns it.
pub fn map_of<'a>(object: &'a mut Value, field: &str) -> &'a mut Value {
    let held = &mut object[field];
    if !held.is_object() {
        *held = Value::Object(Map::new());
    }
    held
}

/// Removes a field.
pub fn remove(object: &mut Value, field: &str) -> Option<Value> {
    object.as_object_mut()?.remove(field)
}

/// Makes one field of `object` what it is in `old`.
pub fn keep(object: &mut Value, old: &Value, field: &str) {
    match (old.get(field), object.as_object_mut()) {
        (Some(value), Some(map)) => {
            map.insert(field.to_string(), value.clone());
        }
        (None, Some(map)) => {
            map.remove(field);
        }
        (_, None) => {}
    }
}

/// Removes those of `fields` that say no more than their absence does.
pub fn drop_zero(object: &mut Value, fields: &[&str]) {
    if let Some(map) = object.as_object_mut() {
        for field in fields {
            if map.get(*field).is_some_and(is_zero) {
                map.remove(*field);
            }
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

/// Whether two values mean the same: an absent list or map is an empty one.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        // Most objects that are compared have the same fields.
        (Value::Object(x), Value::Object(y)) if x.len() == y.len() && x.keys().eq(y.keys()) => {
            x.values().zip(y.values()).all(|(a, b)| same(a, b))
        }
        (Value::Object(x), Value::Object(y)) => {
            let half = |x: &Map<String, Value>, y: &Map<String, Value>| {
                x.iter()
                    .all(|(key, value)| same(value, y.get(key).unwrap_or(&Value::Null)))
            };
            half(x, y)
                && y.iter()
                    .all(|(key, value)| x.contains_key(key) || same(value, &Value::Null))
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(a, b)| same(a, b)),
        (Value::Null, Value::Object(map)) | (Value::Object(map), Value::Null) => map.is_empty(),
        (Value::Null, Value::Array(items)) | (Value::Array(items), Value::Null) => items.is_empty(),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sameness() {
        let check = |a: Value, b: Value, expected: bool| {
            assert_eq!(same(&a, &b), expected, "{a} {b}");
            assert_eq!(same(&b, &a), expected, "{b} {a}");
        };
        check(json!({"a": 1}), json!({"a": 1, "b": {}}), true);
        check(json!({"a": 1}), json!({"a": 1, "b": []}), true);
        check(json!({"a": 1}), json!({"a": 1, "b": ""}), false);
        check(json!([1]), json!([1, 2]), false);
        check(json!({"a": {"b": null}}), json!({"a": {}}), true);
        check(json!(null), json!(false), false);
    }
}
