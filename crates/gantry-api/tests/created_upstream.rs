//! Upstream's round-trip objects, where they are at hand: who owns the fields of a new object is told alike by both ways.

use gantry_api::apply::{Reset, Writer};
use gantry_api::kinds;
use serde_json::{Value, json};
use std::path::Path;

/// The same object with a part of its lists' items twice, or without some of its fields.
fn variants(object: &Value) -> Vec<Value> {
    fn change(value: &mut Value, how: &dyn Fn(&mut Value)) {
        match value {
            Value::Object(map) => map.values_mut().for_each(|value| change(value, how)),
            Value::Array(items) => items.iter_mut().for_each(|value| change(value, how)),
            _ => {}
        }
        how(value);
    }
    let twice: &dyn Fn(&mut Value) = &|value| {
        if let Value::Array(items) = value {
            items.extend(items.first().cloned());
        }
    };
    let odd = |value: &mut Value| {
        if let Value::Object(map) = value {
            let mut at = 0;
            map.retain(|key, _| {
                at += 1;
                at % 2 == 0 || matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "name")
            });
            map.insert("quoted\"key\\".into(), json!({"a": null}));
        }
    };
    let emptied = |value: &mut Value| match value {
        Value::Array(items) => items.clear(),
        Value::Object(map) if map.len() == 1 => map.clear(),
        _ => {}
    };
    let variant = |how: &dyn Fn(&mut Value)| {
        let mut variant = object.clone();
        change(&mut variant, how);
        variant
    };
    vec![object.clone(), variant(twice), variant(&odd), variant(&emptied)]
}

#[test]
fn new_objects_have_the_same_owners_either_way() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here
        .ancestors()
        .map(|a| a.join("../shared/upstream/api-roundtrip"))
        .find(|p| p.exists());
    let Some(folder) = folder else {
        println!("skipped: no ../shared/upstream");
        return;
    };
    let (mut seen, mut apart) = (0, 0);
    for kind in kinds::builtin() {
        let group = if kind.group.is_empty() {
            "core"
        } else {
            &kind.group
        };
        let name = format!("{group}.{}.{}", kind.version, kind.kind);
        let Ok(text) = std::fs::read(folder.join(format!("{name}.json"))) else {
            continue;
        };
        let mut object: Value = serde_json::from_slice(&text).unwrap();
        object["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("managedFields");
        for mut object in variants(&object) {
            let bare = object.clone();
            let schema = kind.schema();
            if schema.unwrap().check(&mut object).is_err() {
                continue;
            }
            for (object, schema, reset) in [
                (&object, schema, Reset::Nothing),
                (&object, schema, Reset::Status),
                (&object, None, Reset::Status),
                (&bare, None, Reset::Nothing),
            ] {
                let writer = Writer {
                    schema,
                    api_version: &kind.api_version(),
                    kind: &kind.kind,
                    subresource: "",
                    manager: "the \"manager\"",
                    now: "2026-01-01T00:00:00Z",
                    reset,
                    others: &[],
                };
                let slow = writer.update(None, object).map(|list| list.to_string());
                match writer.created(object) {
                    Some(fast) => {
                        assert_eq!(Some(fast), slow, "{name}: {object}");
                        seen += 1;
                    }
                    None => {
                        assert_eq!(slow, None, "{name}: {object}");
                        apart += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 500 && apart < seen, "{seen} objects, {apart} apart");
}
