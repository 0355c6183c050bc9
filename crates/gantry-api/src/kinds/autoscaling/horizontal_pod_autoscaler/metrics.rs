//! The rules for the metrics that an autoscaler follows.

use super::{ApiVersion, reference};
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{Errors, format, quantity};
use crate::kinds::resource_names;
use crate::kinds::values::{given, list, number, text};
use serde_json::Value;

/// Each type of metric and the field that describes it, in the order in which the fields are looked at.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

/// The rules for the metrics of an autoscaler's spec.
pub(super) fn metrics(errors: &mut Errors, path: &Path, spec: &Value, asked: ApiVersion) {
    let metrics = list(&spec["metrics"]);
    for (i, spec) in metrics.iter().enumerate() {
        metric(errors, &path.index(i), spec, asked);
    }
    let outside = metrics.iter().any(|m| matches!(text(&m["type"]), "Object" | "External"));
    if spec["minReplicas"] == 0 && !outside {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(Error::forbidden(path, detail));
    }
}

fn metric(errors: &mut Errors, path: &Path, spec: &Value, asked: ApiVersion) {
    let kind = text(&spec["type"]);
    let unknown = |errors: &mut Errors| {
        if !TYPES.contains(&kind) {
            errors.push(Error::not_supported(path.child("type"), kind, &TYPES));
        }
    };
    if kind.is_empty() {
        errors.push(Error::required(path.child("type"), "must specify a metric source type"));
    }
    unknown(errors);
    let mut present = SOURCES.iter().map(|(_, field)| *field).filter(|field| given(&spec[*field]));
    let first = present.next();
    if let Some(field) = first {
        source(errors, &path.child(field), field, &spec[field], asked);
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == kind).map(|(_, field)| *field);
    if let Some(field) = expected.filter(|field| !given(&spec[*field])) {
        let detail = "must populate information for the given metric source";
        errors.push(Error::required(path.child(field), detail));
    }
    unknown(errors);
    let second = present.next();
    if second.is_some() {
        for field in first.into_iter().chain(second).chain(present).filter(|f| Some(*f) != expected) {
            errors.push(Error::forbidden(path.child(field), "must populate the given metric source only"));
        }
    }
}

fn source(errors: &mut Errors, path: &Path, field: &str, source: &Value, asked: ApiVersion) {
    let at = path.child("target");
    let mark = &source["target"];
    let (value, average) = (given(&mark["value"]), given(&mark["averageValue"]));
    match field {
        "object" => {
            reference(errors, &path.child("describedObject"), &source["describedObject"], asked);
            identifier(errors, &path.child("metric"), &source["metric"]);
            target(errors, &at, mark);
            if !value && !average {
                let detail = "must set either a target value or averageValue";
                errors.push(Error::required(at.child("averageValue"), detail));
            }
        }
        "external" => {
            identifier(errors, &path.child("metric"), &source["metric"]);
            target(errors, &at, mark);
            if !value && !average {
                let detail = "must set either a target value for metric or a per-pod target";
                errors.push(Error::required(at.child("averageValue"), detail));
            }
            if value && average {
                let detail = "may not set both a target value for metric and a per-pod target";
                errors.push(Error::forbidden(at.child("value"), detail));
            }
        }
        "pods" => {
            identifier(errors, &path.child("metric"), &source["metric"]);
            target(errors, &at, mark);
            if !average {
                let detail = "must specify a positive target averageValue";
                errors.push(Error::required(at.child("averageValue"), detail));
            }
        }
        _ => resource(errors, path, field == "containerResource", source),
    }
}

fn resource(errors: &mut Errors, path: &Path, of_container: bool, source: &Value) {
    match text(&source["name"]) {
        "" => errors.push(Error::required(path.child("name"), "must specify a resource name")),
        name if of_container => resource_names::of_container(errors, &path.child("name"), name),
        _ => {}
    }
    if of_container {
        match text(&source["container"]) {
            "" => errors.push(Error::required(path.child("container"), "must specify a container")),
            name => format(errors, &path.child("container"), name, formats::dns_label),
        }
    }
    let (at, mark) = (path.child("target"), &source["target"]);
    target(errors, &at, mark);
    match (given(&mark["averageUtilization"]), given(&mark["averageValue"])) {
        (false, false) => {
            let detail = "must set either a target raw value or a target utilization";
            errors.push(Error::required(at.child("averageUtilization"), detail));
        }
        (true, true) => {
            let detail = "may not set both a target raw value and a target utilization";
            errors.push(Error::forbidden(at.child("averageValue"), detail));
        }
        _ => {}
    }
}

fn target(errors: &mut Errors, path: &Path, target: &Value) {
    let kind = text(&target["type"]);
    if kind.is_empty() {
        errors.push(Error::required(path.child("type"), "must specify a metric target type"));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let detail = "must be either Utilization, Value, or AverageValue";
        errors.push(Error::invalid(path.child("type"), kind, detail));
    }
    for field in ["value", "averageValue"] {
        let amount = &target[field];
        if given(amount) && quantity(amount).sign() != 1 {
            errors.push(Error::invalid(path.child(field), amount.clone(), "must be positive"));
        }
    }
    let utilization = &target["averageUtilization"];
    if given(utilization) && number(utilization) < 1 {
        errors.push(Error::invalid(path.child("averageUtilization"), utilization.clone(), "must be greater than 0"));
    }
}

fn identifier(errors: &mut Errors, path: &Path, metric: &Value) {
    match text(&metric["name"]) {
        "" => errors.push(Error::required(path.child("name"), "must specify a metric name")),
        name => format(errors, &path.child("name"), name, formats::path_segment),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |metric: Value, expected: &[&str]| {
            let mut errors = Vec::new();
            metrics(&mut errors, &Path::new("m"), &json!({"metrics": [metric]}), ApiVersion::WellFormed);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{metric}");
        };
        let (utilization, average) =
            (json!({"type": "Utilization", "averageUtilization": 50}), json!({"type": "AverageValue", "averageValue": "1"}));
        check(json!({"type": "Resource", "resource": {"name": "cpu", "target": utilization}}), &[]);
        check(json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": average}}), &[]);
        check(json!({}), &[
            "m[0].type: Required value: must specify a metric source type",
            "m[0].type: Unsupported value: \"\": supported values: \"ContainerResource\", \"External\", \"Object\", \
             \"Pods\", \"Resource\"",
            "m[0].type: Unsupported value: \"\": supported values: \"ContainerResource\", \"External\", \"Object\", \
             \"Pods\", \"Resource\"",
        ]);
        check(json!({"type": "Pods", "resource": {"name": "cpu", "target": utilization}}), &[
            "m[0].pods: Required value: must populate information for the given metric source",
        ]);
        check(
            json!({
                "type": "Resource", "resource": {"name": "cpu", "target": utilization},
                "pods": {"metric": {"name": "m"}, "target": average},
            }),
            &["m[0].pods: Forbidden: must populate the given metric source only"],
        );
        check(json!({"type": "External", "external": {"metric": {"name": "a/b"}, "target": {"type": "Value", "value": "-1"}}}), &[
            "m[0].external.metric.name: Invalid value: \"a/b\": may not contain '/'",
            "m[0].external.target.value: Invalid value: \"-1\": must be positive",
        ]);
        check(json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "target": {"type": "Utilization"}}}), &[
            "m[0].containerResource.container: Required value: must specify a container",
            "m[0].containerResource.target.averageUtilization: Required value: must set either a target raw value or a \
             target utilization",
        ]);
    }
}
