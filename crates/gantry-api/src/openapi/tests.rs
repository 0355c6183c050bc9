use super::{places, v2, v3};
use crate::custom_resource;
use crate::kind::Kind;
use crate::kinds;
use serde_json::{Value, json};
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
    for place in places(&kinds) {
        check(&v3(&place, &kinds));
    }
    let document = v3("apis/apps/v1", &kinds);
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
    let (old, new) = (v2(&maps), v3("api/v1", &maps));
    for definitions in [&old["definitions"], &new["components"]["schemas"]] {
        let meta = &definitions[meta];
        assert_eq!(meta["properties"]["creationTimestamp"]["description"], created);
        let whole = meta["description"].as_str().unwrap_or_default();
        assert!(whole.ends_with("when it was made, and who owns it."), "{whole}");
    }
}

/// What stands at these places of a document; null is nothing.
fn check_places(document: &Value, expected: &[(&str, Value)]) {
    for (place, value) in expected {
        let found = document.pointer(place).unwrap_or(&Value::Null);
        assert_eq!(found, value, "{place}");
    }
}

#[test]
fn fields_have_values_and_defaults() {
    let kinds = kinds::builtin();
    let kinds: Vec<&Kind> = kinds.iter().collect();
    let port = "io.k8s.api.core.v1.ServicePort/properties";
    let values = json!(["SCTP", "TCP", "UDP"]);
    let uses = "io.k8s.api.certificates.v1.CertificateSigningRequestSpec/properties/usages/items/enum/3";
    // As upstream does, only the newer form tells defaults.
    check_places(
        &v2(&kinds),
        &[
            (&format!("/definitions/{port}/protocol/enum"), values.clone()),
            (&format!("/definitions/{port}/protocol/default"), Value::Null),
            (&format!("/definitions/{uses}"), json!("code signing")),
        ],
    );
    let schemas = "/components/schemas";
    check_places(
        &v3("api/v1", &kinds),
        &[
            (&format!("{schemas}/{port}/protocol/enum"), values),
            (&format!("{schemas}/{port}/protocol/default"), json!("TCP")),
            (&format!("{schemas}/{port}/port/default"), json!(0)),
            (&format!("{schemas}/{port}/nodePort/default"), Value::Null),
            (
                &format!("{schemas}/io.k8s.api.core.v1.Pod/properties/spec/default"),
                json!({}),
            ),
            ("/info/version", json!("1.36")),
        ],
    );
    for (place, path) in [
        ("api", "/paths/~1api~1/get/tags/0"),
        ("apis/apps", "/paths/~1apis~1apps~1/get/tags/0"),
        ("version", "/paths/~1version~1/get/tags/0"),
    ] {
        assert!(places(&kinds).contains(place), "{place}");
        assert!(v3(place, &kinds).pointer(path).is_some(), "{place}");
    }
}

#[test]
fn custom_resources_are_written_as_upstream_writes_them() {
    let definition = json!({
        "metadata": {"name": "widgets.example.com"},
        "status": {"acceptedNames": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets"}},
        "spec": {
            "group": "example.com", "scope": "Cluster",

            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"scale": {
                    "specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size",
                }},
                "selectableFields": [{"jsonPath": ".spec.name"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object",
                    "properties": {
                        "size": {"type": "integer", "default": 3}, "name": {"type": "string"},
                        "port": {"x-kubernetes-int-or-string": true},
                        "inner": {"type": "object", "x-kubernetes-embedded-resource": true},
                    },
                }}}},
            }],
        },
    });
    let custom = custom_resource::kinds(&definition);
    let mut kinds: Vec<Kind> = kinds::builtin();
    kinds.extend(custom);
    let kinds: Vec<&Kind> = kinds.iter().collect();
    let path = "/paths/~1apis~1example.com~1v1~1widgets";
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let both = |spec: &str, at: &str| {
        vec![
            (
                format!("{spec}/x-kubernetes-selectable-fields/0/fieldPath"),
                json!("spec.name"),
            ),
            (format!("{at}/inner/required"), json!(["kind", "apiVersion"])),
            (format!("{path}~1{{name}}/patch/responses/201"), Value::Null),
            (
                format!("{path}~1{{name}}~1scale/get/x-kubernetes-group-version-kind/kind"),
                json!("Widget"),
            ),
            (
                "/paths/~1apis~1example.com~1v1~1watch~1widgets".into(),
                Value::Null,
            ),
            ("/paths/~1apis~1example.com~1".into(), Value::Null),
        ]
    };
    let check = |document: &Value, expected: Vec<(String, Value)>| {
        let expected: Vec<(&str, Value)> = expected.iter().map(|(p, v)| (p.as_str(), v.clone())).collect();
        check_places(document, &expected);
    };
    let spec = "/definitions/com.example.v1.Widget";
    let at = format!("{spec}/properties/spec/properties");
    let mut expected = both(spec, &at);
    expected.extend([
        (format!("{at}/size/default"), Value::Null),
        (format!("{at}/port/anyOf"), Value::Null),
        (
            format!("{spec}/properties/metadata/$ref"),
            format!("#/definitions/{meta}").into(),
        ),
        (
            format!("{path}/post/consumes"),
            json!(["application/json", "application/yaml"]),
        ),
    ]);
    check(&v2(&kinds), expected);
    let spec = "/components/schemas/com.example.v1.Widget";
    let at = format!("{spec}/properties/spec/properties");
    let mut expected = both(spec, &at);
    expected.extend([
        (format!("{at}/size/default"), json!(3)),
        (format!("{at}/port/anyOf/1/type"), json!("string")),
        (
            format!("{spec}/properties/metadata/allOf/0/$ref"),
            format!("#/components/schemas/{meta}").into(),
        ),
        ("/info/title".into(), json!("Kubernetes CRD Swagger")),
        ("/components/securitySchemes".into(), Value::Null),
    ]);
    check(&v3("apis/example.com/v1", &kinds), expected);
}
