//! ResourceQuota

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, resource_value};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::resource_names;
use crate::kinds::usual;
use crate::kinds::values::{entries, given, list, map_of, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["quota".into()],
        returns_deleted: true,
        subresources: vec![Subresource::Status],
        columns: vec![
            name_column(),
            column("Request", "string", |o, _| amounts(&o["status"], false).into()),
            column("Limit", "string", |o, _| amounts(&o["status"], true).into()),
            age_column(),
        ],
        hooks: Box::new(ResourceQuotaHooks),
        ..usual("", "ResourceQuota", "resourcequotas", Scope::Namespaced)
    }
}

/// `name: used/hard` of what limits, or of all else.
fn amounts(status: &Value, limits: bool) -> String {
    let shown = entries(&status["hard"]).filter(|(name, _)| name.starts_with("limits.") == limits);
    let texts: Vec<String> = shown
        .map(|(name, hard)| match text(&status["used"][name]) {
            "" => format!("{name}: 0/{}", text(hard)),
            used => format!("{name}: {used}/{}", text(hard)),
        })
        .collect();
    texts.join(", ")
}

struct ResourceQuotaHooks;

impl Hooks for ResourceQuotaHooks {
    fn default(&self, object: &mut Value) {
        map_of(object, "spec");
        map_of(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
    }

    fn prepare_subresource(&self, _: Subresource, _: &mut Value, _: &Value) {}

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        hard(&mut errors, &path.child("hard"), &spec["hard"]);
        scopes(&mut errors, &path.child("scopes"), spec);
        if given(&spec["scopeSelector"]) {
            selector(&mut errors, &path.child("scopeSelector"), spec);
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let set = |o: &Value| -> BTreeSet<String> {
            list(&o["spec"]["scopes"]).iter().map(|s| text(s).to_string()).collect()
        };
        match set(object) == set(old) {
            true => Vec::new(),
            false => vec![Error::invalid("spec.scopes", object["spec"]["scopes"].clone(), "field is immutable")],
        }
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let path = Path::new("status");
        for field in ["hard", "used"] {
            hard(&mut errors, &path.child(field), &object["status"][field]);
        }
        errors
    }
}

fn hard(errors: &mut Errors, path: &Path, amounts: &Value) {
    for (name, amount) in entries(amounts) {
        let path = path.key(name);
        resource_names::of_quota(errors, &path, name);
        resource_value(errors, &path, name, amount);
    }
}

/// Scopes of pods by how long they run and how they ask; each is there or not.
const PLAIN: [&str; 5] = [
    "BestEffort",
    "NotBestEffort",
    "Terminating",
    "NotTerminating",
    "CrossNamespacePodAffinity",
];

fn is_scope(scope: &str) -> bool {
    PLAIN.contains(&scope) || matches!(scope, "PriorityClass" | "VolumeAttributesClass")
}

/// Whether a scope can tell apart what a resource counts.
fn fits(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        scope if !is_scope(scope) => true,
        _ => matches!(
            resource,
            "pods" | "cpu" | "memory" | "limits.cpu" | "limits.memory" | "requests.cpu" | "requests.memory"
        ),
    }
}

/// The limited resources that a scope cannot tell apart.
fn misfits<'a>(spec: &'a Value, scope: &'a str) -> impl Iterator<Item = &'a String> {
    let limited = entries(&spec["hard"]).map(|(name, _)| name);
    limited.filter(move |name| resource_names::is_for_quotas(name) && !fits(scope, name))
}

fn scopes(errors: &mut Errors, path: &Path, spec: &Value) {
    let scopes = list(&spec["scopes"]);
    for scope in scopes.iter().map(text) {
        if !is_scope(scope) {
            errors.push(Error::invalid(path, spec["scopes"].clone(), "unsupported scope"));
        }
        for _ in misfits(spec, scope) {
            let detail = "unsupported scope applied to resource";
            errors.push(Error::invalid(path, spec["scopes"].clone(), detail));
        }
    }
    let named: Vec<&str> = scopes.iter().map(text).collect();
    conflicts(errors, path, spec, &named);
}

fn conflicts(errors: &mut Errors, path: &Path, spec: &Value, scopes: &[&str]) {
    for [a, b] in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if scopes.contains(&a) && scopes.contains(&b) {
            errors.push(Error::invalid(path, spec["scopes"].clone(), "conflicting scopes"));
        }
    }
}

fn selector(errors: &mut Errors, path: &Path, spec: &Value) {
    let (path, selector) = (path.child("matchExpressions"), &spec["scopeSelector"]);
    let expressions = list(&selector["matchExpressions"]);
    for expression in expressions {
        let (scope, operator) = (text(&expression["scopeName"]), text(&expression["operator"]));
        if !is_scope(scope) {
            errors.push(Error::invalid(path.child("scopeName"), scope, "unsupported scope"));
        }
        for _ in misfits(spec, scope) {
            let detail = "unsupported scope applied to resource";
            errors.push(Error::invalid(path, selector.clone(), detail));
        }
        if PLAIN.contains(&scope) && operator != "Exists" {
            let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(Error::invalid(path.child("operator"), operator, detail));
        }
        let values = &expression["values"];
        match operator {
            "In" | "NotIn" if list(values).is_empty() => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(Error::required(path.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !list(values).is_empty() => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(Error::invalid(path.child("values"), values.clone(), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(Error::invalid(path.child("operator"), other, "not a valid selector operator")),
        }
    }
    let named: Vec<&str> = expressions.iter().map(|e| text(&e["scopeName"])).collect();
    conflicts(errors, &path, spec, &named);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let check = |spec: Value, expected: &[&str]| {
            let errors = ResourceQuotaHooks.validate(&json!({"spec": spec}));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{spec}");
        };
        check(json!({"hard": {"cpu": "1", "count/pods": "2", "requests.a.io/gpu": "1"}}), &[]);
        check(json!({"hard": {"pods": "1500m"}}), &["spec.hard[pods]: Invalid value: \"1500m\": must be an integer"]);
        check(json!({"hard": {"cpu": "-1"}}), &[
            "spec.hard[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
        ]);
        check(json!({"hard": {"stars": "1"}}), &[
            "spec.hard[stars]: Invalid value: \"stars\": must be a standard resource type or fully qualified",
            "spec.hard[stars]: Invalid value: \"stars\": must be a standard resource for quota",
        ]);
        check(json!({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}), &[
            "spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource",
        ]);
        check(json!({"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]}), &[
            "spec.scopes: Invalid value: [\"Terminating\",\"NotTerminating\"]: conflicting scopes",
        ]);
        let by_class = |operator: &str, values: Value| {
            let expression = json!({"scopeName": "PriorityClass", "operator": operator, "values": values});
            json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [expression]}})
        };
        check(by_class("In", json!(["high"])), &[]);
        check(by_class("In", json!([])), &[
            "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is \
             'In' or 'NotIn' for scope selector",
        ]);
        check(by_class("Above", json!([])), &[
            "spec.scopeSelector.matchExpressions.operator: Invalid value: \"Above\": not a valid selector operator",
        ]);
    }

    #[test]
    fn cells() {
        let status = json!({"hard": {"limits.cpu": "2", "pods": "4", "cpu": "1"}, "used": {"pods": "1"}});
        assert_eq!(amounts(&status, false), "cpu: 0/1, pods: 1/4");
        assert_eq!(amounts(&status, true), "limits.cpu: 0/2");
    }
}
