//! Field management against upstream's own data, where that is at hand: what the tables say about lists and maps,
//! and every kind's object applied.

use gantry_api::apply::{Reset, Writer};
use gantry_api::schema;
use serde_json::Value;
use std::path::PathBuf;

/// Fields of metadata that nobody owns.
const UNOWNED: [&str; 7] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "resourceVersion",
];

fn upstream(name: &str) -> Option<PathBuf> {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here
        .ancestors()
        .map(|a| a.join("../shared/upstream").join(name))
        .find(|path| path.exists());
    if found.is_none() {
        println!("skipped: no ../shared/upstream");
    }
    found
}

#[test]
fn lists_and_maps_are_divided_as_upstreams() {
    let Some(path) = upstream("openapi-v2.json") else {
        return;
    };
    let document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut seen = 0;
    for (name, definition) in document["definitions"].as_object().unwrap() {
        let Some(message) = schema::message(name) else {
            continue;
        };
        let text = |v: &Value, key: &str| v[key].as_str().unwrap_or("").to_string();
        let atomic = text(definition, "x-kubernetes-map-type") == "atomic";
        assert_eq!(message.atomic, atomic, "{name}");
        for (field_name, property) in definition["properties"].as_object().into_iter().flatten() {
            let field = message.field(field_name);
            let field = field.unwrap_or_else(|| panic!("{name} has no {field_name}"));
            let at = format!("{name}.{field_name}");
            assert_eq!(field.map_type, text(property, "x-kubernetes-map-type"), "{at}");
            assert_eq!(field.list_type, text(property, "x-kubernetes-list-type"), "{at}");
            let keys: Vec<&str> = property["x-kubernetes-list-map-keys"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            assert_eq!(field.list_map_keys, keys, "{at}");
            seen += 1;
        }
    }
    assert!(seen > 2000, "{seen}");
}

#[test]
fn every_kind_can_be_applied() {
    let Some(folder) = upstream("api-roundtrip") else {
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let mut object: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let (api_version, kind) = (object["apiVersion"].clone(), object["kind"].clone());
        let (api_version, kind) = (
            api_version.as_str().unwrap_or_default(),
            kind.as_str().unwrap_or_default(),
        );
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let message = schema::message_for(group, version, kind);
        let Some(metadata) = object["metadata"]
            .as_object_mut()
            .filter(|m| message.is_some() && m.contains_key("name"))
        else {
            continue;
        };
        metadata.remove("managedFields");
        seen += 1;
        let writer = Writer {
            schema: message.map(schema::Schema::Table),
            api_version,
            kind,
            subresource: "",
            manager: "me",
            now: "2026-01-01T00:00:00Z",
            reset: Reset::Nothing,
            others: &[],
        };
        let at = path.display();
        let once = writer
            .apply(None, &object, false)
            .unwrap_or_else(|e| panic!("{at}: {e}"));
        let later = Writer {
            now: "2026-01-01T00:00:01Z",
            ..writer
        };
        assert_eq!(
            later.apply(Some(&once), &object, false).as_ref(),
            Ok(&once),
            "{at}"
        );
        // Without the whole configuration, nothing but what is no one's is left.
        let mut config = serde_json::json!({"apiVersion": api_version, "kind": kind});
        config["metadata"]["name"] = object["metadata"]["name"].clone();
        let mut bare = later.apply(Some(&once), &config, false).unwrap();
        assert_eq!(bare["metadata"].get("managedFields"), None, "{at}");
        bare["metadata"]
            .as_object_mut()
            .unwrap()
            .retain(|key, _| !UNOWNED.contains(&key.as_str()));
        config["metadata"].as_object_mut().unwrap().clear();
        assert_eq!(bare, config, "{at}");
        // An update's owner and an applier own the same leaves.
        let list = writer.update(None, &object);
        assert!(list.is_some(), "{at}");
        let mut updated = object.clone();
        updated["metadata"]["managedFields"] = list.unwrap();
        assert_eq!(
            later.update(Some(&updated), &updated).as_ref(),
            Some(&updated["metadata"]["managedFields"])
        );
    }
    assert!(seen > 50, "{seen}");
}
