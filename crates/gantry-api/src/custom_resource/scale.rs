//! Where a definition's scale subresource finds its numbers, and what these must be.
//!
//! Source: ValidateScaleSpec and ValidateScaleStatus in pkg/registry/customresource/validator.go.

use crate::apply::validate::go;
use crate::field::Error;
use serde_json::Value;

/// Where a definition's scale subresource finds its numbers.
pub struct Scale {
    /// How many are wanted.
    pub spec_replicas: String,
    /// How many there are.
    pub status_replicas: String,
    /// Which objects they are; perhaps empty.
    pub selector: Option<String>,
}

impl Scale {
    /// Reads `subresources.scale`; none if there is none.
    pub fn of(scale: &Value) -> Option<Self> {
        let path = |name: &str| {
            scale[name]
                .as_str()
                .unwrap_or("")
                .trim_start_matches('.')
                .to_string()
        };
        scale.is_object().then(|| Scale {
            spec_replicas: path("specReplicasPath"),
            status_replicas: path("statusReplicasPath"),
            selector: Some(path("labelSelectorPath")),
        })
    }

    /// Checks the fields that a Scale is read from.
    pub fn check(&self, object: &Value, with_spec: bool, errors: &mut Vec<Error>) {
        let mut count = |path: &str| {
            let at = format!(".{path}");
            let detail = match at_path(object, path).map(|found| found.map(|v| (v, v.as_i64()))) {
                Err(why) => return errors.push(Error::invalid(at, 0, why)),
                Ok(None) => return,
                Ok(Some((value, None))) => {
                    return errors.push(Error::invalid(&*at, 0, misfit(&at, value, "int64")));
                }
                Ok(Some((_, Some(n)))) if n < 0 => "should be a non-negative integer".to_string(),
                Ok(Some((_, Some(n)))) if n > i64::from(i32::MAX) => {
                    format!("should be less than or equal to {}", i32::MAX)
                }
                Ok(Some(_)) => return,
            };
            let value = at_path(object, path).ok().flatten().cloned();
            errors.push(Error::invalid(at, value.unwrap_or_default(), detail));
        };
        if with_spec {
            count(&self.spec_replicas);
        }
        count(&self.status_replicas);
        let Some(path) = self.selector.as_deref().filter(|s| !s.is_empty()) else {
            return;
        };
        let at = format!(".{path}");
        match at_path(object, path) {
            Err(why) => errors.push(Error::invalid(at, "", why)),
            Ok(Some(value)) if !value.is_string() => {
                errors.push(Error::invalid(&*at, "", misfit(&at, value, "string")));
            }
            Ok(_) => {}
        }
    }
}

/// What upstream says of a value of another type than was looked for.
fn misfit(at: &str, value: &Value, wanted: &str) -> String {
    format!(
        "{at} accessor error: {} is of the type {}, expected {wanted}",
        go(value),
        go_type(value)
    )
}

/// What is at a path, if anything.
///
/// # Errors
///
/// Upstream's text about a value on the way that has no fields.
fn at_path<'a>(object: &'a Value, path: &str) -> Result<Option<&'a Value>, String> {
    let mut value = object;
    for (i, part) in path.split('.').enumerate() {
        match value {
            Value::Null => return Ok(None),
            Value::Object(map) => match map.get(part) {
                Some(inner) => value = inner,
                None => return Ok(None),
            },
            other => {
                let way: Vec<&str> = path.split('.').take(i + 1).collect();
                return Err(misfit(
                    &format!(".{}", way.join(".")),
                    other,
                    "map[string]interface{}",
                ));
            }
        }
    }
    Ok(Some(value))
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
