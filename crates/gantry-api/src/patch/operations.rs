//! JSON patches (RFC 6902), with what the library of upstream makes of the cases that the RFC leaves open or forbids.
//!
//! Source: gopkg.in/evanphx/json-patch.v4. A key that is absent counts as one that is null: `test` for null passes on
//! it, which is how clients add the first finalizer, and `replace` makes it. Indices may count from the end.

use super::unprocessable;
use crate::status::Status;
use serde::Deserialize;
use serde_json::Value;

/// A patch may have so many operations, as upstream's.
const MAX_OPERATIONS: usize = 10_000;
/// A patch's copies may be so many bytes together, as upstream's: each can double the object.
const MAX_COPIED: usize = 3 * 1024 * 1024;

#[derive(Default, Deserialize)]
struct Operation {
    #[serde(default)]
    op: Option<String>,
    path: Option<String>,
    from: Option<String>,
    #[serde(default)]
    value: Value,
}

/// Why an operation does not apply. Clients are told only that one does not.
struct Inapplicable;

/// Applies a JSON patch.
///
/// # Errors
///
/// 400 when the patch cannot be read, 413 when it has too many operations, 422 when it cannot be applied.
pub fn json(mut target: Value, patch: &[u8]) -> Result<Value, Status> {
    let operations =
        read(patch).map_err(|why| Status::bad_request(format!("error decoding patch: {why}")))?;
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
    for operation in operations {
        apply(&mut target, operation, &mut copied).map_err(|Inapplicable| unprocessable())?;
    }
    Ok(target)
}

/// The operations of a patch, or what is wrong with it in Go's words.
fn read(patch: &[u8]) -> Result<Vec<Operation>, String> {
    let value = crate::json::read(patch)?.value;
    let wrong = |value: &Value, into: &str| {
        let type_ = crate::json::type_name(value);
        Err(format!("json: cannot unmarshal {type_} into Go {into}"))
    };
    let items = match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        other => return wrong(&other, "value of type []handlers.jsonPatchOp"),
    };
    for item in &items {
        match item {
            Value::Null => {}
            Value::Object(item) => {
                for field in ["op", "path", "from"] {
                    let value = item.get(field).unwrap_or(&Value::Null);
                    if !value.is_string() && !value.is_null() {
                        return wrong(value, &format!("struct field jsonPatchOp.{field} of type string"));
                    }
                }
            }
            other => return wrong(other, "value of type handlers.jsonPatchOp"),
        }
    }
    let operation = |item: Value| match item {
        Value::Null => Ok(Operation::default()),
        item => serde_json::from_value(item).map_err(|e| e.to_string()),
    };
    items.into_iter().map(operation).collect()
}

fn apply(target: &mut Value, operation: Operation, copied: &mut usize) -> Result<(), Inapplicable> {
    let path = operation.path.ok_or(Inapplicable)?;
    let from = operation.from.ok_or(Inapplicable);
    match (operation.op.as_deref().unwrap_or(""), path.as_str()) {
        ("replace", "") if operation.value.is_object() || operation.value.is_array() => {
            *target = operation.value;
            Ok(())
        }
        ("test", "") => equal(target, &operation.value),
        ("add", path) => Place::find(target, path)?.add(operation.value),
        ("remove", path) => Place::find(target, path)?.remove().map(drop),
        ("replace", path) => Place::find(target, path)?.replace(operation.value),
        ("test", path) => equal(Place::find(target, path)?.get()?, &operation.value),
        ("move", path) => {
            let value = Place::find(target, &from?)?.remove()?;
            Place::find(target, path)?.add(value)
        }
        ("copy", path) => {
            let value = Place::find(target, &from?)?.get()?.clone();
            *copied += value.to_string().len();
            if *copied > MAX_COPIED {
                return Err(Inapplicable);
            }
            Place::find(target, path)?.add(value)
        }
        _ => Err(Inapplicable),
    }
}

fn equal(found: &Value, wanted: &Value) -> Result<(), Inapplicable> {
    (found == wanted).then_some(()).ok_or(Inapplicable)
}

/// Where a path leads: a key that an object has or could have, or an index of a list.
enum Place<'a> {
    Key(&'a mut serde_json::Map<String, Value>, String),
    Index(&'a mut Vec<Value>, String),
}

impl<'a> Place<'a> {
    /// The place that `path` names. What stands before its first slash is not looked at.
    fn find(target: &'a mut Value, path: &str) -> Result<Self, Inapplicable> {
        let (_, path) = path.split_once('/').ok_or(Inapplicable)?;
        let mut parts: Vec<String> = path.split('/').map(unescaped).collect();
        let last = parts.pop().ok_or(Inapplicable)?;
        let mut at = target;
        for part in parts {
            at = match at {
                Value::Object(map) => map.get_mut(&part).ok_or(Inapplicable)?,
                Value::Array(list) => {
                    let index = index(&part, list.len(), list.len())?;
                    &mut list[index]
                }
                _ => return Err(Inapplicable),
            };
        }
        match at {
            Value::Object(map) => Ok(Place::Key(map, last)),
            Value::Array(list) => Ok(Place::Index(list, last)),
            _ => Err(Inapplicable),
        }
    }

    fn get(&self) -> Result<&Value, Inapplicable> {
        match self {
            Place::Key(map, key) => Ok(map.get(key).unwrap_or(&Value::Null)),
            Place::Index(list, at) => list.get(index(at, list.len(), list.len())?).ok_or(Inapplicable),
        }
    }

    fn add(self, value: Value) -> Result<(), Inapplicable> {
        match self {
            Place::Key(map, key) => {
                map.insert(key, value);
            }
            Place::Index(list, at) if at == "-" => list.push(value),
            Place::Index(list, at) => {
                let at = index(&at, list.len() + 1, list.len() + 1)?;
                list.insert(at, value);
            }
        }
        Ok(())
    }

    fn replace(self, value: Value) -> Result<(), Inapplicable> {
        match self {
            Place::Key(map, key) => {
                map.insert(key, value);
            }
            Place::Index(list, at) => {
                let at = index(&at, list.len(), list.len())?;
                list[at] = value;
            }
        }
        Ok(())
    }

    fn remove(self) -> Result<Value, Inapplicable> {
        match self {
            Place::Key(map, key) => map.remove(&key).ok_or(Inapplicable),
            Place::Index(list, at) => {
                let at = index(&at, list.len(), list.len())?;
                Ok(list.remove(at))
            }
        }
    }
}

/// A list's index below `end`; a negative one counts back from `length`.
fn index(text: &str, length: usize, end: usize) -> Result<usize, Inapplicable> {
    let number: i64 = text.parse().map_err(|_| Inapplicable)?;
    let at = match usize::try_from(number) {
        Ok(at) => at,
        Err(_) => usize::try_from(number.unsigned_abs())
            .ok()
            .and_then(|back| length.checked_sub(back))
            .ok_or(Inapplicable)?,
    };
    (at < end).then_some(at).ok_or(Inapplicable)
}

fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patches() {
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
        check(
            r#"[{"op":"add","path":"/a/b/1","value":9},{"op":"add","path":"/~1~0","value":0}]"#,
            Ok(json!({"a": {"b": [1, 9, 2]}, "c": "x", "/~": 0})),
        );
        check(r#"[{"op":"replace","path":"","value":{}}]"#, Ok(json!({})));
        check(
            r#"[{"op":"test","path":"","value":{"a":{"b":[1,2]},"c":"x"}}]"#,
            Ok(target()),
        );
        check("{", Err(400));
        check(r#"{"op":"remove","path":"/a"}"#, Err(400));
        check(r#"[{"op":7,"path":"/a"}]"#, Err(400));
        for inapplicable in [
            r#"{"op":"jump","path":"/a"}"#,
            r#"{"op":"add"}"#,
            r#"{"op":"remove","path":"/z"}"#,
            r#"{"op":"remove","path":"/a/b/2"}"#,
            r#"{"op":"remove","path":""}"#,
            r#"{"op":"replace","path":"","value":1}"#,
            r#"{"op":"replace","path":"/a/b/2","value":1}"#,
            r#"{"op":"replace","path":"/a/b/-","value":1}"#,
            r#"{"op":"test","path":"/c","value":"y"}"#,
            r#"{"op":"test","path":"/c"}"#,
            r#"{"op":"test","path":"/z","value":""}"#,
            r#"{"op":"add","path":"/z/y","value":1}"#,
            r#"{"op":"add","path":"/c/y","value":1}"#,
            r#"{"op":"add","path":"/a/b/4","value":1}"#,
            r#"{"op":"add","path":"/a/b/-4","value":1}"#,
            r#"{"op":"add","path":"/a/b/99999999999999999999","value":1}"#,
            r#"{"op":"copy","from":"/z/z","path":"/y"}"#,
            r#"{"op":"move","from":"/z","path":"/y"}"#,
            r#"{"op":"move","path":"/y"}"#,
        ] {
            check(&format!("[{inapplicable}]"), Err(422));
        }
    }

    #[test]
    fn what_is_absent_counts_as_null() {
        let check = |patch: &str, want: Value| {
            let got = json(json!({"l": [1, 2]}), patch.as_bytes());
            assert_eq!(got.map_err(|s| s.message), Ok(want), "{patch}");
        };
        // As the library of kube adds the first finalizer.
        check(
            r#"[{"op":"test","path":"/f","value":null},{"op":"add","path":"/f","value":["x"]}]"#,
            json!({"l": [1, 2], "f": ["x"]}),
        );
        check(
            r#"[{"op":"replace","path":"/f","value":1}]"#,
            json!({"l": [1, 2], "f": 1}),
        );
        check(r#"[{"op":"add","path":"/f"}]"#, json!({"l": [1, 2], "f": null}));
        check(
            r#"[{"op":"copy","from":"/z","path":"/f"}]"#,
            json!({"l": [1, 2], "f": null}),
        );
        check(r#"[{"op":"remove","path":"/l/-1"}]"#, json!({"l": [1]}));
        check(
            r#"[{"op":"add","path":"/l/-1","value":3}]"#,
            json!({"l": [1, 2, 3]}),
        );
    }

    #[test]
    fn patches_have_limits() {
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
            .map(|i| json!({"op": "copy", "from": "/a", "path": format!("/a/k{i}")}))
            .collect();
        let status = json(json!({"a": {}}), Value::Array(doubling).to_string().as_bytes()).unwrap_err();
        assert_eq!(status.code, 422);
        assert_eq!(status.details, Some(json!({})));
    }
}
