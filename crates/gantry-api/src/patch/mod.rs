//! JSON, merge and strategic-merge patches over trees. Each takes the object and gives back the patched one, so a
//! patch that fails leaves nothing half done.

mod strategic;

pub use strategic::strategic;

use crate::status::Status;
use json_patch::PatchOperation;
use serde_json::{Value, json};

/// A JSON patch may have so many operations, as upstream's.
const MAX_OPERATIONS: usize = 10_000;
/// A JSON patch's copies may be so many bytes together, as upstream's: each can double the object.
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// Applies a JSON patch (RFC 6902).
///
/// # Errors
///
/// 400 when the patch cannot be read, 413 when it has too many operations, 422 when it cannot be applied.
pub fn json(mut target: Value, patch: &[u8]) -> Result<Value, Status> {
    let patch: json_patch::Patch = serde_json::from_slice(patch)
        .map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
    let operations = patch.0;
    if operations.len() > MAX_OPERATIONS {
        return Err(Status::new(
            413,
            "RequestEntityTooLarge",
            format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                operations.len()
            ),
        ));
    }
    let mut copied = 0;
    for operation in &operations {
        if let PatchOperation::Copy(copy) = operation
            && let Ok(source) = copy.from.resolve(&target)
        {
            copied += source.to_string().len();
            if copied > MAX_COPIED {
                return Err(unprocessable(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the \
                     limit {MAX_COPIED}"
                )));
            }
        }
        json_patch::patch_unsafe(&mut target, std::slice::from_ref(operation))
            .map_err(|e| unprocessable(e.to_string()))?;
    }
    Ok(target)
}

/// Applies a merge patch (RFC 7386).
///
/// # Errors
///
/// 400 when the patch is not an object.
pub fn merge(mut target: Value, patch: &Value) -> Result<Value, Status> {
    if !patch.is_object() {
        return Err(not_an_object());
    }
    json_patch::merge(&mut target, patch);
    Ok(target)
}

fn not_an_object() -> Status {
    Status::bad_request("error decoding patch: a patch must be an object")
}

/// Upstream's message says only that; the cause says why.
fn unprocessable(why: String) -> Status {
    let mut status = Status::new(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
    );
    status.details = Some(json!({"causes": [{"message": why}]}));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_patches() {
        let target = || json!({"a": {"b": [1, 2]}, "c": "x"});
        let check = |patch: &str, want: Result<Value, u16>| {
            let got = json(target(), patch.as_bytes()).map_err(|s| s.code);
            assert_eq!(got, want, "{patch}");
        };
        check(
            r#"[{"op":"add","path":"/a/b/-","value":3},{"op":"remove","path":"/c"}]"#,
            Ok(json!({"a": {"b": [1, 2, 3]}})),
        );
        check(
            r#"[{"op":"test","path":"/c","value":"x"},{"op":"replace","path":"/c","value":"y"}]"#,
            Ok(json!({"a": {"b": [1, 2]}, "c": "y"})),
        );
        check(
            r#"[{"op":"move","from":"/c","path":"/a/d"},{"op":"copy","from":"/a/d","path":"/e"}]"#,
            Ok(json!({"a": {"b": [1, 2], "d": "x"}, "e": "x"})),
        );
        check("{", Err(400));
        check(r#"{"op":"remove","path":"/a"}"#, Err(400));
        check(r#"[{"op":"jump","path":"/a"}]"#, Err(400));
        check(r#"[{"op":"remove","path":"/z"}]"#, Err(422));
        check(r#"[{"op":"replace","path":"/z","value":1}]"#, Err(422));
        check(r#"[{"op":"test","path":"/c","value":"y"}]"#, Err(422));
        check(r#"[{"op":"add","path":"/z/y","value":1}]"#, Err(422));
        check(r#"[{"op":"copy","from":"/z","path":"/y"}]"#, Err(422));
    }

    #[test]
    fn json_patches_have_limits() {
        let many = |n: usize| {
            let operations: Vec<Value> = (0..n)
                .map(|_| json!({"op": "test", "path": "/a", "value": 1}))
                .collect();
            json(json!({"a": 1}), Value::Array(operations).to_string().as_bytes())
        };
        assert!(many(MAX_OPERATIONS).is_ok());
        let status = many(MAX_OPERATIONS + 1).unwrap_err();
        assert_eq!(
            (status.code, status.message.as_str()),
            (
                413,
                "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
            )
        );
        let doubling: Vec<Value> = (0..40)
            .map(|i| json!({"op": "copy", "from": "", "path": format!("/k{i}")}))
            .collect();
        let status = json(json!({"a": "x"}), Value::Array(doubling).to_string().as_bytes()).unwrap_err();
        assert_eq!(status.code, 422);
        let why = status.details.unwrap()["causes"][0]["message"].to_string();
        assert!(why.contains("exceeding the limit 3145728"), "{why}");
    }

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
