//! JSON, merge and strategic-merge patches over trees. Each takes the object and gives back the patched one, so a
//! patch that fails leaves nothing half done.

mod json;
mod strategic;

pub use json::json;
pub use strategic::strategic;

use crate::status::Status;
use serde_json::{Value, json as tree};

/// Applies a merge patch (RFC 7386).
///
/// # Errors
///
/// 400 when the patch is not an object.
pub fn merge(mut target: Value, patch: &Value) -> Result<Value, Status> {
    if !patch.is_object() {
        return Err(not_an_object());
    }
    merge_into(&mut target, patch);
    Ok(target)
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

fn not_an_object() -> Status {
    Status::bad_request("error decoding patch: a patch must be an object")
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
        let check = |patch: Value, want: Result<Value, u16>| {
            let got = merge(json!({"a": {"b": 1, "c": [1]}}), &patch).map_err(|s| s.code);
            assert_eq!(got, want, "{patch}");
        };
        check(
            json!({"a": {"b": null, "c": [2], "d": {"e": null}}}),
            Ok(json!({"a": {"c": [2], "d": {}}})),
        );
        check(json!({"a": null}), Ok(json!({})));
        check(json!([]), Err(400));
        check(json!("x"), Err(400));
    }
}
