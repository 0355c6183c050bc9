use super::*;
use serde_json::json;

/// A policy of these objects, told apart by their kinds.
pub(super) fn policy(objects: Vec<Value>) -> Policy {
    let mut policy = Policy::default();
    for object in objects {
        let part = match field(&object, "kind") {
            "ClusterRole" => Part::ClusterRole,
            "ClusterRoleBinding" => Part::ClusterRoleBinding,
            "Role" => Part::Role,
            "RoleBinding" => Part::RoleBinding,
            other => panic!("{other:?} is no part of a policy"),
        };
        let metadata = &object["metadata"];
        let (namespace, name) = (
            field(metadata, "namespace").to_owned(),
            field(metadata, "name").to_owned(),
        );
        policy.set(part, &namespace, &name, Some(object));
    }
    policy
}

pub(super) fn user(name: &str, groups: &[&str]) -> User {
    User::new(name, groups)
}

fn allows(attributes: &Attributes, policy: &Policy) -> bool {
    decide(attributes, policy).allowed
}

/// A request from "verb group resource/subresource namespace name", `-` for empty; or "verb /path".
fn asks<'a>(user: &'a User, text: &'a str) -> Attributes<'a> {
    let words: Vec<&str> = text.split(' ').map(|w| if w == "-" { "" } else { w }).collect();
    let blank = Attributes::of(user, words[0]);
    if words[1].starts_with('/') {
        return Attributes {
            path: Some(words[1]),
            ..blank
        };
    }
    let (resource, subresource) = words[2].split_once('/').unwrap_or((words[2], ""));
    Attributes {
        group: words[1],
        resource,
        subresource,
        namespace: words[3],
        name: words[4],
        ..blank
    }
}

#[test]
fn rules_match_as_upstream() {
    let cases = [
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}),
            "get - pods ns a",
            true,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}),
            "list - pods ns -",
            false,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}),
            "get apps pods ns a",
            false,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}),
            "get - pods/log ns a",
            false,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}),
            "get - pods/log ns a",
            true,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}),
            "get - pods ns a",
            false,
        ),
        (
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
            "delete x.io ys/status - b",
            true,
        ),
        (
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
            "get /version",
            false,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/scale"]}),
            "get apps d/scale ns a",
            true,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/scale"]}),
            "get apps d/status ns a",
            false,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/"]}),
            "get apps d ns a",
            false,
        ),
        (
            json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}),
            "get - pods ns a",
            true,
        ),
        (
            json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}),
            "get - pods ns b",
            false,
        ),
        (
            json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}),
            "list - pods ns -",
            false,
        ),
        (
            json!({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}),
            "get /healthz",
            true,
        ),
        (
            json!({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}),
            "get /healthz/etcd",
            false,
        ),
        (
            json!({"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}),
            "get /healthz/etcd",
            true,
        ),
        (
            json!({"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}),
            "get /healthz",
            false,
        ),
        (
            json!({"verbs": ["get"], "nonResourceURLs": ["*"]}),
            "get /x",
            true,
        ),
        (
            json!({"verbs": ["get"], "nonResourceURLs": ["*"]}),
            "post /x",
            false,
        ),
        (
            json!({"verbs": ["*"], "nonResourceURLs": ["*"]}),
            "get - pods ns a",
            false,
        ),
        (json!({"verbs": null}), "get - pods ns a", false),
    ];
    let user = user("ann", &[]);
    for (rule, request, expected) in cases {
        assert_eq!(
            rule_allows(&rule, &asks(&user, request)),
            expected,
            "{rule} {request}"
        );
    }
}

#[test]
fn bindings_reach_their_subjects_and_scope() {
    let rules = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
    let cluster = |name: &str| json!({"roleRef": {"kind": "ClusterRole", "name": name}});
    let in_a =
        |kind: &str| json!({"metadata": {"namespace": "a"}, "roleRef": {"kind": kind, "name": "reader"}});
    let to = |mut binding: Value, subject: Value| {
        binding["subjects"] = json!([subject]);
        binding
    };
    let sa = "system:serviceaccount:a:bot";
    // (cluster binding, namespaced binding, user, groups, in namespace a, in namespace b)
    let none = || json!({});
    let cases = [
        (
            to(cluster("reader"), json!({"kind": "User", "name": "ann"})),
            none(),
            "ann",
            true,
            true,
        ),
        (
            to(cluster("reader"), json!({"kind": "User", "name": "ann"})),
            none(),
            "bob",
            false,
            false,
        ),
        (
            to(cluster("reader"), json!({"kind": "User", "name": "dev"})),
            none(),
            "ann",
            false,
            false,
        ),
        (
            to(cluster("reader"), json!({"kind": "Group", "name": "dev"})),
            none(),
            "ann",
            true,
            true,
        ),
        (
            to(cluster("missing"), json!({"kind": "User", "name": "ann"})),
            none(),
            "ann",
            false,
            false,
        ),
        (
            to(in_a("Role"), json!({"kind": "User", "name": "ann"})),
            none(),
            "ann",
            false,
            false,
        ),
        (cluster("reader"), none(), "ann", false, false),
        (
            to(
                cluster("reader"),
                json!({"kind": "ServiceAccount", "name": "bot", "namespace": "a"}),
            ),
            none(),
            sa,
            true,
            true,
        ),
        (
            to(
                cluster("reader"),
                json!({"kind": "ServiceAccount", "name": "bot"}),
            ),
            none(),
            sa,
            false,
            false,
        ),
        (
            none(),
            to(in_a("Role"), json!({"kind": "User", "name": "ann"})),
            "ann",
            true,
            false,
        ),
        (
            none(),
            to(in_a("ClusterRole"), json!({"kind": "User", "name": "ann"})),
            "ann",
            true,
            false,
        ),
        (
            none(),
            to(in_a("Role"), json!({"kind": "ServiceAccount", "name": "bot"})),
            sa,
            true,
            false,
        ),
        (
            none(),
            to(
                in_a("Role"),
                json!({"kind": "ServiceAccount", "name": "bot", "namespace": "b"}),
            ),
            sa,
            false,
            false,
        ),
    ];
    for (cluster_binding, binding, name, in_a, in_b) in cases {
        let text = format!("{cluster_binding} {binding} {name}");
        let as_kind = |kind: &str, mut object: Value| {
            object["kind"] = kind.into();
            if object["metadata"]["namespace"].is_null() {
                object["metadata"] = json!({"namespace": "elsewhere"});
            }
            object
        };
        let objects = policy(vec![
            as_kind("ClusterRoleBinding", cluster_binding),
            as_kind("RoleBinding", binding),
            json!({"kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": rules}),
            json!({"kind": "Role", "metadata": {"name": "reader", "namespace": "a"}, "rules": rules}),
        ]);
        let user = user(name, &["dev"]);
        assert_eq!(
            allows(&asks(&user, "get - pods a x"), &objects),
            in_a,
            "in a: {text}"
        );
        assert_eq!(
            allows(&asks(&user, "get - pods b x"), &objects),
            in_b,
            "in b: {text}"
        );
        assert!(
            !allows(&asks(&user, "delete - pods a x"), &objects),
            "delete: {text}"
        );
    }
}

#[test]
fn bootstrap_policy_decides() {
    let mut objects = bootstrap_cluster_role_bindings();
    objects.extend(bootstrap_cluster_roles());
    for role in ["admin", "edit", "view"] {
        objects.push(json!({
            "kind": "RoleBinding", "metadata": {"name": role, "namespace": "a"},
            "roleRef": {"kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": role}],
        }));
    }
    let objects = policy(objects);
    let cases = [
        ("root", "system:masters", "delete - nodes - n1", true),
        ("root", "system:masters", "post /anything", true),
        ("ann", "system:authenticated", "get /apis/apps", true),
        ("ann", "system:authenticated", "get /metrics", false),
        ("ann", "system:authenticated", "get - pods a x", false),
        (
            "ann",
            "system:authenticated",
            "create authorization.k8s.io selfsubjectaccessreviews - -",
            true,
        ),
        ("system:anonymous", "system:unauthenticated", "get /livez", true),
        ("system:anonymous", "system:unauthenticated", "get /api", false),
        ("system:node:n1", "system:nodes", "get - nodes - n1", false),
        (
            "system:kube-scheduler",
            "system:authenticated",
            "create - pods/binding a x",
            true,
        ),
        (
            "system:serviceaccount:kube-system:kube-dns",
            "-",
            "list - services - -",
            true,
        ),
        ("view", "-", "list apps deployments a -", true),
        ("view", "-", "get - secrets a s", false),
        ("view", "-", "create - pods a x", false),
        ("edit", "-", "list apps deployments a -", true),
        ("edit", "-", "get - secrets a s", true),
        ("edit", "-", "create rbac.authorization.k8s.io roles a r", false),
        ("admin", "-", "get - secrets a s", true),
        ("admin", "-", "list - pods a -", true),
        ("admin", "-", "create rbac.authorization.k8s.io roles a r", true),
        ("admin", "-", "list - pods b -", false),
    ];
    for (name, group, request, expected) in cases {
        let user = user(name, &[group]);
        assert_eq!(
            allows(&asks(&user, request), &objects),
            expected,
            "{name} {request}"
        );
    }
}

#[test]
fn every_binding_has_its_role() {
    let roles = bootstrap_cluster_roles();
    for binding in bootstrap_cluster_role_bindings() {
        let name = field(&binding["roleRef"], "name").to_owned();
        assert!(
            roles.iter().any(|r| r["metadata"]["name"] == name.as_str()),
            "{name}"
        );
    }
    for role in &roles {
        assert!(!list(role, "rules").is_empty(), "{role}");
    }
}

#[test]
fn the_default_policy_is_upstreams() {
    let mut above = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let folder = above.find_map(|a| Some(a.join("../shared/upstream/rbac-bootstrap")).filter(|f| f.exists()));
    let Some(folder) = folder else {
        println!("skipped: no ../shared/upstream");
        return;
    };
    let check = |ours: Vec<Value>, files: &[&str]| {
        let mut theirs: Vec<Value> = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            let list: Value = serde_saphyr::from_str(&text).unwrap();
            theirs.extend(list["items"].as_array().unwrap().iter().cloned());
        }
        let place = |o: &Value| {
            let metadata = &o["metadata"];
            (
                field(metadata, "namespace").to_owned(),
                field(metadata, "name").to_owned(),
            )
        };
        let names = |objects: &[Value]| {
            objects
                .iter()
                .map(place)
                .collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(names(&ours), names(&theirs), "{files:?}");
        for mut wanted in theirs {
            let found = ours.iter().find(|o| place(o) == place(&wanted)).unwrap();
            // Upstream leaves the rules of aggregated roles to a controller.
            if wanted["rules"].is_null()
                && wanted["kind"] != "ClusterRoleBinding"
                && wanted["kind"] != "RoleBinding"
            {
                wanted["rules"] = found["rules"].clone();
            }
            assert_eq!(found, &wanted);
        }
    };
    check(
        bootstrap_cluster_roles(),
        &["cluster-roles.yaml", "controller-roles.yaml"],
    );
    check(
        bootstrap_cluster_role_bindings(),
        &["cluster-role-bindings.yaml", "controller-role-bindings.yaml"],
    );
    check(bootstrap_roles(), &["namespace-roles.yaml"]);
    check(bootstrap_role_bindings(), &["namespace-role-bindings.yaml"]);
}

#[test]
fn default_objects_get_back_what_they_lack() {
    let rule = |verb: &str| json!({"verbs": [verb], "apiGroups": [""], "resources": ["pods"]});
    let role = |rules: &[Value], update: &str| {
        json!({
            "metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": update}}, "rules": rules,
        })
    };
    let wanted = role(&[rule("get"), rule("list")], "true");
    let check = |stored: Value, rules: Option<&[Value]>| {
        let found = reconciled(&wanted, &stored).map(|o| o["rules"].clone());
        assert_eq!(found, rules.map(|r| json!(r)), "{stored}");
    };
    check(wanted.clone(), None);
    check(role(&[rule("*")], "true"), None);
    check(
        role(&[rule("delete"), rule("get")], "true"),
        Some(&[rule("delete"), rule("get"), rule("list")]),
    );
    check(role(&[], "false"), None);
    let binding = |role: &str, subjects: Value| json!({"roleRef": {"name": role}, "subjects": subjects});
    let wanted = binding("a", json!([{"name": "x"}]));
    assert_eq!(reconciled(&wanted, &binding("b", json!([]))), None);
    let found = reconciled(&wanted, &binding("a", json!([{"name": "y"}])));
    assert_eq!(found, Some(binding("a", json!([{"name": "y"}, {"name": "x"}]))));
}

#[test]
fn denials_are_worded_as_upstream() {
    let cases = [
        (
            "list - pods ns -",
            r#"User "x" cannot list resource "pods" in API group "" in the namespace "ns""#,
        ),
        (
            "get apps d/scale - a",
            r#"User "x" cannot get resource "d/scale" in API group "apps" at the cluster scope"#,
        ),
        ("get /foo", r#"User "x" cannot get path "/foo""#),
    ];
    let user = user("x", &[]);
    for (request, expected) in cases {
        assert_eq!(denial(&asks(&user, request)), expected);
    }
    assert_eq!(quoted("a\"b\\\n\u{1}é"), "\"a\\\"b\\\\\\n\\x01é\"");
}

#[test]
fn rules_that_come_with_features_are_for_roles_there_are() {
    use super::controllers::CONTROLLERS;
    use super::gated::{GATED_BINDINGS, GATED_ROLES, GATED_RULES};
    use super::roles::ROLES;
    let is_there = |name: &str| ROLES.iter().chain(CONTROLLERS).any(|role| role.name == name);
    for (_, name, _) in GATED_RULES {
        assert!(is_there(name), "{name}");
    }
    for (feature, (name, _)) in GATED_BINDINGS {
        let of = |(of, role): &(_, super::roles::Role)| of == feature && role.name == *name;
        assert!(GATED_ROLES.iter().any(of), "{name}");
    }
    // They are off by default, so the default policy is upstream's without them.
    let gates = gantry_api::features::Gates::default();
    assert!(GATED_RULES.iter().all(|(feature, ..)| !gates.enabled(*feature)));
}
