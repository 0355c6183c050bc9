//! The OpenAPI 2.0 document of all kinds.

use super::groups;
use super::parameters::Parameter;
use super::paths::{self, Operation, Path};
use super::schemas::{self, Form, Scope};
use crate::kind::Kind;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use serde_json::{Map, Value, json};

const FORM: Form = Form {
    prefix: "#/definitions/",
    one_of: false,
    scope: Scope::All,
};

/// Upstream's, which says no patch level.
pub(super) const VERSION: &str = "1.36";

/// What stands once in the document, and is referred to.
#[derive(Default)]
struct Shared {
    definitions: Map<String, Value>,
    parameters: Map<String, Value>,
}

/// The OpenAPI 2.0 document of all these kinds.
pub fn v2(kinds: &[&Kind]) -> Value {
    let mut shared = Shared::default();
    kinds
        .iter()
        .for_each(|kind| schemas::custom(&FORM, kind, &mut shared.definitions));
    let mut served = Map::new();
    let of_kinds = kinds.iter().flat_map(|kind| paths::of_kind(kind));
    for path in groups::of_groups(kinds).into_iter().chain(of_kinds) {
        let (at, item) = item(path, &mut shared);
        served.insert(at, item);
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": served,
        "definitions": shared.definitions,
        "parameters": shared.parameters,
        "securityDefinitions": {"BearerToken": {
            "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
        }},
        "security": [{"BearerToken": []}],
    })
}

fn item(path: Path, shared: &mut Shared) -> (String, Value) {
    let common = common(&path.operations);
    let mut item = Map::new();
    for operation in path.operations {
        item.insert(operation.method.into(), written(operation, &common, shared));
    }
    if !common.is_empty() {
        let common = common.iter().map(|p| shared.parameter(p)).collect();
        item.insert("parameters".into(), common);
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

impl Shared {
    fn parameter(&mut self, p: &Parameter) -> Value {
        let mut value = json!({
            "name": p.name, "in": p.place, "type": p.type_, "uniqueItems": true, "description": p.description,
        });
        if p.place == "path" {
            value["required"] = true.into();
        }
        // Names of objects are told apart by kind, and kubectl looks for the others at each operation.
        match p.name {
            "name" | "dryRun" | "fieldValidation" => value,
            name => self.refer(name, value),
        }
    }

    fn body(&mut self, definition: &str, required: bool) -> Value {
        let mut value = json!({"name": "body", "in": "body", "schema": self.definition(definition)});
        if required {
            value["required"] = true.into();
        }
        match definition.starts_with("io.k8s.apimachinery.") {
            true => self.refer("body", value),
            false => value,
        }
    }

    fn definition(&mut self, name: &str) -> Value {
        schemas::reach(&FORM, name, &mut self.definitions);
        json!({"$ref": format!("{}{name}", FORM.prefix)})
    }

    /// A reference to a parameter that stands beside the paths, under its name and a hash of what it is.
    fn refer(&mut self, name: &str, parameter: Value) -> Value {
        let order = [
            "uniqueItems",
            "type",
            "description",
            "name",
            "in",
            "required",
            "schema",
        ];
        let member = |key: &&str| Some(format!("\"{key}\":{}", parameter.get(*key)?));
        let members: Vec<String> = order.iter().filter_map(member).collect();
        let hash = fnv(format!("{{{}}}", members.join(",")).as_bytes());
        let name = format!("{name}-{}", BASE64_URL_SAFE.encode(&hash.to_be_bytes()[..6]));
        let reference = json!({"$ref": format!("#/parameters/{name}")});
        self.parameters.insert(name, parameter);
        reference
    }
}

/// FNV-1, which upstream names parameters by.
fn fnv(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| hash.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

fn written(operation: Operation, common: &[Parameter], shared: &mut Shared) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    if let Some(body) = &operation.body {
        parameters.push(shared.body(&body.definition, body.required));
    }
    let mut own: Vec<&Parameter> = operation
        .parameters
        .iter()
        .filter(|p| !common.contains(p))
        .collect();
    own.sort_by_key(|p| p.name);
    parameters.extend(own.into_iter().map(|p| shared.parameter(p)));
    let answer = match &operation.answer {
        Some(name) => shared.definition(name),
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
