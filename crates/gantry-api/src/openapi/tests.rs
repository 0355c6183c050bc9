use super::{v2, v3};
use crate::kind::Kind;
use crate::kinds;
use serde_json::Value;
use std::collections::BTreeSet;

const REFERENCE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../shared/upstream/openapi-v2.json"
);

/// A document's part without what we leave out on purpose, and with parameters written out and in order.
fn plain(value: &mut Value, shared: &Value) {
    match value {
        Value::Array(items) => {
            items.retain(|i| !i.as_str().is_some_and(|s| s.contains("cbor")));
            for item in items.iter_mut() {
                if let Some(name) = item["$ref"]
                    .as_str()
                    .and_then(|r| r.strip_prefix("#/parameters/"))
                {
                    *item = shared[name].clone();
                    item["shared"] = true.into();
                }
                plain(item, shared);
            }
            // An alpha feature and one that needs encryption at rest: not served.
            let left_out = [
                "shardSelector",
                "ignoreStoreReadErrorWithClusterBreakingPotential",
            ];
            items.retain(|i| !i["name"].as_str().is_some_and(|n| left_out.contains(&n)));
        }
        Value::Object(map) => {
            if map.get("description").is_some_and(Value::is_string) {
                map.remove("description");
            }
            map.remove("x-kubernetes-unions");
            // The reference was made with these left out.
            if map.get("enum").is_some_and(Value::is_array) {
                map.remove("enum");
            }
            if let Some(required) = map.get_mut("required").and_then(Value::as_array_mut) {
                required.sort_by_key(Value::to_string);
            }
            map.values_mut().for_each(|v| plain(v, shared));
        }
        _ => {}
    }
}

/// The paths of `a` where `b` differs, each with both values.
fn differences(at: &str, a: &Value, b: &Value, found: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let keys: BTreeSet<&String> = x.keys().chain(y.keys()).collect();
            for key in keys {
                let none = &Value::Null;
                let (a, b) = (x.get(key).unwrap_or(none), y.get(key).unwrap_or(none));
                differences(&format!("{at} {key}"), a, b, found);
            }
        }
        _ if a == b => {}
        _ => found.push(format!("{at}\n  upstream {a}\n  ours     {b}")),
    }
}

fn reference() -> Option<Value> {
    match std::fs::read(REFERENCE) {
        Ok(text) => Some(serde_json::from_slice(&text).expect("the reference is JSON")),
        Err(_) => {
            println!("skipped: {REFERENCE} is not there");
            None
        }
    }
}

#[test]
fn the_document_is_upstreams() {
    let Some(mut reference) = reference() else { return };
    let kinds = kinds::builtin();
    let kinds: Vec<&Kind> = kinds.iter().collect();
    let mut ours = v2(&kinds);
    let shared = reference["parameters"].clone();
    plain(&mut reference, &shared);
    let shared = ours["parameters"].clone();
    plain(&mut ours, &shared);
    assert!(shared.get("body-2Y1dVQaQ").is_some(), "named otherwise: {shared}");
    let mut found = Vec::new();
    let ours_of = |part: &str| ours[part].as_object().expect("an object").clone();
    for (path, item) in ours_of("paths") {
        differences(&path, &reference["paths"][&path], &item, &mut found);
    }
    for (name, definition) in ours_of("definitions") {
        differences(&name, &reference["definitions"][&name], &definition, &mut found);
    }
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn every_reference_leads_somewhere() {
    let kinds = kinds::builtin();
    let kinds: Vec<&Kind> = kinds.iter().collect();
    let check = |document: &Value| {
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let place = part.split('"').next().expect("a reference");
            assert!(document.pointer(place).is_some(), "{place} is nowhere");
        }
    };
    check(&v2(&kinds));
    let apps: Vec<&Kind> = kinds.iter().copied().filter(|k| k.group == "apps").collect();
    let document = v3("apps", "v1", &apps);
    check(&document);
    let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"];
    assert_eq!(scale["x-kubernetes-group-version-kind"]["kind"], "Scale");
}

#[test]
fn fields_are_described() {
    let kinds = kinds::builtin();
    let maps: Vec<&Kind> = kinds.iter().filter(|k| k.kind == "ConfigMap").collect();
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let created =
        "CreationTimestamp is a timestamp of when the server made the object. Filled in by the server.";
    let (old, new) = (v2(&maps), v3("", "v1", &maps));
    for definitions in [&old["definitions"], &new["components"]["schemas"]] {
        let meta = &definitions[meta];
        assert_eq!(meta["properties"]["creationTimestamp"]["description"], created);
        let whole = meta["description"].as_str().unwrap_or_default();
        assert!(whole.ends_with("when it was made, and who owns it."), "{whole}");
    }
}
