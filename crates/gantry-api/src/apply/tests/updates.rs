//! `managedFields` under updates: what clients may do to it, its limits, subresources, and the way from client-side
//! apply.

use super::*;
use crate::apply::managed::Operation;

/// What a client sent in managedFields, and the names and paths that come of it.
#[test]
fn what_clients_send() {
    let entry = |manager: &str, fields: Value| {
        json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": fields, "time": "2026-01-01T00:00:00Z"})
    };
    let a = || json!({"f:data": {".": {}, "f:a": {}}});
    let old = |managed: Value| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"},
            "metadata": {"name": "x", "uid": "u", "managedFields": managed}})
    };
    let ours = json!([entry("one", a())]);
    let owners = |list: Option<Value>| {
        let owners = owners_of(&json!({"metadata": {"managedFields": list}}));
        owners
            .into_iter()
            .map(|(m, _, p)| format!("{m} {}", p.join(" ")))
            .collect::<Vec<_>>()
    };
    let mut without_type = entry("two", a());
    without_type["fieldsType"] = "FieldsV2".into();
    let mut without_version = entry("two", a());
    without_version["apiVersion"] = "".into();
    let mut without_operation = entry("two", a());
    without_operation["operation"] = "Jump".into();
    let kept = ["one .data .data.a"];
    let cases = [
        ("nothing: what was there stays", Value::Null, &kept[..]),
        ("the same", ours.clone(), &kept[..]),
        (
            "a change of ownership",
            json!([entry("two", a())]),
            &["two .data .data.a"][..],
        ),
        ("an empty list: all is forgotten", json!([]), &[][..]),
        ("one empty item: all is forgotten", json!([{}]), &[][..]),
        ("another type of fields", json!([without_type]), &kept[..]),
        ("no version", json!([without_version]), &kept[..]),
        ("an unknown operation", json!([without_operation]), &kept[..]),
        ("no fields", json!([entry("two", json!("x"))]), &kept[..]),
        (
            "a malformed path",
            json!([entry("two", json!({"x": {}}))]),
            &kept[..],
        ),
        (
            "a path of a later version is dropped",
            json!([entry("two", json!({"q:x": {}, "f:data": {}}))]),
            &["two .data"][..],
        ),
    ];
    let now = now(9);
    let writer = writer("v1", "ConfigMap", "me", &now);
    for (what, sent, want) in cases {
        let mut new = old(sent.clone());
        if sent.is_null() {
            set_managed(&mut new, None);
        }
        assert_eq!(
            owners(writer.update(Some(&old(ours.clone())), &new)),
            want,
            "{what}"
        );
    }
    // Through a subresource nobody can touch it.
    let status = Writer {
        subresource: "status",
        reset: Reset::AllBut(&[&["status"]]),
        ..writer
    };
    assert_eq!(
        owners(status.update(Some(&old(ours.clone())), &old(json!([])))),
        kept
    );
    // What nobody tracks is not tracked from now on either, until it is applied to.
    let mut changed = old(Value::Null);
    changed["data"]["a"] = "2".into();
    assert_eq!(writer.update(Some(&old(Value::Null)), &changed), None);
    let patch = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"b": "1"}});
    let applied = writer.apply(Some(&old(Value::Null)), &patch, false).unwrap();
    assert_eq!(
        owners(Some(applied["metadata"]["managedFields"].clone())),
        ["before-first-apply .data .data.a", "me .data.b"]
    );
}

#[test]
fn only_ten_updaters_are_told_apart() {
    let mut live = json!({"metadata": {"name": "x"}, "data": {}});
    for i in 0..25 {
        let mut new = live.clone();
        new["data"][format!("k{i:02}")] = "v".into();
        let (manager, now) = (format!("m{i:02}"), now(i));
        let list = writer("v1", "ConfigMap", &manager, &now).update((i > 0).then_some(&live), &new);
        set_managed(&mut new, list);
        live = new;
    }
    let owners = owners_of(&live);
    assert_eq!(owners.len(), 10);
    let (name, second, paths) = &owners[0];
    assert_eq!((name.as_str(), *second), ("ancient-changes", Some(15)));
    // Each of the 16 merged managers had one key, and the first the map too.
    assert_eq!(paths.len(), 17);
    assert_eq!(owners[1].0, "m16");
}

#[test]
fn entries_are_as_upstream_writes_them() {
    let deployment = |replicas: i64, ready: i64| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "labels": {"app": "x"}},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
                "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"volumes": [{"name": "v", "emptyDir": {}}],
                    "containers": [{"name": "c", "image": "i", "resources": {}}]}}},
            "status": {"readyReplicas": ready}})
    };
    let now = now(1);
    let create = writer("apps/v1", "Deployment", "kubectl-create", &now);
    let mut live = deployment(1, 0);
    live["metadata"]["managedFields"] = create.update(None, &live).unwrap();
    // What the struct always holds (spec, template, containers) is not new with it; pointers and lists are.
    let created = json!({"manager": "kubectl-create", "operation": "Update", "apiVersion": "apps/v1",
        "time": "2026-01-01T00:00:01Z", "fieldsType": "FieldsV1", "fieldsV1": {
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:replicas": {}, "f:selector": {},
                "f:strategy": {"f:type": {}, "f:rollingUpdate": {".": {}, "f:maxSurge": {}}},
                "f:template": {
                    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                    "f:spec": {
                        "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}}},
                        "f:volumes": {".": {}, "k:{\"name\":\"v\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}}}}}}});
    assert_eq!(live["metadata"]["managedFields"], json!([created]));
    let status = Writer {
        manager: "controller",
        subresource: "status",
        reset: Reset::AllBut(&[&["status"]]),
        ..create
    };
    let mut new = deployment(7, 1);
    new["metadata"]["managedFields"] = live["metadata"]["managedFields"].clone();
    let list = status.update(Some(&live), &new).unwrap();
    let owner = json!({"manager": "controller", "operation": "Update", "apiVersion": "apps/v1",
        "subresource": "status", "time": "2026-01-01T00:00:01Z", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:status": {"f:readyReplicas": {}}}});
    assert_eq!(list, json!([owner, created]));
}

#[test]
fn appliers_come_first_then_the_oldest() {
    let managed = |name: &str, operation, time: Option<&str>| {
        let owned = Owned {
            api_version: "v1".into(),
            time: time.map(Into::into),
            fields: Set::of_fields(&[&["data"]]),
        };
        (Manager::new(name, operation, "v1", ""), owned)
    };
    let list = managed::encode(Managed::from([
        managed("c", Operation::Update, Some("2026-01-01T00:00:01Z")),
        managed("b", Operation::Update, Some("2026-01-01T00:00:02Z")),
        managed("a", Operation::Update, Some("2026-01-01T00:00:02Z")),
        managed("z", Operation::Apply, Some("2026-01-01T00:00:09Z")),
        managed("y", Operation::Update, None),
    ]));
    let names: Vec<Value> = list
        .iter()
        .flat_map(|l| l.as_array().into_iter().flatten())
        .map(|e| e["manager"].clone())
        .collect();
    assert_eq!(names, ["z", "y", "c", "a", "b"]);
}

#[test]
fn kubectl_moves_on_from_client_side_apply() {
    let key = "kubectl.kubernetes.io/last-applied-configuration";
    let config = |a: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": a}});
    let now = now(1);
    let client_side = writer("v1", "ConfigMap", "kubectl-client-side-apply", &now);
    let mut live = config("1");
    live["metadata"]["annotations"] = json!({key: config("1").to_string()});
    live["metadata"]["managedFields"] = client_side.update(None, &live).unwrap();
    // Others conflict; kubectl takes what client-side apply set, and keeps the annotation true.
    let others = Writer {
        manager: "other",
        ..client_side
    };
    assert!(matches!(
        others.apply(Some(&live), &config("2"), false),
        Err(ApplyError::Conflicts(_))
    ));
    let kubectl = Writer {
        manager: "kubectl",
        ..client_side
    };
    let new = kubectl.apply(Some(&live), &config("2"), false).unwrap();
    assert_eq!(new["data"]["a"], "2");
    assert_eq!(
        new["metadata"]["annotations"][key].as_str(),
        Some(format!("{}\n", config("2")).as_str())
    );
    // A value that is no longer as client-side apply set it belongs to whoever changed it.
    let mut changed = live.clone();
    changed["data"]["a"] = "9".into();
    let scaler = Writer {
        manager: "scaler",
        ..client_side
    };
    changed["metadata"]["managedFields"] = scaler.update(Some(&live), &changed).unwrap();
    let error = kubectl.apply(Some(&changed), &config("2"), false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"scaler\" using v1: .data.a"
    );
}

#[test]
fn configurations_that_do_not_fit() {
    let now = now(1);
    let writer = writer("apps/v1", "Deployment", "me", &now);
    let base = |part: Value| whole("Deployment", "apps/v1", &part);
    let typed = |why: &str| {
        (
            500,
            format!("failed to create typed patch object (/x; apps/v1, Kind=Deployment): {why}"),
        )
    };
    let mut other_kind = base(json!({}));
    other_kind["kind"] = "Pod".into();
    let containers = |list: Value| base(json!({"spec": {"template": {"spec": {"containers": list}}}}));
    let cases = [
        (
            other_kind,
            (400, "invalid object type: apps/v1, Kind=Pod".to_string()),
        ),
        (json!({}), (400, "invalid object type: /, Kind=".to_string())),
        (
            base(json!({"metadata": {"managedFields": []}})),
            (400, "metadata.managedFields must be nil".to_string()),
        ),
        (
            base(json!({"spec": {"foo": 1}})),
            typed(".spec.foo: field not declared in schema"),
        ),
        (
            base(json!({"spec": {"replicas": "1", "paused": "x"}})),
            typed(
                "errors:\n  .spec.paused: expected boolean, got &{x}\n  .spec.replicas: expected numeric (int or \
                 float), got string",
            ),
        ),
        (base(json!({"spec": []})), typed(".spec: expected map, got &{[]}")),
        (
            containers(json!([{"name": "a"}, {"name": "a"}])),
            typed(".spec.template.spec.containers: duplicate entries for key [name=\"a\"]"),
        ),
        (
            containers(json!([{"name": "a", "foo": 1}])),
            typed(".spec.template.spec.containers[name=\"a\"].foo: field not declared in schema"),
        ),
        (
            containers(json!([null])),
            typed(
                ".spec.template.spec.containers: element 0: associative list with keys may not have a null element",
            ),
        ),
        (
            containers(json!({})),
            typed(".spec.template.spec.containers: expected list, got &{map[]}"),
        ),
    ];
    for (patch, want) in cases {
        let status = Status::from(writer.apply(None, &patch, true).unwrap_err());
        assert_eq!((status.code, status.message), want, "{patch}");
    }
}

#[test]
fn conflicts_have_causes() {
    let now = now(1);
    let config = |a: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": a}});
    let one = writer("v1", "ConfigMap", "one", &now);
    let mut live = config("1");
    live["metadata"]["managedFields"] = one.update(None, &live).unwrap();
    let two = Writer {
        manager: "two",
        ..one
    };
    let status = Status::from(two.apply(Some(&live), &config("2"), false).unwrap_err());
    assert_eq!((status.code, status.reason), (409, "Conflict"));
    assert_eq!(
        status.details,
        Some(
            json!({"causes": [{"reason": "FieldManagerConflict", "message": "conflict with \"one\" using v1",
            "field": ".data.a"}]})
        )
    );
}
