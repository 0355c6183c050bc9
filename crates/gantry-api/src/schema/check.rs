//! Decoding by the schema: unknown fields, nulls and wrong types, as upstream's JSON decoder treats them.

use super::form::{settle, zero};
use super::{Message, Type, message};
use crate::quantity::Quantity;
use crate::structural::{Structural, default, embedded, prune};
use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, Engine};
use serde_json::Value;
use std::fmt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const MAX_DEPTH: usize = 200;
/// The fields of JSONSchemaProps that hold one more, or a list or flag instead.
const NESTED: [&str; 3] = ["additionalItems", "additionalProperties", "items"];

/// Removes unknown fields and nulls from `object`; returns one text per unknown field, in upstream's words for
/// strict decoding.
///
/// # Errors
///
/// A value of the wrong type, in the words of Go's decoder.
pub fn check(message: &'static Message, object: &mut Value) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    fields(message, object, "", At { message, path: "" }, &mut unknown, 0)?;
    Ok(unknown)
}

/// The same for custom resources. Their values' types are validated later, save for those of metadata.
pub(super) fn structural(schema: &Structural, object: &mut Value) -> Result<Vec<String>, String> {
    let mut unknown = embedded::coerce(schema, object)?;
    let gone = prune::prune(Some(schema), object);
    unknown.extend(gone.iter().map(|path| format!("unknown field \"{path}\"")));
    default::drop_nulls(schema, object);
    Ok(unknown)
}

/// A place in an object, in the words of Go's decoder: the struct and the way to its field, without the items' numbers.
#[derive(Clone, Copy)]
struct At<'a> {
    message: &'static Message,
    path: &'a str,
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.short_name())?;
        for (i, part) in self.path.split('[').enumerate() {
            let rest = part.split_once(']').map_or(part, |(_, rest)| rest);
            match i {
                0 => write!(f, ".{part}")?,
                _ => f.write_str(rest)?,
            }
        }
        Ok(())
    }
}

fn fields(
    m: &'static Message,
    value: &mut Value,
    path: &str,
    at: At,
    unknown: &mut Vec<String>,
    depth: usize,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("json: exceeded max depth".into());
    }
    let Some(map) = value.as_object_mut() else {
        return Err(wrong(value, at, &go_name(&Type::Message(m.name))));
    };
    map.retain(|key, v| !v.is_null() || m.field(key).is_none());
    let before = unknown.len();
    for (key, v) in map.iter_mut() {
        if let Some(field) = m.field(key) {
            let path = join(path, key);
            let at = At {
                message: m,
                path: &path,
            };
            // Within schemas, what may be a schema or something simpler.
            if field.type_ == Type::Any
                && NESTED.contains(&field.name)
                && v.is_object()
                && m.short_name() == "JSONSchemaProps"
            {
                fields(m, v, &path, at, unknown, depth + 1)?;
                continue;
            }
            one(&field.type_, v, &path, at, unknown, depth + 1)?;
        } else {
            unknown.push(format!("unknown field \"{}\"", join(path, key)));
        }
    }
    if unknown.len() > before {
        map.retain(|key, _| m.field(key).is_some());
    }
    settle(m, map);
    Ok(())
}

fn one(
    type_: &Type,
    value: &mut Value,
    path: &str,
    at: At,
    unknown: &mut Vec<String>,
    depth: usize,
) -> Result<(), String> {
    let fits = match type_ {
        Type::Any => true,
        Type::String => value.is_string(),
        Type::Bytes => match value.as_str() {
            Some(text) => base64(text)?,
            None => false,
        },
        Type::Time | Type::MicroTime => match value.as_str() {
            Some(text) => time(type_, text)?,
            None => false,
        },
        Type::Bool => value.is_boolean(),
        Type::Double => value.is_number(),
        // Quantities are kept in their canonical form, as upstream's decoder leaves them.
        Type::Quantity if value.is_string() || value.is_number() => {
            let quantity = Quantity::from_json(value).map_err(|e| e.to_string())?;
            *value = quantity.to_string().into();
            true
        }
        Type::Quantity => false,
        Type::IntOrString => value.is_string() || integer(value, i32::MIN.into(), i32::MAX.into()),
        Type::Int32 => integer(value, i32::MIN.into(), i32::MAX.into()),
        Type::Int64 => integer(value, i64::MIN, i64::MAX),
        Type::Message(name) => match message(name) {
            Some(m) if value.is_object() => return fields(m, value, path, at, unknown, depth),
            Some(_) => false,
            None => true,
        },
        Type::List(item) => match value.as_array_mut() {
            Some(items) => {
                for (i, v) in items.iter_mut().enumerate() {
                    if v.is_null() {
                        *v = zero(item);
                    }
                    if v.is_null() {
                        continue;
                    }
                    one(item, v, &format!("{path}[{i}]"), at, unknown, depth + 1)?;
                }
                true
            }
            None => false,
        },
        Type::Map(item) => match value.as_object_mut() {
            Some(map) => {
                for (k, v) in map.iter_mut() {
                    if v.is_null() {
                        *v = zero(item);
                    }
                    if v.is_null() {
                        continue;
                    }
                    one(item, v, &join(path, k), at, unknown, depth + 1)?;
                }
                true
            }
            None => false,
        },
    };
    if fits {
        Ok(())
    } else {
        Err(wrong(value, at, &go_name(type_)))
    }
}

/// Whether the number is whole and in range; a float without fraction becomes an integer.
fn integer(value: &mut Value, min: i64, max: i64) -> bool {
    if let Some(f) = value
        .as_f64()
        .filter(|f| value.is_f64() && f.fract() == 0.0 && f.abs() < 9.0e18)
    {
        *value = Value::from(f as i64);
    }
    value.as_i64().is_some_and(|n| (min..=max).contains(&n))
}

/// Whether a text is base64, which upstream decodes at once.
fn base64(text: &str) -> Result<bool, String> {
    match STANDARD.decode(text) {
        Ok(_) => Ok(true),
        Err(error) => {
            let at = match error {
                DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
                DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => text.len() / 4 * 4,
            };
            Err(format!("illegal base64 data at input byte {at}"))
        }
    }
}

/// Whether a text is a time.
fn time(type_: &Type, text: &str) -> Result<bool, String> {
    let layout = match type_ {
        Type::MicroTime => "2006-01-02T15:04:05.000000Z07:00",
        _ => "2006-01-02T15:04:05Z07:00",
    };
    match OffsetDateTime::parse(text, &Rfc3339) {
        Ok(_) => Ok(true),
        Err(_) => Err(format!(
            "parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\""
        )),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_string()
    } else {
        format!("{path}.{key}")
    }
}

fn wrong(value: &Value, at: At, type_: &str) -> String {
    let found = match value {
        Value::Null => "null".to_string(),
        Value::Bool(_) => "bool".into(),
        Value::Number(n) if matches!(type_, "int32" | "int64") => format!("number {n}"),
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
        Value::Array(_) => "array".into(),
        Value::Object(_) => "object".into(),
    };
    format!("json: cannot unmarshal {found} into Go struct field {at} of type {type_}")
}

fn go_name(type_: &Type) -> String {
    match type_ {
        Type::String | Type::Quantity | Type::IntOrString => "string".into(),
        Type::Time => "v1.Time".into(),
        Type::MicroTime => "v1.MicroTime".into(),
        Type::Bytes => "[]uint8".into(),
        Type::Int32 => "int32".into(),
        Type::Int64 => "int64".into(),
        Type::Bool => "bool".into(),
        Type::Double => "float64".into(),
        Type::Any => "interface {}".into(),
        Type::Message(name) => {
            let mut parts = name.rsplit('.');
            let kind = parts.next().unwrap_or_default();
            format!("{}.{kind}", parts.next().unwrap_or_default())
        }
        Type::List(item) => format!("[]{}", go_name(item)),
        Type::Map(item) => format!("map[string]{}", go_name(item)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::message_for;
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_nulls_and_types() {
        let m = message_for("apps", "v1", "Deployment").unwrap();
        let mut v = json!({"spec": {"foo": 1, "replicas": 2.0, "paused": null,
            "template": {"spec": {"containers": [{"name": "a", "bar": 1}]}}}});
        let unknown = check(m, &mut v).unwrap();
        assert_eq!(
            unknown,
            [
                r#"unknown field "spec.foo""#,
                r#"unknown field "spec.template.spec.containers[0].bar""#
            ]
        );
        assert_eq!(
            v,
            json!({"metadata": {}, "spec": {"replicas": 2, "strategy": {}, "template": {"metadata": {}, "spec": {
                "containers": [{"name": "a", "resources": {}}]}}}, "status": {}})
        );
        let mut claim =
            json!({"spec": {"template": {"spec": {"overhead": {"cpu": "1000m", "memory": 1024}}}}});
        check(m, &mut claim).unwrap();
        let expected = json!({"cpu": "1", "memory": "1024"});
        assert_eq!(claim["spec"]["template"]["spec"]["overhead"], expected);
        assert_eq!(
            check(m, &mut json!({"spec": {"replicas": "x"}})).unwrap_err(),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        );
        let mut item = json!({"spec": {"template": {"spec": {"containers": [{"name": 1}]}}}});
        assert_eq!(
            check(m, &mut item).unwrap_err(),
            "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.name of type string"
        );
    }
}
