//! Defaults, and nulls where none may be. Source: pkg/apiserver/schema/defaulting.

use super::{Additional, Structural};
use serde_json::Value;

/// Drops nulls that the schema neither allows nor has a default for.
pub fn drop_nulls(schema: &Structural, value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|key, v| match schema.child(key) {
            Some(field) if v.is_null() => field.nullable || field.default.is_some(),
            Some(field) => {
                drop_nulls(field, v);
                true
            }
            None => true,
        }),
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                items.iter_mut().for_each(|item| drop_nulls(schema, item));
            }
        }
        _ => {}
    }
}

/// Fills in what is absent, or null where null is no value.
pub fn default(schema: &Structural, value: &mut Value) {
    let of_null = |schema: &Structural, v: &mut Value| {
        if v.is_null() && !schema.nullable {
            *v = schema.default.clone().unwrap_or(Value::Null);
        }
    };
    match value {
        Value::Object(map) => {
            for (name, field) in &schema.properties {
                let Some(default) = &field.default else { continue };
                let absent = |v: &Value| v.is_null() && !field.nullable;
                if map.get(name.as_str()).is_none_or(absent) {
                    map.insert(name.to_string(), default.clone());
                }
            }
            for (key, v) in map {
                match (schema.properties.get(key.as_str()), &schema.additional) {
                    (Some(field), _) => self::default(field, v),
                    (None, Additional::Like(field)) => {
                        of_null(field, v);
                        self::default(field, v);
                    }
                    _ => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                for item in items {
                    of_null(schema, item);
                    self::default(schema, item);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn absent_values() {
        let check = |schema: Value, value: Value, after: Value| {
            let schema = Structural::of(&schema);
            let mut filled = value.clone();
            drop_nulls(&schema, &mut filled);
            default(&schema, &mut filled);
            assert_eq!(filled, after, "{value}");
        };
        let properties = |p: Value| json!({"type": "object", "properties": p});
        let a = json!({"type": "string", "default": "A"});
        check(properties(json!({"a": a})), json!({}), json!({"a": "A"}));
        check(properties(json!({"a": a})), json!({"a": null}), json!({"a": "A"}));
        check(properties(json!({"a": a})), json!({"a": "x"}), json!({"a": "x"}));
        let b = json!({"type": "string", "nullable": true, "default": "B"});
        check(
            properties(json!({"b": b})),
            json!({"b": null}),
            json!({"b": null}),
        );
        check(
            properties(json!({"c": {"type": "string"}})),
            json!({"c": null}),
            json!({}),
        );
        // Within a default more is filled in; within what is absent nothing is.
        let mut d = properties(json!({"a": a}));
        check(properties(json!({"d": d})), json!({}), json!({}));
        d["default"] = json!({});
        check(properties(json!({"d": d})), json!({}), json!({"d": {"a": "A"}}));
        let list = json!({"type": "array", "items": properties(json!({"a": a}))});
        check(list, json!([{}, {"a": "x"}]), json!([{"a": "A"}, {"a": "x"}]));
        let map = json!({"type": "object", "additionalProperties": properties(json!({"a": a}))});
        check(map, json!({"k": {}, "n": null}), json!({"k": {"a": "A"}}));
    }
}
