//! Role-based access control: upstream's rules over Role, ClusterRole and their bindings.
//!
//! Source of the semantics: k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac.

use crate::{Attributes, User};
use serde_json::{Value, json};
use std::sync::Arc;

/// Where the RBAC objects come from.
pub trait Objects {
    /// All ClusterRoleBindings.
    fn cluster_role_bindings(&self) -> Vec<Arc<Value>>;
    /// The RoleBindings of a namespace.
    fn role_bindings(&self, namespace: &str) -> Vec<Arc<Value>>;
    /// A ClusterRole.
    fn cluster_role(&self, name: &str) -> Option<Arc<Value>>;
    /// A Role.
    fn role(&self, namespace: &str, name: &str) -> Option<Arc<Value>>;
}

/// Whether any rule grants the request. What is not granted is denied.
pub fn allows(attributes: &Attributes, objects: &dyn Objects) -> bool {
    if attributes.user.in_group("system:masters") {
        return true;
    }
    let granted = |role: Option<Arc<Value>>| {
        role.is_some_and(|r| list(&r["rules"]).any(|rule| rule_allows(rule, attributes)))
    };
    let cluster_wide = objects.cluster_role_bindings().iter().any(|binding| {
        binds(binding, attributes.user, "")
            && granted(objects.cluster_role(text(&binding["roleRef"]["name"])))
    });
    if cluster_wide || attributes.namespace.is_empty() {
        return cluster_wide;
    }
    objects.role_bindings(attributes.namespace).iter().any(|binding| {
        let name = text(&binding["roleRef"]["name"]);
        binds(binding, attributes.user, attributes.namespace)
            && granted(match text(&binding["roleRef"]["kind"]) {
                "ClusterRole" => objects.cluster_role(name),
                "Role" => objects.role(attributes.namespace, name),
                _ => None,
            })
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn binds(binding: &Value, user: &User, namespace: &str) -> bool {
    list(&binding["subjects"]).any(|subject| {
        let name = text(&subject["name"]);
        match text(&subject["kind"]) {
            "User" => user.name == name,
            "Group" => user.in_group(name),
            "ServiceAccount" => {
                let own = text(&subject["namespace"]);
                let home = if own.is_empty() { namespace } else { own };
                !home.is_empty() && user.name == format!("system:serviceaccount:{home}:{name}")
            }
            _ => false,
        }
    })
}

fn rule_allows(rule: &Value, attributes: &Attributes) -> bool {
    let has = |field: &str, wanted: &str| list(&rule[field]).any(|v| text(v) == "*" || text(v) == wanted);
    if !has("verbs", attributes.verb) {
        return false;
    }
    if let Some(path) = attributes.path {
        return list(&rule["nonResourceURLs"])
            .map(text)
            .any(|url| match url.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => path == url,
            });
    }
    let resource = match attributes.subresource {
        "" => attributes.resource.to_string(),
        sub => format!("{}/{sub}", attributes.resource),
    };
    let any_resource = format!("*/{}", attributes.subresource);
    let resource_fits = list(&rule["resources"])
        .map(text)
        .any(|r| r == "*" || r == resource || (!attributes.subresource.is_empty() && r == any_resource));
    let mut names = list(&rule["resourceNames"]).map(text).peekable();
    let name_fits = names.peek().is_none() || names.any(|n| n == attributes.name);
    has("apiGroups", attributes.group) && resource_fits && name_fits
}

/// What a denied user is told.
pub fn denial(attributes: &Attributes) -> String {
    let user = &attributes.user.name;
    let verb = attributes.verb;
    if let Some(path) = attributes.path {
        return format!("User {user:?} cannot {verb} path {path:?}");
    }
    let resource = match attributes.subresource {
        "" => attributes.resource.to_string(),
        sub => format!("{}/{sub}", attributes.resource),
    };
    let place = match attributes.namespace {
        "" => "at the cluster scope".to_string(),
        ns => format!("in the namespace {ns:?}"),
    };
    format!(
        "User {user:?} cannot {verb} resource {resource:?} in API group {:?} {place}",
        attributes.group
    )
}

/// The ClusterRoles a new cluster carries: those of upstream's that the served kinds give a meaning.
pub fn bootstrap_cluster_roles() -> Vec<Value> {
    let role = |name: &str, rules: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}, "rules": rules,
        })
    };
    let paths = |paths: &[&str]| json!([{"verbs": ["get"], "nonResourceURLs": paths}]);
    let discovery = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ];
    let info = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    vec![
        role(
            "cluster-admin",
            json!([
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]),
        ),
        role("system:discovery", paths(&discovery)),
        role("system:public-info-viewer", paths(&info)),
    ]
}

/// The ClusterRoleBindings a new cluster carries.
pub fn bootstrap_cluster_role_bindings() -> Vec<Value> {
    let binding = |role: &str, groups: &[&str]| {
        let subjects: Vec<Value> = groups
            .iter()
            .map(|g| json!({"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": g}))
            .collect();
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": role, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": subjects,
        })
    };
    vec![
        binding("cluster-admin", &["system:masters"]),
        binding("system:discovery", &["system:authenticated"]),
        binding(
            "system:public-info-viewer",
            &["system:authenticated", "system:unauthenticated"],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Objects for Fixed {
        fn cluster_role_bindings(&self) -> Vec<Arc<Value>> {
            let bindings = bootstrap_cluster_role_bindings().into_iter();
            bindings.map(Arc::new).collect()
        }
        fn role_bindings(&self, namespace: &str) -> Vec<Arc<Value>> {
            let binding = json!({
                "roleRef": {"kind": "Role", "name": "reader"}, "subjects": [{"kind": "ServiceAccount", "name": "robot"}],
            });
            if namespace == "a" {
                vec![Arc::new(binding)]
            } else {
                Vec::new()
            }
        }
        fn cluster_role(&self, name: &str) -> Option<Arc<Value>> {
            bootstrap_cluster_roles()
                .into_iter()
                .find(|r| r["metadata"]["name"] == name)
                .map(Arc::new)
        }
        fn role(&self, _: &str, _: &str) -> Option<Arc<Value>> {
            Some(Arc::new(json!({"rules": [
                {"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "*/status"]},
                {"verbs": ["update"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"]},
            ]})))
        }
    }

    #[track_caller]
    fn check(
        user: &str,
        group: &str,
        (verb, resource, sub): (&str, &str, &str),
        place: (&str, &str),
        path: Option<&str>,
        expected: bool,
    ) {
        let user = User {
            name: user.into(),
            uid: String::new(),
            groups: vec![group.into()],
        };
        let (namespace, name) = place;
        let attributes = Attributes {
            user: &user,
            verb,
            group: "",
            resource,
            subresource: sub,
            namespace,
            name,
            path,
        };
        assert_eq!(allows(&attributes, &Fixed), expected, "{}", denial(&attributes));
    }

    #[test]
    fn only_what_is_granted() {
        let robot = "system:serviceaccount:a:robot";
        check(
            "root",
            "system:masters",
            ("delete", "nodes", ""),
            ("", "n"),
            None,
            true,
        );
        check(
            "ann",
            "system:authenticated",
            ("get", "pods", ""),
            ("a", "p"),
            None,
            false,
        );
        check(
            robot,
            "system:authenticated",
            ("get", "pods", ""),
            ("a", "p"),
            None,
            true,
        );
        check(
            robot,
            "system:authenticated",
            ("get", "pods", "status"),
            ("a", "p"),
            None,
            true,
        );
        check(
            robot,
            "system:authenticated",
            ("get", "pods", "log"),
            ("a", "p"),
            None,
            false,
        );
        check(
            robot,
            "system:authenticated",
            ("get", "pods", ""),
            ("b", "p"),
            None,
            false,
        );
        check(
            robot,
            "system:authenticated",
            ("update", "configmaps", ""),
            ("a", "one"),
            None,
            true,
        );
        check(
            robot,
            "system:authenticated",
            ("update", "configmaps", ""),
            ("a", "two"),
            None,
            false,
        );
        check(
            "ann",
            "system:authenticated",
            ("get", "", ""),
            ("", ""),
            Some("/apis/apps/v1"),
            true,
        );
        check(
            "ann",
            "system:unauthenticated",
            ("get", "", ""),
            ("", ""),
            Some("/apis"),
            false,
        );
        check(
            "ann",
            "system:unauthenticated",
            ("get", "", ""),
            ("", ""),
            Some("/version"),
            true,
        );
    }

    #[test]
    fn a_denial_says_what_was_asked() {
        let user = User::anonymous();
        let attributes = Attributes {
            user: &user,
            verb: "list",
            group: "",
            resource: "pods",
            subresource: "",
            namespace: "ns",
            name: "",
            path: None,
        };
        assert_eq!(
            denial(&attributes),
            "User \"system:anonymous\" cannot list resource \"pods\" in API group \"\" in the namespace \"ns\""
        );
    }
}
