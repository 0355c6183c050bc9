//! Deployment

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, amount, count_or_percent, immutable, nonnegative};
use crate::kinds::columns::{age_column, column, name_column, template_columns};
use crate::kinds::core::pod;
use crate::kinds::values::{default_if_zero, default_to, drop_zero, given, map_of, number, same, text};
use crate::kinds::{start_generation, usual};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    let mut columns = vec![
        name_column(),
        column("Ready", "string", |o, _| {
            let (ready, wanted) = (number(&o["status"]["readyReplicas"]), number(&o["spec"]["replicas"]));
            format!("{ready}/{wanted}").into()
        }),
        column("Up-to-date", "string", |o, _| number(&o["status"]["updatedReplicas"]).into()),
        column("Available", "string", |o, _| number(&o["status"]["availableReplicas"]).into()),
        age_column(),
    ];
    columns.extend(template_columns());
    Kind {
        short_names: vec!["deploy".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::Scale, Subresource::Status],
        columns,
        hooks: Box::new(DeploymentHooks),
        ..usual("apps", "Deployment", "deployments", Scope::Namespaced)
    }
}

struct DeploymentHooks;

impl Hooks for DeploymentHooks {
    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings: Vec<String> = pod::owner_name_warning(object, old).into_iter().collect();
        warnings.extend(pod::template_warnings("spec.template", object, old));
        warnings
    }

    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        drop_zero(spec, &["paused", "minReadySeconds"]);
        default_to(spec, "replicas", 1);
        default_to(spec, "revisionHistoryLimit", 10);
        default_to(spec, "progressDeadlineSeconds", 600);
        let strategy = map_of(spec, "strategy");
        default_if_zero(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            let rolling = map_of(strategy, "rollingUpdate");
            default_to(rolling, "maxUnavailable", "25%");
            default_to(rolling, "maxSurge", "25%");
        }
        pod::default_template(spec, "template");
        map_of(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        pod::drop_disabled(object, None, "/spec/template/spec");
        start_generation(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        pod::drop_disabled(object, Some(old), "/spec/template/spec");
        // Annotations count too: a rollback used to be asked for in them.
        let annotations = |o: &Value| o["metadata"]["annotations"].clone();
        if !same(&object["spec"], &old["spec"]) || !same(&annotations(object), &annotations(old)) {
            object["metadata"]["generation"] = (number(&old["metadata"]["generation"]) + 1).into();
        }
    }

    fn prepare_subresource(&self, subresource: Subresource, object: &mut Value, old: &Value) {
        if subresource != Subresource::Status {
            self.prepare_update(object, old);
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        nonnegative(&mut errors, &path.child("replicas"), &spec["replicas"]);
        pod::owner_of_pods(&mut errors, &path, spec);
        strategy(&mut errors, &path.child("strategy"), &spec["strategy"]);
        for field in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
            nonnegative(&mut errors, &path.child(field), &spec[field]);
        }
        let deadline = &spec["progressDeadlineSeconds"];
        if given(deadline) && number(deadline) <= number(&spec["minReadySeconds"]) {
            let at = path.child("progressDeadlineSeconds");
            let detail = "must be greater than minReadySeconds";
            errors.push(Error::invalid(at, deadline.clone(), detail));
        }
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
        let counts = ["updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas"];
        pod::replicas_status(&mut errors, &object["status"], &counts);
        let (now, before) = (number(&object["status"]["collisionCount"]), number(&old["status"]["collisionCount"]));
        if now < before {
            errors.push(Error::invalid("status.collisionCount", now, "cannot be decremented"));
        }
        errors
    }
}

fn strategy(errors: &mut Errors, path: &Path, strategy: &Value) {
    let rolling = &strategy["rollingUpdate"];
    let at = path.child("rollingUpdate");
    match text(&strategy["type"]) {
        "Recreate" if given(rolling) => {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(Error::forbidden(at, detail));
        }
        "Recreate" => {}
        "RollingUpdate" => {
            for field in ["maxUnavailable", "maxSurge"] {
                count_or_percent(errors, &at.child(field), &rolling[field]);
            }
            let unavailable = &rolling["maxUnavailable"];
            if amount(unavailable) == 0 && amount(&rolling["maxSurge"]) == 0 {
                let detail = "may not be 0 when `maxSurge` is 0";
                errors.push(Error::invalid(at.child("maxUnavailable"), unavailable.clone(), detail));
            }
            if unavailable.is_string() && amount(unavailable) > 100 {
                let detail = "must not be greater than 100%";
                errors.push(Error::invalid(at.child("maxUnavailable"), unavailable.clone(), detail));
            }
        }
        _ => {
            let types = ["Recreate", "RollingUpdate"];
            errors.push(Error::not_supported(path, strategy.clone(), &types));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(change: impl Fn(&mut Value)) -> Value {
        let mut object = json!({"metadata": {"name": "d"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        }});
        change(&mut object);
        DeploymentHooks.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let errors = DeploymentHooks.validate(&deployment(change));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(|_| {}, &[]);
        check(
            |o| o["spec"]["selector"] = Value::Null,
            &[
                "spec.selector: Required value",
                "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
            ],
        );
        check(
            |o| o["spec"]["template"]["metadata"]["labels"]["a"] = "c".into(),
            &["spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`"],
        );
        check(
            |o| o["spec"]["template"]["spec"]["restartPolicy"] = "Never".into(),
            &["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""],
        );
        check(
            |o| o["spec"]["strategy"] = json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "0%"}}),
            &["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
        );
        check(
            |o| o["spec"]["replicas"] = (-1).into(),
            &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        );
    }

    #[test]
    fn the_selector_stays() {
        let old = deployment(|_| {});
        let new = deployment(|o| o["spec"]["selector"]["matchLabels"]["c"] = "d".into());
        let errors = DeploymentHooks.validate_update(&new, &old);
        let expected = "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"c\":\"d\"}}: field is immutable";
        assert_eq!(errors[0].to_string(), expected);
    }
}
