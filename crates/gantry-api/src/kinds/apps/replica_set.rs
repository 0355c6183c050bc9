//! ReplicaSet

use crate::field::Error;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::core::pod;
use crate::kinds::{age_column, column, count_generation, default_to, name_column, number, start_generation, usual};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["rs".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::Status, Subresource::Scale],
        selectable_fields: vec![("status.replicas", "status.replicas")],
        columns: vec![
            name_column(),
            column("Desired", "integer", |o, _| number(&o["spec"]["replicas"]).into()),
            column("Current", "integer", |o, _| number(&o["status"]["replicas"]).into()),
            column("Ready", "integer", |o, _| number(&o["status"]["readyReplicas"]).into()),
            age_column(),
        ],
        hooks: Box::new(ReplicaSetHooks),
        ..usual("apps", "ReplicaSet", "replicasets", Scope::Namespaced)
    }
}

struct ReplicaSetHooks;

impl Hooks for ReplicaSetHooks {
    fn default(&self, object: &mut Value) {
        default_to(&mut object["spec"], "replicas", 1);
        pod::default_spec(&mut object["spec"]["template"]["spec"]);
    }

    fn prepare_create(&self, object: &mut Value) {
        start_generation(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        count_generation(object, old);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        validate_update(object, old)
    }
}

/// What kinds that own pods through a template share: replicas, selector and template.
pub fn validate(object: &Value) -> Vec<Error> {
    let spec = &object["spec"];
    let mut errors = Vec::new();
    if number(&spec["replicas"]) < 0 {
        let detail = "must be greater than or equal to 0";
        errors.push(Error::invalid("spec.replicas", spec["replicas"].clone(), detail));
    }
    let selector = &spec["selector"];
    let wanted = selector["matchLabels"].as_object();
    let labels = &spec["template"]["metadata"]["labels"];
    if !selector.is_object() {
        errors.push(Error::required("spec.selector", ""));
    } else if wanted.into_iter().flatten().any(|(key, value)| labels[key] != *value) {
        let detail = "`selector` does not match template `labels`";
        errors.push(Error::invalid("spec.template.metadata.labels", labels.clone(), detail));
    }
    errors.extend(pod::validate_spec(&spec["template"]["spec"], "spec.template.spec"));
    errors
}

/// The selector may not change.
pub fn validate_update(object: &Value, old: &Value) -> Vec<Error> {
    let selector = &object["spec"]["selector"];
    if *selector == old["spec"]["selector"] {
        return Vec::new();
    }
    vec![Error::invalid("spec.selector", selector.clone(), "field is immutable")]
}
