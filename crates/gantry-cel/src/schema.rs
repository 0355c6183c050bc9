//! Declarations from OpenAPI schemas. Source: k8s.io/apiserver/pkg/cel/common/schemas.go.

use crate::decl::{Decl, DeclKind, ListOrder};
use crate::escape;
use crate::limits::REQUEST_SIZE;
use serde_json::{Map, Value};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::sync::Arc;

/// As JSON, with quotation marks.
const DURATION_SIZE: u64 = 32;
const DATE_TIME_SIZE: u64 = 32;
const DATE_SIZE: u64 = 12;
const SHORTEST_DURATION: u64 = 3;
const SHORTEST_DATE_TIME: u64 = 21;

impl Decl {
    /// Reads a schema, a JSON object such as an `openAPIV3Schema`. The `root` of a custom resource, and of an object
    /// within one, always has `apiVersion`, `kind` and a little `metadata`.
    pub fn of_schema(schema: &Value, root: bool) -> Arc<Decl> {
        let decl = Decl {
            nullable: flag(schema, "nullable"),
            ..read(schema, root || flag(schema, "x-kubernetes-embedded-resource"))
        };
        Arc::new(decl)
    }
}

fn read(schema: &Value, root: bool) -> Decl {
    if flag(schema, "x-kubernetes-int-or-string") {
        return Decl {
            max_elements: max_length(schema).map_or(REQUEST_SIZE - 2, |n| n * 4),
            ..Decl::simple(DeclKind::IntOrString, 1)
        };
    }
    match (schema["type"].as_str().unwrap_or_default(), root) {
        ("object", _) | ("", true) => object(schema, root),
        ("array", _) => array(schema),
        ("string", _) => string(schema),
        ("boolean", _) => Decl::simple(DeclKind::Bool, 4),
        ("number", _) => Decl::simple(DeclKind::Double, 1),
        ("integer", _) => Decl::simple(DeclKind::Int, 1),
        _ => Decl::simple(DeclKind::Preserved, 1),
    }
}

fn array(schema: &Value) -> Decl {
    if !schema["items"].is_object() {
        return Decl::simple(DeclKind::Preserved, 2);
    }
    let item = Decl::of_schema(&schema["items"], false);
    let keys = schema["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten();
    let order = match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => ListOrder::Set,
        Some("map") => ListOrder::Map(keys.filter_map(Value::as_str).map(SmolStr::new).collect()),
        _ => ListOrder::Atomic,
    };
    Decl {
        max_elements: bound(schema, "maxItems").unwrap_or((REQUEST_SIZE - 2) / (item.min_size + 1)),
        ..Decl::simple(DeclKind::List { item, order }, 2)
    }
}

fn object(schema: &Value, root: bool) -> Decl {
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    if !root && properties.is_empty() && schema["additionalProperties"].is_object() {
        let value = Decl::of_schema(&schema["additionalProperties"], false);
        // A key, its quotation marks, a colon and a comma.
        let most = (REQUEST_SIZE - 2) / (value.min_size + 6);
        return Decl {
            max_elements: bound(schema, "maxProperties").unwrap_or(most),
            ..Decl::simple(DeclKind::Map(value, None), 2)
        };
    }
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut fields: BTreeMap<SmolStr, Arc<Decl>> = properties
        .iter()
        .map(|(name, schema)| (name.into(), Decl::of_schema(schema, false)))
        .collect();
    if root && !has_metadata(properties) {
        let text = || Arc::new(text(REQUEST_SIZE - 2));
        fields.insert("kind".into(), text());
        fields.insert("apiVersion".into(), text());
        fields.insert(
            "metadata".into(),
            Decl::object([("name", text()), ("generateName", text())]),
        );
    }
    // Fields with a default need not be sent.
    let sent = fields.iter().filter(|(name, decl)| {
        let default = properties.get(name.as_str()).and_then(|p| p.get("default"));
        decl.has_type() && required.contains(&name.as_str()) && default.is_none_or(Value::is_null)
    });
    let min_size = 2 + sent
        .map(|(name, d)| name.len() as u64 + d.min_size + 4)
        .sum::<u64>();
    Decl::simple(DeclKind::Object(fields), min_size)
}

/// Whether all is declared that every object has.
fn has_metadata(properties: &Map<String, Value>) -> bool {
    let is = |schema: Option<&Value>, type_: &str| schema.is_some_and(|s| s["type"] == type_);
    let metadata = properties.get("metadata");
    is(properties.get("kind"), "string")
        && is(properties.get("apiVersion"), "string")
        && is(metadata, "object")
        && metadata.is_some_and(|m| {
            let fields = &m["properties"];
            is(fields.get("name"), "string") && is(fields.get("generateName"), "string")
        })
}

fn text(most: u64) -> Decl {
    Decl {
        max_elements: most,
        ..Decl::simple(DeclKind::String, 2)
    }
}

fn string(schema: &Value) -> Decl {
    let (kind, max_elements, min_size) = match schema["format"].as_str().unwrap_or_default() {
        "byte" => (DeclKind::Bytes, max_length(schema).unwrap_or(REQUEST_SIZE - 2), 2),
        "duration" => (DeclKind::Duration, DURATION_SIZE, SHORTEST_DURATION),
        "date" => (DeclKind::Date, DATE_SIZE, DATE_SIZE),
        "date-time" => (DeclKind::DateTime, DATE_TIME_SIZE, SHORTEST_DATE_TIME),
        _ => {
            let values = schema["enum"].as_array().filter(|v| !v.is_empty());
            let longest = values.map(|v| {
                v.iter()
                    .filter_map(Value::as_str)
                    .map(str::len)
                    .max()
                    .unwrap_or(0) as u64
            });
            // Lengths are given in characters, of which each takes four bytes at most.
            let most = max_length(schema).map(|n| n * 4).or(longest);
            return text(most.unwrap_or(REQUEST_SIZE - 2));
        }
    };
    Decl {
        max_elements,
        ..Decl::simple(kind, min_size)
    }
}

fn flag(schema: &Value, name: &str) -> bool {
    schema[name].as_bool().unwrap_or(false)
}

fn bound(schema: &Value, name: &str) -> Option<u64> {
    schema[name].as_i64().map(|n| n.max(0) as u64)
}

fn max_length(schema: &Value) -> Option<u64> {
    // So large that no text is longer, and that it can be multiplied.
    bound(schema, "maxLength").map(|n| n.min(u64::MAX / 4))
}

/// The keys of a list that is a map, as upstream looks them up: as identifiers.
pub(crate) fn escaped_key(name: &str) -> String {
    escape::escape(name).unwrap_or_else(|| name.to_owned())
}
