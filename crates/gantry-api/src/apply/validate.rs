//! Checks of an applied object against the schema. Unlike ordinary writes, apply takes no unknown field.
//!
//! Source of the wording: sigs.k8s.io/structured-merge-diff, typed/validate.go.

use super::shape::Shape;
use crate::schema::{self, Field, Message, Schema, Type};
use crate::structural::{Additional, Structural, is_meta};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::LazyLock;

static OBJECT_META: Type = Type::Message("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
static EMPTY_LIST: LazyLock<Type> = LazyLock::new(|| Type::List(Box::new(Type::Any)));

/// Checks that the object has only declared fields of the right types, and that its lists can be divided.
///
/// # Errors
///
/// What is wrong, in upstream's words.
pub fn validate(schema: Schema, object: &Value) -> Result<(), String> {
    told(found(schema, object))
}

/// The same of an object that is stored: it may have an item twice.
///
/// # Errors
///
/// What is wrong, in upstream's words.
pub fn validate_stored(schema: Schema, object: &Value) -> Result<(), String> {
    let mut found = found(schema, object);
    found.retain(|text| !text.contains(DUPLICATE));
    told(found)
}

const DUPLICATE: &str = ": duplicate entries for key ";

fn found(schema: Schema, object: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    match schema {
        Schema::Table(message) => fields(message, object, "", &mut errors),
        Schema::Structural(schema) => open(schema, object, "", &mut errors),
    }
    errors
}

fn told(errors: Vec<String>) -> Result<(), String> {
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

fn fields(message: &'static Message, value: &Value, path: &str, errors: &mut Vec<String>) {
    let Some(map) = object(value, path, errors) else {
        return;
    };
    for (key, v) in map {
        let path = format!("{path}.{key}");
        match message.field(key) {
            Some(field) => one(&field.type_, Some(field), v, &path, errors),
            None => errors.push(format!("{path}: field not declared in schema")),
        }
    }
}

/// A value of a custom resource.
fn open(schema: &Structural, value: &Value, path: &str, errors: &mut Vec<String>) {
    let plain = match schema.type_.as_str() {
        "string" => &Type::String,
        "integer" | "number" => &Type::Double,
        "boolean" => &Type::Bool,
        "object" => return open_object(schema, value, path, errors),
        "array" => {
            match value.as_array() {
                Some(items) => items_of(
                    Shape::root(Some(Schema::Structural(schema))),
                    items,
                    path,
                    errors,
                    &mut |v, path, errors| {
                        if let Some(schema) = &schema.items {
                            open(schema, v, path, errors);
                        }
                    },
                ),
                None => one(&EMPTY_LIST, None, value, path, errors),
            }
            return;
        }
        _ if schema.int_or_string => &Type::IntOrString,
        _ => return,
    };
    one(plain, None, value, path, errors);
}

fn open_object(schema: &Structural, value: &Value, path: &str, errors: &mut Vec<String>) {
    for (key, v) in object(value, path, errors).into_iter().flatten() {
        let path = format!("{path}.{key}");
        if schema.embedded && is_meta(key) {
            let type_ = if key == "metadata" {
                &OBJECT_META
            } else {
                &Type::String
            };
            one(type_, None, v, &path, errors);
            continue;
        }
        match (schema.child(key), &schema.additional) {
            (Some(field), _) => open(field, v, &path, errors),
            (None, Additional::Unsaid) if !schema.preserve => {
                errors.push(format!("{path}: field not declared in schema"));
            }
            _ => {}
        }
    }
}

fn object<'a>(
    value: &'a Value,
    path: &str,
    errors: &mut Vec<String>,
) -> Option<&'a serde_json::Map<String, Value>> {
    if !value.is_object() && !value.is_null() {
        errors.push(with_path(path, &format!("expected map, got &{{{}}}", go(value))));
    }
    value.as_object()
}

fn one(
    type_: &'static Type,
    field: Option<&'static Field>,
    value: &Value,
    path: &str,
    errors: &mut Vec<String>,
) {
    let mut expect = |fits: bool, what: String| {
        if !fits && !value.is_null() {
            errors.push(with_path(path, &what));
        }
    };
    match type_ {
        Type::Any | Type::Either(_) => {}
        Type::String | Type::Bytes => expect(
            value.is_string(),
            format!("expected string, got &value.valueUnstructured{{Value:{value}}}"),
        ),
        Type::Int32 | Type::Int64 | Type::Double => expect(
            value.is_number(),
            format!("expected numeric (int or float), got {}", go_type(value)),
        ),
        Type::Bool => expect(
            value.is_boolean(),
            format!("expected boolean, got &{{{}}}", go(value)),
        ),
        Type::Quantity | Type::IntOrString | Type::Time | Type::MicroTime => expect(
            !value.is_object() && !value.is_array(),
            format!("expected any scalar, got &{{{}}}", go(value)),
        ),
        Type::Message(name) => {
            if let Some(message) = schema::message(name) {
                fields(message, value, path, errors);
            }
        }
        Type::Map(item) => {
            for (key, v) in object(value, path, errors).into_iter().flatten() {
                one(item, None, v, &format!("{path}.{key}"), errors);
            }
        }
        Type::List(item) => {
            expect(value.is_array(), format!("expected list, got &{{{}}}", go(value)));
            if let Some(items) = value.as_array() {
                list(item, field, items, path, errors);
            }
        }
    }
}

fn list(
    item: &'static Type,
    field: Option<&'static Field>,
    items: &[Value],
    path: &str,
    errors: &mut Vec<String>,
) {
    let shape = field.map_or(Shape::Leaf, Shape::of_field);
    items_of(shape, items, path, errors, &mut |v, path, errors| {
        one(item, None, v, path, errors)
    });
}

/// Checks items, each under the name that the list's shape gives it.
fn items_of(
    shape: Shape,
    items: &[Value],
    path: &str,
    errors: &mut Vec<String>,
    each: &mut dyn FnMut(&Value, &str, &mut Vec<String>),
) {
    let mut seen = BTreeSet::new();
    for (i, v) in items.iter().enumerate() {
        if !shape.is_list() {
            each(v, &format!("{path}[{i}]"), errors);
            continue;
        }
        match shape.element_of(v) {
            Ok(element) => {
                each(v, &format!("{path}{element}"), errors);
                if seen.contains(&element) {
                    errors.push(format!("{path}{DUPLICATE}{element}"));
                }
                seen.insert(element);
            }
            Err(why) => {
                errors.push(format!("{path}: element {i}: {why}"));
                return;
            }
        }
    }
}

fn with_path(path: &str, what: &str) -> String {
    if path.is_empty() {
        what.to_string()
    } else {
        format!("{path}: {what}")
    }
}

/// A value as Go's `%v` prints it.
pub(crate) fn go(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".into(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{}", go(v))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Number(n) if n.is_f64() => go_float(n.as_f64().unwrap_or(f64::NAN)),
        plain => plain.to_string(),
    }
}

/// A float as Go's `%v` prints it.
pub(crate) fn go_float(number: f64) -> String {
    if number == 0.0 || (1e-4..1e21).contains(&number.abs()) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", power.abs())
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
