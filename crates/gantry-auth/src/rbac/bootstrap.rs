//! The roles and bindings a new cluster starts with, as API objects.

use super::API_GROUP;
use super::roles::{BINDINGS, ROLES, Role, Rule};
use serde_json::{Map, Value, json};

const AGGREGATE: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// The ClusterRoles a new cluster starts with.
///
/// `admin`, `edit` and `view` come with the rules that aggregation over these roles
/// gives them, so that they work before any controller has run.
pub fn bootstrap_cluster_roles() -> Vec<Value> {
    ROLES.iter().map(cluster_role).collect()
}

/// The ClusterRoleBindings a new cluster starts with.
pub fn bootstrap_cluster_role_bindings() -> Vec<Value> {
    BINDINGS
        .iter()
        .map(|(role, subjects)| binding(role, subjects))
        .collect()
}

/// The rules of one default ClusterRole.
pub(crate) fn rules_of(name: &str) -> Vec<Value> {
    ROLES
        .iter()
        .filter(|role| role.name == name)
        .flat_map(rules)
        .collect()
}

fn cluster_role(role: &Role) -> Value {
    let mut object = object("ClusterRole", role.name);
    if !role.part_of.is_empty() {
        object["metadata"]["labels"][format!("{AGGREGATE}{}", role.part_of)] = json!("true");
    }
    if role.aggregates {
        object["aggregationRule"] = json!({
            "clusterRoleSelectors": [{"matchLabels": {format!("{AGGREGATE}{}", role.name): "true"}}]
        });
    }
    object["rules"] = Value::Array(rules(role));
    object
}

/// A role's own rules, then those of the roles that are part of it, each once.
fn rules(role: &Role) -> Vec<Value> {
    let mut all: Vec<Value> = role.rules.iter().map(rule).collect();
    if role.aggregates {
        for rule in ROLES
            .iter()
            .filter(|part| part.part_of == role.name)
            .flat_map(rules)
        {
            if !all.contains(&rule) {
                all.push(rule);
            }
        }
    }
    all
}

fn rule(rule: &Rule) -> Value {
    let mut out = Map::new();
    let columns = [
        ("verbs", rule.verbs),
        ("apiGroups", rule.groups),
        ("resources", rule.resources),
        ("resourceNames", rule.names),
        ("nonResourceURLs", rule.urls),
    ];
    for (field, words) in columns.into_iter().filter(|(_, words)| !words.is_empty()) {
        let word = |word| {
            if field == "apiGroups" && word == "core" {
                ""
            } else {
                word
            }
        };
        out.insert(field.to_owned(), words.split(' ').map(word).collect());
    }
    Value::Object(out)
}

fn binding(role: &str, subjects: &str) -> Value {
    let mut object = object("ClusterRoleBinding", role);
    object["roleRef"] = json!({"apiGroup": API_GROUP, "kind": "ClusterRole", "name": role});
    let subjects: Vec<Value> = subjects
        .split_whitespace()
        .filter_map(|subject| subject.split_once('='))
        .map(|(kind, name)| match name.split_once('/') {
            Some((namespace, name)) => json!({"kind": kind, "name": name, "namespace": namespace}),
            None => json!({"apiGroup": API_GROUP, "kind": kind, "name": name}),
        })
        .collect();
    if !subjects.is_empty() {
        object["subjects"] = Value::Array(subjects);
    }
    object
}

fn object(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "name": name,
        },
    })
}
