//! JSON, merge and strategic-merge patches over trees.

use crate::schema::{self, Field, Message, Type};
use crate::status::Status;
use serde_json::{Map, Value};

const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

/// Applies a JSON patch (RFC 6902); on failure the target is as it was.
///
/// # Errors
///
/// 400 when the patch cannot be read, 422 when it cannot be applied.
pub fn json(target: &mut Value, patch: &[u8]) -> Result<(), Status> {
    let patch: json_patch::Patch = serde_json::from_slice(patch)
        .map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
    json_patch::patch(target, &patch).map_err(|e| Status::new(422, "Invalid", e.to_string()))
}

/// Applies a merge patch (RFC 7386).
pub fn merge(target: &mut Value, patch: &Value) {
    json_patch::merge(target, patch);
}

/// Applies a strategic merge patch; lists merge by the keys that the schema gives. On failure the target may be
/// half-patched.
///
/// # Errors
///
/// 400 for a malformed directive or a list item without its merge key.
pub fn strategic(target: &mut Value, patch: &Value, message: &'static Message) -> Result<(), Status> {
    let Some(patch) = patch.as_object() else {
        return Err(Status::bad_request("patch must be an object"));
    };
    object(target, patch, Some(message), None)
}

/// `values` is the type of a map's values, where the object is a map and no message.
fn object(
    target: &mut Value,
    patch: &Map<String, Value>,
    message: Option<&'static Message>,
    values: Option<&Type>,
) -> Result<(), Status> {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(map) = target.as_object_mut() else {
        return Ok(());
    };
    match patch.get("$patch").map(|d| d.as_str().unwrap_or_default()) {
        Some("replace") => {
            *map = patch.clone();
            map.remove("$patch");
            return Ok(());
        }
        Some("delete") => {
            map.clear();
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => return Err(Status::bad_request(format!("unknown patch type: {other}"))),
    }
    if let Some(keep) = patch.get("$retainKeys") {
        let keep = keep
            .as_array()
            .ok_or_else(|| Status::bad_request("$retainKeys must be a list"))?;
        let kept = |k: &str| keep.iter().any(|v| v.as_str() == Some(k));
        if patch
            .iter()
            .any(|(k, v)| !k.starts_with('$') && !v.is_null() && !kept(k))
        {
            return Err(Status::bad_request(
                "invalid retainKeys: patch has keys that are not retained",
            ));
        }
        map.retain(|k, _| kept(k));
    }
    for (key, value) in patch {
        if let Some(name) = key.strip_prefix(DELETE)
            && let (Some(list), Some(gone)) =
                (map.get_mut(name).and_then(Value::as_array_mut), value.as_array())
        {
            list.retain(|v| !gone.contains(v));
        }
    }
    for (key, value) in patch.iter().filter(|(k, _)| !k.starts_with('$')) {
        if value.is_null() {
            map.remove(key);
            continue;
        }
        let field = message.and_then(|m| m.field(key));
        let has = |strategy| field.is_some_and(|f| f.patch_strategy.contains(&strategy));
        let type_ = field.map(|f| &f.type_).or(values);
        match value {
            Value::Object(inner) if !has("replace") => {
                let (message, values) = match type_ {
                    Some(Type::Message(name)) => (schema::message(name), None),
                    Some(Type::Map(item)) => (None, Some(&**item)),
                    _ => (None, None),
                };
                object(
                    map.entry(key.clone()).or_insert(Value::Null),
                    inner,
                    message,
                    values,
                )?;
            }
            Value::Array(items) if has("merge") => {
                let old = map
                    .get(key)
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default();
                if let Some(field) = field {
                    map.insert(key.clone(), Value::Array(list(old, items, field)?));
                }
            }
            _ => {
                map.insert(key.clone(), value.clone());
            }
        }
    }
    for (key, value) in patch {
        if let Some(name) = key.strip_prefix(ORDER) {
            let wanted = value
                .as_array()
                .ok_or_else(|| Status::bad_request(format!("{key} must be a list")))?;
            let merge_key = message.and_then(|m| m.field(name)).map_or("", |f| f.merge_key);
            if let Some(list) = map.get_mut(name).and_then(Value::as_array_mut) {
                let server = list.clone();
                *list = ordered(std::mem::take(list), wanted, &server, merge_key);
            }
        }
    }
    Ok(())
}

/// Merges a list by its merge key, or a list of plain values as a set.
fn list(old: Vec<Value>, patch: &[Value], field: &Field) -> Result<Vec<Value>, Status> {
    let key = field.merge_key;
    let server = old.clone();
    let mut merged = old;
    if key.is_empty() {
        for item in patch {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return Ok(ordered(merged, patch, &server, key));
    }
    let plain: Vec<Value> = patch
        .iter()
        .filter(|i| i.get("$patch").is_none_or(|d| d == "merge"))
        .cloned()
        .collect();
    if patch
        .iter()
        .any(|i| i.get("$patch").is_some_and(|d| d == "replace"))
    {
        return Ok(plain);
    }
    let message = match &field.type_ {
        Type::List(item) => match &**item {
            Type::Message(name) => schema::message(name),
            _ => None,
        },
        _ => None,
    };
    for item in patch {
        let Some(inner) = item.as_object().filter(|i| i.contains_key(key)) else {
            return Err(Status::bad_request(format!(
                "map: {item} does not contain declared merge key: {key}"
            )));
        };
        if item.get("$patch").is_some_and(|d| d == "delete") {
            merged.retain(|v| !same(v, item, key));
        } else if let Some(found) = merged.iter_mut().find(|v| same(v, item, key)) {
            object(found, inner, message, None)?;
        } else {
            let mut new = Value::Null;
            object(&mut new, inner, message, None)?;
            merged.push(new);
        }
    }
    Ok(ordered(merged, &plain, &server, key))
}

fn same(a: &Value, b: &Value, key: &str) -> bool {
    if key.is_empty() {
        a == b
    } else {
        a.get(key).is_some() && a.get(key) == b.get(key)
    }
}

/// Upstream's normalizeElementOrder: wanted items in their order, the others where the server had them.
fn ordered(items: Vec<Value>, wanted: &[Value], server: &[Value], key: &str) -> Vec<Value> {
    let index = |list: &[Value], v: &Value| list.iter().position(|o| same(o, v, key));
    let (mut named, others): (Vec<_>, Vec<_>) = items.into_iter().partition(|v| index(wanted, v).is_some());
    named.sort_by_key(|v| index(wanted, v));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut out = Vec::new();
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (Some(o), Some(n)) => match (index(server, o), index(server, n)) {
                (Some(o), Some(n)) => o < n,
                _ => false,
            },
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return out,
        };
        out.extend(if other_first { others.next() } else { named.next() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strategic_directives() {
        let m = schema::message_for("", "v1", "Pod").unwrap();
        let ab = json!([{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]);
        let cases = [
            (
                json!([{"name": "b", "image": "3"}]),
                json!([{"name": "a", "image": "1"}, {"name": "b", "image": "3"}]),
            ),
            (
                json!([{"name": "a", "$patch": "delete"}]),
                json!([{"name": "b", "image": "2"}]),
            ),
            (
                json!([{"$patch": "replace"}, {"name": "c"}]),
                json!([{"name": "c"}]),
            ),
        ];
        for (patch, want) in cases {
            let mut v = json!({"spec": {"containers": ab}});
            strategic(&mut v, &json!({"spec": {"containers": patch}}), m).unwrap();
            assert_eq!(v["spec"]["containers"], want);
        }
        let mut v = json!({"metadata": {"finalizers": ["a", "b"]}, "spec": {"containers": ab}});
        let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]},
            "spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}});
        strategic(&mut v, &patch, m).unwrap();
        assert_eq!(v["metadata"]["finalizers"], json!(["b"]));
        assert_eq!(v["spec"]["containers"][0]["name"], "b");
    }

    #[test]
    fn json_errors() {
        assert_eq!(json(&mut json!({}), b"{").unwrap_err().code, 400);
        assert_eq!(
            json(&mut json!({}), br#"[{"op":"remove","path":"/a"}]"#)
                .unwrap_err()
                .code,
            422
        );
    }
}
