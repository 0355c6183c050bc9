//! ReplicationController

use super::pod;
use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::nonnegative;
use crate::kinds::columns::{age_column, column, labels, name_column, template_columns, wide};
use crate::kinds::values::{default_to, drop_zero, entries, given, map_of, number, size};
use crate::kinds::{count_generation, start_generation, selectable, usual};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    let [containers, images, _] = template_columns();
    Kind {
        short_names: vec!["rc".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::Scale, Subresource::Status],
        selectable_fields: selectable(&[("status.replicas", "status.replicas")]),
        columns: vec![
            name_column(),
            column("Desired", "integer", |o, _| number(&o["spec"]["replicas"]).into()),
            column("Current", "integer", |o, _| number(&o["status"]["replicas"]).into()),
            column("Ready", "integer", |o, _| number(&o["status"]["readyReplicas"]).into()),
            age_column(),
            containers,
            images,
            wide("Selector", "string", |o, _| labels(&o["spec"]["selector"]).into()),
        ],
        storage_prefix: "controllers".into(),
        hooks: Box::new(ReplicationControllerHooks),
        ..usual("", "ReplicationController", "replicationcontrollers", Scope::Namespaced)
    }
}

struct ReplicationControllerHooks;

impl Hooks for ReplicationControllerHooks {
    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings: Vec<String> = pod::owner_name_warning(object, old).into_iter().collect();
        warnings.extend(pod::template_warnings("spec.template", object, old));
        warnings
    }

    fn validate_name(&self, name: &str) -> Result<(), String> {
        crate::meta::validate_long_name(name)
    }

    fn validates_generate_name(&self) -> bool {
        false
    }

    fn orphans_by_default(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        drop_zero(spec, &["minReadySeconds"]);
        default_to(spec, "replicas", 1);
        if given(&spec["template"]) {
            pod::default_template(spec, "template");
        }
        // What is not selected or labelled is by the template's labels.
        let labels = spec["template"]["metadata"]["labels"].clone();
        if labels.is_object() {
            if size(&spec["selector"]) == 0 {
                spec["selector"] = labels.clone();
            }
            let metadata = map_of(object, "metadata");
            if size(&metadata["labels"]) == 0 {
                metadata["labels"] = labels;
            }
        }
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

    fn prepare_subresource(&self, subresource: Subresource, object: &mut Value, old: &Value) {
        if subresource != Subresource::Status {
            self.prepare_update(object, old);
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        let (selector, template) = (&spec["selector"], &spec["template"]);
        nonnegative(&mut errors, &path.child("minReadySeconds"), &spec["minReadySeconds"]);
        if size(selector) == 0 {
            errors.push(Error::required(path.child("selector"), ""));
        }
        nonnegative(&mut errors, &path.child("replicas"), &spec["replicas"]);
        let at = path.child("template");
        if !given(template) {
            errors.push(Error::required(at, ""));
            return errors;
        }
        let labels = &template["metadata"]["labels"];
        if entries(selector).any(|(key, value)| labels[key] != *value) {
            let detail = "`selector` does not match template `labels`";
            errors.push(Error::invalid("spec.template.metadata.labels", labels.clone(), detail));
        }
        pod::validate_template(&mut errors, &at, template);
        pod::runs_forever(&mut errors, &at, template, "ReplicationController");
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let template = json!({
                "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
            });
            let mut object = json!({"metadata": {"name": "r"}, "spec": {"template": template}});
            change(&mut object);
            ReplicationControllerHooks.default(&mut object);
            let errors = ReplicationControllerHooks.validate(&object);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(|_| {}, &[]);
        check(
            |o| o["spec"] = json!({"selector": {"a": "b"}}),
            &["spec.template: Required value"],
        );
        check(
            |o| o["spec"]["selector"] = json!({"a": "c"}),
            &["spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"],
        );
        check(
            |o| o["spec"]["replicas"] = (-1).into(),
            &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        );
    }
}
