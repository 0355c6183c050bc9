//! The rules of a definition's schemas that hold for any OpenAPI schema here.
//!
//! Source: ValidateCustomResourceDefinitionOpenAPISchema in pkg/apis/apiextensions/validation/validation.go.

use crate::field::{Error, Path};
use crate::kinds::checks::Errors;
use crate::kinds::values::{entries, flag, given, list, text};
use crate::schema::{Internal, Type, message};
use crate::structural::{Structural, embedded, is_meta, prune, validate as values};
use serde_json::Value;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// The fields of OpenAPI that no schema here may have.
pub const UNSUPPORTED: [&str; 6] = ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"];
/// What may stand at the root beside a status that is checked on its own, in Go's names.
const AT_ROOT: [&str; 22] = [
    "Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum", "MaxLength",
    "MinLength", "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required", "Items", "Properties",
    "ExternalDocs", "Example", "XPreserveUnknownFields", "XValidations",
];
const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// A schema as upstream's errors show it.
pub fn shown(schema: &Value) -> String {
    Internal::new(&Type::Message(SCHEMA), schema).to_string()
}

/// Calls a function with each schema within a schema.
pub fn children(schema: &Value, mut each: impl FnMut(&Value)) {
    entries(&schema["properties"]).for_each(|(_, child)| each(child));
    for field in ["additionalProperties", "items", "not"] {
        if schema[field].is_object() {
            each(&schema[field]);
        }
    }
    for field in ["allOf", "anyOf", "oneOf"] {
        list(&schema[field]).iter().for_each(&mut each);
    }
}

/// Checks what only the root of a schema must obey.
pub fn root(errors: &mut Errors, path: &Path, schema: &Value, has_status: bool) {
    let fields = message(SCHEMA).into_iter().flat_map(|m| m.declared());
    for field in fields.filter(|f| has_status && schema.get(f.name).is_some()) {
        let value = &schema[field.name];
        if field.name == "type" && value != "object" {
            let detail =
                "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
            errors.push(Error::invalid(path.child("type"), value.clone(), detail));
            break;
        }
        if !AT_ROOT.contains(&&*field.go_name()) {
            let detail = format!(
                "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                AT_ROOT.join(" ")
            );
            errors.push(Error::invalid(path, schema.clone(), detail).showing(shown(schema)));
            break;
        }
    }
    if flag(&schema["nullable"]) {
        errors.push(Error::forbidden(path.child("nullable"), "nullable cannot be true at the root"));
    }
}

/// Checks a schema and all within it.
pub fn validate(errors: &mut Errors, path: &Path, schema: &Value) {
    one(errors, path, schema, &Place { root: true, no_defaults: "", meta: false });
}

#[derive(Clone, Copy)]
struct Place {
    root: bool,
    /// Why no defaults may be here; empty if they may.
    no_defaults: &'static str,
    /// Whether this is within an object's metadata.
    meta: bool,
}

fn one(errors: &mut Errors, path: &Path, schema: &Value, place: &Place) {
    plain(errors, path, schema, place);
    let below = Place { root: false, ..*place };
    if flag(&schema["uniqueItems"]) {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(Error::forbidden(path.child("uniqueItems"), detail));
    }
    let additional = &schema["additionalProperties"];
    let has_properties = entries(&schema["properties"]).next().is_some();
    if given(additional) {
        let at = path.child("additionalProperties");
        if has_properties && additional != &Value::Bool(true) {
            errors.push(Error::forbidden(at, "additionalProperties and properties are mutual exclusive"));
        }
        if additional.is_object() {
            let place = match place.meta {
                true => Place { no_defaults: "inside additionalProperties applying to object metadata", ..below },
                false => below,
            };
            one(errors, &at, additional, &place);
        }
    }
    let embedded = flag(&schema["x-kubernetes-embedded-resource"]);
    let properties = path.child("properties");
    for (name, child) in entries(&schema["properties"]) {
        let mut below = below;
        if (place.root || embedded) && is_meta(name) {
            below.meta = true;
            if place.root {
                below.no_defaults = match name.as_str() {
                    "metadata" => "in top-level metadata",
                    "kind" => "in top-level kind",
                    _ => "in top-level apiVersion",
                };
            }
        }
        one(errors, &properties.key(name), child, &below);
    }
    if schema["not"].is_object() {
        one(errors, &path.child("not"), &schema["not"], &below);
    }
    for field in ["allOf", "oneOf", "anyOf"] {
        for (i, child) in list(&schema[field]).iter().enumerate() {
            one(errors, &path.child(field).index(i), child, &below);
        }
    }
    if schema["items"].is_object() {
        one(errors, &path.child("items"), &schema["items"], &below);
    }
    extensions(errors, path, schema);
    rules(errors, &path.child("x-kubernetes-validations"), &schema["x-kubernetes-validations"]);
}

/// Whether a schema says something with a field.
pub fn is_said(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(map) => !map.is_empty() || field == "additionalItems",
        _ => true,
    }
}

fn plain(errors: &mut Errors, path: &Path, schema: &Value, place: &Place) {
    let type_ = text(&schema["type"]);
    if !type_.is_empty() && !TYPES.contains(&type_) {
        errors.push(Error::not_supported(path.child("type"), type_, &TYPES));
    }
    if given(&schema["default"]) && !place.no_defaults.is_empty() {
        errors.push(Error::forbidden(path.child("default"), format!("must not be set {}", place.no_defaults)));
    }
    for field in UNSUPPORTED {
        if is_said(field, &schema[field]) {
            errors.push(Error::forbidden(path.child(field), format!("{field} is not supported")));
        }
    }
    if type_ == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(Error::forbidden(path.child("type"), detail));
    }
    if !list(&schema["items"]).is_empty() {
        let detail = "items must be a schema object and not an array";
        errors.push(Error::forbidden(path.child("items"), detail));
    }
    if place.meta && flag(&schema["x-kubernetes-embedded-resource"]) {
        let detail = "must not be used inside of resource meta";
        errors.push(Error::forbidden(path.child("x-kubernetes-embedded-resource"), detail));
    }
}

/// A type that an extension needs.
fn needs_type(errors: &mut Errors, path: &Path, type_: &str, wanted: &str, extension: &str) -> bool {
    if type_ == wanted {
        return true;
    }
    let detail = format!("must be {wanted} if {extension} is specified");
    errors.push(match type_ {
        "" => Error::required(path.child("type"), detail),
        other => Error::invalid(path.child("type"), other, detail),
    });
    false
}

fn extensions(errors: &mut Errors, path: &Path, schema: &Value) {
    let type_ = text(&schema["type"]);
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        let at = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(Error::invalid(at, false, "must be true or undefined"));
    }
    let map_type = &schema["x-kubernetes-map-type"];
    if given(map_type) {
        needs_type(errors, path, type_, "object", "x-kubernetes-map-type");
        if !["atomic", "granular"].contains(&text(map_type)) {
            let at = path.child("x-kubernetes-map-type");
            errors.push(Error::not_supported(at, map_type.clone(), &["atomic", "granular"]));
        }
    }
    let list_type = &schema["x-kubernetes-list-type"];
    let (items, items_path) = (&schema["items"], path.child("items"));
    if given(list_type) && needs_type(errors, path, type_, "array", "x-kubernetes-list-type") && list_type == "set" {
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        for (of, field) in [("array", "x-kubernetes-list-type"), ("object", "x-kubernetes-map-type")] {
            let atomic = items[field] == "atomic" || (of == "array" && !given(&items[field]));
            if items["type"] == of && !atomic {
                errors.push(Error::invalid(items_path.child(field), items["x-kubernetes-list-type"].clone(), detail));
            }
        }
    }
    if given(list_type) && !["atomic", "set", "map"].contains(&text(list_type)) {
        let at = path.child("x-kubernetes-list-type");
        errors.push(Error::not_supported(at, list_type.clone(), &["atomic", "set", "map"]));
    }
    let keys = &schema["x-kubernetes-list-map-keys"];
    if !list(keys).is_empty() && list_type != "map" {
        let (at, detail) = (path.child("x-kubernetes-list-type"), "must be map if x-kubernetes-list-map-keys is non-empty");
        errors.push(match given(list_type) {
            false => Error::required(at, detail),
            true => Error::invalid(at, list_type.clone(), detail),
        });
    }
    if list_type == "map" {
        map_keys(errors, path, keys, items);
    }
    if matches!(text(list_type), "set" | "map") && flag(&items["nullable"]) {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {}", text(list_type));
        errors.push(Error::forbidden(items_path.child("nullable"), detail));
    }
}

fn map_keys(errors: &mut Errors, path: &Path, keys: &Value, items: &Value) {
    let (keys_path, items_path) = (path.child("x-kubernetes-list-map-keys"), path.child("items"));
    if list(keys).is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(Error::required(keys_path, detail));
    }
    if !given(items) {
        let detail = "must have a schema if x-kubernetes-list-type is map";
        errors.push(Error::required(items_path, detail));
        return;
    }
    if items["type"] != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(Error::invalid(items_path.child("type"), text(&items["type"]), detail));
        return;
    }
    let properties = items_path.child("properties");
    let mut seen: Vec<&str> = Vec::new();
    for key in list(keys).iter().map(text) {
        let (property, at) = (&items["properties"][key], properties.key(key));
        if !given(property) {
            errors.push(Error::invalid(keys_path, keys.clone(), "entries must all be names of item properties"));
        } else if matches!(text(&property["type"]), "array" | "object") {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(Error::invalid(at.child("type"), text(&items["type"]), detail));
        }
        if seen.contains(&key) {
            errors.push(Error::invalid(keys_path, keys.clone(), "must not contain duplicate entries"));
        }
        seen.push(key);
        if !given(property) {
            continue;
        }
        if !list(&items["required"]).iter().any(|r| r == key) && !given(&property["default"]) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(Error::required(at.child("default"), detail));
        }
        if flag(&property["nullable"]) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(Error::forbidden(at.child("nullable"), detail));
        }
    }
}

/// The form of rules; what they say is checked where they are run.
fn rules(errors: &mut Errors, path: &Path, rules: &Value) {
    for (i, rule) in list(rules).iter().enumerate() {
        let at = path.index(i);
        let of = |field: &str| text(&rule[field]);
        let broken = |text: &str| text.trim().contains(['\n', '\r']);
        if of("rule").trim().is_empty() {
            errors.push(Error::required(at.child("rule"), "rule is not specified"));
        } else if !of("message").is_empty() && of("message").trim().is_empty() {
            errors.push(Error::invalid(at.child("message"), of("message"), "must be non-empty if specified"));
        } else if broken(of("message")) {
            errors.push(Error::invalid(at.child("message"), of("message"), "must not contain line breaks"));
        } else if broken(of("rule")) && of("message").is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(Error::required(at.child("message"), detail));
        }
        if !of("messageExpression").is_empty() && of("messageExpression").trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            errors.push(Error::required(at.child("messageExpression"), detail));
        }
        if given(&rule["reason"]) && !REASONS.contains(&of("reason")) {
            errors.push(Error::not_supported(at.child("reason"), of("reason"), &REASONS));
        }
        if !of("fieldPath").is_empty() && of("fieldPath").trim().is_empty() {
            errors.push(Error::invalid(at.child("fieldPath"), of("fieldPath"), "must be non-empty if specified"));
        }
        if of("fieldPath").contains(['\n', '\r']) {
            errors.push(Error::invalid(at.child("fieldPath"), of("fieldPath"), "must not contain line breaks"));
        }
    }
}

/// Checks that defaults are values that the schema allows.
pub fn defaults(errors: &mut Errors, path: &Path, schema: &Value) {
    defaults_of(errors, path, schema, &Structural::root(schema), false);
}

/// Within the metadata of an object `in_meta`, where pruning takes nothing.
fn defaults_of(errors: &mut Errors, path: &Path, schema: &Value, structural: &Structural, in_meta: bool) {
    let in_meta = in_meta && !structural.embedded;
    if let Some(value) = schema.get("default").filter(|d| given(d)) {
        let at = path.child("default").to_string();
        if !in_meta && !prune::prune(Some(structural), &mut value.clone()).is_empty() {
            errors.push(Error::invalid(&*at, value.clone(), "must not have unknown fields"));
        }
        // As it stands: what it leaves to the defaults within it is absent here.
        let before = errors.len();
        if !in_meta {
            errors.extend(embedded::validate_value(structural, value, &at));
        }
        if errors.len() == before {
            errors.extend(values::validate_default(structural, value, &at));
        }
    }
    let properties = path.child("properties");
    for (name, child) in entries(&schema["properties"]) {
        if let Some(below) = structural.properties.get(name.as_str()) {
            let in_meta = in_meta || (structural.embedded && is_meta(name));
            defaults_of(errors, &properties.key(name), child, below, in_meta);
        }
    }
    if let Some(below) = &structural.items {
        defaults_of(errors, &path.child("items"), &schema["items"], below, in_meta);
    }
}
