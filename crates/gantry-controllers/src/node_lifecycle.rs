//! A node that is silent counts as unknown, and a node's taints say what its conditions are.
//!
//! Source: pkg/controller/nodelifecycle. Its eviction of pods is not built yet.

use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_client::resource::{LEASES, NODES};
use gantry_client::{Change, Informer, PatchType, Resource};
use serde_json::{Value, json};
use std::sync::Arc;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const LEASE_NAMESPACE: &str = "kube-node-lease";
const KEYS: [&str; 7] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/network-unavailable",
    "node.kubernetes.io/unschedulable",
];

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "node-controller",
    workers: 2,
    watches: || vec![NODES],
    rules: &[
        Rule { groups: &[""], resources: &["nodes"], verbs: &["get", "list", "patch", "update", "watch"] },
        Rule { groups: &[""], resources: &["nodes/status"], verbs: &["patch", "update"] },
        Rule { groups: &["coordination.k8s.io"], resources: &["leases"], verbs: &["get", "list", "watch"] },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let (nodes, leases) = (ctx.informers.of(&NODES), ctx.informers.of(&LEASES));
        Arc::new(NodeLifecycle { ctx, nodes, leases })
    },
};

struct NodeLifecycle {
    ctx: Context,
    nodes: Arc<Informer>,
    leases: Arc<Informer>,
}

#[async_trait]
impl Controller for NodeLifecycle {
    fn keys(&self, _: &Resource, change: Change<'_>) -> Vec<String> {
        change.new.map(|node| meta::name(node).to_string()).into_iter().collect()
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let Some(node) = self.nodes.get("", key) else { return Ok(Next::Done) };
        let now = OffsetDateTime::now_utc();
        let lease = self.leases.get(LEASE_NAMESPACE, key);
        let silent = last_sign(&node, lease.as_deref())
            .is_some_and(|last| now - last > self.ctx.config.node_monitor_grace_period);
        if silent && condition(&node, "Ready") != "Unknown" {
            let patch = json!({"status": {"conditions": unknown(&node, now)}});
            self.ctx.client.patch(&NODES, ("", key), "status", PatchType::Strategic, &patch).await?;
            self.ctx.events.event(&node, "Normal", "NodeNotReady", format!("Node {key} status is now: NodeNotReady"));
        }
        let wanted = taints(&node, now);
        if node["spec"]["taints"].as_array().map_or(&[][..], Vec::as_slice) != wanted {
            // The version makes a taint that somebody else adds meanwhile a conflict, not a loss.
            let patch = json!({
                "metadata": {"resourceVersion": meta::text(&node, "resourceVersion")}, "spec": {"taints": wanted},
            });
            self.ctx.client.patch(&NODES, ("", key), "", PatchType::Merge, &patch).await?;
        }
        Ok(Next::After(self.ctx.config.node_monitor_period))
    }
}

fn condition<'a>(node: &'a Value, type_: &str) -> &'a str {
    let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    conditions.find(|c| c["type"] == type_).and_then(|c| c["status"].as_str()).unwrap_or("")
}

/// When the node was last heard of: its lease, its heartbeat, or its creation.
fn last_sign(node: &Value, lease: Option<&Value>) -> Option<OffsetDateTime> {
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let renewed = lease.and_then(|l| l["spec"]["renewTime"].as_str()).and_then(parse);
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let beats = conditions.filter_map(|c| c["lastHeartbeatTime"].as_str()).filter_map(parse).max();
    renewed.max(beats).max(parse(meta::text(node, "creationTimestamp")))
}

/// The conditions of a node that is silent, in upstream's words.
fn unknown(node: &Value, now: OffsetDateTime) -> Vec<Value> {
    let now = now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default();
    let all = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"].into_iter();
    all.map(|type_| {
        let (reason, message) = match condition(node, type_) {
            "" => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
            _ => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
        };
        json!({"type": type_, "status": "Unknown", "reason": reason, "message": message, "lastTransitionTime": now})
    })
    .collect()
}

/// The taints a node should have: those of others, and ours as its conditions say.
fn taints(node: &Value, now: OffsetDateTime) -> Vec<Value> {
    let now = now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default();
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    match condition(node, "Ready") {
        "True" => {}
        "Unknown" => wanted.extend([(KEYS[1], "NoSchedule"), (KEYS[1], "NoExecute")]),
        _ => wanted.extend([(KEYS[0], "NoSchedule"), (KEYS[0], "NoExecute")]),
    }
    let pressures = [("MemoryPressure", 2), ("DiskPressure", 3), ("PIDPressure", 4), ("NetworkUnavailable", 5)];
    for (type_, index) in pressures {
        if condition(node, type_) == "True" {
            wanted.push((KEYS[index], "NoSchedule"));
        }
    }
    if node["spec"]["unschedulable"] == true {
        wanted.push((KEYS[6], "NoSchedule"));
    }
    let old = || node["spec"]["taints"].as_array().into_iter().flatten();
    let ours = |taint: &Value| KEYS.iter().any(|key| taint["key"] == *key);
    let is = |taint: &Value, (key, effect): (&str, &str)| taint["key"] == key && taint["effect"] == effect;
    let mut taints: Vec<Value> =
        old().filter(|t| !ours(t) || wanted.iter().any(|w| is(t, *w))).cloned().collect();
    for want in wanted {
        if !taints.iter().any(|t| is(t, want)) {
            taints.push(json!({"key": want.0, "effect": want.1, "timeAdded": now}));
        }
    }
    taints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_follow_conditions() {
        let check = |ready: &str, unschedulable: bool, old: Value, expected: &[&str]| {
            let node = json!({
                "spec": {"taints": old, "unschedulable": unschedulable},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            });
            let found: Vec<String> = taints(&node, OffsetDateTime::UNIX_EPOCH)
                .iter()
                .map(|t| format!("{}:{}", t["key"].as_str().unwrap(), t["effect"].as_str().unwrap()))
                .collect();
            assert_eq!(found, expected);
        };
        let new = json!([{"key": KEYS[0], "effect": "NoSchedule"}, {"key": "own", "effect": "NoSchedule"}]);
        check("True", false, new.clone(), &["own:NoSchedule"]);
        check("True", true, json!([]), &["node.kubernetes.io/unschedulable:NoSchedule"]);
        check(
            "Unknown",
            false,
            new,
            &[
                "own:NoSchedule",
                "node.kubernetes.io/unreachable:NoSchedule",
                "node.kubernetes.io/unreachable:NoExecute",
            ],
        );
    }

    #[test]
    fn signs_of_life() {
        let node = json!({
            "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"conditions": [{"lastHeartbeatTime": "2026-01-01T00:01:00Z"}]},
        });
        let lease = json!({"spec": {"renewTime": "2026-01-01T00:02:00.000000Z"}});
        let minute = |sign: Option<OffsetDateTime>| sign.map(|s| s.minute());
        assert_eq!(minute(last_sign(&node, None)), Some(1));
        assert_eq!(minute(last_sign(&node, Some(&lease))), Some(2));
    }
}
