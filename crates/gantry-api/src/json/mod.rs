//! Reading JSON as upstream's decoder reads it: which fields appear twice, and what is wrong in Go's words.

mod syntax;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::{Cell, RefCell};
use std::fmt;

/// What was read.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// The value. Of a field that appears twice, the last counts.
    pub value: Value,
    /// A text for each field that appears twice, in upstream's words for strict decoding.
    pub duplicates: Vec<String>,
}

/// Reads one JSON value. Bytes that are no UTF-8 become U+FFFD.
///
/// # Errors
///
/// What is wrong, in Go's words.
pub fn read(bytes: &[u8]) -> Result<Read, String> {
    let again = Cell::new(false);
    let value = whole(bytes, Tree(&again));
    let value = match value {
        Ok(value) => value,
        Err(_) if std::str::from_utf8(bytes).is_err() => {
            return read(String::from_utf8_lossy(bytes).as_bytes());
        }
        Err(error) => return Err(syntax::error(bytes).unwrap_or_else(|| error.to_string())),
    };
    let mut duplicates = Vec::new();
    if again.get() {
        let found = RefCell::new(Vec::new());
        let named = Named {
            path: String::new(),
            found: &found,
        };
        // It was read once already.
        if whole(bytes, named).is_ok() {
            duplicates = found.into_inner();
        }
    }
    Ok(Read { value, duplicates })
}

fn whole<'de, S: DeserializeSeed<'de>>(bytes: &'de [u8], seed: S) -> serde_json::Result<S::Value> {
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = seed.deserialize(&mut source)?;
    source.end()?;
    Ok(value)
}

/// What Go's errors call a value's type.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value as Go prints one that it read from JSON.
pub fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(printed).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let mut fields: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{}", printed(v))).collect();
            fields.sort();
            format!("map[{}]", fields.join(" "))
        }
        plain => plain.to_string(),
    }
}

/// Makes a tree, and notes whether any field appears twice.
#[derive(Clone, Copy)]
struct Tree<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if map.insert(key, fields.next_value_seed(self)?).is_some() {
                self.0.set(true);
            }
        }
        Ok(map.into())
    }
}

/// Finds the fields that appear twice, below a path.
struct Named<'a> {
    path: String,
    found: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let below = |at: usize| Named {
            path: format!("{}[{at}]", self.path),
            found: self.found,
        };
        let mut at = 0;
        while items.next_element_seed(below(at))?.is_some() {
            at += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut seen = Vec::new();
        while let Some(key) = fields.next_key_seed(Key)? {
            let path = match self.path.as_str() {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            if seen.contains(&key) {
                let text = format!("duplicate field {path:?}");
                let mut found = self.found.borrow_mut();
                if !found.contains(&text) {
                    found.push(text);
                }
            } else {
                seen.push(key);
            }
            fields.next_value_seed(Named {
                path,
                found: self.found,
            })?;
        }
        Ok(())
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<String, D::Error> {
        String::deserialize(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_that_appear_twice() {
        let check = |text: &str, value: Value, duplicates: &[&str]| {
            let found = read(text.as_bytes()).unwrap();
            assert_eq!(
                (found.value, found.duplicates),
                (value, duplicates.iter().map(|d| d.to_string()).collect())
            );
        };
        check(
            r#" {"a": [1, -2, 3.5, "x", true, null]} "#,
            json!({"a": [1, -2, 3.5, "x", true, null]}),
            &[],
        );
        check(
            r#"{"a": 1, "b": {"a": 2}, "a": 3}"#,
            json!({"a": 3, "b": {"a": 2}}),
            &["duplicate field \"a\""],
        );
        check(
            r#"{"s": {"c": [{"n": 1}, {"n": 1, "n": 2, "n": 3}], "d": 1, "d": 2}}"#,
            json!({"s": {"c": [{"n": 1}, {"n": 3}], "d": 2}}),
            &["duplicate field \"s.c[1].n\"", "duplicate field \"s.d\""],
        );
    }

    #[test]
    fn values_as_go_prints_them() {
        let value = json!({"b": [1, "x", null], "a": {"c": true}});
        assert_eq!(printed(&value), "map[a:map[c:true] b:[1 x <nil>]]");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(read(b"\"a\xff\"").unwrap().value, "a\u{fffd}");
    }
}
