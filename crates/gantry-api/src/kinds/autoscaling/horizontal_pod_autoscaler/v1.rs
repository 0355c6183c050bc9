//! Version v1: it has the target of CPU utilization alone; what else v2 says stands in annotations.
//!
//! Source: pkg/apis/autoscaling/v1/conversion.go.

use super::{USUAL_UTILIZATION, cpu_metric};
use crate::kinds::values::{default_to, given, list, map_of, remove, size};
use crate::version::Conversion;
use serde_json::{Map, Value, json};

/// How v1 and v2 become each other.
pub(super) const CONVERSION: Conversion = Conversion {
    default: |object| {
        default_to(map_of(object, "spec"), "minReplicas", 1);
        let status = map_of(object, "status");
        default_to(status, "currentReplicas", 0);
        default_to(status, "desiredReplicas", 0);
    },
    to_stored,
    from_stored,
};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const ANNOTATIONS: [&str; 6] = [
    METRICS,
    CURRENT_METRICS,
    CONDITIONS,
    BEHAVIOR,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
];

const SPEC_PERCENT: &str = "targetCPUUtilizationPercentage";
const STATUS_PERCENT: &str = "currentCPUUtilizationPercentage";

/// A field that stands elsewhere in the other version, as the ways to it in v1 and in v2.
type Moved = (&'static [&'static str], &'static [&'static str]);

const NAME: Moved = (&["metricName"], &["metric", "name"]);
const SELECTOR: Moved = (&["selector"], &["metric", "selector"]);
const EXTERNAL_SELECTOR: Moved = (&["metricSelector"], &["metric", "selector"]);
const DESCRIBED: Moved = (&["target"], &["describedObject"]);

/// The fields of each sort of metric in a spec.
const TARGETS: [(&str, &[Moved]); 5] = [
    (
        "object",
        &[
            DESCRIBED,
            NAME,
            SELECTOR,
            (&["targetValue"], &["target", "value"]),
            (&["averageValue"], &["target", "averageValue"]),
        ],
    ),
    ("pods", &[NAME, SELECTOR, (&["targetAverageValue"], &["target", "averageValue"])]),
    ("resource", RESOURCE_TARGET),
    ("containerResource", RESOURCE_TARGET),
    (
        "external",
        &[
            NAME,
            EXTERNAL_SELECTOR,
            (&["targetValue"], &["target", "value"]),
            (&["targetAverageValue"], &["target", "averageValue"]),
        ],
    ),
];
const RESOURCE_TARGET: &[Moved] = &[
    (&["name"], &["name"]),
    (&["container"], &["container"]),
    (&["targetAverageUtilization"], &["target", "averageUtilization"]),
    (&["targetAverageValue"], &["target", "averageValue"]),
];

/// The fields of each sort of metric in a status.
const CURRENTS: [(&str, &[Moved]); 5] = [
    (
        "object",
        &[
            DESCRIBED,
            NAME,
            SELECTOR,
            (&["currentValue"], &["current", "value"]),
            (&["averageValue"], &["current", "averageValue"]),
        ],
    ),
    ("pods", &[NAME, SELECTOR, (&["currentAverageValue"], &["current", "averageValue"])]),
    ("resource", RESOURCE_CURRENT),
    ("containerResource", RESOURCE_CURRENT),
    (
        "external",
        &[
            NAME,
            EXTERNAL_SELECTOR,
            (&["currentValue"], &["current", "value"]),
            (&["currentAverageValue"], &["current", "averageValue"]),
        ],
    ),
];
const RESOURCE_CURRENT: &[Moved] = &[
    (&["name"], &["name"]),
    (&["container"], &["container"]),
    (&["currentAverageUtilization"], &["current", "averageUtilization"]),
    (&["currentAverageValue"], &["current", "averageValue"]),
];

/// The amounts that v1 cannot leave out.
const ALWAYS: [(&str, &str); 6] = [
    ("object", "targetValue"),
    ("object", "currentValue"),
    ("pods", "targetAverageValue"),
    ("pods", "currentAverageValue"),
    ("resource", "currentAverageValue"),
    ("external", "currentValue"),
];

fn to_stored(object: &mut Value) {
    let noted = |key: &str| -> Option<Value> {
        let text = object["metadata"]["annotations"][key].as_str()?;
        serde_json::from_str(text).ok()
    };
    let (others, behavior) = (noted(METRICS), noted(BEHAVIOR));
    let (current, conditions) = (noted(CURRENT_METRICS), noted(CONDITIONS));
    drop_annotations(object);

    let spec = map_of(object, "spec");
    let mut metrics: Vec<Value> = match &others {
        Some(others) => list(others).iter().map(|m| convert(m, &TARGETS, true)).collect(),
        None => Vec::new(),
    };
    if let Some(percent) = remove(spec, SPEC_PERCENT).and_then(|p| p.as_i64()) {
        metrics.push(cpu_metric(percent));
    }
    if metrics.is_empty() {
        metrics.push(cpu_metric(USUAL_UTILIZATION));
    }
    spec["metrics"] = metrics.into();
    if let Some(behavior) = behavior.map(|b| renamed(&b, false)).filter(|b| size(b) > 0) {
        spec["behavior"] = behavior;
    }

    let status = map_of(object, "status");
    let percent = remove(status, STATUS_PERCENT).filter(given);
    status["currentMetrics"] = match (current, percent) {
        (Some(current), _) => list(&current).iter().map(|m| convert(m, &CURRENTS, true)).collect(),
        (None, Some(percent)) => {
            let current = json!({"averageUtilization": percent});
            json!([{"type": "Resource", "resource": {"name": "cpu", "current": current}}])
        }
        (None, None) => Value::Null,
    };
    if let Some(conditions) = conditions {
        status["conditions"] = conditions;
    }
}

fn from_stored(object: &mut Value) {
    drop_annotations(object);
    let mut notes = Map::new();
    let mut note = |key: &str, value: &Value| {
        notes.insert(key.into(), value.to_string().into());
    };

    let spec = map_of(object, "spec");
    let (metrics, behavior) = (remove(spec, "metrics"), remove(spec, "behavior"));
    let metrics = metrics.unwrap_or_default();
    let of_cpu = |metric: &&Value, part: &str| {
        let resource = &metric["resource"];
        metric["type"] == "Resource" && resource["name"] == "cpu" && given(&resource[part]["averageUtilization"])
    };
    let cpu = |metric: &&Value| of_cpu(metric, "target");
    if let Some(metric) = list(&metrics).iter().find(cpu) {
        spec[SPEC_PERCENT] = metric["resource"]["target"]["averageUtilization"].clone();
    }
    let others: Vec<Value> =
        list(&metrics).iter().filter(|m| !cpu(m)).map(|m| convert(m, &TARGETS, false)).collect();
    if !others.is_empty() {
        note(METRICS, &others.into());
    }
    if let Some(behavior) = behavior.filter(given) {
        note(BEHAVIOR, &renamed(&with_all_fields(behavior), true));
    }

    let status = map_of(object, "status");
    let (current, conditions) = (remove(status, "currentMetrics"), remove(status, "conditions"));
    let current = current.unwrap_or_default();
    if let Some(metric) = list(&current).iter().rev().find(|m| of_cpu(m, "current")) {
        status[STATUS_PERCENT] = metric["resource"]["current"]["averageUtilization"].clone();
    }
    if size(&current) > 0 {
        let current: Vec<Value> = list(&current).iter().map(|m| convert(m, &CURRENTS, false)).collect();
        note(CURRENT_METRICS, &current.into());
    }
    if let Some(conditions) = conditions.filter(|c| size(c) > 0) {
        note(CONDITIONS, &conditions);
    }
    default_to(status, "currentReplicas", 0);
    default_to(status, "desiredReplicas", 0);
    if !notes.is_empty()
        && let Some(annotations) = map_of(map_of(object, "metadata"), "annotations").as_object_mut()
    {
        annotations.extend(notes);
    }
}

/// Notes that a client wrote itself are not ours to keep.
fn drop_annotations(object: &mut Value) {
    let metadata = map_of(object, "metadata");
    if let Some(annotations) = metadata.get_mut("annotations") {
        for key in ANNOTATIONS {
            remove(annotations, key);
        }
        if size(annotations) == 0 {
            remove(metadata, "annotations");
        }
    }
}

/// A metric in the other version.
fn convert(metric: &Value, fields: &[(&str, &[Moved])], to_v2: bool) -> Value {
    let mut converted = json!({"type": metric["type"]});
    for (source, moved) in fields.iter().filter(|(source, _)| given(&metric[*source])) {
        let old = &metric[*source];
        let mut new = Value::Object(Map::new());
        for (v1, v2) in *moved {
            let (from, to) = if to_v2 { (v1, v2) } else { (v2, v1) };
            let value = from.iter().fold(old, |at, part| &at[*part]);
            if given(value) {
                *to.iter().fold(&mut new, |at, part| &mut at[*part]) = value.clone();
            }
        }
        let of_status = fields == CURRENTS;
        if to_v2 && !of_status {
            kind_of_target(source, &mut new["target"]);
        }
        if !to_v2 {
            let part = if of_status { "current" } else { "target" };
            let kind = if *source == "containerResource" { "resource" } else { source };
            for (_, field) in ALWAYS.iter().filter(|(of, field)| *of == kind && field.starts_with(part)) {
                default_to(&mut new, field, "0");
            }
        }
        converted[*source] = new;
    }
    converted
}

/// Tells a target's type from the amounts it has; v1 has no such field.
fn kind_of_target(source: &str, target: &mut Value) {
    let average = given(&target["averageValue"]);
    // A value that v1 could not leave out.
    if source == "object" && average && target["value"] == "0" {
        remove(target, "value");
    }
    let by_average = match source {
        "object" => average,
        "external" => !given(&target["value"]),
        "pods" => true,
        _ => !given(&target["averageUtilization"]),
    };
    target["type"] = match (by_average, source) {
        (true, _) => "AverageValue",
        (false, "object" | "external") => "Value",
        (false, _) => "Utilization",
    }
    .into();
    // Reading an absent field has left a null behind.
    if let Some(map) = target.as_object_mut() {
        map.retain(|_, value| given(value));
    }
}

/// Scaling rules with their absent fields as nulls, as the annotation has them.
fn with_all_fields(mut behavior: Value) -> Value {
    for direction in ["scaleUp", "scaleDown"] {
        match behavior.get_mut(direction).filter(|rules| rules.is_object()) {
            Some(rules) => {
                for field in ["stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance"] {
                    default_to(rules, field, Value::Null);
                }
            }
            None => behavior[direction] = Value::Null,
        }
    }
    behavior
}

/// A tree with the first letters of its fields made capitals or not, as the annotation of the behavior has them.
fn renamed(value: &Value, capitals: bool) -> Value {
    match value {
        Value::Object(map) => {
            let rename = |key: &str| {
                let mut letters = key.chars();
                letters.next().map_or(String::new(), |first| {
                    let first = if capitals { first.to_ascii_uppercase() } else { first.to_ascii_lowercase() };
                    format!("{first}{}", letters.as_str())
                })
            };
            // Nulls are written, and read as absent.
            let kept = map.iter().filter(|(_, value)| capitals || given(value));
            Value::Object(kept.map(|(key, value)| (rename(key), renamed(value, capitals))).collect())
        }
        Value::Array(items) => items.iter().map(|item| renamed(item, capitals)).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2() -> Value {
        let about = json!({"kind": "Service", "name": "s", "apiVersion": "v1"});
        let selector = json!({"matchLabels": {"a": "b"}});
        json!({
            "metadata": {"name": "a", "annotations": {"own": "x"}},
            "spec": {
                "maxReplicas": 5, "minReplicas": 1, "scaleTargetRef": {"kind": "Deployment", "name": "d"},
                "metrics": [
                    {"type": "Object", "object": {
                        "describedObject": about, "metric": {"name": "m", "selector": selector},
                        "target": {"type": "Value", "value": "3"},
                    }},
                    {"type": "Object", "object": {
                        "describedObject": about, "metric": {"name": "m"},
                        "target": {"type": "AverageValue", "averageValue": "3"},
                    }},
                    {"type": "Pods", "pods": {
                        "metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "3"},
                    }},
                    {"type": "External", "external": {
                        "metric": {"name": "m", "selector": selector}, "target": {"type": "Value", "value": "1"},
                    }},
                    {"type": "ContainerResource", "containerResource": {
                        "name": "cpu", "container": "c", "target": {"type": "Utilization", "averageUtilization": 7},
                    }},
                    {"type": "Resource", "resource": {
                        "name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"},
                    }},
                    {"type": "Resource", "resource": {
                        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60},
                    }},
                ],
                "behavior": {"scaleDown": {
                    "stabilizationWindowSeconds": 60, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 9}],
                }},
            },
            "status": {
                "currentReplicas": 2, "desiredReplicas": 3,
                "conditions": [{"type": "AbleToScale", "status": "True"}],
                "currentMetrics": [
                    {"type": "Resource", "resource": {
                        "name": "cpu", "current": {"averageUtilization": 40, "averageValue": "400m"},
                    }},
                    {"type": "External", "external": {"metric": {"name": "m"}, "current": {"value": "1"}}},
                ],
            },
        })
    }

    #[test]
    fn the_newer_version_survives() {
        let mut object = v2();
        from_stored(&mut object);
        assert_eq!(object["spec"][SPEC_PERCENT], 60);
        assert_eq!(object["status"][STATUS_PERCENT], 40);
        for absent in ["/spec/metrics", "/spec/behavior", "/status/conditions", "/status/currentMetrics"] {
            assert_eq!(object.pointer(absent), None, "{absent}");
        }
        let behavior = "{\"ScaleDown\":{\"Policies\":[{\"PeriodSeconds\":9,\"Type\":\"Pods\",\"Value\":1}],\
            \"SelectPolicy\":null,\"StabilizationWindowSeconds\":60,\"Tolerance\":null},\"ScaleUp\":null}";
        assert_eq!(object["metadata"]["annotations"][BEHAVIOR], behavior);
        to_stored(&mut object);
        assert_eq!(object, v2());
    }

    #[test]
    fn the_older_version_gets_a_metric() {
        let check = |spec: Value, metrics: Value| {
            let mut object = json!({"metadata": {"name": "a"}, "spec": spec});
            to_stored(&mut object);
            assert_eq!(object["spec"]["metrics"], metrics);
            from_stored(&mut object);
            assert_eq!(object["spec"][SPEC_PERCENT], metrics[0]["resource"]["target"]["averageUtilization"]);
            assert_eq!(object["metadata"], json!({"name": "a"}));
            assert_eq!(object["spec"].get("behavior"), None);
        };
        check(json!({}), json!([cpu_metric(80)]));
        check(json!({SPEC_PERCENT: 30}), json!([cpu_metric(30)]));
    }
}
