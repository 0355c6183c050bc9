//! Tables: what `kubectl get` prints.

use gantry_api::kind::Kind;
use gantry_api::meta;
use serde_json::{Value, json};

/// Whether an Accept header asks for a table.
pub fn wanted(accept: &str) -> bool {
    accept
        .split(',')
        .any(|part| part.contains("as=Table") && part.contains("g=meta.k8s.io"))
}

/// A table of `objects`; `metadata` is the list's.
pub fn of(kind: &Kind, objects: &[Value], metadata: Value) -> Value {
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let columns: Vec<Value> = kind
        .columns
        .iter()
        .map(|c| {
            json!({"name": c.name, "type": c.type_, "format": c.format, "description": "", "priority": c.priority})
        })
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let cells: Vec<Value> = kind.columns.iter().map(|c| (c.cell)(object, now)).collect();
            let partial = json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
            });
            json!({"cells": cells, "object": partial})
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": columns, "rows": rows,
    })
}

/// A table of one object.
pub fn of_one(kind: &Kind, object: &Value) -> Value {
    let metadata = json!({"resourceVersion": meta::text(object, "resourceVersion")});
    of(kind, std::slice::from_ref(object), metadata)
}
