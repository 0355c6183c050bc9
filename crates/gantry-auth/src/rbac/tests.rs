use super::*;
use serde_json::json;

#[derive(Default)]
pub(super) struct Fixed {
    pub(super) cluster_bindings: Vec<Value>,
    pub(super) bindings: Vec<Value>,
    pub(super) cluster_roles: Vec<Value>,
    pub(super) roles: Vec<Value>,
}

fn find(objects: &[Value], namespace: Option<&str>, name: &str) -> Option<Arc<Value>> {
    let matches = |o: &&Value| {
        o["metadata"]["name"] == name && namespace.is_none_or(|ns| o["metadata"]["namespace"] == ns)
    };
    objects.iter().find(matches).cloned().map(Arc::new)
}

impl Objects for Fixed {
    fn cluster_role_bindings(&self) -> Vec<Arc<Value>> {
        self.cluster_bindings.iter().cloned().map(Arc::new).collect()
    }
    fn role_bindings(&self, namespace: &str) -> Vec<Arc<Value>> {
        let here = |b: &&Value| b["metadata"]["namespace"] == namespace;
        self.bindings.iter().filter(here).cloned().map(Arc::new).collect()
    }
    fn cluster_role(&self, name: &str) -> Option<Arc<Value>> {
        find(&self.cluster_roles, None, name)
    }
    fn role(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        find(&self.roles, Some(namespace), name)
    }
}

pub(super) fn user(name: &str, groups: &[&str]) -> User {
    User::new(name, groups)
}

fn allows(attributes: &Attributes, objects: &Fixed) -> bool {
    decide(attributes, objects).allowed
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
        let objects = Fixed {
            cluster_bindings: vec![cluster_binding],
            bindings: vec![binding],
            cluster_roles: vec![json!({"metadata": {"name": "reader"}, "rules": rules})],
            roles: vec![json!({"metadata": {"name": "reader", "namespace": "a"}, "rules": rules})],
        };
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
    let mut objects = Fixed {
        cluster_bindings: bootstrap_cluster_role_bindings(),
        cluster_roles: bootstrap_cluster_roles(),
        ..Fixed::default()
    };
    for role in ["admin", "edit", "view"] {
        objects.bindings.push(json!({
            "metadata": {"namespace": "a"},
            "roleRef": {"kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": role}],
        }));
    }
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
        assert!(find(&roles, None, &name).is_some(), "{name}");
    }
    for role in &roles {
        assert!(!list(role, "rules").is_empty(), "{role}");
    }
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
