//! Tables: what `kubectl get` prints.

use gantry_api::kind::{Column, Kind};
use gantry_api::meta;
use serde_json::{Value, json};

/// Whether an Accept header asks for a table.
pub fn wanted(accept: &str) -> bool {
    accept
        .split(',')
        .any(|part| part.contains("as=Table") && part.contains("g=meta.k8s.io"))
}

/// The definitions of a kind's columns.
pub fn columns(kind: &Kind) -> Value {
    let column = |c: &Column| json!({"name": c.name, "type": c.type_, "format": c.format, "description": "", "priority": c.priority});
    kind.columns.iter().map(column).collect()
}

/// The row of an object, with ages as of `now`.
pub fn row(kind: &Kind, object: &Value, now: i64) -> Value {
    let cells: Vec<Value> = kind.columns.iter().map(|c| (c.cell)(object, now)).collect();
    let partial = json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
    });
    json!({"cells": cells, "object": partial})
}

/// The time ages are given as of.
pub fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// A table of one object.
pub fn of_one(kind: &Kind, object: &Value) -> Value {
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": meta::text(object, "resourceVersion")},
        "columnDefinitions": columns(kind), "rows": [row(kind, object, now())],
    })
}
