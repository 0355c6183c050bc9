//! How many pods the scheduler binds in a second, against an API server in the same process.
//!
//! `cargo bench -p gantry-scheduler -- [NODES] [PODS] [durable]`; `durable` uses the embedded store instead of memory.

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use gantry_apiserver::services::Range;
use gantry_apiserver::{Local, Server, TlsFiles};
use gantry_auth::{MASTERS, User};
use gantry_client::resource::{NODES, PODS};
use gantry_client::{Body, Client, Informers, Transport, TransportError};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_scheduler::{Config, Scheduler};
use gantry_store::{Embedded, Memory, Store};
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::Notify;

struct InProcess(Local);

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let response = self.0.send(request).await;
        Ok(response.map(|body| body.map_err(|never| match never {}).boxed_unsync()))
    }
}

/// Requests under way while nodes and pods are made.
const PARALLEL: usize = 64;

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
    runtime.block_on(run(nodes, pods, durable));
}

async fn run(nodes: usize, pods: usize, durable: bool) {
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

async fn client(folder: &std::path::Path, store: Arc<dyn Store>) -> Client {
    let pki = Pki::open(folder, &ServerNames::default()).expect("certificates are made");
    let identity = pki.server();
    let config = gantry_apiserver::Config {
        tls: TlsFiles {
            certificate: &identity.certificate_pem,
            key: &identity.key_pem,
            client_ca: pki.ca_pem(),
        },
        service_account_key: pki.service_account_key_pem(),
        service_range: Range::parse("10.43.0.0/16").expect("it is a range"),
        advertise: ([192, 0, 2, 1].into(), 6443),
        cluster_domain: "cluster.local",
        external_address: "192.0.2.1:6443".into(),
        join_token: None,
    };
    let server = Server::new(store, config).await.expect("the server starts");
    let local = server.local(User::new("system:gantry", &[MASTERS]));
    let client = Client::new(Arc::new(InProcess(local)), "bench");
    // Pods need their account, which a controller would make.
    let account = json!({"metadata": {"namespace": "default", "name": "default"}});
    client
        .create(&gantry_client::resource::SERVICE_ACCOUNTS, &account)
        .await
        .expect("the account is created");
    client
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
        "metadata": {"namespace": "default", "name": format!("pod-{i}"), "labels": {"app": format!("app-{}", i % 50)}},
        "spec": {
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [{"name": "c", "image": "app", "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}],
        },
    })
}
