//! StorageVersionMigration

use crate::features::Feature;
use crate::field::{Error, Path};
use crate::formats::{self, Problems};
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, immutable};
use crate::kinds::columns::{column, name_column};
use crate::kinds::conditions::conditions;
use crate::kinds::usual;
use crate::kinds::values::{drop_zero, keep, list, map_of, text};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        version: "v1beta1".into(),
        feature: Some(Feature::StorageVersionMigrator),
        subresources: vec![Subresource::Status],
        status_alone: true,
        columns: vec![
            name_column(),
            column("Resource", "string", |o, _| {
                let of = |field: &str| text(&o["spec"]["resource"][field]);
                match of("group") {
                    "" => of("resource").into(),
                    group => format!("{}.{group}", of("resource")).into(),
                }
            }),
            column("Status", "string", |o, _| {
                let is_known = |c: &&Value| c["status"] == "True" && STATES.contains(&text(&c["type"]));
                let last = list(&o["status"]["conditions"]).iter().rfind(is_known);
                last.map_or("Unknown", |c| text(&c["type"])).into()
            }),
        ],
        hooks: Box::new(MigrationHooks),
        ..usual(
            "storagemigration.k8s.io",
            "StorageVersionMigration",
            "storageversionmigrations",
            Scope::Cluster,
        )
    }
}

const STATES: [&str; 3] = ["Running", "Succeeded", "Failed"];

struct MigrationHooks;

impl Hooks for MigrationHooks {
    fn default(&self, object: &mut Value) {
        map_of(map_of(object, "spec"), "resource");
        drop_zero(map_of(object, "status"), &["resourceVersion"]);
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn prepare_subresource(&self, _: Subresource, object: &mut Value, old: &Value) {
        keep(object, old, "spec");
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let path = Path::new("spec");
        let path = path.child("resource");
        let of = |field: &str| text(&object["spec"]["resource"][field]);
        let mut check = |field: &str, rule: fn(&str) -> Problems| {
            let problems = rule(of(field));
            if !problems.is_empty() {
                errors.push(Error::invalid(path.child(field), of(field), problems.join(",")));
            }
        };
        if !of("group").is_empty() {
            check("group", formats::dns_subdomain);
        }
        match of("resource") {
            "" => errors.insert(0, Error::required(path.child("resource"), "resource is required to be set")),
            _ => check("resource", formats::dns1035_label),
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        immutable(&mut errors, &Path::new("spec"), &object["spec"], &old["spec"]);
        errors
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        status(&object["status"], &old["status"])
    }

    fn needs_version(&self) -> bool {
        true
    }
}

fn is_true(status: &Value, type_: &str) -> bool {
    list(&status["conditions"]).iter().find(|c| c["type"] == type_).is_some_and(|c| c["status"] == "True")
}

fn status(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("status");
    let (at_version, version) = (path.child("resourceVersion"), text(&new["resourceVersion"]));
    let is_number = version.bytes().all(|b| b.is_ascii_digit()) && !version.starts_with('0');
    if !version.is_empty() && !is_number {
        let detail = format!("resource version is not well formed: {version}");
        errors.push(Error::invalid(at_version, version, detail));
    }
    let (at, all) = (path.child("conditions"), list(&new["conditions"]));
    conditions(&mut errors, &at, all);
    let before = text(&old["resourceVersion"]);
    if !before.is_empty() && before != version {
        errors.push(Error::invalid(at_version, version, "field is immutable"));
    }
    let mut wrong = |detail: &str| errors.push(Error::invalid(at, all.to_vec(), detail));
    if is_true(new, "Succeeded") && is_true(new, "Failed") {
        wrong("Both success and failed conditions cannot be true at the same time");
    }
    for (type_, word) in [("Succeeded", "Success"), ("Failed", "Failed")] {
        if is_true(old, type_) && !is_true(new, type_) {
            wrong(&format!("{word} condition cannot be set to false once it is true"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(errors: &[Error]) -> Vec<String> {
        errors.iter().map(|e| format!("{}: {}", e.field, e.detail)).collect()
    }

    #[test]
    fn rules() {
        let check = |resource: Value, fields: &[&str]| {
            let object = json!({"spec": {"resource": resource}});
            let found: Vec<String> = MigrationHooks.validate(&object).iter().map(|e| e.field.clone()).collect();
            assert_eq!(found, fields);
        };
        check(json!({"group": "apps", "resource": "deployments"}), &[]);
        check(json!({"resource": "pods"}), &[]);
        check(json!({"group": "a_b"}), &["spec.resource.resource", "spec.resource.group"]);
        check(json!({"resource": "9"}), &["spec.resource.resource"]);
    }

    #[test]
    fn statuses() {
        let with = |version: &str, types: &[&str]| {
            let condition = |type_: &&str| {
                json!({"type": type_, "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"})
            };
            json!({"resourceVersion": version, "conditions": types.iter().map(condition).collect::<Vec<_>>()})
        };
        let check = |new: Value, old: Value, expected: &[&str]| assert_eq!(texts(&status(&new, &old)), expected);
        check(with("5", &["Succeeded"]), with("5", &["Running"]), &[]);
        check(with("05", &[]), json!({}), &["status.resourceVersion: resource version is not well formed: 05"]);
        check(with("6", &[]), with("5", &[]), &["status.resourceVersion: field is immutable"]);
        check(
            with("", &["Succeeded", "Failed"]),
            json!({}),
            &["status.conditions: Both success and failed conditions cannot be true at the same time"],
        );
        check(
            with("", &[]),
            with("", &["Failed"]),
            &["status.conditions: Failed condition cannot be set to false once it is true"],
        );
    }
}
