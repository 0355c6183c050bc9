//! Taint eviction: pods leave a node whose NoExecute taints they do not tolerate, at once or when their time is over.
//!
//! Source: pkg/controller/tainteviction.

use crate::object::{items, text};
use crate::pods::{self, BY_NODE};
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_client::resource::{NODES, PODS};
use gantry_client::{Change, Informer, PatchType, Resource, key_of};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const REASON: &str = "TaintManagerEviction";

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "taint-eviction-controller",
    queue: "noexec_taint_pod",
    workers: 8,
    watches: || vec![NODES, PODS],
    rules: &[
        Rule { groups: &[""], resources: &["nodes"], verbs: &["get", "list", "watch"] },
        Rule { groups: &[""], resources: &["pods"], verbs: &["delete", "get", "list", "watch"] },
        Rule { groups: &[""], resources: &["pods/status"], verbs: &["patch", "update"] },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let (nodes, pods) = (ctx.informers.of(&NODES), ctx.informers.of(&PODS));
        pods.add_index(BY_NODE, pods::by_node);
        Arc::new(TaintEviction { ctx, nodes, pods, begun: Mutex::default() })
    },
};

struct TaintEviction {
    ctx: Context,
    nodes: Arc<Informer>,
    pods: Arc<Informer>,
    // Since when the time of each pod that has to leave runs.
    begun: Mutex<HashMap<String, Instant>>,
}

#[async_trait]
impl Controller for TaintEviction {
    fn keys(&self, resource: &Resource, change: Change<'_>) -> Vec<String> {
        if *resource == NODES {
            let taints = |node: Option<&Arc<Value>>| node.map(|n| no_execute(n)).unwrap_or_default();
            if taints(change.old) == taints(change.new) {
                return Vec::new();
            }
            let pods = self.pods.indexed(BY_NODE, meta::name(change.object()));
            return pods.iter().map(|p| key_of(p)).collect();
        }
        // A pod without a node has nothing to leave.
        let placed = |pod: &&Arc<Value>| !text(&pod["spec"]["nodeName"]).is_empty();
        let (old, new) = (change.old.filter(placed), change.new.filter(placed));
        match old.map(relevant) == new.map(relevant) {
            true => Vec::new(),
            false => vec![key_of(change.object())],
        }
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let Some(pod) = self.pods.get_key(key) else {
            self.begun().remove(key);
            return Ok(Next::Done);
        };
        let node = text(&pod["spec"]["nodeName"]);
        if node.is_empty() || meta::is_deleting(&pod) {
            self.begun().remove(key);
            return Ok(Next::Done);
        }
        // A node that is gone has no taints; its pods are the pod garbage collector's.
        let taints = self.nodes.get("", node).map(|n| no_execute(&n)).unwrap_or_default();
        let now = Instant::now();
        let wait = match stay(&taints, &pod["spec"]["tolerations"]) {
            Stay::Forever => {
                if self.begun().remove(key).is_some() {
                    self.ctx.events.event(&pod, "Normal", REASON, format!("Cancelling deletion of Pod {key}"));
                }
                return Ok(Next::Done);
            }
            Stay::For(time) => {
                let begun = *self.begun().entry(key.to_string()).or_insert(now);
                (begun + time).saturating_duration_since(now)
            }
        };
        if !wait.is_zero() {
            return Ok(Next::After(wait));
        }
        self.ctx.events.event(&pod, "Normal", REASON, format!("Marking for deletion Pod {key}"));
        self.evict(&pod).await?;
        self.begun().remove(key);
        Ok(Next::Done)
    }
}

/// What an eviction depends on, of the pod.
fn relevant(pod: &Arc<Value>) -> (&str, &Value, &Value) {
    (meta::text(pod, "uid"), &pod["spec"]["nodeName"], &pod["spec"]["tolerations"])
}

impl TaintEviction {
    fn begun(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn evict(&self, pod: &Value) -> Result<(), Error> {
        let (namespace, name, uid) = (meta::namespace(pod), meta::name(pod), meta::text(pod, "uid"));
        let condition =
            pods::disruption(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint");
        let patch = json!({"metadata": {"uid": uid}, "status": {"conditions": [condition]}});
        let client = &self.ctx.client;
        let marked = client.patch(&PODS, (namespace, name), "status", PatchType::Strategic, &patch).await;
        let done = match marked {
            Ok(_) => client.delete(&PODS, namespace, name, &json!({"preconditions": {"uid": uid}})).await,
            Err(error) => Err(error),
        };
        match done {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn no_execute(node: &Value) -> Vec<Value> {
    items(&node["spec"]["taints"]).filter(|t| t["effect"] == "NoExecute").cloned().collect()
}

#[derive(Debug, PartialEq)]
enum Stay {
    Forever,
    For(Duration),
}

/// How long a pod may stay: as long as the shortest of the tolerations it needs says.
fn stay(taints: &[Value], tolerations: &Value) -> Stay {
    let mut shortest: Option<i64> = None;
    for taint in taints {
        let Some(used) = items(tolerations).find(|t| tolerates(t, taint)) else {
            return Stay::For(Duration::ZERO);
        };
        if let Some(seconds) = used["tolerationSeconds"].as_i64() {
            shortest = Some(shortest.map_or(seconds, |s| s.min(seconds)));
        }
    }
    match shortest {
        None => Stay::Forever,
        Some(seconds) => Stay::For(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))),
    }
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let (key, effect) = (text(&toleration["key"]), text(&toleration["effect"]));
    if !(effect.is_empty() || taint["effect"] == effect) || !(key.is_empty() || taint["key"] == key) {
        return false;
    }
    let (own, other) = (text(&toleration["value"]), text(&taint["value"]));
    match text(&toleration["operator"]) {
        "" | "Equal" => own == other,
        "Exists" => true,
        "Lt" => matches!((own.parse::<i64>(), other.parse::<i64>()), (Ok(own), Ok(other)) if other < own),
        "Gt" => matches!((own.parse::<i64>(), other.parse::<i64>()), (Ok(own), Ok(other)) if other > own),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_stay_as_long_as_they_tolerate() {
        let taint = |key: &str| json!({"key": key, "value": "v", "effect": "NoExecute"});
        let check = |taints: &[Value], tolerations: Value, expected: Stay| {
            assert_eq!(stay(taints, &tolerations), expected, "{tolerations}");
        };
        let seconds = |s: u64| Stay::For(Duration::from_secs(s));
        let exists = |key: &str, time: Value| json!({"key": key, "operator": "Exists", "tolerationSeconds": time});
        check(&[], json!(null), Stay::Forever);
        check(&[taint("a")], json!(null), seconds(0));
        check(&[taint("a")], json!([{"operator": "Exists"}]), Stay::Forever);
        check(&[taint("a")], json!([{"key": "a", "value": "w"}]), seconds(0));
        check(&[taint("a")], json!([{"key": "a", "value": "v", "effect": "NoSchedule"}]), seconds(0));
        check(&[taint("a")], json!([exists("a", json!(5))]), seconds(5));
        check(&[taint("a")], json!([exists("a", json!(-1))]), seconds(0));
        check(&[taint("a"), taint("b")], json!([exists("a", json!(5)), exists("b", json!(3))]), seconds(3));
        check(&[taint("a"), taint("b")], json!([exists("a", json!(null)), exists("b", json!(3))]), seconds(3));
        check(&[taint("a"), taint("b")], json!([exists("a", json!(5))]), seconds(0));
    }
}
