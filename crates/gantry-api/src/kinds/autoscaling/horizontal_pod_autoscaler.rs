//! HorizontalPodAutoscaler, stored as version v2. `v1.rs` beside this file converts the older version.
//!
//! Source: pkg/apis/autoscaling/validation/validation.go and pkg/apis/autoscaling/v2/defaults.go.

mod columns;
mod metrics;
mod v1;

use crate::features::{Feature, enabled};
use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, nonnegative, optional_one_of, required_format, resource_value};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::usual;
use crate::kinds::values::{default_to, field_mut, given, list, map_of, number, size, text};
use crate::version::Version;
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        version: "v2".into(),
        other_versions: vec![Version::converted("v1", v1::CONVERSION)],
        short_names: vec!["hpa".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::Status],
        columns: vec![
            name_column(),
            column("Reference", "string", |o, _| {
                let target = &o["spec"]["scaleTargetRef"];
                format!("{}/{}", text(&target["kind"]), text(&target["name"])).into()
            }),
            column("Targets", "string", |o, _| columns::targets(o).into()),
            column("MinPods", "string", |o, _| match &o["spec"]["minReplicas"] {
                Value::Null => "<unset>".into(),
                count => count.to_string().into(),
            }),
            column("MaxPods", "string", |o, _| number(&o["spec"]["maxReplicas"]).into()),
            column("Replicas", "string", |o, _| number(&o["status"]["currentReplicas"]).into()),
            age_column(),
        ],
        hooks: Box::new(AutoscalerHooks),
        ..usual("autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers", Scope::Namespaced)
    }
}

/// The CPU utilization aimed at when nothing is said.
const USUAL_UTILIZATION: i64 = 80;

fn cpu_metric(utilization: i64) -> Value {
    json!({"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": utilization},
    }})
}

struct AutoscalerHooks;

impl Hooks for AutoscalerHooks {
    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        default_to(spec, "minReplicas", 1);
        if size(&spec["metrics"]) == 0 {
            spec["metrics"] = json!([cpu_metric(USUAL_UTILIZATION)]);
        }
        if let Some(behavior) = field_mut(spec, "behavior") {
            let up = json!([
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]);
            let rules = map_of(behavior, "scaleUp");
            default_to(rules, "stabilizationWindowSeconds", 0);
            default_to(rules, "selectPolicy", "Max");
            default_to(rules, "policies", up);
            let rules = map_of(behavior, "scaleDown");
            default_to(rules, "selectPolicy", "Max");
            default_to(rules, "policies", json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]));
        }
        let status = map_of(object, "status");
        default_to(status, "desiredReplicas", 0);
        default_to(status, "currentMetrics", Value::Null);
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({"desiredReplicas": 0, "currentMetrics": null});
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        spec(object, None)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        spec(object, Some(old))
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        for field in ["currentReplicas", "desiredReplicas"] {
            nonnegative(&mut errors, &Path::new("status").child(field), &object["status"][field]);
        }
        errors
    }
}

/// How much is asked of a reference's apiVersion.
#[derive(Clone, Copy, PartialEq)]
enum ApiVersion {
    /// Nothing: it was taken before.
    Any,
    /// That it can be read; the core group will do.
    WellFormed,
    /// That it names a group.
    WithGroup,
}

fn spec(object: &Value, old: Option<&Value>) -> Errors {
    let mut errors = Vec::new();
    let (path, spec) = (Path::new("spec"), &object["spec"]);
    let (least, most) = (&spec["minReplicas"], number(&spec["maxReplicas"]));
    let had_none = old.is_some_and(|o| o["spec"]["minReplicas"] == 0);
    let bound = i64::from(!had_none && !enabled(Feature::HPAScaleToZero));
    if given(least) && number(least) < bound {
        let detail = format!("must be greater than or equal to {bound}");
        errors.push(Error::invalid(path.child("minReplicas"), least.clone(), detail));
    }
    let at = path.child("maxReplicas");
    match most {
        0 => errors.push(Error::required(at, "must be set and greater than 0")),
        ..0 => errors.push(Error::invalid(at, most, "must be greater than or equal to 1")),
        _ => {}
    }
    if given(least) && most < number(least) {
        errors.push(Error::invalid(at, most, "must be greater than or equal to `minReplicas`"));
    }
    let target = &spec["scaleTargetRef"];
    let same_target = |old: &Value| {
        let old = &old["spec"]["scaleTargetRef"];
        ["apiVersion", "kind"].iter().all(|f| text(&old[*f]) == text(&target[*f]))
    };
    let asked = match text(&target["kind"]) {
        _ if old.is_some_and(same_target) => ApiVersion::Any,
        "ReplicationController" => ApiVersion::WellFormed,
        _ => ApiVersion::WithGroup,
    };
    reference(&mut errors, &path.child("scaleTargetRef"), target, asked);
    let bad = |metric: &Value| {
        let about = &metric["object"]["describedObject"];
        metric["type"] == "Object" && api_version_problem(about, ApiVersion::WellFormed).is_some()
    };
    let asked = match old.is_some_and(|o| list(&o["spec"]["metrics"]).iter().any(bad)) {
        true => ApiVersion::Any,
        false => ApiVersion::WellFormed,
    };
    metrics::metrics(&mut errors, &path.child("metrics"), spec, asked);
    for direction in ["scaleUp", "scaleDown"] {
        let path = path.child("behavior");
        rules(&mut errors, &path.child(direction), &spec["behavior"][direction]);
    }
    errors
}

fn reference(errors: &mut Errors, path: &Path, reference: &Value, asked: ApiVersion) {
    for field in ["kind", "name"] {
        required_format(errors, &path.child(field), text(&reference[field]), formats::path_segment);
    }
    if let Some(problem) = api_version_problem(reference, asked) {
        let version = text(&reference["apiVersion"]);
        errors.push(Error::invalid(path.child("apiVersion"), version, problem));
    }
}

fn api_version_problem(reference: &Value, asked: ApiVersion) -> Option<String> {
    let version = text(&reference["apiVersion"]);
    let group = version.split_once('/').map_or("", |(group, _)| group);
    if asked == ApiVersion::Any {
        None
    } else if version.matches('/').count() > 1 {
        Some(format!("unexpected GroupVersion string: {version}"))
    } else if asked == ApiVersion::WithGroup && group.is_empty() {
        Some("apiVersion must specify API group".into())
    } else {
        None
    }
}

fn rules(errors: &mut Errors, path: &Path, rules: &Value) {
    const LONGEST_WINDOW: i64 = 3600;
    const LONGEST_PERIOD: i64 = 1800;
    const POSITIVE: &str = "must be greater than zero";
    if !given(rules) {
        return;
    }
    let (at, window) = (path.child("stabilizationWindowSeconds"), &rules["stabilizationWindowSeconds"]);
    if number(window) < 0 {
        errors.push(Error::invalid(at, window.clone(), "must be greater than or equal to zero"));
    }
    if number(window) > LONGEST_WINDOW {
        let detail = format!("must be less than or equal to {LONGEST_WINDOW}");
        errors.push(Error::invalid(at, window.clone(), detail));
    }
    let select = &rules["selectPolicy"];
    optional_one_of(errors, &path.child("selectPolicy"), select, &["Disabled", "Max", "Min"]);
    let at = path.child("policies");
    if size(&rules["policies"]) == 0 {
        errors.push(Error::required(at, "must specify at least one Policy"));
    }
    for (i, policy) in list(&rules["policies"]).iter().enumerate() {
        let path = at.index(i);
        let (kind, value, period) = (&policy["type"], number(&policy["value"]), number(&policy["periodSeconds"]));
        if !matches!(text(kind), "Pods" | "Percent") {
            errors.push(Error::not_supported(path.child("type"), text(kind), &["Percent", "Pods"]));
        }
        if value <= 0 {
            errors.push(Error::invalid(path.child("value"), value, POSITIVE));
        }
        if period <= 0 {
            errors.push(Error::invalid(path.child("periodSeconds"), period, POSITIVE));
        }
        if period > LONGEST_PERIOD {
            let detail = format!("must be less than or equal to {LONGEST_PERIOD}");
            errors.push(Error::invalid(path.child("periodSeconds"), period, detail));
        }
    }
    if given(&rules["tolerance"]) {
        resource_value(errors, &path.child("tolerance"), "cpu", &rules["tolerance"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn autoscaler(change: impl Fn(&mut Value)) -> Value {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
        let mut object = json!({"metadata": {"name": "a"}, "spec": {"maxReplicas": 5, "scaleTargetRef": target}});
        change(&mut object);
        AutoscalerHooks.default(&mut object);
        object
    }

    fn texts(errors: &[Error]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_of_a_spec() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            assert_eq!(texts(&AutoscalerHooks.validate_create(&autoscaler(change))), expected);
        };
        check(|_| {}, &[]);
        check(|o| o["spec"]["minReplicas"] = 0.into(), &[
            "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
            "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
        ]);
        check(|o| o["spec"]["maxReplicas"] = 0.into(), &[
            "spec.maxReplicas: Required value: must be set and greater than 0",
            "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
        ]);
        check(|o| o["spec"]["scaleTargetRef"] = json!({"kind": "a/b", "apiVersion": "v1"}), &[
            "spec.scaleTargetRef.kind: Invalid value: \"a/b\": may not contain '/'",
            "spec.scaleTargetRef.name: Required value",
            "spec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group",
        ]);
        check(|o| o["spec"]["scaleTargetRef"] = json!({"kind": "ReplicationController", "name": "r", "apiVersion": "v1"}), &[]);
        check(|o| o["spec"]["scaleTargetRef"]["apiVersion"] = "a/b/c".into(), &[
            "spec.scaleTargetRef.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
        ]);
        check(
            |o| {
                let policies = json!([{"type": "Cats", "value": 0, "periodSeconds": 1801}]);
                o["spec"]["behavior"] = json!({"scaleUp": {"policies": policies, "stabilizationWindowSeconds": 3601}});
            },
            &[
                "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
                "spec.behavior.scaleUp.policies[0].type: Unsupported value: \"Cats\": supported values: \"Percent\", \"Pods\"",
                "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
                "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
            ],
        );
    }

    #[test]
    fn what_was_taken_stays() {
        let check = |before: fn(&mut Value), fine: bool| {
            let old = autoscaler(before);
            assert_eq!(AutoscalerHooks.validate_update(&old, &old).is_empty(), fine);
        };
        check(|o| o["spec"]["scaleTargetRef"]["apiVersion"] = "".into(), true);
        check(|o| o["spec"]["maxReplicas"] = 0.into(), false);
    }

    #[test]
    fn behavior_is_filled_in() {
        let object = autoscaler(|o| o["spec"]["behavior"] = json!({"scaleUp": {"selectPolicy": "Min"}}));
        let expected = json!({
            "scaleUp": {"selectPolicy": "Min", "stabilizationWindowSeconds": 0, "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]},
            "scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
        });
        assert_eq!(object["spec"]["behavior"], expected);
        assert_eq!(object["spec"]["metrics"], json!([cpu_metric(80)]));
    }
}
