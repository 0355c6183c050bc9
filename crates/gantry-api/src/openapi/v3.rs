//! The OpenAPI 3.0 document of one group version.

use super::groups;
use super::parameters::Parameter;
use super::paths::{self, Operation, Path};
use super::schemas::{self, Form, Scope};
use super::v2::{VERSION, common, mark, reason};
use crate::kind::Kind;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The places that have a document, such as `apis/apps/v1`: one for each path that leads to kinds, and each version.
pub fn places(kinds: &[&Kind]) -> BTreeSet<String> {
    let about = groups::of_groups(kinds).into_iter().map(|p| p.path);
    let roots = kinds.iter().map(|k| paths::root(&k.group, &k.version));
    about
        .chain(roots)
        .map(|p| p.trim_matches('/').to_string())
        .collect()
}

/// The OpenAPI 3.0 document of one of the [`places`] of these kinds.
pub fn v3(place: &str, kinds: &[&Kind]) -> Value {
    let at = |path: &str| path.trim_matches('/') == place;
    let own = kinds.iter().filter(|k| at(&paths::root(&k.group, &k.version)));
    let own: Vec<&Kind> = own.copied().collect();
    let custom = own.iter().any(|k| k.custom.is_some());
    let form = Form {
        prefix: "#/components/schemas/",
        one_of: true,
        scope: match own.first() {
            Some(kind) if !custom => Scope::One(kind.group.to_string(), kind.version.to_string()),
            _ => Scope::Clients,
        },
    };
    let mut definitions = Map::new();
    own.iter()
        .for_each(|kind| schemas::custom(&form, kind, &mut definitions));
    let mut served = Map::new();
    let about = groups::of_groups(kinds).into_iter().filter(|p| at(&p.path));
    let of_kinds = own.iter().flat_map(|kind| paths::of_kind(kind));
    for path in about.chain(of_kinds) {
        let (at, item) = item(&form, path, &mut definitions);
        served.insert(at, item);
    }
    let (title, version) = match custom {
        true => ("Kubernetes CRD Swagger", "v0.1.0"),
        false => ("Kubernetes", VERSION),
    };
    let mut document = json!({
        "openapi": "3.0.0", "info": {"title": title, "version": version}, "paths": served, "components": {},
    });
    if !definitions.is_empty() {
        document["components"]["schemas"] = definitions.into();
    }
    if !custom {
        document["components"]["securitySchemes"] = json!({"BearerToken": {
            "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
        }});
    }
    document
}

fn item(form: &Form, path: Path, definitions: &mut Map<String, Value>) -> (String, Value) {
    let common = common(&path.operations);
    let mut item = Map::new();
    for operation in path.operations {
        item.insert(
            operation.method.into(),
            written(form, operation, &common, definitions),
        );
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

fn written(
    form: &Form,
    operation: Operation,
    common: &[Parameter],
    definitions: &mut Map<String, Value>,
) -> Value {
    let mut refer = |name: &str| {
        schemas::reach(form, name, definitions);
        json!({"$ref": format!("{}{name}", form.prefix)})
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
