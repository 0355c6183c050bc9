//! Decoding by the schema: unknown fields, nulls and wrong types, as upstream's JSON decoder treats them.

use super::{Message, Type, message};
use crate::quantity::Quantity;
use crate::structural::{Structural, default, embedded, prune};
use serde_json::Value;

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
    fields(message, object, "", message.short_name(), &mut unknown, 0)?;
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

fn fields(
    m: &'static Message,
    value: &mut Value,
    path: &str,
    at: &str,
    unknown: &mut Vec<String>,
    depth: usize,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("json: exceeded max depth".into());
    }
    let Some(map) = value.as_object_mut() else {
        return Err(wrong(value, at, m.name));
    };
    map.retain(|key, v| {
        let known = m.field(key).is_some();
        if !known {
            unknown.push(format!("unknown field \"{}\"", join(path, key)));
        }
        known && !v.is_null()
    });
    for (key, v) in map.iter_mut() {
        if let Some(field) = m.field(key) {
            let path = join(path, key);
            let at = format!("{}.{path}", m.short_name());
            // Within schemas, what may be a schema or something simpler.
            if field.type_ == Type::Any
                && NESTED.contains(&field.name)
                && v.is_object()
                && m.short_name() == "JSONSchemaProps"
            {
                fields(m, v, &path, &at, unknown, depth + 1)?;
                continue;
            }
            one(&field.type_, v, &path, &at, unknown, depth + 1)?;
        }
    }
    Ok(())
}

fn one(
    type_: &Type,
    value: &mut Value,
    path: &str,
    at: &str,
    unknown: &mut Vec<String>,
    depth: usize,
) -> Result<(), String> {
    let fits = match type_ {
        Type::Any => true,
        Type::String | Type::Bytes | Type::Time | Type::MicroTime => value.is_string(),
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
                for (i, v) in items.iter_mut().enumerate().filter(|(_, v)| !v.is_null()) {
                    one(item, v, &format!("{path}[{i}]"), at, unknown, depth + 1)?;
                }
                true
            }
            None => false,
        },
        Type::Map(item) => match value.as_object_mut() {
            Some(map) => {
                for (k, v) in map.iter_mut().filter(|(_, v)| !v.is_null()) {
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

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_string()
    } else {
        format!("{path}.{key}")
    }
}

fn wrong(value: &Value, at: &str, type_: &str) -> String {
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
            json!({"spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "a"}]}}}})
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
    }
}
