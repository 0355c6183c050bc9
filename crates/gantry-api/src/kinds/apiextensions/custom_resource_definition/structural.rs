//! The rules that make a schema structural. Source: pkg/apiserver/schema/validation.go and complete.go.

use crate::field::{Error, Path};
use super::schema::{UNSUPPORTED, is_said};
use crate::kinds::checks::Errors;
use crate::kinds::values::{entries, flag, given, list, text};
use crate::structural::Pattern;
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Checks that a schema is structural; says whether it is.
pub fn validate(errors: &mut Errors, path: &Path, schema: &Value) -> bool {
    let mut found = Errors::new();
    node(&mut found, path, schema, Level::Root);
    complete(&mut found, schema, schema, path, path);
    found.sort_by_cached_key(ToString::to_string);
    let good = found.is_empty();
    errors.extend(found);
    good
}

/// Whether a schema has nothing that a structural one has no place for.
pub fn is_readable(schema: &Value) -> bool {
    let mut good = !UNSUPPORTED.iter().any(|field| is_said(field, &schema[*field]))
        && text(&schema["$schema"]).is_empty()
        && schema["x-kubernetes-preserve-unknown-fields"] != false
        && list(&schema["items"]).is_empty();
    super::schema::children(schema, |child| good = good && is_readable(child));
    good
}

fn node(errors: &mut Errors, path: &Path, schema: &Value, level: Level) {
    let type_ = text(&schema["type"]);
    let on = |name: &str| flag(&schema[name]);
    let (embedded, int_or_string, preserve) = (
        on("x-kubernetes-embedded-resource"),
        on("x-kubernetes-int-or-string"),
        on("x-kubernetes-preserve-unknown-fields"),
    );
    if type_ == "array" && !schema["items"].is_object() {
        errors.push(Error::required(path.child("items"), "must be specified"));
    }
    if schema["items"].is_object() {
        node(errors, &path.child("items"), &schema["items"], Level::Item);
    }
    let properties = path.child("properties");
    for (name, child) in entries(&schema["properties"]) {
        node(errors, &properties.key(name), child, Level::Field);
    }
    let additional = path.child("additionalProperties");
    if given(&schema["additionalProperties"]) && level == Level::Root {
        errors.push(Error::forbidden(additional, "must not be used at the root"));
    }
    if schema["additionalProperties"].is_object() {
        node(errors, &additional, &schema["additionalProperties"], Level::Field);
    }
    for (on, name) in [
        (preserve, "x-kubernetes-preserve-unknown-fields"),
        (embedded, "x-kubernetes-embedded-resource"),
    ] {
        if int_or_string && on {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(Error::invalid(path.child(name), true, detail));
        }
    }
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    checks(errors, path, schema, schema["anyOf"] == either, schema["allOf"][0]["anyOf"] == either);
    if embedded && type_ != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match type_ {
            "" => Error::required(path.child("type"), detail),
            other => Error::invalid(path.child("type"), other, detail),
        });
    } else if type_.is_empty() && !int_or_string && !preserve {
        let of = match level {
            Level::Root => "at the root",
            Level::Item => "for specified array items",
            Level::Field => "for specified object fields",
        };
        errors.push(Error::required(path.child("type"), format!("must not be empty {of}")));
    }
    if embedded && given(&schema["additionalProperties"]) {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(Error::forbidden(additional, detail));
    }
    if level == Level::Root && !type_.is_empty() && type_ != "object" {
        errors.push(Error::invalid(path.child("type"), type_, "must be object at the root"));
    }
    if level == Level::Root || embedded {
        for (name, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
            let child = &schema["properties"][name];
            if given(child) && child["type"] != wanted {
                let at = properties.key(name);
                errors.push(Error::invalid(at.child("type"), text(&child["type"]), format!("must be {wanted}")));
            }
        }
    }
    if level == Level::Root {
        root_metadata(errors, &properties.key("metadata"), &schema["properties"]["metadata"]);
    }
    if embedded && !preserve && entries(&schema["properties"]).next().is_none() {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(Error::required(properties, detail));
    }
}

/// At the root, metadata may only restrict names.
fn root_metadata(errors: &mut Errors, path: &Path, metadata: &Value) {
    let names = |field: &str| field == "name" || field == "generateName";
    let only_names = entries(&metadata["properties"]).all(|(field, _)| names(field));
    let other = entries(metadata).any(|(field, _)| !matches!(field.as_str(), "type" | "properties" | "default"));
    if !only_names || other {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(Error::forbidden(path, detail));
    }
}

/// Checks the rules for values; those of the two ways to write "integer or string" may name types.
fn checks(errors: &mut Errors, path: &Path, schema: &Value, any_is_either: bool, first_all_is_either: bool) {
    for field in ["anyOf", "allOf", "oneOf"] {
        let all = path.child(field);
        for (i, child) in list(&schema[field]).iter().enumerate() {
            if field == "anyOf" && any_is_either {
                continue;
            }
            let either = field == "allOf" && i == 0 && first_all_is_either;
            nested(errors, &all.index(i), child, either);
        }
    }
    if schema["not"].is_object() {
        nested(errors, &path.child("not"), &schema["not"], false);
    }
    let pattern = text(&schema["pattern"]);
    if !pattern.is_empty()
        && let Err(why) = Pattern::check(pattern)
    {
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(Error::invalid(path.child("pattern"), pattern, detail));
    }
}

/// A schema that only restricts values: it says nothing of what there is.
fn nested(errors: &mut Errors, path: &Path, schema: &Value, any_is_either: bool) {
    checks(errors, path, schema, any_is_either, false);
    if schema["items"].is_object() {
        nested(errors, &path.child("items"), &schema["items"], false);
    }
    let properties = path.child("properties");
    for (name, child) in entries(&schema["properties"]) {
        nested(errors, &properties.key(name), child, false);
    }
    for (field, state) in [
        ("type", "empty"),
        ("additionalProperties", "undefined"),
        ("default", "undefined"),
        ("title", "empty"),
        ("description", "empty"),
        ("nullable", "false"),
        ("x-kubernetes-preserve-unknown-fields", "false"),
        ("x-kubernetes-embedded-resource", "false"),
        ("x-kubernetes-int-or-string", "false"),
        ("x-kubernetes-list-map-keys", "empty"),
        ("x-kubernetes-list-type", "undefined"),
        ("x-kubernetes-map-type", "undefined"),
        ("x-kubernetes-validations", "empty"),
    ] {
        let value = &schema[field];
        let unsaid = match state {
            "false" => !flag(value),
            "undefined" if field == "additionalProperties" => !given(value) || value == false,
            "empty" => value.as_str().is_none_or(str::is_empty) && list(value).is_empty(),
            _ => !given(value),
        };
        if !unsaid {
            errors.push(Error::forbidden(path.child(field), format!("must be {state} to be structural")));
        }
    }
    if given(&schema["properties"]["metadata"]) {
        let detail = "must not be specified in a nested context";
        errors.push(Error::forbidden(properties.key("metadata"), detail));
    }
}

/// Whatever is restricted must be declared: `schema` restricts at `at` what `declared` declares at `place`.
fn complete(errors: &mut Errors, schema: &Value, declared: &Value, place: &Path, at: &Path) {
    if schema["not"].is_object() {
        complete_nested(errors, &schema["not"], declared, place, &at.child("not"));
    }
    for field in ["allOf", "anyOf", "oneOf"] {
        let all = at.child(field);
        for (i, child) in list(&schema[field]).iter().enumerate() {
            complete_nested(errors, child, declared, place, &all.index(i));
        }
    }
}

fn complete_nested(errors: &mut Errors, schema: &Value, declared: &Value, place: &Path, at: &Path) {
    complete(errors, schema, declared, place, at);
    let mut below = |child: &Value, declared: &Value, place: &Path, at: &Path| match given(declared) {
        true => complete_nested(errors, child, declared, place, at),
        false => errors.push(Error::required(place, format!("because it is defined in {at}"))),
    };
    if schema["items"].is_object() {
        below(&schema["items"], &declared["items"], &place.child("items"), &at.child("items"));
    }
    let (places, ats) = (place.child("properties"), at.child("properties"));
    for (name, child) in entries(&schema["properties"]) {
        below(child, &declared["properties"][name], &places.key(name), &ats.key(name));
    }
}
