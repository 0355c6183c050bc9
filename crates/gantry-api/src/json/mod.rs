//! Reading JSON as upstream's decoder reads it: which fields appear twice, and what is wrong in Go's words.

mod syntax;
mod write;

pub use write::{write, write_text};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;

/// Strict decoding says no more than this of an object, as upstream's: a text has the whole path to a field, and a body may
/// have many fields at the end of a long one.
pub const MOST: usize = 100;

/// So many bytes of paths are compared to put texts in order: a body may have many fields at the end of a long path.
const LOOKED_AT: usize = 16 << 20;

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
        each_field(bytes, &mut |path, again| {
            if again {
                let text = duplicate(path);
                if !duplicates.contains(&text) {
                    duplicates.push(text);
                }
            }
            duplicates.len() < MOST
        });
    }
    Ok(Read { value, duplicates })
}

/// Makes integers of floats that are whole: Go writes them alike.
pub fn settle_numbers(value: &mut Value) {
    match value {
        Value::Number(n) if n.is_f64() => {
            let whole = n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9.0e18);
            if let Some(whole) = whole {
                *value = Value::from(whole as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(settle_numbers),
        Value::Object(map) => map.values_mut().for_each(settle_numbers),
        _ => {}
    }
}

fn duplicate(path: &str) -> String {
    format!("duplicate field {path:?}")
}

/// Puts what strict decoding says of fields, unknown ones and duplicates, in the order in which they stand in the text.
/// What it says of others comes last, and what is too much of it is left out.
pub fn in_order(bytes: &[u8], texts: &mut Vec<String>) {
    let mut places: HashMap<&str, Option<usize>> = texts.iter().map(|text| (text.as_str(), None)).collect();
    let (mut found, mut looked) = (0, 0);
    each_field(bytes, &mut |path, again| {
        let text = match again {
            true => duplicate(path),
            false => format!("unknown field {path:?}"),
        };
        if let Some(place @ None) = places.get_mut(text.as_str()) {
            *place = Some(found);
            found += 1;
        }
        looked += path.len();
        found < texts.len() && looked < LOOKED_AT
    });
    let place = |text: &String| places.get(text.as_str()).copied().flatten().unwrap_or(usize::MAX);
    let mut placed: Vec<(usize, String)> = texts.iter().map(|text| (place(text), text.clone())).collect();
    placed.sort_by_key(|(place, _)| *place);
    *texts = placed.into_iter().map(|(_, text)| text).take(MOST).collect();
}

/// Tells the path of each field, and whether it appeared before in its object, which it says once; until there is enough.
/// Of a text that was read already.
fn each_field<'a>(bytes: &[u8], tell: &'a mut Tell<'a>) {
    let mut way = Way {
        path: String::new(),
        tell,
        enough: false,
    };
    // What is wrong with the text was told to whoever read it.
    drop(whole(bytes, Named(&mut way)));
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

/// What is told of each field, and whether to go on; see [`each_field`].
type Tell<'a> = dyn FnMut(&str, bool) -> bool + 'a;

/// Where in the text we are.
struct Way<'a> {
    path: String,
    tell: &'a mut Tell<'a>,
    enough: bool,
}

/// Tells of the fields below a path.
struct Named<'a, 'b>(&'a mut Way<'b>);

impl<'de> DeserializeSeed<'de> for Named<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Named<'_, '_> {
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
        let above = self.0.path.len();
        for at in 0.. {
            self.0.path.push_str(&format!("[{at}]"));
            let item = items.next_element_seed(Named(self.0))?;
            self.0.path.truncate(above);
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let way = self.0;
        let above = way.path.len();
        // How often each field was seen.
        let mut seen: HashMap<String, usize> = HashMap::new();
        while let Some(key) = fields.next_key_seed(Key)? {
            if above > 0 {
                way.path.push('.');
            }
            way.path.push_str(&key);
            let times = seen.entry(key).or_default();
            *times += 1;
            if *times <= 2 && !way.enough {
                way.enough = !(way.tell)(&way.path, *times == 2);
            }
            fields.next_value_seed(Named(way))?;
            way.path.truncate(above);
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
    fn errors_come_in_the_texts_order() {
        let text = r#"{"z": 1, "spec": {"x": [{"b": 1, "a": 2}], "n": 1, "n": 2}, "a": 3}"#;
        let expected = [
            "unknown field \"z\"",
            "unknown field \"spec.x[0].b\"",
            "unknown field \"spec.x[0].a\"",
            "duplicate field \"spec.n\"",
            "unknown field \"a\"",
            "something else",
        ];
        let mut texts = expected.map(String::from);
        texts.sort();
        let mut texts = texts.to_vec();
        in_order(text.as_bytes(), &mut texts);
        assert_eq!(texts, expected);
    }

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

    /// Quadratic time and memory would take minutes, and more memory than there is.
    #[test]
    fn many_fields_at_the_end_of_a_long_path() {
        let fields: String = (0..20_000).map(|i| format!("\"{i}\":0,\"{i}\":0,")).collect();
        let text = format!("{{\"{}\":{{{}\"x\":1}}}}", "a".repeat(1 << 16), fields);
        let mut found = read(text.as_bytes()).unwrap().duplicates;
        assert_eq!(found.len(), MOST);
        found.reverse();
        found.push("something else".into());
        in_order(text.as_bytes(), &mut found);
        assert!(found.len() == MOST && found[0].ends_with("aaa.0\""));
    }

    #[test]
    fn numbers_are_read_to_the_nearest() {
        let check = |text: &str, number: f64| {
            assert_eq!(
                read(text.as_bytes()).unwrap().value.as_f64(),
                Some(number),
                "{text}"
            )
        };
        check("9222223372036854775808", 9_222_223_372_036_854_775_808.0);
        check("9.222223372036856e+21", 9.222_223_372_036_856e21);
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
