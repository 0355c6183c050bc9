//! DaemonSet

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, amount, count_or_part, immutable, label_selector, nonnegative, selects};
use crate::kinds::columns::{age_column, column, labels, name_column, template_columns};
use crate::kinds::core::pod;
use crate::kinds::values::{default_if_zero, default_to, drop_zero, keep, list, map_of, number, same, size, text};
use crate::kinds::usual;
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    let mut columns = vec![
        name_column(),
        column("Desired", "integer", |o, _| number(&o["status"]["desiredNumberScheduled"]).into()),
        column("Current", "integer", |o, _| number(&o["status"]["currentNumberScheduled"]).into()),
        column("Ready", "integer", |o, _| number(&o["status"]["numberReady"]).into()),
        column("Up-to-date", "integer", |o, _| number(&o["status"]["updatedNumberScheduled"]).into()),
        column("Available", "integer", |o, _| number(&o["status"]["numberAvailable"]).into()),
        column("Node Selector", "string", |o, _| {
            labels(&o["spec"]["template"]["spec"]["nodeSelector"]).into()
        }),
        age_column(),
    ];
    columns.extend(template_columns());
    Kind {
        short_names: vec!["ds".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::Status],
        columns,
        hooks: Box::new(DaemonSetHooks),
        ..usual("apps", "DaemonSet", "daemonsets", Scope::Namespaced)
    }
}

/// Counts that are always written, also as 0.
const WRITTEN: [&str; 4] =
    ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"];
/// The generation of the template lives on in this annotation; the field is gone since apps/v1.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

struct DaemonSetHooks;

impl Hooks for DaemonSetHooks {
    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        pod::template_warnings("spec.template", object, old)
    }

    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        drop_zero(spec, &["minReadySeconds"]);
        default_to(spec, "revisionHistoryLimit", 10);
        let strategy = map_of(spec, "updateStrategy");
        default_if_zero(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            let rolling = map_of(strategy, "rollingUpdate");
            default_to(rolling, "maxUnavailable", 1);
            default_to(rolling, "maxSurge", 0);
        }
        pod::default_template(spec, "template");
        default_to(map_of(map_of(object, "metadata"), "annotations"), TEMPLATE_GENERATION, "0");
        let status = map_of(object, "status");
        WRITTEN.iter().for_each(|field| default_to(status, field, 0));
    }

    fn prepare_create(&self, object: &mut Value) {
        pod::drop_disabled(object, None, "/spec/template/spec");
        object["metadata"]["generation"] = 1.into();
        object["status"] = json!({});
        WRITTEN.iter().for_each(|field| object["status"][*field] = 0.into());
        let asked = template_generation(object).max(1);
        map_of(map_of(object, "metadata"), "annotations")[TEMPLATE_GENERATION] = asked.to_string().into();
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        pod::drop_disabled(object, Some(old), "/spec/template/spec");
        let mut generation = template_generation(old);
        let template_changed = !same(&object["spec"]["template"], &old["spec"]["template"]);
        if template_changed {
            generation += 1;
        }
        if template_changed || !same(&object["spec"], &old["spec"]) {
            object["metadata"]["generation"] = (number(&old["metadata"]["generation"]) + 1).into();
        }
        map_of(map_of(object, "metadata"), "annotations")[TEMPLATE_GENERATION] = generation.to_string().into();
    }

    fn prepare_subresource(&self, _: Subresource, object: &mut Value, old: &Value) {
        let annotations = map_of(map_of(object, "metadata"), "annotations");
        keep(annotations, &old["metadata"]["annotations"], TEMPLATE_GENERATION);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        let (selector, template) = (&spec["selector"], &spec["template"]);
        let labels = &template["metadata"]["labels"];
        label_selector(&mut errors, &path.child("selector"), selector);
        let well_formed = errors.is_empty();
        if well_formed && (!selector.is_object() || !selects(selector, labels)) {
            let detail = "`selector` does not match template `labels`";
            errors.push(Error::invalid("spec.template.metadata.labels", labels.clone(), detail));
        }
        if selector.is_object() && size(&selector["matchLabels"]) + list(&selector["matchExpressions"]).len() == 0 {
            let detail = "empty selector is invalid for daemonset";
            errors.push(Error::invalid(path.child("selector"), selector.clone(), detail));
        }
        pod::validate_template(&mut errors, &path.child("template"), template);
        pod::runs_forever(&mut errors, &path.child("template"), template, "DaemonSet");
        nonnegative(&mut errors, &path.child("minReadySeconds"), &spec["minReadySeconds"]);
        strategy(&mut errors, &path.child("updateStrategy"), &spec["updateStrategy"]);
        nonnegative(&mut errors, &path.child("revisionHistoryLimit"), &spec["revisionHistoryLimit"]);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (new, old) = (&object["spec"]["selector"], &old["spec"]["selector"]);
        immutable(&mut errors, &Path::new("spec").child("selector"), new, old);
        errors
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, status) = (Path::new("status"), &object["status"]);
        let others =
            ["observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount"];
        for field in WRITTEN.iter().chain(&others) {
            nonnegative(&mut errors, &path.child(field), &status[*field]);
        }
        let (now, before) = (number(&status["collisionCount"]), number(&old["status"]["collisionCount"]));
        if now < before {
            errors.push(Error::invalid("status.collisionCount", now, "cannot be decremented"));
        }
        errors
    }
}

fn template_generation(object: &Value) -> i64 {
    text(&object["metadata"]["annotations"][TEMPLATE_GENERATION]).parse().unwrap_or(0)
}

fn strategy(errors: &mut Errors, path: &Path, strategy: &Value) {
    let at = path.child("rollingUpdate");
    match text(&strategy["type"]) {
        "OnDelete" => {}
        "RollingUpdate" => {
            let (unavailable, surge) = (&strategy["rollingUpdate"]["maxUnavailable"], &strategy["rollingUpdate"]["maxSurge"]);
            count_or_part(errors, &at.child("maxUnavailable"), unavailable);
            count_or_part(errors, &at.child("maxSurge"), surge);
            match (amount(unavailable) != 0, amount(surge) != 0) {
                (true, true) => {
                    let detail = "may not be set when maxUnavailable is non-zero";
                    errors.push(Error::invalid(at.child("maxSurge"), surge.clone(), detail));
                }
                (false, false) => {
                    let detail = "cannot be 0 when maxSurge is 0";
                    errors.push(Error::required(at.child("maxUnavailable"), detail));
                }
                _ => {}
            }
        }
        _ => errors.push(Error::not_supported(path, strategy.clone(), &["RollingUpdate", "OnDelete"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon_set(change: impl Fn(&mut Value)) -> Value {
        let mut object = json!({"metadata": {"name": "d"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        }});
        change(&mut object);
        DaemonSetHooks.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let errors = DaemonSetHooks.validate(&daemon_set(change));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(|_| {}, &[]);
        check(
            |o| o["spec"]["selector"] = json!({}),
            &["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
        );
        check(
            |o| o["spec"]["template"]["spec"]["activeDeadlineSeconds"] = 5.into(),
            &["spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported"],
        );
        check(
            |o| o["spec"]["updateStrategy"] = json!({"rollingUpdate": {"maxSurge": 1}}),
            &["spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"],
        );
        check(
            |o| o["spec"]["updateStrategy"] = json!({"rollingUpdate": {"maxUnavailable": 0}}),
            &["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
        );
    }

    #[test]
    fn a_changed_template_counts() {
        let mut old = daemon_set(|_| {});
        DaemonSetHooks.prepare_create(&mut old);
        let mut new = old.clone();
        new["spec"]["template"]["spec"]["hostname"] = "h".into();
        DaemonSetHooks.prepare_update(&mut new, &old);
        assert_eq!((template_generation(&new), number(&new["metadata"]["generation"])), (2, 2));
    }
}
