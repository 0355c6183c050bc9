//! Deployment

use super::replica_set;
use crate::field::Error;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::core::pod;
use crate::kinds::{age_column, column, count_generation, default_to, name_column, number, start_generation, usual};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["deploy".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::Status, Subresource::Scale],
        columns: vec![
            name_column(),
            column("Ready", "string", |o, _| {
                format!("{}/{}", number(&o["status"]["readyReplicas"]), number(&o["spec"]["replicas"])).into()
            }),
            column("Up-to-date", "string", |o, _| number(&o["status"]["updatedReplicas"]).into()),
            column("Available", "string", |o, _| number(&o["status"]["availableReplicas"]).into()),
            age_column(),
        ],
        hooks: Box::new(DeploymentHooks),
        ..usual("apps", "Deployment", "deployments", Scope::Namespaced)
    }
}

struct DeploymentHooks;

impl Hooks for DeploymentHooks {
    fn default(&self, object: &mut Value) {
        let spec = &mut object["spec"];
        default_to(spec, "replicas", 1);
        default_to(spec, "revisionHistoryLimit", 10);
        default_to(spec, "progressDeadlineSeconds", 600);
        default_to(spec, "strategy", json!({}));
        default_to(&mut spec["strategy"], "type", "RollingUpdate");
        if spec["strategy"]["type"] == "RollingUpdate" {
            default_to(&mut spec["strategy"], "rollingUpdate", json!({}));
            default_to(&mut spec["strategy"]["rollingUpdate"], "maxUnavailable", "25%");
            default_to(&mut spec["strategy"]["rollingUpdate"], "maxSurge", "25%");
        }
        pod::default_spec(&mut spec["template"]["spec"]);
    }

    fn prepare_create(&self, object: &mut Value) {
        start_generation(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        count_generation(object, old);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        replica_set::validate(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        replica_set::validate_update(object, old)
    }
}
