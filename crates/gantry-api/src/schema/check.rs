//! Decoding by the schema: unknown fields, nulls and wrong types, as upstream's JSON decoder treats them.

use super::form::{is_unseen, show, zero};
use super::go::{item_name, type_name};
use super::{Field, Message, Type, message};
use crate::json::MOST;
use crate::quantity::Quantity;
use crate::structural::{Structural, default, embedded, prune};
use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, Engine};
use serde_json::Value;
use std::fmt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const MAX_DEPTH: usize = 200;

/// Removes unknown fields and nulls from `object`; returns one text per unknown field, in upstream's words for
/// strict decoding.
///
/// # Errors
///
/// A value of the wrong type, in the words of Go's decoder.
pub fn check(message: &'static Message, object: &mut Value) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    if !object.is_object() && !object.is_null() {
        let type_ = Type::Message(message.name);
        let (found, named) = (found(&type_, object), type_name(&type_, ""));
        return Err(format!(
            "json: cannot unmarshal {found} into Go value of type {named}"
        ));
    }
    fields(message, object, &mut String::new(), None, &mut unknown, 0)?;
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

/// A field on the way down an object.
#[derive(Clone, Copy)]
struct At<'a> {
    message: &'static Message,
    field: &'static Field,
    parent: Option<&'a At<'a>>,
}

/// In the words of Go's decoder: the struct, and the way to its field. It leaves out items' numbers and maps' keys, and
/// names structs that are embedded.
impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.short_name())?;
        self.way(f)
    }
}

impl At<'_> {
    fn way(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.way(f)?;
        }
        if !self.field.embedded().is_empty() {
            write!(f, ".{}", self.field.embedded())?;
        }
        write!(f, ".{}", self.field.name)
    }
}

fn fields(
    m: &'static Message,
    value: &mut Value,
    path: &mut String,
    parent: Option<&At>,
    unknown: &mut Vec<String>,
    depth: usize,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("json: exceeded max depth".into());
    }
    let Some(map) = value.as_object_mut() else {
        return Ok(());
    };
    if map.values().any(Value::is_null) {
        map.retain(|key, v| !v.is_null() || m.field(key).is_none());
    }
    let mut all_stay = true;
    for (key, v) in map.iter_mut() {
        let Some(field) = m.field(key) else {
            all_stay = false;
            if unknown.len() < MOST {
                let above = extend(path, key);
                unknown.push(format!("unknown field \"{path}\""));
                path.truncate(above);
            }
            continue;
        };
        let above = extend(path, key);
        let at = At {
            message: m,
            field,
            parent,
        };
        one(&field.type_, field.go_type(), v, path, at, unknown, depth + 1)?;
        path.truncate(above);
        all_stay &= !is_unseen(field, v);
    }
    if !all_stay {
        map.retain(|key, v| m.field(key).is_some_and(|field| !is_unseen(field, v)));
    }
    show(m, map);
    Ok(())
}

fn one(
    type_: &Type,
    named: &'static str,
    value: &mut Value,
    path: &mut String,
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
        Type::Quantity => {
            let quantity = Quantity::from_json(value).map_err(|e| e.to_string())?;
            *value = quantity.to_string().into();
            true
        }
        Type::IntOrString => value.is_string() || integer(value, i32::MIN.into(), i32::MAX.into()),
        Type::Int32 => integer(value, i32::MIN.into(), i32::MAX.into()),
        Type::Int64 => integer(value, i64::MIN, i64::MAX),
        Type::Either(name) => match message(name).map(|m| m.alternative(value)) {
            // One of its fields, whose name JSON does not tell.
            Some(Some(field)) => return one(&field.type_, "", value, path, at, unknown, depth),
            Some(None) if name.ends_with("OrBool") => return Err("boolean or JSON schema expected".into()),
            // Upstream's decoder passes over it.
            _ => {
                *value = Value::Null;
                true
            }
        },
        Type::Message(name) => match message(name) {
            Some(m) if value.is_object() => return fields(m, value, path, Some(&at), unknown, depth),
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
                    let above = path.len();
                    path.push_str(&format!("[{i}]"));
                    one(item, item_name(named), v, path, at, unknown, depth + 1)?;
                    path.truncate(above);
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
                    let above = extend(path, k);
                    one(item, item_name(named), v, path, at, unknown, depth + 1)?;
                    path.truncate(above);
                }
                true
            }
            None => false,
        },
    };
    if fits {
        Ok(())
    } else {
        Err(wrong(type_, named, value, at))
    }
}

/// Whether the number is a whole one in range. One written as `1.0` is not, as for Go.
fn integer(value: &Value, least: i64, most: i64) -> bool {
    value.as_i64().is_some_and(|n| (least..=most).contains(&n))
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
        Ok(_) if *type_ == Type::MicroTime => micro(text, layout),
        Ok(_) => Ok(true),
        Err(_) => Err(format!(
            "parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\""
        )),
    }
}

/// A time to the microsecond has six digits of it or, as Go's reader lets pass, more.
fn micro(text: &str, layout: &str) -> Result<bool, String> {
    const SECONDS: usize = "2006-01-02T15:04:05".len();
    let rest = text.get(SECONDS..).unwrap_or("");
    let digits = rest.strip_prefix('.').unwrap_or("");
    let digits = digits.bytes().take_while(u8::is_ascii_digit).count();
    match digits {
        6.. => Ok(true),
        _ => Err(format!(
            "parsing time {text:?} as {layout:?}: cannot parse {rest:?} as \".000000\""
        )),
    }
}

/// Goes down to a field, and says how long the path was: each would else be a copy, and paths may be long.
fn extend(path: &mut String, key: &str) -> usize {
    let above = path.len();
    if above > 0 {
        path.push('.');
    }
    path.push_str(key);
    above
}

fn wrong(type_: &Type, named: &'static str, value: &Value, at: At) -> String {
    let (found, type_) = (found(type_, value), type_name(type_, named));
    format!("json: cannot unmarshal {found} into Go struct field {at} of type {type_}")
}

/// What Go's decoder calls a value where `type_` is wanted.
fn found(type_: &Type, value: &Value) -> String {
    match value {
        Value::Null => "null".to_string(),
        Value::Bool(_) => "bool".into(),
        Value::Number(n) if matches!(type_, Type::Int32 | Type::Int64 | Type::IntOrString) => {
            format!("number {n}")
        }
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
        Value::Array(_) => "array".into(),
        Value::Object(_) => "object".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::message_for;
    use super::*;
    use serde_json::json;

    #[test]
    fn times() {
        let m = message_for("coordination.k8s.io", "v1", "Lease").unwrap();
        let check_time = |text: &str, expected: Option<&str>| {
            let mut lease = json!({"spec": {"renewTime": text}});
            let found = check(m, &mut lease).err();
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check_time("2024-01-01T00:00:00.000001Z", None);
        check_time(
            "2024-01-01T00:00:00Z",
            Some(
                "parsing time \"2024-01-01T00:00:00Z\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"Z\" as \
                 \".000000\"",
            ),
        );
    }

    #[test]
    fn no_more_is_said_of_unknown_fields_than_upstream_says() {
        let m = message_for("apiextensions.k8s.io", "v1", "CustomResourceDefinition").unwrap();
        let fields: serde_json::Map<_, _> = (0..20_000).map(|i| (format!("x{i}"), 1.into())).collect();
        let schema = json!({"properties": {"a".repeat(1 << 20): fields}});
        let mut definition = json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
        assert_eq!(check(m, &mut definition).unwrap().len(), MOST);
        assert_eq!(check(m, &mut definition), Ok(Vec::new()));
    }

    #[test]
    fn unknown_nulls_and_types() {
        let m = message_for("apps", "v1", "Deployment").unwrap();
        let mut v = json!({"spec": {"foo": 1, "replicas": 2, "paused": null,
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
            check(m, &mut json!(-1)).unwrap_err(),
            "json: cannot unmarshal number into Go value of type v1.Deployment"
        );
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
