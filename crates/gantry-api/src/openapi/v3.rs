//! The OpenAPI 3.0 document of one group version.

use super::parameters::Parameter;
use super::paths::{self, Operation, Path};
use super::schemas::{self, Form};
use super::v2::{common, mark, reason};
use crate::kind::Kind;
use serde_json::{Map, Value, json};

const FORM: Form = Form {
    prefix: "#/components/schemas/",
    one_of: true,
};

/// The OpenAPI 3.0 document of the kinds of one group version.
pub fn v3(group: &str, version: &str, kinds: &[&Kind]) -> Value {
    let mut definitions = Map::new();
    kinds
        .iter()
        .for_each(|kind| schemas::custom(&FORM, kind, &mut definitions));
    let mut served = Map::new();
    let root = format!("{}/", paths::root(group, version));
    let about = paths::of_groups(kinds).into_iter().filter(|p| p.path == root);
    let of_kinds = kinds.iter().flat_map(|kind| paths::of_kind(kind));
    for path in about.chain(of_kinds) {
        let (at, item) = item(path, &mut definitions);
        served.insert(at, item);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": served,
        "components": {
            "schemas": definitions,
            "securitySchemes": {"BearerToken": {
                "type": "apiKey", "name": "authorization", "in": "header",
                "description": "Bearer Token authentication",
            }},
        },
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

fn parameter(parameter: &Parameter) -> Value {
    let mut value = json!({
        "name": parameter.name, "in": parameter.place, "description": parameter.description,
        "schema": {"type": parameter.type_, "uniqueItems": true},
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
    let content = |types: &[&str], schema: Value| -> Value {
        let of = |type_: &&str| (type_.to_string(), json!({"schema": schema}));
        types.iter().map(of).collect::<Map<_, _>>().into()
    };
    let answer = match &operation.answer {
        Some(name) => refer(name),
        None => json!({"type": "string"}),
    };
    let mut responses = json!({"401": {"description": "Unauthorized"}});
    for code in operation.codes {
        responses[code.to_string()] = json!({
            "description": reason(*code), "content": content(operation.produces, answer.clone()),
        });
    }
    let mut value = json!({
        "operationId": operation.id, "description": operation.description, "tags": [operation.tag],
        "responses": responses,
    });
    if let Some(body) = &operation.body {
        value["requestBody"] = json!({"content": content(operation.consumes, refer(&body.definition))});
        if body.required {
            value["requestBody"]["required"] = true.into();
        }
    }
    let own = operation.parameters.iter().filter(|p| !common.contains(p));
    let mut own: Vec<&Parameter> = own.collect();
    own.sort_by_key(|p| p.name);
    if !own.is_empty() {
        value["parameters"] = own.into_iter().map(parameter).collect();
    }
    mark(&mut value, &operation);
    value
}
