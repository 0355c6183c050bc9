//! What a pod asks for: its quality of service class, and its defaults at pod level.
//!
//! Source: pkg/apis/core/helper/qos and k8s.io/component-helpers/resource.

use crate::kinds::checks::quantity;
use crate::kinds::values::{entries, given, list, map_of, text};
use crate::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

type Amounts<'a> = BTreeMap<&'a str, Quantity>;

/// Guaranteed when every container has equal requests and limits of CPU and memory, BestEffort when none has any.
pub fn qos_class(spec: &Value) -> &'static str {
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    let mut all_limited = true;
    let mut count = |resources: &Value| {
        let mut limited = 0;
        for name in ["cpu", "memory"] {
            let request = quantity(&resources["requests"][name]);
            let limit = quantity(&resources["limits"][name]);
            if request > Quantity::ZERO {
                add(&mut requests, name, request);
            }
            if limit > Quantity::ZERO {
                add(&mut limits, name, limit);
                limited += 1;
            }
        }
        all_limited &= limited == 2;
    };
    if given(&spec["resources"]) {
        count(&spec["resources"]);
    } else {
        let containers = list(&spec["containers"]).iter().chain(list(&spec["initContainers"]));
        containers.for_each(|c| count(&c["resources"]));
    }
    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if all_limited && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

fn add<'a>(amounts: &mut Amounts<'a>, name: &'a str, amount: Quantity) {
    let sum = amounts.entry(name).or_insert(Quantity::ZERO);
    *sum = *sum + amount;
}

/// Requests of the whole pod that are not given follow from those of its containers, or else from its own limits.
pub fn default_pod_level(spec: &mut Value) {
    if spec.get("resources").is_none_or(|r| crate::kinds::values::size(&r["limits"]) == 0) {
        return;
    }
    let supported = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    let of_containers: Vec<(String, String)> = requested(spec)
        .into_iter()
        .filter(|(name, _)| matches!(*name, "cpu" | "memory"))
        .map(|(name, amount)| (name.to_string(), amount.to_string()))
        .collect();
    let limits = spec["resources"]["limits"].clone();
    let requests = map_of(&mut spec["resources"], "requests");
    for (name, amount) in of_containers {
        if requests.get(&name).is_none() {
            requests[name] = amount.into();
        }
    }
    for (name, limit) in entries(&limits).filter(|(name, _)| supported(name)) {
        if requests.get(name).is_none() {
            requests[name] = limit.clone();
        }
    }
}

/// What the containers request together. Init containers run one after the other, except those that keep running.
fn requested(spec: &Value) -> Amounts<'_> {
    let mut running = Amounts::new();
    let mut most = Amounts::new();
    for container in list(&spec["initContainers"]) {
        let keeps_running = text(&container["restartPolicy"]) == "Always";
        for (name, amount) in entries(&container["resources"]["requests"]) {
            let amount = quantity(amount);
            let before = running.get(name.as_str()).copied().unwrap_or(Quantity::ZERO);
            let now = before + amount;
            if keeps_running {
                running.insert(name, now);
            }
            let peak = most.entry(name.as_str()).or_insert(now);
            *peak = (*peak).max(now);
        }
    }
    for container in list(&spec["containers"]) {
        for (name, amount) in entries(&container["resources"]["requests"]) {
            add(&mut running, name, quantity(amount));
        }
    }
    for (name, peak) in most {
        let sum = running.entry(name).or_insert(peak);
        *sum = (*sum).max(peak);
    }
    running
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes() {
        let check = |containers: Value, class: &str| {
            assert_eq!(qos_class(&json!({"containers": containers})), class, "{containers}");
        };
        let full = json!({"resources": {
            "requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1024Mi"},
        }});
        check(json!([{}]), "BestEffort");
        check(json!([{"resources": {"requests": {"cpu": "0"}}}]), "BestEffort");
        check(json!([{"resources": {"requests": {"cpu": "1"}}}]), "Burstable");
        check(json!([full]), "Guaranteed");
        check(json!([full, {}]), "Burstable");
        check(json!([{"resources": {"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1"}}}]), "Burstable");
    }

    #[test]
    fn pod_level_requests() {
        let mut spec = json!({
            "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
            "initContainers": [{"resources": {"requests": {"cpu": "700m"}}}],
            "containers": [{"resources": {"requests": {"cpu": "300m"}}}, {"resources": {"requests": {"cpu": "200m"}}}],
        });
        default_pod_level(&mut spec);
        assert_eq!(spec["resources"]["requests"], json!({"cpu": "700m", "memory": "1Gi"}));
    }
}
