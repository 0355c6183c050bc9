//! The column of an autoscaler's metrics: what was seen of each, and what is aimed at.

use crate::kinds::values::{given, joined, list, text};
use serde_json::Value;

/// `cpu: 12%/80%, 3/5 (avg) + 2 more...`.
pub(super) fn targets(object: &Value) -> String {
    const SHOWN: usize = 2;
    let (specs, seen) = (list(&object["spec"]["metrics"]), list(&object["status"]["currentMetrics"]));
    if specs.is_empty() {
        return "<none>".into();
    }
    let texts: Vec<String> = specs.iter().enumerate().map(|(i, s)| metric(s, seen.get(i))).collect();
    let shown = joined(texts.iter().take(SHOWN).map(String::as_str), ", ");
    match texts.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

fn metric(spec: &Value, seen: Option<&Value>) -> String {
    let (field, averages) = match text(&spec["type"]) {
        "External" => ("external", true),
        "Object" => ("object", true),
        "Pods" => ("pods", false),
        "Resource" => ("resource", false),
        "ContainerResource" => ("containerResource", false),
        _ => return "<unknown type>".into(),
    };
    let target = &spec[field]["target"];
    let current = |value: &str| -> &Value { seen.map_or(&Value::Null, |s| &s[field]["current"][value]) };
    let average = given(&target["averageValue"]);
    match field {
        "external" | "object" | "pods" => {
            let of = if average { "averageValue" } else { "value" };
            let note = if averages && average { " (avg)" } else { "" };
            format!("{}/{}{note}", amount(current(of)), amount(&target[of]))
        }
        _ if average => {
            let (now, wanted) = (amount(current("averageValue")), amount(&target["averageValue"]));
            format!("{}: {now}/{wanted}", text(&spec[field]["name"]))
        }
        _ => {
            let percent = |value: &Value, unknown: &str| match value {
                Value::Null => unknown.to_string(),
                percent => format!("{percent}%"),
            };
            let now = percent(current("averageUtilization"), "<unknown>");
            let wanted = percent(&target["averageUtilization"], "<auto>");
            format!("{}: {now}/{wanted}", text(&spec[field]["name"]))
        }
    }
}

fn amount(value: &Value) -> &str {
    if given(value) { text(value) } else { "<unknown>" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells() {
        let cpu = |target: Value| json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
        let pods = json!({"type": "Pods", "pods": {"target": {"averageValue": "5"}}});
        let external = json!({"type": "External", "external": {"target": {"averageValue": "7"}}});
        let check = |metrics: Value, seen: Value, expected: &str| {
            let object = json!({"spec": {"metrics": metrics}, "status": {"currentMetrics": seen}});
            assert_eq!(targets(&object), expected);
        };
        check(json!([]), Value::Null, "<none>");
        check(json!([cpu(json!({"averageUtilization": 80}))]), Value::Null, "cpu: <unknown>/80%");
        let seen = json!([{"resource": {"current": {"averageUtilization": 12, "averageValue": "120m"}}}]);
        check(json!([cpu(json!({"averageUtilization": 80}))]), seen.clone(), "cpu: 12%/80%");
        check(json!([cpu(json!({"averageValue": "1"}))]), seen, "cpu: 120m/1");
        check(json!([pods, external, external]), Value::Null, "<unknown>/5, <unknown>/7 (avg) + 1 more...");
    }
}
