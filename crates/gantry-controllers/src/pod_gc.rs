//! Pod garbage collection: pods that nothing else would ever remove.
//!
//! These are the oldest of too many pods that ended, those of nodes that vanished, those that are being deleted and never
//! had a node, and those stuck on a node that is declared out of service. Source: pkg/controller/podgc.

use crate::object::{condition, items, text};
use crate::pods;
use crate::runner::{Context, Controller, Descriptor, Error, Feed, Next, Rule};
use async_trait::async_trait;
use futures::StreamExt;
use gantry_api::meta;
use gantry_client::resource::{NODES, PODS};
use gantry_client::{Change, Informer, PatchType, Resource};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a node must be missing before the server is asked whether it is gone.
const QUARANTINE: Duration = Duration::from_secs(40);
/// Pods deleted at a time.
const PARALLEL: usize = 16;
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// The only key: all pods are looked at together.
const KEY: &str = "pods";

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "pod-garbage-collector",
    queue: "orphaned_pods_nodes",
    workers: 1,
    watches: || vec![NODES, PODS],
    rules: &[
        Rule { groups: &[""], resources: &["pods"], verbs: &["delete", "list", "watch"] },
        Rule { groups: &[""], resources: &["nodes"], verbs: &["get", "list", "watch"] },
        Rule { groups: &[""], resources: &["pods/status"], verbs: &["patch"] },
    ],
    make: |ctx| {
        let (nodes, pods) = (ctx.informers.of(&NODES), ctx.informers.of(&PODS));
        Arc::new(PodGc { ctx, nodes, pods, missing: Mutex::default() })
    },
};

struct PodGc {
    ctx: Context,
    nodes: Arc<Informer>,
    pods: Arc<Informer>,
    // Since when nodes that pods name have been missing.
    missing: Mutex<HashMap<String, Instant>>,
}

#[async_trait]
impl Controller for PodGc {
    fn keys(&self, _: &Resource, _: Change<'_>) -> Vec<String> {
        Vec::new()
    }

    async fn feed(&self, feed: &Feed) {
        feed.add(KEY.to_string());
    }

    async fn reconcile(&self, _: &str) -> Result<Next, Error> {
        let nodes: HashMap<String, Arc<Value>> =
            self.nodes.iter().map(|n| (meta::name(&n).to_string(), n)).collect();
        // Of many pods few concern it.
        let pods: Vec<Arc<Value>> = self.pods.iter().filter(|p| concerns(p, &nodes)).collect();
        let due = self.due(&pods, &nodes, Instant::now());
        let gone = self.confirm_gone(due).await?;
        let doomed = doomed(&pods, &nodes, &gone, self.ctx.config.terminated_pod_threshold);
        let results: Vec<Result<(), Error>> = futures::stream::iter(doomed)
            .map(|(pod, why)| async move { self.delete(&pod, why).await })
            .buffer_unordered(PARALLEL)
            .collect()
            .await;
        results.into_iter().collect::<Result<(), Error>>()?;
        Ok(Next::After(self.ctx.config.pod_gc_period))
    }
}

/// Why a pod goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Why {
    Terminated,
    OutOfService,
    Orphaned,
    Unscheduled,
}

impl PodGc {
    fn missing(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nodes that pods name and that have been missing for long enough.
    fn due(&self, pods: &[Arc<Value>], nodes: &HashMap<String, Arc<Value>>, now: Instant) -> Vec<String> {
        let named: HashSet<&str> =
            pods.iter().map(|p| text(&p["spec"]["nodeName"])).filter(|n| !n.is_empty()).collect();
        let mut missing = self.missing();
        missing.retain(|name, _| named.contains(name.as_str()) && !nodes.contains_key(name));
        for name in named.into_iter().filter(|n| !nodes.contains_key(*n)) {
            missing.entry(name.to_string()).or_insert(now);
        }
        let due = missing.iter().filter(|(_, since)| now.saturating_duration_since(**since) >= QUARANTINE);
        due.map(|(name, _)| name.clone()).collect()
    }

    /// Those of the nodes that the server does not know either: an informer may lag.
    async fn confirm_gone(&self, names: Vec<String>) -> Result<HashSet<String>, Error> {
        let mut gone = HashSet::new();
        for name in names {
            match self.ctx.client.get(&NODES, "", &name).await {
                Ok(_) => {}
                Err(error) if error.is_not_found() => {
                    gone.insert(name);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(gone)
    }

    /// Marks a pod that has not ended as failed, for no node will, and deletes it without grace.
    async fn delete(&self, pod: &Value, why: Why) -> Result<(), Error> {
        let (namespace, name, uid) = (meta::namespace(pod), meta::name(pod), meta::text(pod, "uid"));
        let client = &self.ctx.client;
        if !pods::is_finished(pod) {
            let mut status = json!({"phase": "Failed"});
            if let Some(generation) = pod["metadata"]["generation"].as_i64() {
                status["observedGeneration"] = generation.into();
            }
            if why == Why::Orphaned {
                let condition = pods::disruption(pod, "DeletionByPodGC", "PodGC: node no longer exists");
                status["conditions"] = json!([condition]);
            }
            let patch = json!({"metadata": {"uid": uid}, "status": status});
            match client.patch(&PODS, (namespace, name), "status", PatchType::Strategic, &patch).await {
                Err(error) if error.is_not_found() => return Ok(()),
                other => other?,
            };
        }
        let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
        match client.delete(&PODS, namespace, name, &options).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Whether a pod has ended, is being deleted, or names a node that is missing.
fn concerns(pod: &Value, nodes: &HashMap<String, Arc<Value>>) -> bool {
    let node = text(&pod["spec"]["nodeName"]);
    meta::is_deleting(pod) || pods::is_finished(pod) || (!node.is_empty() && !nodes.contains_key(node))
}

/// The pods to delete, each once. Of those that ended, evicted ones go first, then the oldest.
fn doomed(
    pods: &[Arc<Value>],
    nodes: &HashMap<String, Arc<Value>>,
    gone: &HashSet<String>,
    threshold: usize,
) -> Vec<(Arc<Value>, Why)> {
    let mut doomed = Vec::new();
    let mut ended = Vec::new();
    for pod in pods {
        let node = text(&pod["spec"]["nodeName"]);
        let deleting = meta::is_deleting(pod);
        let why = match nodes.get(node) {
            Some(node) if deleting && is_out_of_service(node) => Why::OutOfService,
            None if gone.contains(node) => Why::Orphaned,
            None if deleting && node.is_empty() => Why::Unscheduled,
            _ => {
                if pods::is_finished(pod) {
                    ended.push(pod);
                }
                continue;
            }
        };
        doomed.push((pod.clone(), why));
    }
    if threshold > 0 && ended.len() > threshold {
        let surplus = ended.len() - threshold;
        ended.sort_by_key(|p| {
            let evicted = p["status"]["phase"] == "Failed" && p["status"]["reason"] == "Evicted";
            (!evicted, meta::text(p, "creationTimestamp").to_string(), meta::name(p).to_string())
        });
        doomed.extend(ended[..surplus].iter().map(|p| ((*p).clone(), Why::Terminated)));
    }
    doomed
}

fn is_out_of_service(node: &Value) -> bool {
    let ready = condition(&node["status"], "Ready").is_some_and(|c| c["status"] == "True");
    !ready && items(&node["spec"]["taints"]).any(|t| t["key"] == OUT_OF_SERVICE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: &str, phase: &str, more: Value) -> Arc<Value> {
        let pod = json!({
            "metadata": {"name": name, "creationTimestamp": format!("2026-01-01T00:00:0{}Z", name.len())},
            "spec": {"nodeName": node}, "status": {"phase": phase},
        });
        Arc::new(gantry_api::patch::merge(pod, &more))
    }

    #[test]
    fn the_right_pods_go() {
        let deleting = || json!({"metadata": {"deletionTimestamp": "2026-01-02T00:00:00Z"}});
        let node = |ready: &str, taints: Value| {
            Arc::new(json!({
                "spec": {"taints": taints}, "status": {"conditions": [{"type": "Ready", "status": ready}]},
            }))
        };
        let taint = || json!([{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]);
        let nodes = HashMap::from([
            ("ready".to_string(), node("True", taint())),
            ("dead".to_string(), node("Unknown", taint())),
            ("silent".to_string(), node("Unknown", json!([]))),
        ]);
        let gone = HashSet::from(["vanished".to_string()]);
        let check = |what: &str, pod: Arc<Value>, expected: Option<Why>| {
            let found = doomed(&[pod], &nodes, &gone, 10).first().map(|(_, why)| *why);
            assert_eq!(found, expected, "{what}");
        };
        check("runs", pod("p", "ready", "Running", json!({})), None);
        check("its node is ready", pod("p", "ready", "Running", deleting()), None);
        check("its node is only silent", pod("p", "silent", "Running", deleting()), None);
        check("its node is out of service", pod("p", "dead", "Running", deleting()), Some(Why::OutOfService));
        check("it is not being deleted", pod("p", "dead", "Running", json!({})), None);
        check("its node vanished", pod("p", "vanished", "Running", json!({})), Some(Why::Orphaned));
        check("its node is in quarantine", pod("p", "missing", "Running", json!({})), None);
        check("it never had a node", pod("p", "", "Pending", deleting()), Some(Why::Unscheduled));
        check("it waits for a node", pod("p", "", "Pending", json!({})), None);
    }

    #[test]
    fn the_oldest_of_too_many_go() {
        let evicted = pod("evicted", "n", "Failed", json!({"status": {"reason": "Evicted"}}));
        let pods = [pod("aaa", "n", "Succeeded", json!({})), pod("aa", "n", "Failed", json!({})), evicted];
        let check = |threshold: usize, expected: &[&str]| {
            let found = doomed(&pods, &HashMap::new(), &HashSet::new(), threshold);
            assert_eq!(found.iter().map(|(p, _)| meta::name(p)).collect::<Vec<_>>(), expected, "{threshold}");
        };
        check(0, &[]);
        check(3, &[]);
        check(2, &["evicted"]);
        check(1, &["evicted", "aa"]);
    }
}
