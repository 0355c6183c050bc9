//! The OpenAPI 2.0 document of all kinds.

use super::parameters::Parameter;
use super::paths::{self, Operation, Path};
use super::schemas::{self, Form};
use crate::kind::Kind;
use serde_json::{Map, Value, json};

const FORM: Form = Form {
    prefix: "#/definitions/",
    one_of: false,
};

/// The OpenAPI 2.0 document of all these kinds.
pub fn v2(kinds: &[&Kind]) -> Value {
    let mut definitions = Map::new();
    kinds
        .iter()
        .for_each(|kind| schemas::custom(&FORM, kind, &mut definitions));
    let mut served = Map::new();
    let of_kinds = kinds.iter().flat_map(|kind| paths::of_kind(kind));
    for path in paths::of_groups(kinds).into_iter().chain(of_kinds) {
        let (at, item) = item(path, &mut definitions);
        served.insert(at, item);
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": served,
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": {
            "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
        }},
        "security": [{"BearerToken": []}],
    })
}

fn item(path: Path, definitions: &mut Map<String, Value>) -> (String, Value) {
    let common = common(&path.operations);
    let mut item = Map::new();
    for operation in path.operations {
        item.insert(operation.method.into(), written(operation, &common, definitions));
    }
    if !common.is_empty() {
        item.insert("parameters".into(), common.iter().map(parameter).collect());
    }
    (path.path, item.into())
}

/// The parameters that all operations of a path have: they stand once, beside the operations.
pub(super) fn common(operations: &[Operation]) -> Vec<Parameter> {
    let Some((first, rest)) = operations.split_first() else {
        return Vec::new();
    };
    let everywhere = |p: &&Parameter| rest.iter().all(|o| o.parameters.contains(p));
    let mut common: Vec<Parameter> = first.parameters.iter().filter(everywhere).copied().collect();
    common.sort_by_key(|p| (p.name, p.place));
    common
}

fn parameter(parameter: &Parameter) -> Value {
    let mut value = json!({
        "name": parameter.name, "in": parameter.place, "type": parameter.type_, "uniqueItems": true,
        "description": parameter.description,
    });
    if parameter.place == "path" {
        value["required"] = true.into();
    }
    value
}

fn written(operation: Operation, common: &[Parameter], definitions: &mut Map<String, Value>) -> Value {
    let mut refer = |name: &str| {
        schemas::reach(&FORM, name, definitions);
        json!({"$ref": format!("{}{name}", FORM.prefix)})
    };
    let mut parameters: Vec<Value> = Vec::new();
    if let Some(body) = &operation.body {
        let mut value = json!({"name": "body", "in": "body", "schema": refer(&body.definition)});
        if body.required {
            value["required"] = true.into();
        }
        parameters.push(value);
    }
    let mut own: Vec<&Parameter> = operation
        .parameters
        .iter()
        .filter(|p| !common.contains(p))
        .collect();
    own.sort_by_key(|p| p.name);
    parameters.extend(own.into_iter().map(parameter));
    let answer = match &operation.answer {
        Some(name) => refer(name),
        None => json!({"type": "string"}),
    };
    let mut responses = json!({"401": {"description": "Unauthorized"}});
    for code in operation.codes {
        responses[code.to_string()] = json!({"description": reason(*code), "schema": answer});
    }
    let mut value = json!({
        "operationId": operation.id, "description": operation.description, "tags": [operation.tag],
        "schemes": ["https"], "produces": operation.produces, "responses": responses,
    });
    if !operation.consumes.is_empty() {
        value["consumes"] = json!(operation.consumes);
    }
    if !parameters.is_empty() {
        value["parameters"] = parameters.into();
    }
    mark(&mut value, &operation);
    value
}

/// Adds what names the kind an operation acts on.
pub(super) fn mark(value: &mut Value, operation: &Operation) {
    if let Some((group, version, kind)) = &operation.gvk {
        value["x-kubernetes-action"] = operation.action.into();
        value["x-kubernetes-group-version-kind"] = json!({"group": group, "version": version, "kind": kind});
    }
}

pub(super) fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        201 => "Created",
        _ => "Accepted",
    }
}
