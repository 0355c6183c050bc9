//! Which taints a node should have, by its conditions.

use crate::object::{condition, items, stamp, text};
use serde_json::{Value, json};
use time::OffsetDateTime;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const OF_CONDITIONS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];

/// The taints by which pods are evicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Eviction {
    /// Leave them as they are.
    Keep,
    /// Take them away.
    Clear,
    /// Make them fit the Ready condition.
    Set,
}

/// The node's status of a condition; empty when there is none.
pub(super) fn status<'a>(node: &'a Value, type_: &str) -> &'a str {
    condition(&node["status"], type_).map(|c| text(&c["status"])).unwrap_or("")
}

/// Whether the node has a taint by which its pods are evicted.
pub(super) fn evicts(node: &Value) -> bool {
    items(&node["spec"]["taints"]).any(is_evicting)
}

fn is_evicting(taint: &Value) -> bool {
    taint["effect"] == "NoExecute" && (taint["key"] == NOT_READY || taint["key"] == UNREACHABLE)
}

/// The taints a node should have: those of others as they are, then ours.
pub(super) fn wanted(node: &Value, eviction: Eviction, now: OffsetDateTime) -> Vec<Value> {
    let mut ours: Vec<(&str, &str)> = OF_CONDITIONS
        .iter()
        .filter(|(type_, bad, _)| status(node, type_) == *bad)
        .map(|(_, _, key)| (*key, "NoSchedule"))
        .collect();
    if node["spec"]["unschedulable"] == true {
        ours.push((UNSCHEDULABLE, "NoSchedule"));
    }
    if eviction == Eviction::Set {
        match status(node, "Ready") {
            "False" => ours.push((NOT_READY, "NoExecute")),
            "Unknown" => ours.push((UNREACHABLE, "NoExecute")),
            _ => {}
        }
    }
    let is = |taint: &Value, (key, effect): (&str, &str)| taint["key"] == key && taint["effect"] == effect;
    let is_managed = |taint: &Value| match text(&taint["effect"]) {
        "NoSchedule" => {
            taint["key"] == UNSCHEDULABLE || OF_CONDITIONS.iter().any(|(_, _, key)| taint["key"] == *key)
        }
        "NoExecute" => eviction != Eviction::Keep && is_evicting(taint),
        _ => false,
    };
    let stays = |t: &&Value| !is_managed(t) || ours.iter().any(|o| is(t, *o));
    let mut taints: Vec<Value> = items(&node["spec"]["taints"]).filter(stays).cloned().collect();
    for new in ours {
        if !taints.iter().any(|t| is(t, new)) {
            taints.push(json!({"key": new.0, "effect": new.1, "timeAdded": stamp(now)}));
        }
    }
    taints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_follow_conditions() {
        let check = |change: Value, eviction: Eviction, old: Value, expected: &[&str]| {
            let node = json!({"spec": {"taints": old}, "status": {"conditions": [
                {"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]}});
            let node = gantry_api::patch::merge(node, &change);
            let found: Vec<String> = wanted(&node, eviction, OffsetDateTime::UNIX_EPOCH)
                .iter()
                .map(|t| format!("{}:{}", text(&t["key"]).rsplit('/').next().unwrap(), text(&t["effect"])))
                .collect();
            assert_eq!(found, expected, "{change}");
        };
        let ready = |status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        let taint = |key: &str, effect: &str| json!({"key": key, "effect": effect});
        let new = || json!([taint(NOT_READY, "NoSchedule"), taint("own", "NoSchedule")]);
        check(json!({}), Eviction::Set, new(), &["own:NoSchedule"]);
        check(json!({"spec": {"unschedulable": true}}), Eviction::Set, json!([]), &["unschedulable:NoSchedule"]);
        check(
            ready("Unknown"),
            Eviction::Set,
            new(),
            &["own:NoSchedule", "unreachable:NoSchedule", "unreachable:NoExecute"],
        );
        check(ready("Unknown"), Eviction::Keep, new(), &["own:NoSchedule", "unreachable:NoSchedule"]);
        let evicting = || json!([taint(NOT_READY, "NoExecute")]);
        check(
            ready("Unknown"),
            Eviction::Set,
            evicting(),
            &["unreachable:NoSchedule", "unreachable:NoExecute"],
        );
        check(ready("False"), Eviction::Keep, evicting(), &["not-ready:NoExecute", "not-ready:NoSchedule"]);
        check(ready("False"), Eviction::Clear, evicting(), &["not-ready:NoSchedule"]);
        check(json!({}), Eviction::Clear, evicting(), &[]);
        let disk = json!({"status": {"conditions": [{"type": "DiskPressure", "status": "True"}]}});
        check(disk, Eviction::Set, json!([]), &["disk-pressure:NoSchedule"]);
    }
}
