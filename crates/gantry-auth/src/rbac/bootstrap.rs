//! The roles and bindings a new cluster starts with, as API objects.

use super::aggregation::aggregated_rules;
use super::controllers::CONTROLLERS;
use super::escalation::is_covered;
use super::gated::{GATED_BINDINGS, GATED_CONTROLLERS, GATED_ROLES, GATED_RULES};
use super::namespaced::{NAMESPACED, NAMESPACED_BINDINGS};
use super::roles::{BINDINGS, ROLES, Role, Rule};
use super::{API_GROUP, list};
use gantry_api::features::{Feature, enabled};
use serde_json::{Map, Value, json};

const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const AGGREGATE: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// The ClusterRoles a new cluster starts with.
///
/// `admin`, `edit` and `view` come with the rules that aggregation over these roles
/// gives them, so that they work before any controller has run.
pub fn bootstrap_cluster_roles() -> Vec<Value> {
    let mut all: Vec<Value> = roles().chain(controllers()).map(cluster_role).collect();
    // An aggregate may be part of another, so this goes on until nothing changes; no aggregate is part of itself.
    while let Some((at, rules)) =
        (0..all.len()).find_map(|at| Some((at, aggregated_rules(&all[at], all.iter())?)))
    {
        all[at]["rules"] = rules.into();
    }
    all
}

/// The ClusterRoleBindings a new cluster starts with.
pub fn bootstrap_cluster_role_bindings() -> Vec<Value> {
    let cluster =
        |role: &str, subjects: &str| binding("ClusterRoleBinding", role, "ClusterRole", role, subjects);
    let mut all: Vec<Value> = BINDINGS
        .iter()
        .chain(of_features(GATED_BINDINGS))
        .map(|(role, subjects)| cluster(role, subjects))
        .collect();
    all.extend(controllers().filter_map(|role| {
        let account = role.name.strip_prefix("system:controller:")?;
        Some(cluster(
            role.name,
            &format!("ServiceAccount=kube-system/{account}"),
        ))
    }));
    all
}

/// The Roles a new cluster starts with.
pub fn bootstrap_roles() -> Vec<Value> {
    let object = |(namespace, role): &(&str, Role)| {
        let mut object = object("Role", role.name);
        object["metadata"]["namespace"] = json!(namespace);
        object["rules"] = Value::Array(rules(role));
        object
    };
    NAMESPACED.iter().map(object).collect()
}

/// The RoleBindings a new cluster starts with.
pub fn bootstrap_role_bindings() -> Vec<Value> {
    let object = |(namespace, name, role, subjects): &(&str, &str, &str, &str)| {
        let mut object = binding("RoleBinding", name, "Role", role, subjects);
        object["metadata"]["namespace"] = json!(namespace);
        object
    };
    NAMESPACED_BINDINGS.iter().map(object).collect()
}

/// What to store so that a default role or binding has all it should, if it lacks something.
///
/// Rules and subjects that someone added stay. Nothing is done to an object that says so, nor to a binding that
/// someone pointed at another role.
pub fn reconciled(wanted: &Value, stored: &Value) -> Option<Value> {
    if stored["metadata"]["annotations"][AUTO_UPDATE] == "false" || stored["roleRef"] != wanted["roleRef"] {
        return None;
    }
    let mut object = stored.clone();
    for part in ["labels", "annotations"] {
        for (key, value) in wanted["metadata"][part].as_object().into_iter().flatten() {
            if object["metadata"][part][key].is_null() {
                object["metadata"][part][key] = value.clone();
            }
        }
    }
    let own = list(stored, "rules");
    let missing_rules = list(wanted, "rules").iter().filter(|rule| !is_covered(own, rule));
    let subjects = list(stored, "subjects");
    let missing_subjects = list(wanted, "subjects").iter().filter(|s| !subjects.contains(s));
    for (field, missing) in [
        ("rules", missing_rules.cloned().collect::<Vec<_>>()),
        ("subjects", missing_subjects.cloned().collect()),
    ] {
        if !missing.is_empty() {
            object[field] = [list(stored, field), &missing].concat().into();
        }
    }
    (object != *stored).then_some(object)
}

/// Those of a table whose features are on.
fn of_features<T>(table: &'static [(Feature, T)]) -> impl Iterator<Item = &'static T> {
    table
        .iter()
        .filter(|(feature, _)| enabled(*feature))
        .map(|(_, item)| item)
}

fn roles() -> impl Iterator<Item = &'static Role> {
    ROLES.iter().chain(of_features(GATED_ROLES))
}

fn controllers() -> impl Iterator<Item = &'static Role> {
    CONTROLLERS.iter().chain(of_features(GATED_CONTROLLERS))
}

/// The rules of one default ClusterRole.
pub(crate) fn rules_of(name: &str) -> Vec<Value> {
    roles().filter(|role| role.name == name).flat_map(rules).collect()
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

fn rules(role: &Role) -> Vec<Value> {
    let gated = GATED_RULES
        .iter()
        .filter(|(feature, name, _)| *name == role.name && enabled(*feature));
    let gated = gated.map(|(_, _, rule)| rule);
    role.rules.iter().chain(gated).map(rule).collect()
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

fn binding(kind: &str, name: &str, role_kind: &str, role: &str, subjects: &str) -> Value {
    let mut object = object(kind, name);
    object["roleRef"] = json!({"apiGroup": API_GROUP, "kind": role_kind, "name": role});
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
            "annotations": {AUTO_UPDATE: "true"},
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "name": name,
        },
    })
}
