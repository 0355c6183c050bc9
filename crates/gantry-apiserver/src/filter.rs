//! A list's or watch's selectors, and how they read stored objects: only the fields they ask for.

use crate::call::Call;
use crate::stored::{self, Head};
use gantry_api::kind::Kind;
use gantry_api::meta;
use gantry_api::selector::{Fields, Labels};
use gantry_api::status::Status;
use gantry_store::Entry;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The selectors of a request.
pub struct Filter {
    labels: Labels,
    fields: Fields,
    name: Option<String>,
    picker: Picker,
    text: Arc<str>,
}

impl Filter {
    /// The selectors of a request.
    pub fn of(call: &Call) -> Result<Self, Status> {
        let fields = Fields::parse(call.options.text("fieldSelector"), &call.target.kind)?;
        let picker = Picker::with(fields.paths());
        let name = match (&call.target.name, fields.exact_name()) {
            (Some(name), Some(other)) if name != other => {
                return Err(Status::bad_request(
                    "fieldSelector metadata.name doesn't match requested name",
                ));
            }
            (Some(name), _) => Some(name.clone()),
            (None, name) => name.map(str::to_string),
        };
        let text = format!(
            "{}\n{}\n{}",
            call.options.text("labelSelector"),
            call.options.text("fieldSelector"),
            call.target.name.as_deref().unwrap_or_default()
        );
        Ok(Filter {
            text: text.into(),
            labels: Labels::parse(call.options.text("labelSelector"))?,
            fields,
            name,
            picker,
        })
    }

    /// What it was made of: filters of the same text select the same of a kind.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The one name it selects, if it demands one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// A field of the kind's own that must have a value: its path and the value.
    pub fn one_value(&self, kind: &Kind) -> Option<(&str, &str)> {
        let own = |path: &str| kind.selectable_fields.iter().any(|(_, p)| p == path);
        self.fields
            .equalities()
            .find(|(path, value)| own(path) && !value.is_empty())
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.labels.is_empty() && self.fields.paths().next().is_none()
    }

    /// Whether an object is wanted.
    pub fn matches(&self, object: &Value) -> bool {
        self.name.as_deref().is_none_or(|name| name == meta::name(object))
            && self.labels.matches(object)
            && self.fields.matches(object)
    }

    /// Whether a stored object is wanted.
    pub fn matches_entry(&self, kind: &Kind, head: &Head, entry: &Entry) -> Result<bool, Status> {
        if self.is_empty() {
            return Ok(true);
        }
        Ok(self.matches(&self.picker.pick(kind, head, entry)?))
    }
}

/// Reads of stored objects only what selectors ask for.
pub struct Picker(Node);

impl Picker {
    /// Reads whatever can be selected by.
    pub fn of(kind: &Kind) -> Self {
        let own = kind.selectable_fields.iter().map(|(_, path)| path.as_str());
        Picker::with(own.chain(["metadata.namespace"]))
    }

    fn with<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let mut wanted = Node::default();
        wanted.add("metadata.labels");
        wanted.add("metadata.name");
        paths.flat_map(|p| p.split('|')).for_each(|p| wanted.add(p));
        Picker(wanted)
    }

    /// The object, with no more than what is wanted of it.
    pub fn pick(&self, kind: &Kind, head: &Head, entry: &Entry) -> Result<Value, Status> {
        let Some(metadata) = head.metadata(entry) else {
            return stored::decode_as(kind, entry);
        };
        let picked = match self.0.0.get("metadata") {
            // Metadata stands first: what follows it need not even be skipped.
            Some(node) if self.0.0.len() == 1 => {
                let mut json = serde_json::Deserializer::from_slice(metadata);
                node.deserialize(&mut json)
                    .map(|picked| json!({"metadata": picked}))
            }
            _ => (&self.0).deserialize(&mut serde_json::Deserializer::from_slice(&entry.value)),
        };
        picked.map_err(|e| stored::unreadable(entry, &e))
    }
}

/// The fields to read of an object. A leaf is read whole.
#[derive(Default)]
struct Node(BTreeMap<String, Node>);

impl Node {
    fn add(&mut self, path: &str) {
        let mut at = self;
        // Lists are read whole.
        for part in path.split('.').take_while(|p| p.parse::<usize>().is_err()) {
            at = at.0.entry(part.to_string()).or_default();
        }
    }
}

impl<'de> DeserializeSeed<'de> for &Node {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0.is_empty() {
            true => serde::Deserialize::deserialize(deserializer),
            false => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for &Node {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some(field) = map.next_key_seed(Field(self))? {
            match field {
                Some((name, node)) => {
                    found.insert(name.to_string(), map.next_value_seed(node)?);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(found))
    }

    // What should hold fields and does not.
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// Finds the node of a field by its name, without a copy of the name.
struct Field<'a>(&'a Node);

impl<'de, 'a> DeserializeSeed<'de> for Field<'a> {
    type Value = Option<(&'a str, &'a Node)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Field<'a> {
    type Value = Option<(&'a str, &'a Node)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.0.get_key_value(name).map(|(k, node)| (k.as_str(), node)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wanted_fields_are_read() {
        let object = json!({
            "metadata": {"name": "a", "labels": {"b": "c"}, "uid": "u"},
            "spec": {"nodeName": "n", "containers": [{"name": "x"}]},
            "status": {"podIPs": [{"ip": "10.0.0.1"}], "phase": "Running"}, "data": null,
        });
        let check = |paths: &[&str], expected: Value| {
            let mut node = Node::default();
            paths.iter().for_each(|p| node.add(p));
            let text = object.to_string();
            let mut json = serde_json::Deserializer::from_str(&text);
            assert_eq!((&node).deserialize(&mut json).unwrap(), expected, "{paths:?}");
        };
        check(&["metadata.name"], json!({"metadata": {"name": "a"}}));
        check(
            &["metadata.labels", "spec.nodeName", "spec.missing"],
            json!({"metadata": {"labels": {"b": "c"}}, "spec": {"nodeName": "n"}}),
        );
        check(
            &["status.podIPs.0.ip"],
            json!({"status": {"podIPs": [{"ip": "10.0.0.1"}]}}),
        );
        check(&["data.a"], json!({"data": null}));
    }
}
