//! How many pods the scheduler binds in a second, against an API server in the same process.
//!
//! `cargo bench -p gantry-scheduler -- [NODES] [PODS] [durable] [services]`; `durable` uses the embedded store instead of
//! memory, and with `services` each of fifty groups of pods has a Service, so that its pods are spread.

#[path = "../tests/common/mod.rs"]
mod common;

use common::client;
use futures::StreamExt;
use gantry_client::Informers;
use gantry_client::resource::{NODES, PODS, SERVICES};
use gantry_scheduler::{Config, Scheduler};
use gantry_store::{Embedded, Memory, Store};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::Notify;

/// Requests under way while nodes and pods are made.
const PARALLEL: usize = 64;

/// Pods that differ in their labels.
const GROUPS: usize = 50;

fn main() {
    // Cargo adds --bench.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let number =
        |at: usize, default: usize| arguments.get(at).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (nodes, pods) = (number(0, 1000), number(1, 5000));
    let durable = arguments.iter().any(|a| a == "durable");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads can be started");
    let services = arguments.iter().any(|a| a == "services");
    runtime.block_on(run(nodes, pods, durable, services));
}

async fn run(nodes: usize, pods: usize, durable: bool, services: bool) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let store: Arc<dyn Store> = match durable {
        true => Arc::new(Embedded::open(&folder.path().join("store"), 8 << 30).expect("the store opens")),
        false => Arc::new(Memory::new()),
    };
    let client = client(folder.path(), store).await;
    let make =
        async |count: usize,
               make: &(dyn Fn(usize) -> (gantry_client::Resource, serde_json::Value) + Sync)| {
            let start = Instant::now();
            futures::stream::iter(0..count)
                .for_each_concurrent(PARALLEL, |i| {
                    let (client, (resource, object)) = (client.clone(), make(i));
                    async move {
                        client
                            .create(&resource, &object)
                            .await
                            .expect("the object is created");
                    }
                })
                .await;
            count as f64 / start.elapsed().as_secs_f64()
        };
    let rate = make(nodes, &|i| (NODES, node(i))).await;
    println!("{nodes} nodes made, {rate:.0}/s");
    if services {
        make(GROUPS, &|i| (SERVICES, service(i))).await;
    }
    let rate = make(pods, &|i| (PODS, pod(i))).await;
    println!("{pods} pods made, {rate:.0}/s");

    let informers = Informers::new(client.clone());
    let (all, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    informers.of(&NODES).synced().await;
    informers.of(&PODS).synced().await;
    let start = Instant::now();
    let _scheduler = Scheduler::start(&client, &informers, Config::default());
    let (bound, notify) = (all.clone(), done.clone());
    informers.of(&PODS).on_change(move |change| {
        let has_node = |p: &Arc<serde_json::Value>| p["spec"]["nodeName"].is_string();
        if change.new.is_some_and(has_node)
            && !change.old.is_some_and(has_node)
            && bound.fetch_add(1, Ordering::Relaxed) + 1 == pods
        {
            notify.notify_one();
        }
    });
    done.notified().await;
    let took = start.elapsed();
    let store = if durable { "durable" } else { "in memory" };
    println!(
        "{pods} pods bound to {nodes} nodes in {took:.2?}, {store}: {:.0}/s",
        pods as f64 / took.as_secs_f64()
    );
}

fn node(i: usize) -> serde_json::Value {
    let name = format!("node-{i}");
    let size = json!({"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"});
    json!({
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("zone-{}", i % 3),
        }},
        "status": {
            "capacity": size, "allocatable": size,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    })
}

fn pod(i: usize) -> serde_json::Value {
    json!({
        "metadata": {"namespace": "default", "name": format!("pod-{i}"), "labels": {"app": format!("app-{}", i % GROUPS)}},
        "spec": {
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [{"name": "c", "image": "app", "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}],
        },
    })
}

fn service(i: usize) -> serde_json::Value {
    json!({
        "metadata": {"namespace": "default", "name": format!("app-{i}")},
        "spec": {"selector": {"app": format!("app-{i}")}, "ports": [{"port": 80}]},
    })
}
