//! Objects within objects, and the metadata of custom resources: as Go's decoder of ObjectMeta leaves it.
//!
//! Source: pkg/apiserver/schema/objectmeta.

use super::{Structural, is_meta};
use crate::field::{Error, Path};
use crate::formats;
use crate::json::settle_numbers;
use crate::kind::Scope;
use crate::meta::{validate_metadata, validate_path_segment};
use crate::schema::{self, Message};
use serde_json::Value;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

fn object_meta() -> Option<&'static Message> {
    schema::message(OBJECT_META)
}

/// Reads the metadata of an object and of all objects within it; returns a text per field that ObjectMeta does not
/// have. Those go.
///
/// # Errors
///
/// A field of the wrong type, in the words of Go's decoder.
pub fn coerce(schema: &Structural, object: &mut Value) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    walk(schema, object, "", &mut |object, path| {
        if !path.is_empty()
            && let Some((field, other)) = ["apiVersion", "kind"].into_iter().find_map(|field| {
                Some((
                    field,
                    object.get(field).filter(|v| !v.is_string() && !v.is_null())?,
                ))
            })
        {
            return Err(format!(
                "{path}.{field}: Invalid value: {other}: must be a string"
            ));
        }
        let (Some(message), Some(metadata)) = (object_meta(), object.get_mut("metadata")) else {
            return Ok(());
        };
        let at = if path.is_empty() {
            "metadata".to_string()
        } else {
            format!("{path}.metadata")
        };
        // It is not read from JSON, so that a number may be written as `1.0`.
        settle_numbers(metadata);
        let found = schema::check(message, metadata).map_err(|why| match path {
            "" => why,
            path => format!("{path}.metadata: Invalid value: {metadata}: {why}"),
        })?;
        unknown.extend(
            found
                .iter()
                .map(|text| text.replacen("unknown field \"", &format!("unknown field \"{at}."), 1)),
        );
        Ok(())
    })?;
    Ok(unknown)
}

/// Reads the metadata of a stored object and of all objects within it. What ObjectMeta does not have, or has in another
/// type, goes: the schema may have been another when the object was written.
pub fn coerce_stored(schema: &Structural, object: &mut Value) {
    let done: Result<(), String> = walk(schema, object, "", &mut |object, _| {
        let Some(message) = object_meta() else {
            return Ok(());
        };
        object.get_mut("metadata").into_iter().for_each(settle_numbers);
        if let Some(metadata) = object.get_mut("metadata")
            && schema::check(message, &mut metadata.clone()).is_err()
            && let Some(map) = metadata.as_object_mut()
        {
            map.retain(|key, v| schema::check(message, &mut serde_json::json!({key: v.clone()})).is_ok());
        }
        if let Some(metadata) = object.get_mut("metadata") {
            // Cannot fail any more: every field that did has gone.
            let _ = schema::check(message, metadata);
        }
        Ok(())
    });
    debug_assert!(done.is_ok());
}

type Visit<'a> = &'a mut dyn FnMut(&mut Value, &str) -> Result<(), String>;

fn walk(schema: &Structural, value: &mut Value, path: &str, visit: Visit) -> Result<(), String> {
    if schema.embedded && value.is_object() {
        visit(value, path)?;
    }
    match value {
        Value::Object(map) => {
            for (key, v) in map.iter_mut().filter(|(k, _)| !(schema.embedded && is_meta(k))) {
                if let Some(field) = schema.child(key) {
                    let at = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    walk(field, v, &at, visit)?;
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                for (i, item) in items.iter_mut().enumerate() {
                    walk(schema, item, &format!("{path}[{i}]"), visit)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Checks the objects within an object; not the object itself.
pub fn validate(schema: &Structural, object: &Value) -> Vec<Error> {
    let mut errors = Vec::new();
    fields(schema, object, "", &mut errors);
    errors
}

/// Checks a value that stands at a path, and the objects within it.
pub fn validate_value(schema: &Structural, value: &Value, path: &str) -> Vec<Error> {
    let mut errors = Vec::new();
    one(schema, value, path, &mut errors);
    errors
}

fn fields(schema: &Structural, value: &Value, path: &str, errors: &mut Vec<Error>) {
    match value {
        Value::Object(map) => {
            for (key, v) in map {
                let Some(field) = schema.child(key) else { continue };
                let at = match (schema.properties.contains_key(key.as_str()), path) {
                    (true, "") => key.clone(),
                    (true, path) => format!("{path}.{key}"),
                    (false, path) => format!("{path}[{key}]"),
                };
                one(field, v, &at, errors);
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                for (i, item) in items.iter().enumerate() {
                    one(schema, item, &format!("{path}[{i}]"), errors);
                }
            }
        }
        _ => {}
    }
}

fn one(schema: &Structural, value: &Value, path: &str, errors: &mut Vec<Error>) {
    if schema.embedded && value.is_object() {
        object(value, path, errors);
    }
    fields(schema, value, path, errors);
}

/// The metadata of an object as Go's decoder leaves it.
fn read_metadata(object: &Value, path: &str) -> Result<Option<Value>, Error> {
    let (Some(metadata), Some(message)) = (object.get("metadata"), object_meta()) else {
        return Ok(None);
    };
    let mut metadata = metadata.clone();
    match schema::check(message, &mut metadata) {
        Ok(_) => Ok(Some(metadata)),
        Err(why) => Err(Error::invalid(format!("{path}.metadata"), metadata, why)),
    }
}

fn object(object: &Value, path: &str, errors: &mut Vec<Error>) {
    let at = |field: &str| format!("{path}.{field}");
    let metadata = match read_metadata(object, path) {
        Ok(metadata) => metadata,
        Err(error) => return errors.push(error),
    };
    for name in ["apiVersion", "kind"] {
        match &object[name] {
            Value::Null if object.get(name).is_none() => errors.push(Error::required(at(name), "")),
            Value::String(text) if text.is_empty() => {
                errors.push(Error::invalid(at(name), "", "must not be empty"));
            }
            Value::String(text) if name == "apiVersion" && text.matches('/').count() > 1 => {
                let detail = format!("unexpected GroupVersion string: {text}");
                errors.push(Error::invalid(at(name), text.as_str(), detail));
            }
            Value::String(text) => {
                let problems = formats::dns1035_label(&text.to_lowercase());
                if name == "kind" && !problems.is_empty() {
                    let detail = format!(
                        "may have mixed case, but should otherwise match: {}",
                        problems.join(",")
                    );
                    errors.push(Error::invalid(at(name), text.as_str(), detail));
                }
            }
            other => errors.push(Error::invalid(at(name), other.clone(), "must be a string")),
        }
    }
    if let Some(mut metadata) = metadata {
        if metadata["name"].as_str().is_none_or(str::is_empty) {
            // It need not have one yet.
            metadata["name"] = "fakename".into();
        }
        let scope = match metadata["namespace"].as_str().is_some_and(|ns| !ns.is_empty()) {
            true => Scope::Namespaced,
            false => Scope::Cluster,
        };
        let place = at("metadata");
        let named = serde_json::json!({"metadata": metadata});
        errors.extend(validate_metadata(
            &Path::new(&place),
            scope,
            &validate_path_segment,
            Some(&validate_path_segment),
            &named,
        ));
    }
}
