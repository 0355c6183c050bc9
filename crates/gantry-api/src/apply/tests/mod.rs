//! Sequences of writes, and who owns what after them. Most are upstream's own cases, from
//! structured-merge-diff's merge tests and apimachinery's managedfields tests.

mod properties;
mod updates;

use super::*;
use crate::schema::{Schema, message_for};
use Step::{Apply, Conflicts, Force, Update};

/// One write. Each runs one second after the one before.
enum Step {
    /// An apply that succeeds.
    Apply(&'static str, Value),
    /// An apply that takes what it sets.
    Force(&'static str, Value),
    /// An apply that fails with this message.
    Conflicts(&'static str, Value, &'static str),
    /// An update to the whole of this object.
    Update(&'static str, Value),
}

struct Case {
    what: &'static str,
    steps: Vec<Step>,
    /// The object afterwards, without managedFields; apiVersion, kind and name are added.
    object: Value,
    /// Manager, the second it last changed something, and its paths.
    owners: Vec<(&'static str, Option<u32>, &'static [&'static str])>,
}

fn whole(kind: &str, api: &str, part: &Value) -> Value {
    let mut object = part.clone();
    object["apiVersion"] = api.into();
    object["kind"] = kind.into();
    object["metadata"]["name"] = "x".into();
    object
}

fn now(second: usize) -> String {
    format!("2026-01-01T00:00:{second:02}Z")
}

fn writer<'a>(api: &'a str, kind: &'a str, manager: &'a str, now: &'a str) -> Writer<'a> {
    let (group, version) = api.split_once('/').unwrap_or(("", api));
    Writer {
        schema: message_for(group, version, kind).map(Schema::Table),
        api_version: api,
        kind,
        subresource: "",
        manager,
        now,
        reset: Reset::Status,
        others: &[],
    }
}

fn set_managed(object: &mut Value, list: Option<Value>) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        metadata.extend(list.map(|list| ("managedFields".to_string(), list)));
    }
}

fn owners_of(object: &Value) -> Vec<(String, Option<u32>, Vec<String>)> {
    let mut owners: Vec<_> = managed::decode(Shape::Deduced, &object["metadata"]["managedFields"])
        .unwrap()
        .into_iter()
        .map(|(manager, owned)| {
            let second = owned.time.map(|t| t[17..19].parse().unwrap());
            let mut paths: Vec<String> = owned.fields.paths().iter().map(|p| path_text(p)).collect();
            paths.sort();
            (manager.name, second, paths)
        })
        .collect();
    owners.sort();
    owners
}

fn check(api: &str, kind: &str, cases: Vec<Case>) {
    for case in cases {
        let mut live: Option<Value> = None;
        for (i, step) in case.steps.iter().enumerate() {
            let now = now(i);
            let (manager, part) = match step {
                Apply(m, o) | Force(m, o) | Conflicts(m, o, _) | Update(m, o) => (m, o),
            };
            let writer = writer(api, kind, manager, &now);
            let object = whole(kind, api, part);
            let at = format!("{}, step {i}", case.what);
            match step {
                Update(..) => {
                    let mut new = object;
                    if let Some(old) = &live {
                        new["metadata"]["uid"] = old["metadata"]["uid"].clone();
                    }
                    let list = writer.update(live.as_ref(), &new);
                    set_managed(&mut new, list);
                    live = Some(new);
                }
                Conflicts(_, _, message) => {
                    let error = writer.apply(live.as_ref(), &object, false).unwrap_err();
                    assert_eq!(error.to_string(), *message, "{at}");
                }
                Apply(..) | Force(..) => {
                    let force = matches!(step, Force(..));
                    let new = writer.apply(live.as_ref(), &object, force);
                    let new = new.unwrap_or_else(|e| panic!("{at}: {e}"));
                    let again = writer.apply(Some(&new), &object, false);
                    assert_eq!(again.as_ref(), Ok(&new), "{at}: applying twice");
                    live = Some(new);
                }
            }
        }
        let mut object = live.unwrap();
        let owners: Vec<_> = owners_of(&object);
        let mut wanted: Vec<_> = case
            .owners
            .iter()
            .map(|(m, s, paths)| {
                let mut paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
                paths.sort();
                (m.to_string(), *s, paths)
            })
            .collect();
        wanted.sort();
        assert_eq!(owners, wanted, "{}", case.what);
        set_managed(&mut object, None);
        object["metadata"].as_object_mut().unwrap().remove("uid");
        assert_eq!(object, whole(kind, api, &case.object), "{}", case.what);
    }
}

#[test]
fn config_maps() {
    let data = |pairs: Value| json!({"data": pairs});
    check(
        "v1",
        "ConfigMap",
        vec![
            Case {
                what: "apply creates, and owns no more than it sets",
                steps: vec![Apply("one", data(json!({"a": "1"})))],
                object: data(json!({"a": "1"})),
                owners: vec![("one", Some(0), &[".data.a"])],
            },
            Case {
                what: "what is no longer applied goes",
                steps: vec![
                    Apply("one", data(json!({"a": "1", "b": "2"}))),
                    Apply("one", data(json!({"b": "2"}))),
                ],
                object: data(json!({"b": "2"})),
                owners: vec![("one", Some(1), &[".data.b"])],
            },
            Case {
                what: "the last field leaves an empty map",
                steps: vec![Apply("one", data(json!({"a": "1"}))), Apply("one", json!({}))],
                object: json!({}),
                owners: vec![],
            },
            Case {
                what: "the same value is shared, without a time for who changed nothing",
                steps: vec![
                    Apply("one", data(json!({"a": "1"}))),
                    Apply("two", data(json!({"a": "1"}))),
                ],
                object: data(json!({"a": "1"})),
                owners: vec![("one", Some(0), &[".data.a"]), ("two", None, &[".data.a"])],
            },
            Case {
                what: "a shared field stays when one owner leaves it out",
                steps: vec![
                    Apply("one", data(json!({"a": "1", "b": "1"}))),
                    Apply("two", data(json!({"a": "1"}))),
                    Apply("one", data(json!({"b": "1"}))),
                ],
                object: data(json!({"a": "1", "b": "1"})),
                owners: vec![("one", Some(0), &[".data.b"]), ("two", None, &[".data.a"])],
            },
            Case {
                what: "another value conflicts, and force takes the field",
                steps: vec![
                    Apply("one", data(json!({"a": "1", "b": "1"}))),
                    Conflicts(
                        "two",
                        data(json!({"a": "2"})),
                        "Apply failed with 1 conflict: conflict with \"one\": .data.a",
                    ),
                    Force("two", data(json!({"a": "2"}))),
                ],
                object: data(json!({"a": "2", "b": "1"})),
                owners: vec![("one", Some(0), &[".data.b"]), ("two", Some(2), &[".data.a"])],
            },
            Case {
                what: "several conflicts are grouped by manager",
                steps: vec![
                    Apply("one", data(json!({"a": "1", "b": "1"}))),
                    Update("two", data(json!({"a": "1", "b": "1", "c": "1"}))),
                    Conflicts(
                        "three",
                        data(json!({"a": "2", "b": "2", "c": "2"})),
                        "Apply failed with 3 conflicts: conflicts with \"one\":\n- .data.a\n- .data.b\n\
                         conflicts with \"two\" using v1:\n- .data.c",
                    ),
                ],
                object: data(json!({"a": "1", "b": "1", "c": "1"})),
                owners: vec![
                    ("one", Some(0), &[".data.a", ".data.b"]),
                    ("two", Some(1), &[".data.c"]),
                ],
            },
            Case {
                what: "an update takes what it changes, and only that",
                steps: vec![
                    Apply("one", data(json!({"a": "1", "b": "1"}))),
                    Update("two", data(json!({"a": "2", "b": "1"}))),
                ],
                object: data(json!({"a": "2", "b": "1"})),
                owners: vec![("one", Some(0), &[".data.b"]), ("two", Some(1), &[".data.a"])],
            },
            Case {
                what: "an update that changes nothing changes no owner and no time",
                steps: vec![
                    Update("one", data(json!({"a": "1"}))),
                    Update("one", data(json!({"a": "1"}))),
                    Update("two", data(json!({"a": "1"}))),
                ],
                object: data(json!({"a": "1"})),
                owners: vec![("one", Some(0), &[".data", ".data.a"])],
            },
            Case {
                what: "updates of one manager are one entry",
                steps: vec![
                    Update("one", data(json!({"a": "1"}))),
                    Update("one", data(json!({"a": "1", "b": "1"}))),
                ],
                object: data(json!({"a": "1", "b": "1"})),
                owners: vec![("one", Some(1), &[".data", ".data.a", ".data.b"])],
            },
            Case {
                what: "an update that removes a field ends its ownership",
                steps: vec![
                    Apply("one", data(json!({"a": "1", "b": "1"}))),
                    Update("two", data(json!({"b": "1"}))),
                ],
                object: data(json!({"b": "1"})),
                owners: vec![("one", Some(0), &[".data.b"])],
            },
            Case {
                what: "what an update set is not removed by an apply that never set it",
                steps: vec![
                    Update("one", data(json!({"a": "1"}))),
                    Apply("two", data(json!({"b": "1"}))),
                    Apply("two", data(json!({"c": "1"}))),
                ],
                object: data(json!({"a": "1", "c": "1"})),
                owners: vec![
                    ("one", Some(0), &[".data", ".data.a"]),
                    ("two", Some(2), &[".data.c"]),
                ],
            },
            Case {
                what: "after a force, the old owner's next apply conflicts; leaving the field out gives it up",
                steps: vec![
                    Apply("one", data(json!({"a": "1", "b": "1"}))),
                    Force("two", data(json!({"a": "2"}))),
                    Conflicts(
                        "one",
                        data(json!({"a": "1", "b": "1"})),
                        "Apply failed with 1 conflict: conflict with \"two\": .data.a",
                    ),
                    Apply("one", data(json!({"b": "1"}))),
                ],
                object: data(json!({"a": "2", "b": "1"})),
                owners: vec![("one", Some(0), &[".data.b"]), ("two", Some(1), &[".data.a"])],
            },
            Case {
                what: "sets: items are owned one by one",
                steps: vec![
                    Apply("one", json!({"metadata": {"finalizers": ["x/a", "x/b"]}})),
                    Apply("two", json!({"metadata": {"finalizers": ["x/c", "x/b"]}})),
                    Apply("one", json!({"metadata": {"finalizers": ["x/a"]}})),
                    Apply("one", json!({})),
                ],
                object: json!({"metadata": {"finalizers": ["x/c", "x/b"]}}),
                owners: vec![(
                    "two",
                    Some(1),
                    &[".metadata.finalizers[=\"x/b\"]", ".metadata.finalizers[=\"x/c\"]"],
                )],
            },
        ],
    );
}

#[test]
fn deployments() {
    let containers = |list: Value| {
        json!({"spec": {"selector": {"matchLabels": {"a": "b"}},
            "template": {"spec": {"containers": list}}}})
    };
    const SELECTOR: &str = ".spec.selector";
    const A: &str = r#".spec.template.spec.containers[name="a"]"#;
    const A_NAME: &str = r#".spec.template.spec.containers[name="a"].name"#;
    const A_IMAGE: &str = r#".spec.template.spec.containers[name="a"].image"#;
    const B: &str = r#".spec.template.spec.containers[name="b"]"#;
    const B_NAME: &str = r#".spec.template.spec.containers[name="b"].name"#;
    const B_IMAGE: &str = r#".spec.template.spec.containers[name="b"].image"#;
    let (a, b) = (
        json!({"name": "a", "image": "1"}),
        json!({"name": "b", "image": "1"}),
    );
    check(
        "apps/v1",
        "Deployment",
        vec![
            Case {
                what: "items of keyed lists have owners, in the applied order",
                steps: vec![
                    Apply("one", containers(json!([a]))),
                    Apply(
                        "two",
                        json!({"spec": {"template": {"spec": {"containers": [b]}}}}),
                    ),
                ],
                object: containers(json!([a, b])),
                owners: vec![
                    ("one", Some(0), &[SELECTOR, A, A_NAME, A_IMAGE]),
                    ("two", Some(1), &[B, B_NAME, B_IMAGE]),
                ],
            },
            Case {
                what: "an item that is no longer applied goes",
                steps: vec![
                    Apply("one", containers(json!([a, b]))),
                    Apply("one", containers(json!([b]))),
                ],
                object: containers(json!([b])),
                owners: vec![("one", Some(1), &[SELECTOR, B, B_NAME, B_IMAGE])],
            },
            Case {
                what: "an item goes with its last owner, and with it what others set in it",
                steps: vec![
                    Apply("one", containers(json!([a, b]))),
                    Update(
                        "two",
                        containers(json!([{"name": "a", "image": "1", "tty": true}, b])),
                    ),
                    Apply("one", containers(json!([b]))),
                ],
                object: containers(json!([b])),
                owners: vec![("one", Some(2), &[SELECTOR, B, B_NAME, B_IMAGE])],
            },
            Case {
                what: "an item stays with another owner, without what nobody sets any more",
                steps: vec![
                    Apply("one", containers(json!([a, b]))),
                    Apply(
                        "two",
                        json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "tty": true}]}}}}),
                    ),
                    Apply("one", containers(json!([b]))),
                ],
                object: containers(json!([{"name": "a", "tty": true}, b])),
                owners: vec![
                    ("one", Some(2), &[SELECTOR, B, B_NAME, B_IMAGE]),
                    (
                        "two",
                        Some(1),
                        &[A, A_NAME, r#".spec.template.spec.containers[name="a"].tty"#],
                    ),
                ],
            },
            Case {
                what: "the applied order of items wins",
                steps: vec![
                    Apply("one", containers(json!([a, b]))),
                    Apply("one", containers(json!([b, a]))),
                ],
                object: containers(json!([b, a])),
                owners: vec![(
                    "one",
                    Some(1),
                    &[SELECTOR, A, A_NAME, A_IMAGE, B, B_NAME, B_IMAGE],
                )],
            },
            Case {
                what: "an atomic object is one field",
                steps: vec![
                    Apply("one", json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}})),
                    Conflicts(
                        "two",
                        json!({"spec": {"selector": {"matchLabels": {"c": "d"}}}}),
                        "Apply failed with 1 conflict: conflict with \"one\": .spec.selector",
                    ),
                    Force("two", json!({"spec": {"selector": {"matchLabels": {"c": "d"}}}})),
                ],
                object: json!({"spec": {"selector": {"matchLabels": {"c": "d"}}}}),
                owners: vec![("two", Some(2), &[SELECTOR])],
            },
            Case {
                what: "an atomic list is one field",
                steps: vec![
                    Apply("one", containers(json!([{"name": "a", "command": ["x", "y"]}]))),
                    Force(
                        "two",
                        json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "command": ["z"]}]}}}}),
                    ),
                ],
                object: containers(json!([{"name": "a", "command": ["z"]}])),
                owners: vec![
                    ("one", Some(0), &[SELECTOR, A, A_NAME]),
                    (
                        "two",
                        Some(1),
                        &[A, A_NAME, r#".spec.template.spec.containers[name="a"].command"#],
                    ),
                ],
            },
            Case {
                what: "a scaler takes the replicas; the applier keeps off by leaving them out",
                steps: vec![
                    Apply("one", json!({"spec": {"replicas": 1, "paused": true}})),
                    Update("scaler", json!({"spec": {"replicas": 3, "paused": true}})),
                    Conflicts(
                        "one",
                        json!({"spec": {"replicas": 1, "paused": true}}),
                        "Apply failed with 1 conflict: conflict with \"scaler\" using apps/v1: .spec.replicas",
                    ),
                    Apply("one", json!({"spec": {"paused": true}})),
                ],
                object: json!({"spec": {"replicas": 3, "paused": true}}),
                owners: vec![
                    ("one", Some(0), &[".spec.paused"]),
                    ("scaler", Some(1), &[".spec.replicas"]),
                ],
            },
            Case {
                what: "a key that is left out is its default, and a key of its own without one",
                steps: vec![Apply(
                    "one",
                    containers(json!([{"name": "a", "ports": [
                        {"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]}])),
                )],
                object: containers(json!([{"name": "a", "ports": [
                    {"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]}])),
                owners: vec![(
                    "one",
                    Some(0),
                    &[
                        SELECTOR,
                        A,
                        A_NAME,
                        r#".spec.template.spec.containers[name="a"].ports[containerPort=80,protocol="TCP"]"#,
                        r#".spec.template.spec.containers[name="a"].ports[containerPort=80,protocol="TCP"].containerPort"#,
                        r#".spec.template.spec.containers[name="a"].ports[containerPort=80,protocol="UDP"]"#,
                        r#".spec.template.spec.containers[name="a"].ports[containerPort=80,protocol="UDP"].containerPort"#,
                        r#".spec.template.spec.containers[name="a"].ports[containerPort=80,protocol="UDP"].protocol"#,
                    ],
                )],
            },
            Case {
                what: "nobody owns the status through the main resource",
                steps: vec![
                    Apply(
                        "one",
                        json!({"spec": {"paused": true}, "status": {"replicas": 1}}),
                    ),
                    Update(
                        "two",
                        json!({"spec": {"paused": true}, "status": {"replicas": 2}}),
                    ),
                ],
                object: json!({"spec": {"paused": true}, "status": {"replicas": 2}}),
                owners: vec![("one", Some(0), &[".spec.paused"])],
            },
        ],
    );
}
