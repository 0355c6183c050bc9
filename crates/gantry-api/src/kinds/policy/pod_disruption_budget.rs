//! PodDisruptionBudget

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{count_or_part, label_selector, nonnegative, optional_one_of};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::values::{default_to, given, map_of, number};
use crate::kinds::{count_generation, start_generation, usual};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["pdb".into()],
        subresources: vec![Subresource::Status],
        columns: vec![
            name_column(),
            column("Min Available", "string", |o, _| count(&o["spec"]["minAvailable"])),
            column("Max Unavailable", "string", |o, _| count(&o["spec"]["maxUnavailable"])),
            column("Allowed Disruptions", "integer", |o, _| number(&o["status"]["disruptionsAllowed"]).into()),
            age_column(),
        ],
        hooks: Box::new(PodDisruptionBudgetHooks),
        ..usual("policy", "PodDisruptionBudget", "poddisruptionbudgets", Scope::Namespaced)
    }
}

const COUNTS: [&str; 4] = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];

fn count(value: &Value) -> Value {
    match value {
        Value::Null => "N/A".into(),
        Value::String(percent) => percent.clone().into(),
        number => number.to_string().into(),
    }
}

struct PodDisruptionBudgetHooks;

impl Hooks for PodDisruptionBudgetHooks {
    /// Upstream has no rule of its own.
    fn validate_name(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn needs_version(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        map_of(object, "spec");
        let status = map_of(object, "status");
        COUNTS.iter().for_each(|field| default_to(status, field, 0));
    }

    fn prepare_create(&self, object: &mut Value) {
        start_generation(object);
        COUNTS.iter().for_each(|field| object["status"][*field] = 0.into());
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        count_generation(object, old);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        if given(&spec["minAvailable"]) && given(&spec["maxUnavailable"]) {
            let detail = "minAvailable and maxUnavailable cannot be both set";
            errors.push(Error::invalid(path, spec.clone(), detail));
        }
        for field in ["minAvailable", "maxUnavailable"] {
            count_or_part(&mut errors, &path.child(field), &spec[field]);
        }
        label_selector(&mut errors, &path.child("selector"), &spec["selector"]);
        optional_one_of(
            &mut errors,
            &path.child("unhealthyPodEvictionPolicy"),
            &spec["unhealthyPodEvictionPolicy"],
            &["AlwaysAllow", "IfHealthyBudget"],
        );
        errors
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        for field in COUNTS {
            nonnegative(&mut errors, &Path::new("status").child(field), &object["status"][field]);
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |spec: Value, expected: &[&str]| {
            let errors = PodDisruptionBudgetHooks.validate(&json!({"spec": spec}));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(json!({"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}}), &[]);
        check(
            json!({"minAvailable": "101%"}),
            &["spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%"],
        );
        check(
            json!({"maxUnavailable": -1}),
            &["spec.maxUnavailable: Invalid value: -1: must be greater than or equal to 0"],
        );
        check(
            json!({"minAvailable": 1, "maxUnavailable": 1}),
            &["spec: Invalid value: {\"maxUnavailable\":1,\"minAvailable\":1}: minAvailable and maxUnavailable cannot be both set"],
        );
        check(
            json!({"unhealthyPodEvictionPolicy": "Never"}),
            &["spec.unhealthyPodEvictionPolicy: Unsupported value: \"Never\": supported values: \"AlwaysAllow\", \"IfHealthyBudget\""],
        );
    }
}
