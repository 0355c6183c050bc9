//! The scheduler against the API server: where pods go, and what people are told.

mod common;

use gantry_client::resource::{EVENTS, NODES, PODS};
use gantry_client::{Client, Informers, PatchType, Resource};
use gantry_scheduler::{Config, Scheduler};
use gantry_store::Memory;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What does not come about within this time never will.
const PATIENCE: Duration = Duration::from_secs(60);
const PRIORITY_CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";

struct Cluster {
    client: Client,
    informers: Informers,
    scheduler: Scheduler,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// A cluster of nodes with one CPU each.
    async fn start(nodes: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let client = common::client(folder.path(), Arc::new(Memory::new())).await;
        for name in nodes {
            let size = json!({"cpu": "1", "memory": "1Gi", "pods": "10"});
            let status = json!({"allocatable": size, "conditions": [{"type": "Ready", "status": "True"}]});
            let labels = json!({"kubernetes.io/hostname": name});
            let node = json!({"metadata": {"name": name, "labels": labels}, "status": status});
            client.create(&NODES, &node).await.unwrap();
            // As the node lifecycle does once it is ready.
            let taints = json!({"spec": {"taints": null}});
            client
                .patch(&NODES, ("", name), "", PatchType::Merge, &taints)
                .await
                .unwrap();
        }
        let informers = Informers::new(client.clone());
        let scheduler = Scheduler::start(&client, &informers, Config::default());
        Cluster {
            client,
            informers,
            scheduler,
            _folder: folder,
        }
    }

    async fn pod(&self, name: &str, cpu: &str, change: Value) {
        let requests = json!({"cpu": cpu});
        let pod = json!({
            "metadata": {"namespace": "default", "name": name, "labels": {"app": "a"}},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": requests}}]},
        });
        let pod = gantry_api::patch::merge(pod, &change);
        self.client.create(&PODS, &pod).await.unwrap();
    }

    /// Waits until some object is as `wanted` says.
    async fn until(&self, resource: &Resource, wanted: impl Fn(&Value) -> bool) -> Value {
        let informer = self.informers.of(resource);
        let changed = Arc::new(Notify::new());
        let notify = changed.clone();
        informer.on_change(move |_| notify.notify_one());
        let look = async {
            loop {
                if let Some(object) = informer.list().into_iter().find(|o| wanted(o)) {
                    return (*object).clone();
                }
                changed.notified().await;
            }
        };
        match tokio::time::timeout(PATIENCE, look).await {
            Ok(object) => object,
            Err(_) => panic!("none of these: {:#?}", informer.list()),
        }
    }

    /// Waits until a pod has a node.
    async fn node_of(&self, name: &str) -> String {
        let has_node = |p: &Value| p["metadata"]["name"] == name && p["spec"]["nodeName"].is_string();
        self.until(&PODS, has_node).await["spec"]["nodeName"]
            .as_str()
            .unwrap()
            .to_string()
    }

    /// Waits until a pod has been told why it has no node.
    async fn told(&self, name: &str, message: &str) {
        let is_told = |p: &Value| {
            let mut conditions = p["status"]["conditions"].as_array().into_iter().flatten();
            p["metadata"]["name"] == name
                && conditions.any(|c| c["reason"] == "Unschedulable" && c["message"] == message)
        };
        self.until(&PODS, is_told).await;
        let is_event = |e: &Value| e["reason"] == "FailedScheduling" && e["message"] == message;
        self.until(&EVENTS, is_event).await;
    }
}

#[tokio::test]
async fn pods_are_told_why_they_wait_and_go_when_they_can() {
    let cluster = Cluster::start(&["n1", "n2"]).await;
    let taint = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    cluster
        .client
        .patch(&NODES, ("", "n2"), "", PatchType::Merge, &taint)
        .await
        .unwrap();
    cluster
        .until(&NODES, |n| {
            n["metadata"]["name"] == "n2" && n["spec"]["taints"][0]["key"] == "k"
        })
        .await;
    cluster.pod("first", "600m", json!({})).await;
    assert_eq!(cluster.node_of("first").await, "n1");
    cluster.pod("second", "600m", json!({})).await;
    let message = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). preemption: 0/2 \
                   nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for \
                   scheduling.";
    cluster.told("second", message).await;
    cluster
        .client
        .delete(&PODS, "default", "first", &json!({"gracePeriodSeconds": 0}))
        .await
        .unwrap();
    assert_eq!(cluster.node_of("second").await, "n1");
    let message = "Successfully assigned default/second to n1";
    cluster
        .until(&EVENTS, |e| e["reason"] == "Scheduled" && e["message"] == message)
        .await;
}

#[tokio::test]
async fn the_important_make_others_leave() {
    let cluster = Cluster::start(&["n1"]).await;
    let class = json!({"metadata": {"name": "high"}, "value": 1000});
    cluster
        .client
        .raw(http::Method::POST, PRIORITY_CLASSES, Some(&class))
        .await
        .unwrap();
    cluster
        .pod(
            "low",
            "800m",
            json!({"metadata": {"finalizers": ["example.com/hold"]}}),
        )
        .await;
    cluster.node_of("low").await;
    cluster
        .pod("high", "800m", json!({"spec": {"priorityClassName": "high"}}))
        .await;
    let left = cluster
        .until(&PODS, |p| {
            p["metadata"]["name"] == "low" && p["metadata"]["deletionTimestamp"].is_string()
        })
        .await;
    let conditions = left["status"]["conditions"].as_array().unwrap();
    let disrupted = conditions
        .iter()
        .find(|c| c["type"] == "DisruptionTarget")
        .unwrap();
    assert_eq!(disrupted["reason"], "PreemptionByScheduler");
    assert_eq!(
        disrupted["message"],
        "default-scheduler: preempting to accommodate a higher priority pod"
    );
    let high = cluster
        .until(&PODS, |p| {
            p["metadata"]["name"] == "high" && p["status"]["nominatedNodeName"] == "n1"
        })
        .await;
    let message = format!(
        "Preempted by pod {} on node n1",
        high["metadata"]["uid"].as_str().unwrap()
    );
    cluster
        .until(&EVENTS, |e| {
            e["reason"] == "Preempted" && e["message"] == message.as_str()
        })
        .await;
    // Room is kept for it: another of less importance does not get in between.
    cluster.pod("between", "500m", json!({})).await;
    let release = json!({"metadata": {"finalizers": null}});
    cluster
        .client
        .patch(&PODS, ("default", "low"), "", PatchType::Merge, &release)
        .await
        .unwrap();
    cluster
        .client
        .delete(&PODS, "default", "low", &json!({"gracePeriodSeconds": 0}))
        .await
        .ok();
    assert_eq!(cluster.node_of("high").await, "n1");
    let between = cluster.client.get(&PODS, "default", "between").await.unwrap();
    assert!(between["spec"]["nodeName"].is_null(), "{between}");
}

#[tokio::test]
async fn pods_keep_apart_and_together() {
    let cluster = Cluster::start(&["n1", "n2"]).await;
    let term =
        json!({"labelSelector": {"matchLabels": {"app": "a"}}, "topologyKey": "kubernetes.io/hostname"});
    let affinity = |kind: &str| json!({"spec": {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}});
    for name in ["one", "two", "three"] {
        cluster.pod(name, "100m", affinity("podAntiAffinity")).await;
    }
    let waits = |p: &Value| p["status"]["conditions"][0]["reason"] == "Unschedulable";
    let third = cluster.until(&PODS, waits).await;
    let message = "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules. preemption: 0/2 nodes are \
                   available: 2 No preemption victims found for incoming pod.";
    assert_eq!(third["status"]["conditions"][0]["message"], message);
    let mut near = affinity("podAffinity");
    near["metadata"] = json!({"labels": {"app": "b"}});
    cluster.pod("near", "100m", near).await;
    cluster.node_of("near").await;
}

#[tokio::test]
async fn gated_pods_wait() {
    let cluster = Cluster::start(&["n1"]).await;
    cluster
        .pod(
            "gated",
            "100m",
            json!({"spec": {"schedulingGates": [{"name": "example.com/gate"}]}}),
        )
        .await;
    cluster.pod("other", "100m", json!({})).await;
    cluster.node_of("other").await;
    let gated = cluster.client.get(&PODS, "default", "gated").await.unwrap();
    assert_eq!(gated["status"]["conditions"][0]["reason"], "SchedulingGated");
    let open = json!({"spec": {"schedulingGates": null}});
    cluster
        .client
        .patch(&PODS, ("default", "gated"), "", PatchType::Merge, &open)
        .await
        .unwrap();
    assert_eq!(cluster.node_of("gated").await, "n1");
    for name in ["other", "gated"] {
        let message = format!("Successfully assigned default/{name} to n1");
        cluster.until(&EVENTS, |e| e["message"] == message.as_str()).await;
    }
    let metrics = cluster.scheduler.metrics();
    for expected in [
        "scheduler_pod_scheduling_attempts_count 2",
        "scheduler_pending_pods{queue=\"gated\"} 0",
    ] {
        assert!(metrics.lines().any(|l| l == expected), "{expected} in\n{metrics}");
    }
}
