//! JSON, merge and strategic-merge patches over trees. Each takes the object and gives back the patched one, so a
//! patch that fails leaves nothing half done.

mod operations;
mod strategic;

pub use operations::json;
pub use strategic::strategic;

use crate::json::{self as tree_json, Read};
use crate::status::Status;
use serde_json::{Value, json as tree};

/// Reads a merge patch.
///
/// # Errors
///
/// 400 when it is not an object.
pub fn read_merge(patch: &[u8]) -> Result<Read, Status> {
    let read =
        read_object(patch).map_err(|why| Status::bad_request(format!("error decoding patch: {why}")))?;
    match read.value {
        Value::Null => Err(Status::bad_request("Invalid JSON Patch")),
        _ => Ok(read),
    }
}

/// Reads a strategic merge patch.
///
/// # Errors
///
/// 400 when it is not an object.
pub fn read_strategic(patch: &[u8]) -> Result<Read, Status> {
    read_object(patch).map_err(Status::bad_request)
}

/// An object, or null.
fn read_object(patch: &[u8]) -> Result<Read, String> {
    let read = tree_json::read(patch)?;
    match &read.value {
        Value::Object(_) | Value::Null => Ok(read),
        other => Err(format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            tree_json::type_name(other)
        )),
    }
}

/// Applies a merge patch (RFC 7386).
pub fn merge(mut target: Value, patch: &Value) -> Value {
    merge_into(&mut target, patch);
    target
}

fn merge_into(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Default::default());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(key);
            }
            value => merge_into(target.entry(key.as_str()).or_insert(Value::Null), value),
        }
    }
}

/// What upstream says of a patch that does not apply; not why.
fn unprocessable() -> Status {
    let mut status = Status::new(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
    );
    status.details = Some(tree!({}));
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merge_patches() {
        let check = |patch: Value, want: Value| {
            assert_eq!(merge(json!({"a": {"b": 1, "c": [1]}}), &patch), want, "{patch}");
        };
        check(
            json!({"a": {"b": null, "c": [2], "d": {"e": null}}}),
            json!({"a": {"c": [2], "d": {}}}),
        );
        check(json!({"a": null}), json!({}));
    }

    #[test]
    fn what_is_no_patch() {
        let number = "json: cannot unmarshal number into Go value of type map[string]interface {}";
        let check = |patch: &str, merge: &str, strategic: Option<&str>| {
            let found = read_merge(patch.as_bytes()).unwrap_err();
            assert_eq!((found.code, found.message.as_str()), (400, merge), "{patch}");
            let found = read_strategic(patch.as_bytes()).err().map(|s| s.message);
            assert_eq!(found.as_deref(), strategic, "{patch}");
        };
        check("5", &format!("error decoding patch: {number}"), Some(number));
        check("null", "Invalid JSON Patch", None);
        check(
            "x",
            "error decoding patch: invalid character 'x' looking for beginning of value",
            Some("invalid character 'x' looking for beginning of value"),
        );
    }
}
