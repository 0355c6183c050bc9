//! The form upstream's JSON has: what its encoder leaves out because it is zero, and shows although it is absent.
//!
//! Upstream decodes objects into Go's structs and encodes those again, so every object it stores or answers with has
//! this form, whatever form it was sent in.

use super::{Field, Message, Type, message};
use serde_json::{Map, Value};

/// An object that nobody has said anything about yet.
pub fn empty(m: &'static Message) -> Value {
    let mut map = Map::new();
    show(m, &mut map);
    Value::Object(map)
}

/// Whether upstream leaves the field out, for what its value says is no more than its absence does.
pub(super) fn is_unseen(field: &Field, value: &Value) -> bool {
    match field.type_ {
        // Upstream's own form of "one or many" has none when there are none.
        Type::Either(_) => value.as_array().is_some_and(Vec::is_empty),
        _ => !field.optional && !field.always && is_zero(&field.type_, value),
    }
}

/// Adds the fields that upstream shows of every such object.
pub(super) fn show(m: &'static Message, map: &mut Map<String, Value>) {
    for at in m.shown() {
        let field = &m.fields[usize::from(*at)];
        if !map.contains_key(field.name) {
            map.insert(field.name.to_string(), absent(field));
        }
    }
}

/// Whether upstream shows the field of every object, be it there or not.
pub(super) fn is_shown(field: &Field) -> bool {
    // The one time that is left out when it is zero.
    field.always || !field.optional && field.name != "creationTimestamp" && has_no_zero(&field.type_)
}

/// A struct is never left out for being empty.
fn has_no_zero(type_: &Type) -> bool {
    match type_ {
        Type::Time | Type::MicroTime => true,
        Type::Message(name) => message(name).is_some(),
        _ => false,
    }
}

/// What stands for a null in a list or map, whose items cannot be left out.
pub(super) fn zero(type_: &Type) -> Value {
    match type_ {
        Type::String => "".into(),
        Type::Int32 | Type::Int64 | Type::IntOrString => 0.into(),
        Type::Double => 0.0.into(),
        Type::Bool => false.into(),
        Type::Quantity => "0".into(),
        Type::Message(_) => Value::Object(Map::new()),
        Type::Bytes
        | Type::Time
        | Type::MicroTime
        | Type::Any
        | Type::Either(_)
        | Type::List(_)
        | Type::Map(_) => Value::Null,
    }
}

/// What is shown of a field that is absent.
fn absent(field: &Field) -> Value {
    if field.optional {
        return Value::Null;
    }
    let mut value = zero(&field.type_);
    if let (Type::Message(name), Value::Object(map)) = (&field.type_, &mut value)
        && let Some(m) = message(name)
    {
        show(m, map);
    }
    value
}

fn is_zero(type_: &Type, value: &Value) -> bool {
    match type_ {
        Type::String | Type::Bytes => value.as_str() == Some(""),
        Type::Int32 | Type::Int64 | Type::Double => value.as_f64() == Some(0.0),
        Type::Bool => *value == Value::Bool(false),
        Type::List(_) => value.as_array().is_some_and(Vec::is_empty),
        Type::Map(_) => value.as_object().is_some_and(Map::is_empty),
        Type::Quantity
        | Type::IntOrString
        | Type::Time
        | Type::MicroTime
        | Type::Any
        | Type::Either(_)
        | Type::Message(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check, message_for};
    use serde_json::{Value, json};

    #[test]
    fn objects_have_upstreams_form() {
        let check = |group: &str, kind: &str, mut object: Value, expected: Value| {
            let m = message_for(group, "v1", kind).unwrap();
            check(m, &mut object).unwrap();
            assert_eq!(object, expected, "{kind}");
        };
        check(
            "",
            "ConfigMap",
            json!({"metadata": {"labels": {}, "annotations": {"a": null}}, "immutable": false, "data": {}}),
            json!({"metadata": {"annotations": {"a": ""}}, "immutable": false}),
        );
        check(
            "scheduling.k8s.io",
            "PriorityClass",
            json!({"globalDefault": false, "description": ""}),
            json!({"metadata": {}, "value": 0}),
        );
        check(
            "rbac.authorization.k8s.io",
            "Role",
            json!({"rules": [null]}),
            json!({"metadata": {}, "rules": [{"verbs": null}]}),
        );
        check(
            "",
            "Pod",
            json!({"spec": {"containers": [{"name": "c", "stdin": false, "args": []}]},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
            json!({"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {}}]},
                "status": {"conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null,
                    "lastTransitionTime": null}]}}),
        );
    }
}
