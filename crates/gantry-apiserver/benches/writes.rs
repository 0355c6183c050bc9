//! Writes of one sort, one after the other, over the store in memory:
//! `cargo bench -p gantry-apiserver --bench writes -- [COUNT]`.
//!
//! It is for counting instructions, which tell more than time where others work on the same machine:
//!
//!     valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*measured*' BENCH COUNT pods
//!
//! counts what is done for COUNT requests of the sort that is named. `informed` behind it adds an informer of pods, as components of
//! the same process have one.

use bytes::Bytes;
use gantry_apiserver::services::Range;
use gantry_apiserver::{Config, Local, Server, TlsFiles};
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_client::Informers;
use gantry_client::resource::PODS as POD_RESOURCE;
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::Request;
use http_body_util::BodyExt;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// One sort of requests; each has the name of what it does.
struct Sort {
    name: &'static str,
    method: &'static str,
    media_type: &'static str,
    path: fn(usize) -> String,
    body: fn(usize) -> String,
}

/// In an order in which those that change objects follow those that make them.
const SORTS: [Sort; 6] = [
    Sort {
        name: "maps",
        method: "POST",
        media_type: JSON,
        path: |_| MAPS.into(),
        body: |n| {
            let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("map-{n}")},
                "data": {"fill": "x".repeat(900)}});
            body.to_string()
        },
    },
    Sort {
        name: "patched-maps",
        method: "PATCH",
        media_type: "application/merge-patch+json",
        path: |n| format!("{MAPS}/map-{n}"),
        body: |n| json!({"data": {"touched": n.to_string()}}).to_string(),
    },
    Sort {
        name: "pods",
        method: "POST",
        media_type: JSON,
        path: |_| PODS.into(),
        body: |n| {
            let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("pod-{n}")},
                "spec": {"schedulerName": "gantry-bench", "containers": [{"name": "c", "image": "none"}]}});
            body.to_string()
        },
    },
    Sort {
        name: "patched-pods",
        method: "PATCH",
        media_type: "application/strategic-merge-patch+json",
        path: |n| format!("{PODS}/pod-{n}"),
        body: |n| json!({"metadata": {"labels": {"touched": n.to_string()}}}).to_string(),
    },
    Sort {
        name: "patched-status",
        method: "PATCH",
        media_type: "application/strategic-merge-patch+json",
        path: |n| format!("{PODS}/pod-{n}/status"),
        body: |_| {
            let body = json!({"status": {"phase": "Running", "podIP": "10.42.0.7", "podIPs": [{"ip": "10.42.0.7"}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
            body.to_string()
        },
    },
    Sort {
        name: "applied-maps",
        method: "PATCH",
        media_type: "application/apply-patch+yaml",
        path: |n| format!("{MAPS}/applied-{n}?fieldManager=bench"),
        body: |n| {
            let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("applied-{n}")},
                "data": {"a": "1"}});
            body.to_string()
        },
    },
];

const JSON: &str = "application/json";

fn main() {
    // Cargo adds --bench.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let count = arguments.first().and_then(|a| a.parse().ok()).unwrap_or(20_000);
    let counted = arguments.get(1);
    // On one thread nothing depends on chance.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (server, client) = runtime.block_on(start());
    // As if a component ran in the process.
    if arguments.iter().any(|a| a == "informed") {
        runtime.block_on(async {
            let informers = Informers::new(server.local(root()).client("bench"));
            informers.of(&POD_RESOURCE).synced().await;
        });
    }
    for sort in &SORTS {
        if counted.is_some_and(|name| name == sort.name) {
            // What is made once is made before.
            runtime.block_on(send_all(&client, sort, count..count + 10));
            measured(&runtime, &client, sort, count);
            return;
        }
        let start = Instant::now();
        runtime.block_on(send_all(&client, sort, 0..count));
        let each = start.elapsed() / count as u32;
        println!("{:<20}{each:>12.1?} each", sort.name);
        if counted.is_some() {
            runtime.block_on(send_all(&client, sort, count..count + 10));
        }
    }
}

/// Named for those who count instructions.
#[inline(never)]
fn measured(runtime: &Runtime, client: &Local, sort: &Sort, count: usize) {
    runtime.block_on(send_all(client, sort, 0..count));
}

fn root() -> User {
    User::new("root", &[MASTERS, AUTHENTICATED])
}

async fn start() -> (Server, Local) {
    let folder = tempfile::tempdir().expect("a folder");
    let pki = Pki::open(folder.path(), &ServerNames::default()).expect("certificates");
    let identity = pki.server();
    let config = Config {
        tls: TlsFiles {
            certificate: &identity.certificate_pem,
            key: &identity.key_pem,
            client_ca: pki.ca_pem(),
        },
        service_account_key: pki.service_account_key_pem(),
        service_range: Range::parse("10.43.0.0/16").expect("a range"),
        advertise: ([127, 0, 0, 1].into(), 6443),
        cluster_domain: "cluster.local",
        external_address: "127.0.0.1:6443".into(),
        join_token: None,
        kubelet_client: None,
    };
    let server = Server::new(Arc::new(Memory::new()), config)
        .await
        .expect("a server");
    let client = server.local(root());
    // No controller is here to make it.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    send(&client, "POST", JSON, accounts, account.to_string()).await;
    (server, client)
}

async fn send_all(client: &Local, sort: &Sort, numbers: std::ops::Range<usize>) {
    for n in numbers {
        send(
            client,
            sort.method,
            sort.media_type,
            &(sort.path)(n),
            (sort.body)(n),
        )
        .await;
        // Others' turn.
        tokio::task::yield_now().await;
    }
}

async fn send(client: &Local, method: &str, media_type: &str, path: &str, body: String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media_type)
        .header("user-agent", "bench/1")
        .body(Bytes::from(body))
        .expect("a request");
    let response = client.send(request).await;
    let status = response.status();
    let answer = response
        .into_body()
        .collect()
        .await
        .expect("an answer")
        .to_bytes();
    assert!(
        status.is_success(),
        "{method} {path}: {status}: {}",
        String::from_utf8_lossy(&answer)
    );
}
