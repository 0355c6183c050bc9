//! What is not declared is dropped. Source: pkg/apiserver/schema/pruning/algorithm.go.

use super::{Additional, Structural, is_meta};
use serde_json::Value;

/// Drops from a value what its schema does not declare; returns the paths of what went, in order. `None` declares
/// nothing.
pub fn prune(schema: Option<&Structural>, value: &mut Value) -> Vec<String> {
    let mut gone = Vec::new();
    one(schema, value, "", &mut gone);
    gone.sort();
    gone
}

fn one(schema: Option<&Structural>, value: &mut Value, path: &str, gone: &mut Vec<String>) {
    if let Some(schema) = schema.filter(|s| s.preserve) {
        return declared_only(schema, value, path, gone);
    }
    match value {
        Value::Object(map) => map.retain(|key, v| {
            if schema.is_some_and(|s| s.embedded) && is_meta(key) {
                return true;
            }
            let at = || join(path, key);
            match schema.map(|s| (s.properties.get(key.as_str()), &s.additional)) {
                Some((Some(field), _)) => one(Some(field), v, &at(), gone),
                Some((None, Additional::Like(field))) => one(Some(field), v, &at(), gone),
                // Any value is let in, but what is within it is declared nowhere.
                Some((None, Additional::Any | Additional::Forbidden)) => one(None, v, &at(), gone),
                _ => {
                    gone.push(at());
                    return false;
                }
            }
            true
        }),
        Value::Array(items) => {
            let schema = schema.and_then(|s| s.items.as_deref());
            for (i, item) in items.iter_mut().enumerate() {
                one(schema, item, &format!("{path}[{i}]"), gone);
            }
        }
        _ => {}
    }
}

/// Keeps what is not declared, and goes on below what is.
fn declared_only(schema: &Structural, value: &mut Value, path: &str, gone: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, v) in map {
                if schema.embedded && is_meta(key) {
                    continue;
                }
                match (schema.properties.get(key.as_str()), &schema.additional) {
                    (Some(field), _) => one(Some(field), v, &join(path, key), gone),
                    (None, Additional::Like(field)) => one(Some(field), v, &join(path, key), gone),
                    (None, Additional::Any | Additional::Forbidden) => one(None, v, &join(path, key), gone),
                    (None, Additional::Unsaid) => {}
                }
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                if let Some(schema) = &schema.items {
                    declared_only(schema, item, &format!("{path}[{i}]"), gone);
                }
            }
        }
        _ => {}
    }
}

fn join(path: &str, key: &str) -> String {
    match path {
        "" => key.to_string(),
        _ => format!("{path}.{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_declared_goes() {
        let check = |schema: Value, value: Value, after: Value, gone: &[&str]| {
            let mut pruned = value.clone();
            assert_eq!(
                prune(Some(&Structural::root(&schema)), &mut pruned),
                gone,
                "{value}"
            );
            assert_eq!(pruned, after, "{schema}");
        };
        let object = |properties: Value| json!({"type": "object", "properties": properties});
        let a = object(json!({"a": {"type": "string"}}));
        check(
            object(json!({"spec": a})),
            json!({"kind": "K", "metadata": {"x": 1}, "spec": {"a": "1", "b": 2}, "c": 1}),
            json!({"kind": "K", "metadata": {"x": 1}, "spec": {"a": "1"}}),
            &["c", "spec.b"],
        );
        check(
            object(
                json!({"l": {"type": "array", "items": a}, "m": {"type": "object", "additionalProperties": a}}),
            ),
            json!({"l": [{"b": 1}, {"a": 1}], "m": {"x": {"a": 1, "y": 2}}}),
            json!({"l": [{}, {"a": 1}], "m": {"x": {"a": 1}}}),
            &["l[0].b", "m.x.y"],
        );
        let mut open = a.clone();
        open["x-kubernetes-preserve-unknown-fields"] = true.into();
        open["properties"]["in"] = a.clone();
        check(
            object(json!({"o": open, "p": {"x-kubernetes-preserve-unknown-fields": true}})),
            json!({"o": {"z": {"y": 1}, "in": {"b": 1}}, "p": [{"q": 1}]}),
            json!({"o": {"z": {"y": 1}, "in": {}}, "p": [{"q": 1}]}),
            &["o.in.b"],
        );
        let embedded =
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"s": a}});
        check(
            object(json!({"e": embedded})),
            json!({"e": {"apiVersion": "v1", "kind": "P", "metadata": {}, "t": 1}}),
            json!({"e": {"apiVersion": "v1", "kind": "P", "metadata": {}}}),
            &["e.t"],
        );
    }
}
