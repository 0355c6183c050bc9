//! What rules say of values.

use super::*;
use serde_json::json;

/// Runs the rules of a schema for a field `x` under `spec`.
fn check(field: Value, value: Value, old: Option<Value>, expected: &[&str]) {
    let schema =
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": field}}}});
    let of = |value: &Value| json!({"spec": {"x": value}});
    let rules = Rules::of(&schema, true).unwrap();
    let structural = Structural::root(&schema);
    let (new, before) = (of(&value), old.as_ref().map(of));
    let found = rules.check(&structural, &new, before.as_ref());
    let found: Vec<String> = found
        .iter()
        .map(|error| match error.is_excused() {
            true => format!("(excused) {error}"),
            false => error.to_string(),
        })
        .collect();
    assert_eq!(found, expected, "{field} {value} {old:?}");
}

fn with(type_: &str, rule: Value) -> Value {
    json!({"type": type_, "x-kubernetes-validations": [rule]})
}

#[test]
fn values() {
    let small = with("integer", json!({"rule": "self < 10"}));
    check(small.clone(), json!(9), None, &[]);
    check(
        small,
        json!(10),
        None,
        &["spec.x: Invalid value: 10: failed rule: self < 10"],
    );
    let said = with(
        "integer",
        json!({"rule": "self < 10", "message": " too large ", "reason": "FieldValueForbidden"}),
    );
    check(said, json!(10), None, &["spec.x: Forbidden: too large"]);
    let made = |expression: &str| {
        with(
            "integer",
            json!({"rule": "self > 5", "message": "own", "messageExpression": expression}),
        )
    };
    check(
        made("'it is ' + string(self)"),
        json!(1),
        None,
        &["spec.x: Invalid value: 1: it is 1"],
    );
    // What says nothing, or fails, is not said.
    check(made("''"), json!(1), None, &["spec.x: Invalid value: 1: own"]);
    check(
        made("string(1 / self)"),
        json!(0),
        None,
        &["spec.x: Invalid value: 0: own"],
    );
    let mut object = with(
        "object",
        json!({"rule": "self.a < self.b", "fieldPath": ".a", "reason": "FieldValueDuplicate"}),
    );
    object["properties"] = json!({"a": {"type": "integer"}, "b": {"type": "integer"}});
    check(object.clone(), json!({"a": 1, "b": 2}), None, &[]);
    check(
        object.clone(),
        json!({"a": 2, "b": 1}),
        None,
        &["spec.x.a: Duplicate value"],
    );
    check(
        object,
        json!({"a": 2}),
        None,
        &["spec.x: Invalid value: \"object\": no such key: b evaluating rule: self.a < self.b"],
    );
    let mut map = with("object", json!({"rule": "self.size() < 3"}));
    map["additionalProperties"] = with("string", json!({"rule": "self != 'no'"}));
    check(map.clone(), json!({"a": "yes"}), None, &[]);
    check(
        map,
        json!({"a": "no", "b": "", "c": ""}),
        None,
        &[
            "spec.x: Invalid value: failed rule: self.size() < 3",
            "spec.x[a]: Invalid value: \"no\": failed rule: self != 'no'",
        ],
    );
    let list = json!({"type": "array", "items": with("integer", json!({"rule": "self > 0"}))});
    check(
        list,
        json!([1, 0]),
        None,
        &["spec.x[1]: Invalid value: 0: failed rule: self > 0"],
    );
    let mut null = with("integer", json!({"rule": "self > 0"}));
    null["nullable"] = true.into();
    check(null, Value::Null, None, &[]);
}

#[test]
fn transitions() {
    let fixed = with("string", json!({"rule": "self == oldSelf", "message": "fixed"}));
    check(fixed.clone(), json!("a"), None, &[]);
    check(fixed.clone(), json!("a"), Some(json!("a")), &[]);
    check(
        fixed.clone(),
        json!("b"),
        Some(json!("a")),
        &["spec.x: Invalid value: \"b\": fixed"],
    );
    let rule = json!({"rule": "!oldSelf.hasValue() || oldSelf.value() <= self", "optionalOldSelf": true, "message": "less"});
    check(with("integer", rule.clone()), json!(1), None, &[]);
    check(
        with("integer", rule),
        json!(1),
        Some(json!(2)),
        &["spec.x: Invalid value: 1: less"],
    );
    // Items of a map are found by their keys, those of other lists not at all.
    let item = json!({
        "type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "less"}],
    });
    let list = json!({
        "type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
    });
    let old = json!([{"k": "a", "v": 1}, {"k": "b", "v": 5}]);
    check(
        list.clone(),
        json!([{"k": "b", "v": 6}, {"k": "c", "v": 0}]),
        Some(old.clone()),
        &[],
    );
    check(
        list,
        json!([{"k": "b", "v": 4}]),
        Some(old),
        &["spec.x[0]: Invalid value: less"],
    );
}

#[test]
fn what_an_update_leaves_is_excused() {
    let small = with("integer", json!({"rule": "self < 10", "message": "large"}));
    check(
        small.clone(),
        json!(11),
        Some(json!(11)),
        &["(excused) spec.x: Invalid value: 11: large"],
    );
    check(
        small,
        json!(12),
        Some(json!(11)),
        &["spec.x: Invalid value: 12: large"],
    );
    // An item of a list that is no map goes with its list.
    let list =
        json!({"type": "array", "items": with("integer", json!({"rule": "self < 10", "message": "large"}))});
    check(
        list.clone(),
        json!([11]),
        Some(json!([11])),
        &["(excused) spec.x[0]: Invalid value: 11: large"],
    );
    check(
        list,
        json!([11, 1]),
        Some(json!([11])),
        &["spec.x[0]: Invalid value: 11: large"],
    );
}

#[test]
fn budgets() {
    let rules = ["self.all(x, self.all(y, x == y))"; 60];
    let rules: Vec<Value> = rules.iter().map(|rule| json!({"rule": rule})).collect();
    let list = json!({"type": "array", "items": {"type": "integer"}, "x-kubernetes-validations": rules});
    let long: Vec<i32> = vec![1; 200];
    check(
        list.clone(),
        json!(long),
        None,
        &[
            "spec.x: Invalid value: \"array\": validation failed due to running out of cost budget, no further validation \
           rules will be run",
        ],
    );
    let longer: Vec<i32> = vec![1; 2000];
    check(
        list,
        json!(longer),
        None,
        &[
            "spec.x: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules \
           will be run due to call cost exceeds limit for rule: self.all(x, self.all(y, x == y))",
        ],
    );
}

#[test]
fn schemas_without_rules_have_none() {
    let schema = json!({"type": "object", "properties": {"x": {"type": "integer"}}});
    assert!(Rules::of(&schema, true).is_none());
}
