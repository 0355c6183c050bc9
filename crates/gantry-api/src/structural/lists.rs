//! Lists that are sets or maps hold nothing twice. Source: pkg/apiserver/schema/listtype/validation.go.

use super::Structural;
use crate::field::Error;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Checks all lists in an object.
pub fn validate(schema: &Structural, object: &Value) -> Vec<Error> {
    let mut errors = Vec::new();
    one(schema, object, "", &mut errors);
    errors
}

fn one(schema: &Structural, value: &Value, path: &str, errors: &mut Vec<Error>) {
    match value {
        Value::Object(map) => {
            for (key, v) in map {
                let declared = schema.properties.contains_key(key.as_str());
                if let Some(field) = schema.child(key) {
                    let at = match (declared, path) {
                        (true, "") => key.clone(),
                        (true, path) => format!("{path}.{key}"),
                        (false, path) => format!("{path}[{key}]"),
                    };
                    one(field, v, &at, errors);
                }
            }
        }
        Value::Array(items) => {
            match schema.list_type.as_str() {
                "set" => twice(items.iter().cloned(), path, errors),
                "map" => keys(schema, items, path, errors),
                _ => {}
            }
            if let Some(schema) = &schema.items {
                for (i, item) in items.iter().enumerate() {
                    one(schema, item, &format!("{path}[{i}]"), errors);
                }
            }
        }
        _ => {}
    }
}

fn keys(schema: &Structural, items: &[Value], path: &str, errors: &mut Vec<Error>) {
    if let Some(i) = items.iter().position(|i| !i.is_object() && !i.is_null()) {
        let detail = "must be an object for an array of list-type map";
        errors.push(Error::invalid(format!("{path}[{i}]"), items[i].clone(), detail));
        return;
    }
    let keys = items.iter().map(|item| {
        let own = |key: &smol_str::SmolStr| Some((key.to_string(), item.get(key.as_str())?.clone()));
        Value::Object(schema.list_map_keys.iter().filter_map(own).collect::<Map<_, _>>())
    });
    twice(keys, path, errors);
}

/// Notes the second of values that are the same; further ones are not worth a word of their own.
fn twice(values: impl Iterator<Item = Value>, path: &str, errors: &mut Vec<Error>) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (i, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            errors.push(Error::duplicate(format!("{path}[{i}]"), value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_is_there_twice() {
        let check = |list: Value, value: Value, expected: &[&str]| {
            let schema = Structural::of(&json!({"properties": {"l": list}}));
            let errors = validate(&schema, &json!({"l": value}));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{value}");
        };
        let set = json!({"type": "array", "x-kubernetes-list-type": "set"});
        check(set.clone(), json!(["a", "b"]), &[]);
        check(
            set,
            json!(["a", "b", "a", "a"]),
            &[r#"l[2]: Duplicate value: "a""#],
        );
        let map = |keys: Value| json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys});
        check(
            map(json!(["n"])),
            json!([{"n": 1, "x": 1}, {"n": 2}, {"n": 1}]),
            &[r#"l[2]: Duplicate value: {"n":1}"#],
        );
        check(
            map(json!(["n", "m"])),
            json!([{"n": 1, "m": 1}, {"n": 1, "m": 2}]),
            &[],
        );
        check(map(json!(["n"])), json!([{}, {}]), &["l[1]: Duplicate value: {}"]);
        check(
            map(json!(["n"])),
            json!(["x"]),
            &[r#"l[0]: Invalid value: "x": must be an object for an array of list-type map"#],
        );
    }
}
