//! Nodes that fall silent, and the pods on them.

use crate::cluster::Cluster;
use gantry_client::PatchType;
use gantry_client::resource::{EVENTS, NODES, PODS};
use gantry_controllers::Config;
use serde_json::{Value, json};
use std::time::Duration;

fn node(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn pod(name: &str, node: &str, tolerations: Value) -> Value {
    json!({
        "metadata": {"namespace": "default", "name": name},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}], "tolerations": tolerations},
    })
}

fn has_taint(node: &Value, key: &str, effect: &str) -> bool {
    let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
    taints.any(|t| t["key"] == key && t["effect"] == effect)
}

fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.find(|c| c["type"] == type_).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn pods_leave_a_node_that_falls_silent() {
    let cluster = Cluster::start(Config {
        node_monitor_period: Duration::from_millis(20),
        node_monitor_grace_period: Duration::ZERO,
        ..Config::default()
    })
    .await;
    let stays = json!([{"operator": "Exists"}]);
    let leaves = json!([
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1},
    ]);
    cluster.create(&PODS, pod("stays", "silent", stays)).await;
    cluster.create(&PODS, pod("leaves", "silent", leaves)).await;
    for name in ["stays", "leaves"] {
        let patch =
            json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        let at = ("default", name);
        cluster
            .client
            .patch(&PODS, at, "status", PatchType::Strategic, &patch)
            .await
            .unwrap();
    }
    // It is the only node; if it counted, all would be out and it would not be given up.
    let mut silent = node("silent");
    silent["metadata"]["labels"]["node.kubernetes.io/exclude-disruption"] = "".into();
    cluster.create(&NODES, silent).await;
    let silent = cluster
        .until(&NODES, "silent", |n| {
            has_taint(n, "node.kubernetes.io/unreachable", "NoExecute")
                && n["metadata"]["labels"].get("beta.kubernetes.io/os").is_some()
        })
        .await;
    assert!(
        has_taint(&silent, "node.kubernetes.io/unreachable", "NoSchedule"),
        "{silent}"
    );
    assert_eq!(condition(&silent, "Ready")["reason"], "NodeStatusUnknown");
    assert_eq!(
        condition(&silent, "MemoryPressure")["reason"],
        "NodeStatusNeverUpdated"
    );
    cluster
        .until(&PODS, "default/stays", |p| {
            condition(p, "Ready")["status"] == "False"
        })
        .await;
    let gone = cluster
        .until(&PODS, "default/leaves", |p| {
            p["metadata"]["deletionTimestamp"].is_string()
        })
        .await;
    assert_eq!(
        condition(&gone, "DisruptionTarget")["reason"],
        "DeletionByTaintManager"
    );
    for (reason, message) in [
        (
            "RegisteredNode",
            "Node silent event: Registered Node silent in Controller",
        ),
        ("NodeNotReady", "Node silent status is now: NodeNotReady"),
        ("TaintManagerEviction", "Marking for deletion Pod default/leaves"),
    ] {
        cluster
            .until_any(&EVENTS, |e| e["reason"] == reason && e["message"] == message)
            .await;
    }
    assert_eq!(silent["metadata"]["labels"]["beta.kubernetes.io/os"], "linux");
    let stays = cluster.until(&PODS, "default/stays", |p| !p.is_null()).await;
    assert!(condition(&stays, "DisruptionTarget").is_null());
}

#[tokio::test]
async fn pods_of_an_out_of_service_node_are_removed() {
    let cluster = Cluster::start(Config {
        pod_gc_period: Duration::from_millis(20),
        ..Config::default()
    })
    .await;
    cluster.create(&PODS, pod("p", "dead", json!([]))).await;
    cluster.until(&PODS, "default/p", |p| !p.is_null()).await;
    let mut dead = node("dead");
    dead["status"]["conditions"][0]["status"] = "False".into();
    dead["spec"] = json!({"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]});
    cluster.create(&NODES, dead).await;
    // The taint evicts it, and as no node ends it the garbage collector does.
    cluster.until(&PODS, "default/p", Value::is_null).await;
    let message = "Marking for deletion Pod default/p";
    cluster.until_any(&EVENTS, |e| e["message"] == message).await;
}

#[tokio::test]
async fn every_node_has_addresses_for_its_pods() {
    let config = Config {
        cluster_cidr: Some("10.42.0.0/23, fd00::/56".into()),
        ..Config::default()
    };
    let cluster = Cluster::start(config).await;
    let mut own = node("own");
    own["spec"] = json!({"podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24", "fd00::/64"]});
    cluster.create(&NODES, own).await;
    let has = |n: &Value| n["spec"]["podCIDR"].is_string();
    cluster.until(&NODES, "own", has).await;
    cluster.create(&NODES, node("second")).await;
    let second = cluster.until(&NODES, "second", has).await;
    assert_eq!(
        second["spec"]["podCIDRs"],
        json!(["10.42.1.0/24", "fd00:0:0:1::/64"])
    );
    assert_eq!(second["spec"]["podCIDR"], "10.42.1.0/24");
    cluster.create(&NODES, node("third")).await;
    cluster
        .until_any(&EVENTS, |e| {
            e["message"] == "Node third status is now: CIDRNotAvailable"
        })
        .await;
    cluster
        .client
        .delete(&NODES, "", "own", &Value::Null)
        .await
        .unwrap();
    let third = cluster.until(&NODES, "third", has).await;
    assert_eq!(third["spec"]["podCIDR"], "10.42.0.0/24");
}
