//! ReplicaSet

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{immutable, nonnegative};
use crate::kinds::columns::{age_column, column, name_column, template_columns};
use crate::kinds::core::pod;
use crate::kinds::values::{default_to, map_of, number};
use crate::kinds::{count_generation, start_generation, selectable, usual};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    let mut columns = vec![
        name_column(),
        column("Desired", "integer", |o, _| number(&o["spec"]["replicas"]).into()),
        column("Current", "integer", |o, _| number(&o["status"]["replicas"]).into()),
        column("Ready", "integer", |o, _| number(&o["status"]["readyReplicas"]).into()),
        age_column(),
    ];
    columns.extend(template_columns());
    Kind {
        short_names: vec!["rs".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::Scale, Subresource::Status],
        selectable_fields: selectable(&[("status.replicas", "status.replicas")]),
        columns,
        hooks: Box::new(ReplicaSetHooks),
        ..usual("apps", "ReplicaSet", "replicasets", Scope::Namespaced)
    }
}

struct ReplicaSetHooks;

impl Hooks for ReplicaSetHooks {
    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings: Vec<String> = pod::owner_name_warning(object, old).into_iter().collect();
        warnings.extend(pod::template_warnings("spec.template", object, old));
        warnings
    }

    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        default_to(spec, "replicas", 1);
        pod::default_template(spec, "template");
        default_to(map_of(object, "status"), "replicas", 0);
    }

    fn prepare_create(&self, object: &mut Value) {
        pod::drop_disabled(object, None, "/spec/template/spec");
        start_generation(object);
        object["status"]["replicas"] = 0.into();
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        pod::drop_disabled(object, Some(old), "/spec/template/spec");
        count_generation(object, old);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        nonnegative(&mut errors, &path.child("replicas"), &spec["replicas"]);
        nonnegative(&mut errors, &path.child("minReadySeconds"), &spec["minReadySeconds"]);
        pod::owner_of_pods(&mut errors, &path, spec);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (new, old) = (&object["spec"]["selector"], &old["spec"]["selector"]);
        immutable(&mut errors, &Path::new("spec").child("selector"), new, old);
        errors
    }

    fn validate_subresource(&self, subresource: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        if subresource != Subresource::Status {
            return self.validate_update(object, old);
        }
        let mut errors = Vec::new();
        let counts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
        pod::replicas_status(&mut errors, &object["status"], &counts);
        errors
    }
}
