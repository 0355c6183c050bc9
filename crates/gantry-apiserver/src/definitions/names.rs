//! Which names a definition gets: those that no other of its group has. Pure.
//!
//! Source: pkg/controller/status/naming_controller.go and pkg/controller/establish.

use crate::verbs::rfc3339;
use gantry_api::custom_resource::has_condition;
use gantry_api::kinds::set_condition;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use time::OffsetDateTime;

/// The definition with its names judged among the others; `None` when it stands as it should.
pub fn judge<'a>(definition: &Value, others: impl Iterator<Item = &'a Value>) -> Option<Value> {
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for other in others.filter(|o| o["spec"]["group"] == definition["spec"]["group"]) {
        let names = &other["status"]["acceptedNames"];
        resources.extend(["plural", "singular"].iter().filter_map(|f| names[*f].as_str()));
        resources.extend(
            names["shortNames"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str),
        );
        kinds.extend(["kind", "listKind"].iter().filter_map(|f| names[*f].as_str()));
    }
    let wanted = &definition["spec"]["names"];
    let mut accepted = match &definition["status"]["acceptedNames"] {
        Value::Object(names) => Value::Object(names.clone()),
        _ => json!({}),
    };
    let mut refused = None;
    for (field, reason, used) in [
        ("plural", "PluralConflict", &resources),
        ("singular", "SingularConflict", &resources),
        ("shortNames", "ShortNamesConflict", &resources),
        ("kind", "KindConflict", &kinds),
        ("listKind", "ListKindConflict", &kinds),
    ] {
        let own = |name: &Value| match &accepted[field] {
            Value::Array(names) => names.contains(name),
            other => other == name,
        };
        let names = match &wanted[field] {
            Value::Array(names) => names.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        let taken = names
            .iter()
            .filter(|n| !own(n) && n.as_str().is_some_and(|n| used.contains(n)));
        let taken: Vec<String> = taken.map(|name| format!("{name} is already in use")).collect();
        match taken.as_slice() {
            [] => put(&mut accepted, field, &wanted[field]),
            [one] => refused = Some((reason, one.clone())),
            many => refused = Some((reason, format!("[{}]", many.join(", ")))),
        }
    }
    put(&mut accepted, "categories", &wanted["categories"]);
    let mut judged = definition.clone();
    judged["status"]["acceptedNames"] = accepted;
    let now = rfc3339(OffsetDateTime::now_utc());
    let good = refused.is_none();
    match refused {
        None => set_condition(
            &mut judged,
            ["NamesAccepted", "True", "NoConflicts", "no conflicts found"],
            &now,
        ),
        Some((reason, message)) => {
            set_condition(&mut judged, ["NamesAccepted", "False", reason, &message], &now)
        }
    }
    // What was established once stays so.
    if !has_condition(definition, "Established") {
        let condition = match good {
            true => [
                "Established",
                "True",
                "InitialNamesAccepted",
                "the initial names have been accepted",
            ],
            false => [
                "Established",
                "False",
                "NotAccepted",
                "not all names are accepted",
            ],
        };
        set_condition(&mut judged, condition, &now);
    }
    (judged["status"] != definition["status"]).then_some(judged)
}

fn put(names: &mut Value, field: &str, value: &Value) {
    match (value, names.as_object_mut()) {
        (Value::Null, Some(names)) => {
            names.remove(field);
        }
        (value, Some(names)) => {
            names.insert(field.into(), value.clone());
        }
        (_, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(plural: &str, short: &[&str], kind: &str) -> Value {
        let names = json!({
            "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"),
            "shortNames": short,
        });
        json!({"spec": {"group": "example.com", "names": names}, "status": {}})
    }

    #[test]
    fn names_are_given_once() {
        let first = judge(&definition("foos", &["f"], "Foo"), std::iter::empty()).expect("a change");
        assert!(has_condition(&first, "Established") && has_condition(&first, "NamesAccepted"));
        assert_eq!(first["status"]["acceptedNames"], first["spec"]["names"]);
        assert_eq!(judge(&first, std::iter::empty()), None);
        let check = |other: Value, reason: &str, message: &str| {
            let judged = judge(&other, std::iter::once(&first)).expect("a change");
            let condition = &judged["status"]["conditions"][0];
            assert_eq!(
                (&condition["reason"], &condition["message"]),
                (&json!(reason), &json!(message))
            );
            assert!(!has_condition(&judged, "Established"));
        };
        check(
            definition("bars", &["f"], "Bar"),
            "ShortNamesConflict",
            "\"f\" is already in use",
        );
        check(
            definition("bars", &[], "FooList"),
            "KindConflict",
            "\"FooList\" is already in use",
        );
        check(
            definition("foo", &[], "Bar"),
            "PluralConflict",
            "\"foo\" is already in use",
        );
    }
}
