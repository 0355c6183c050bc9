//! Node lifecycle: a node that is silent counts as unknown, its pods as not ready, and its taints say what its conditions
//! are.
//!
//! Source: pkg/controller/nodelifecycle. Pods are evicted by the taint eviction controller; how fast nodes may be tainted
//! so that they are, [`zones`] decides.

mod health;
mod taints;
mod zones;

use crate::object::{condition, now_stamp, text};
use crate::pods::{self, BY_NODE};
use crate::runner::{Context, Controller, Descriptor, Error, Feed, Next, Rule};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_client::resource::{LEASES, NODES, PODS};
use gantry_client::{Change, Informer, PatchType, Resource, key_of};
use health::Health;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use taints::{Eviction, status};
use time::OffsetDateTime;
use tokio::time::Instant;
use zones::{Outcome, Zones};

const LEASE_NAMESPACE: &str = "kube-node-lease";
/// The key under which all zones are looked at; those of nodes have no slash, those of pods more than this one.
const ZONES: &str = "/zones";
/// Labels that older clients read, and those they copy.
const OLD_LABELS: [(&str, &str); 2] =
    [("beta.kubernetes.io/os", "kubernetes.io/os"), ("beta.kubernetes.io/arch", "kubernetes.io/arch")];

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "node-controller",
    queue: "node_lifecycle_controller",
    workers: 8,
    watches: || vec![LEASES, NODES, PODS],
    rules: &[
        Rule { groups: &[""], resources: &["nodes"], verbs: &["get", "list", "patch", "update", "watch"] },
        Rule { groups: &[""], resources: &["nodes/status", "pods/status"], verbs: &["patch", "update"] },
        Rule { groups: &[""], resources: &["pods"], verbs: &["get", "list", "watch"] },
        Rule { groups: &["coordination.k8s.io"], resources: &["leases"], verbs: &["get", "list", "watch"] },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let of = |resource| ctx.informers.of(resource);
        let (nodes, leases, pods) = (of(&NODES), of(&LEASES), of(&PODS));
        pods.add_index(BY_NODE, pods::by_node);
        Arc::new(NodeLifecycle { ctx, nodes, leases, pods, health: Mutex::default(), zones: Zones::default() })
    },
};

struct NodeLifecycle {
    ctx: Context,
    nodes: Arc<Informer>,
    leases: Arc<Informer>,
    pods: Arc<Informer>,
    // Bounded by the nodes there are.
    health: Mutex<HashMap<String, Health>>,
    zones: Zones,
}

#[async_trait]
impl Controller for NodeLifecycle {
    fn keys(&self, resource: &Resource, change: Change<'_>) -> Vec<String> {
        match resource.plural.as_str() {
            "nodes" => vec![key_of(change.object())],
            // A pod may come to its node after the others of that node were marked.
            "pods" => {
                let node = |pod: &Arc<Value>| text(&pod["spec"]["nodeName"]).to_string();
                let comes = change.new.filter(|new| !node(new).is_empty() && change.old.map(node) != Some(node(new)));
                comes.map(|pod| key_of(pod)).into_iter().collect()
            }
            // Leases are renewed all the time; each node is looked at often enough.
            _ => Vec::new(),
        }
    }

    async fn feed(&self, feed: &Feed) {
        feed.add(ZONES.to_string());
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        match key {
            ZONES => self.look_at_zones().await,
            key if key.contains('/') => self.look_at_pod(key).await,
            key => self.look_at_node(key).await,
        }
    }
}

impl NodeLifecycle {
    fn health(&self) -> MutexGuard<'_, HashMap<String, Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look_at_node(&self, name: &str) -> Result<Next, Error> {
        let Some(mut node) = self.nodes.get("", name) else {
            if let Some(health) = self.health().remove(name) {
                let gone = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": health.uid}});
                self.tell(&gone, "RemovingNode", format!("Node {name} event: Removing Node {name} from Controller"));
            }
            return Ok(Next::Done);
        };
        let (silent, retry) = self.observe(name, &node);
        let before = status(&node, "Ready").to_string();
        if silent && before != "Unknown" {
            let patch = json!({"status": {"conditions": unknown(&node)}});
            let patched = self.ctx.client.patch(&NODES, ("", name), "status", PatchType::Strategic, &patch).await?;
            node = Arc::new(patched);
        }
        let after = status(&node, "Ready");
        if before == "True" && after != "True" {
            self.tell(&node, "NodeNotReady", format!("Node {name} status is now: NodeNotReady"));
        }
        if after != "True" && (before == "True" || retry) {
            self.set_retry(name, true);
            for pod in self.pods.indexed(BY_NODE, name) {
                self.mark_not_ready(&pod).await?;
            }
        }
        self.set_retry(name, false);
        self.write_taints(&node).await?;
        self.write_labels(&node).await?;
        Ok(Next::After(self.ctx.config.node_monitor_period))
    }

    /// Whether the node has been silent for too long, and whether its pods have yet to be marked.
    fn observe(&self, name: &str, node: &Value) -> (bool, bool) {
        let now = Instant::now();
        let lease = self.leases.get(LEASE_NAMESPACE, name);
        let mut all = self.health();
        let health = match all.get_mut(name).filter(|h| h.uid == crate::object::uid(node)) {
            Some(health) => {
                health.observe(node, lease.as_deref(), now);
                health
            }
            None => {
                self.tell(node, "RegisteredNode", format!("Node {name} event: Registered Node {name} in Controller"));
                all.insert(name.to_string(), Health::new(node, lease.as_deref(), now));
                match all.get_mut(name) {
                    Some(health) => health,
                    None => return (false, false),
                }
            }
        };
        let grace = match health.has_started() {
            true => self.ctx.config.node_monitor_grace_period,
            false => self.ctx.config.node_startup_grace_period,
        };
        (health.is_silent(grace, now), health.retry)
    }

    fn set_retry(&self, name: &str, retry: bool) {
        if let Some(health) = self.health().get_mut(name) {
            health.retry = retry;
        }
    }

    fn tell(&self, node: &Value, reason: &str, message: String) {
        self.ctx.events.event(node, "Normal", reason, message);
    }

    async fn look_at_pod(&self, key: &str) -> Result<Next, Error> {
        let Some(pod) = self.pods.get_key(key) else { return Ok(Next::Done) };
        let node = self.nodes.get("", text(&pod["spec"]["nodeName"]));
        if node.is_some_and(|n| !matches!(status(&n, "Ready"), "True" | "")) {
            self.mark_not_ready(&pod).await?;
        }
        Ok(Next::Done)
    }

    async fn mark_not_ready(&self, pod: &Value) -> Result<(), Error> {
        if condition(&pod["status"], "Ready").is_none_or(|ready| ready["status"] == "False") {
            return Ok(());
        }
        let ready = json!({"type": "Ready", "status": "False", "lastTransitionTime": now_stamp()});
        let patch = json!({"metadata": {"uid": meta::text(pod, "uid")}, "status": {"conditions": [ready]}});
        let place = (meta::namespace(pod), meta::name(pod));
        match self.ctx.client.patch(&PODS, place, "status", PatchType::Strategic, &patch).await {
            Ok(_) => self.ctx.events.event(pod, "Warning", "NodeNotReady", "Node is not ready"),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn write_taints(&self, node: &Value) -> Result<(), Error> {
        let eviction = match status(node, "Ready") {
            "True" => Eviction::Clear,
            "" => Eviction::Keep,
            // Where pods are evicted already only the reason may change.
            _ if taints::evicts(node) || self.zones.take(node, Instant::now()) => Eviction::Set,
            _ => Eviction::Keep,
        };
        self.put_taints(node, eviction).await
    }

    async fn put_taints(&self, node: &Value, eviction: Eviction) -> Result<(), Error> {
        let wanted = taints::wanted(node, eviction, OffsetDateTime::now_utc());
        if node["spec"]["taints"].as_array().map_or(&[][..], Vec::as_slice) == wanted {
            return Ok(());
        }
        // The version makes a taint that somebody else adds meanwhile a conflict, not a loss.
        let version = meta::text(node, "resourceVersion");
        let taints = if wanted.is_empty() { Value::Null } else { wanted.into() };
        let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": taints}});
        self.ctx.client.patch(&NODES, ("", meta::name(node)), "", PatchType::Merge, &patch).await?;
        Ok(())
    }

    async fn write_labels(&self, node: &Value) -> Result<(), Error> {
        let labels = &node["metadata"]["labels"];
        let missing: Map<String, Value> = OLD_LABELS
            .iter()
            .filter(|(old, new)| labels.get(new).is_some() && labels.get(old) != labels.get(new))
            .map(|(old, new)| (old.to_string(), labels[*new].clone()))
            .collect();
        if !missing.is_empty() {
            let patch = json!({"metadata": {"labels": missing}});
            self.ctx.client.patch(&NODES, ("", meta::name(node)), "", PatchType::Merge, &patch).await?;
        }
        Ok(())
    }

    async fn look_at_zones(&self) -> Result<Next, Error> {
        let nodes = self.nodes.list();
        let now = Instant::now();
        match self.zones.update(&nodes, now) {
            Outcome::Usual => {}
            Outcome::AllOut => {
                tracing::warn!("no node is ready: no pods are evicted until one is");
                for node in nodes.iter().filter(|n| taints::evicts(n)) {
                    self.put_taints(node, Eviction::Clear).await?;
                }
            }
            Outcome::Back => {
                tracing::info!("nodes are ready again: pods of those that are not will be evicted");
                self.health().values_mut().for_each(|h| h.heard = now);
            }
        }
        Ok(Next::After(self.ctx.config.node_monitor_period))
    }
}

/// The conditions of a node that is silent, in upstream's words.
fn unknown(node: &Value) -> Vec<Value> {
    let now = now_stamp();
    let of = |type_: &str| match condition(&node["status"], type_) {
        None => Some(json!({
            "type": type_, "status": "Unknown", "reason": "NodeStatusNeverUpdated",
            "message": "Kubelet never posted node status.", "lastTransitionTime": now,
            "lastHeartbeatTime": node["metadata"]["creationTimestamp"],
        })),
        Some(old) if old["status"] == "Unknown" => None,
        Some(_) => Some(json!({
            "type": type_, "status": "Unknown", "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.", "lastTransitionTime": now,
        })),
    };
    ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"].into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_nodes_conditions() {
        let node = json!({"status": {"conditions": [
            {"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "Unknown"}]}});
        let found: Vec<String> =
            unknown(&node).iter().map(|c| format!("{} {}", text(&c["type"]), text(&c["reason"]))).collect();
        assert_eq!(
            found,
            ["Ready NodeStatusUnknown", "MemoryPressure NodeStatusNeverUpdated", "PIDPressure NodeStatusNeverUpdated"]
        );
    }
}
