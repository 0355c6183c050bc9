//! What is not declared is dropped. Source: pkg/apiserver/schema/pruning/algorithm.go.

use super::{Additional, Structural, is_meta};
use crate::json::MOST;
use serde_json::Value;
use std::fmt::Write;

/// So many bytes of paths are told: a body may have many fields at the end of a long path.
const MOST_TEXT: usize = 1 << 20;

/// Drops from a value what its schema does not declare; returns the paths of what went, in order, or the first of them
/// if they are many. `None` declares nothing.
pub fn prune(schema: Option<&Structural>, value: &mut Value) -> Vec<String> {
    let mut pruning = Pruning::default();
    pruning.one(schema, value);
    pruning.gone.sort();
    pruning.gone
}

/// Where pruning is, and what went so far.
#[derive(Default)]
struct Pruning {
    path: String,
    gone: Vec<String>,
    text: usize,
}

impl Pruning {
    fn one(&mut self, schema: Option<&Structural>, value: &mut Value) {
        if let Some(schema) = schema.filter(|s| s.preserve) {
            return self.declared_only(schema, value);
        }
        match value {
            Value::Object(map) => map.retain(|key, v| {
                if schema.is_some_and(|s| s.embedded) && is_meta(key) {
                    return true;
                }
                let declared = match schema.map(|s| (s.properties.get(key.as_str()), &s.additional)) {
                    Some((Some(field), _)) => Some(field),
                    Some((None, Additional::Like(field))) => Some(&**field),
                    // Any value is let in, but what is within it is declared nowhere.
                    Some((None, Additional::Any | Additional::Forbidden)) => None,
                    _ => {
                        self.tell(key);
                        return false;
                    }
                };
                self.below_field(key, |pruning| pruning.one(declared, v));
                true
            }),
            Value::Array(items) => {
                let schema = schema.and_then(|s| s.items.as_deref());
                for (i, item) in items.iter_mut().enumerate() {
                    self.below_item(i, |pruning| pruning.one(schema, item));
                }
            }
            _ => {}
        }
    }

    /// Keeps what is not declared, and goes on below what is.
    fn declared_only(&mut self, schema: &Structural, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (key, v) in map {
                    if schema.embedded && is_meta(key) {
                        continue;
                    }
                    let declared = match (schema.properties.get(key.as_str()), &schema.additional) {
                        (Some(field), _) => Some(field),
                        (None, Additional::Like(field)) => Some(&**field),
                        (None, Additional::Any | Additional::Forbidden) => None,
                        (None, Additional::Unsaid) => continue,
                    };
                    self.below_field(key, |pruning| pruning.one(declared, v));
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &schema.items {
                    for (i, item) in items.iter_mut().enumerate() {
                        self.below_item(i, |pruning| pruning.declared_only(schema, item));
                    }
                }
            }
            _ => {}
        }
    }

    /// One path serves for all, as it may be long and what is at its end much.
    fn below_field(&mut self, key: &str, prune: impl FnOnce(&mut Self)) {
        let above = self.extend(key);
        prune(self);
        self.path.truncate(above);
    }

    fn below_item(&mut self, index: usize, prune: impl FnOnce(&mut Self)) {
        let above = self.path.len();
        // Writing to a text cannot fail.
        let _ = write!(self.path, "[{index}]");
        prune(self);
        self.path.truncate(above);
    }

    fn extend(&mut self, key: &str) -> usize {
        let above = self.path.len();
        if above > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        above
    }

    /// A field went.
    fn tell(&mut self, key: &str) {
        if self.gone.len() < MOST && self.text < MOST_TEXT {
            let above = self.extend(key);
            self.text += self.path.len();
            self.gone.push(self.path.clone());
            self.path.truncate(above);
        }
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

    /// Each field at the end of a long path costs no copy of the path, and only some are told.
    #[test]
    fn many_fields_at_the_end_of_a_long_path() {
        const FIELDS: usize = 100_000;
        let check = |long: usize, list: bool, told: usize| {
            let maps = json!({"type": "object", "additionalProperties": {"type": "object"}});
            let lists = json!({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "object"}}});
            let below: Value = match list {
                true => (0..FIELDS).map(|_| json!({"x": 1})).collect(),
                false => (0..FIELDS)
                    .map(|i| (i.to_string(), json!(1)))
                    .collect::<serde_json::Map<_, _>>()
                    .into(),
            };
            let mut value = json!({"a".repeat(long): below});
            let schema = Structural::root(if list { &lists } else { &maps });
            let gone = prune(Some(&schema), &mut value);
            assert_eq!(gone.len(), told, "{long} {list}");
            assert!(gone.iter().map(String::len).sum::<usize>() < (1 << 20) + long + 16);
            let rest = value.as_object().unwrap().values().next().unwrap();
            match rest {
                Value::Array(items) => assert!(items.iter().all(|item| *item == json!({}))),
                rest => assert_eq!(*rest, json!({})),
            }
        };
        check(1, false, 100);
        check(1, true, 100);
        check(1 << 20, false, 1);
        check(1 << 20, true, 1);
    }
}
