//! Objects without `metadata.managedFields`, which is skipped while they are read.
//!
//! Upstream's controllers and scheduler drop it, too (`TrimManagedFields`): it can be half of an object, and whoever writes
//! an object without it leaves it as it is.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Value};
use std::fmt;

/// An object without `metadata.managedFields`.
#[derive(Debug)]
pub(crate) struct Trimmed(pub(crate) Value);

impl<'de> Deserialize<'de> for Trimmed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Part::Object.deserialize(deserializer).map(Trimmed)
    }
}

/// An object's metadata, without `managedFields`, and nothing else of it.
#[derive(Debug)]
pub(crate) struct Outline(pub(crate) Value);

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Part::Outline.deserialize(deserializer).map(Outline)
    }
}

/// What is being read.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Object,
    Outline,
    Metadata,
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = match (self, key.as_str()) {
                (Part::Object | Part::Outline, "metadata") => map.next_value_seed(Part::Metadata)?,
                (Part::Metadata, "managedFields") | (Part::Outline, _) => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                _ => map.next_value()?,
            };
            read.insert(key, value);
        }
        Ok(Value::Object(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_managed_fields_go() {
        let check = |text: &str, expected: Value| {
            let read: Trimmed = serde_json::from_str(text).unwrap();
            assert_eq!(read.0, expected, "{text}");
        };
        check(
            r#"{"metadata": {"name": "a", "managedFields": [{"fieldsV1": {"f:x": {}}}], "uid": "u"}, "managedFields": 1}"#,
            json!({"metadata": {"name": "a", "uid": "u"}, "managedFields": 1}),
        );
        check(
            r#"{"spec": {"metadata": {"managedFields": 1}}, "metadata": null}"#,
            json!({"spec": {"metadata": {"managedFields": 1}}, "metadata": null}),
        );
        assert!(serde_json::from_str::<Trimmed>("[]").is_err());
    }
}
