//! OpenAPI 3.0 documents from the tables, for `kubectl explain` and `kubectl apply`.

use super::{Field, Message, Type, message, message_for};
use crate::kind::{Kind, Scope};
use serde_json::{Map, Value, json};

/// The OpenAPI 3.0 document of one group version: every message its kinds reach, and the kinds' paths.
pub fn openapi_v3(group: &str, version: &str, kinds: &[&Kind]) -> Value {
    let mut schemas = Map::new();
    let mut paths = Map::new();
    for kind in kinds {
        for name in [kind.kind.to_string(), format!("{}List", kind.kind)] {
            if let Some(m) = message_for(group, version, &name) {
                reach(m, &mut schemas);
            }
        }
        add_paths(group, version, kind, &mut paths);
    }
    if let Some(options) = message("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions") {
        reach(options, &mut schemas);
    }
    json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths, "components": {"schemas": schemas}})
}

fn reach(m: &'static Message, schemas: &mut Map<String, Value>) {
    if schemas.contains_key(m.name) {
        return;
    }
    schemas.insert(m.name.into(), Value::Null);
    let mut properties = Map::new();
    for field in &m.fields {
        properties.insert(field.name.into(), property(field, schemas));
    }
    let mut schema = json!({"type": "object", "properties": properties});
    let required: Vec<&str> = m.fields.iter().filter(|f| f.required).map(|f| f.name).collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if m.atomic {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    if !m.gvks.is_empty() {
        schema["x-kubernetes-group-version-kind"] = m
            .gvks
            .iter()
            .map(|(group, version, kind)| json!({"group": group, "version": version, "kind": kind}))
            .collect();
    }
    schemas.insert(m.name.into(), schema);
}

fn property(field: &Field, schemas: &mut Map<String, Value>) -> Value {
    let mut p = type_schema(&field.type_, schemas);
    if !field.list_type.is_empty() {
        p["x-kubernetes-list-type"] = field.list_type.into();
    }
    if !field.map_type.is_empty() {
        p["x-kubernetes-map-type"] = field.map_type.into();
    }
    if !field.list_map_keys.is_empty() {
        p["x-kubernetes-list-map-keys"] = json!(field.list_map_keys);
    }
    if !field.patch_strategy.is_empty() {
        p["x-kubernetes-patch-strategy"] = field.patch_strategy.join(",").into();
    }
    if !field.merge_key.is_empty() {
        p["x-kubernetes-patch-merge-key"] = field.merge_key.into();
    }
    p
}

fn type_schema(type_: &Type, schemas: &mut Map<String, Value>) -> Value {
    match type_ {
        Type::String => json!({"type": "string"}),
        Type::Int32 => json!({"type": "integer", "format": "int32"}),
        Type::Int64 => json!({"type": "integer", "format": "int64"}),
        Type::Bool => json!({"type": "boolean"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::Double => json!({"type": "number", "format": "double"}),
        Type::Quantity => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        Type::IntOrString => {
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
        }
        Type::Time | Type::MicroTime => json!({"type": "string", "format": "date-time"}),
        Type::Any => json!({"type": "object"}),
        Type::List(item) => json!({"type": "array", "items": type_schema(item, schemas)}),
        Type::Map(item) => json!({"type": "object", "additionalProperties": type_schema(item, schemas)}),
        Type::Message(name) => {
            if let Some(m) = message(name) {
                reach(m, schemas);
            }
            json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}], "default": {}})
        }
    }
}

fn add_paths(group: &str, version: &str, kind: &Kind, paths: &mut Map<String, Value>) {
    let base = if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    };
    let all = match kind.scope {
        Scope::Cluster => format!("{base}/{}", kind.plural),
        Scope::Namespaced => format!("{base}/namespaces/{{namespace}}/{}", kind.plural),
    };
    let one = format!("{all}/{{name}}");
    let operation = |action: &str, writes: bool| {
        let query = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
        let parameters: Vec<Value> = if writes {
            ["dryRun", "fieldManager", "fieldValidation"].map(query).into()
        } else {
            Vec::new()
        };
        json!({"parameters": parameters, "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind.kind.as_str()},
            "responses": {"200": {"description": "OK"}}})
    };
    if !kind.verbs.contains(&"get") {
        paths.insert(all, json!({"post": operation("post", true)}));
        // Nothing can be patched; but it is this operation that kubectl asks whether the server validates fields.
        paths.insert(one, json!({"patch": operation("patch", true)}));
        return;
    }
    let item = json!({"get": operation("get", false), "put": operation("put", true),
        "patch": operation("patch", true), "delete": operation("delete", false)});
    for subresource in &kind.subresources {
        use crate::kind::Subresource::{Scale, Status};
        if matches!(subresource, Status | Scale) {
            let mut part = item.clone();
            part.as_object_mut().map(|p| p.remove("delete"));
            paths.insert(format!("{one}/{}", subresource.name()), part);
        }
    }
    paths.insert(one, item);
    paths.insert(
        all,
        json!({"get": operation("list", false), "post": operation("post", true)}),
    );
}
