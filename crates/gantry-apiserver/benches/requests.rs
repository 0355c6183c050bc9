//! Requests without a network, through the whole pipeline: `cargo bench -p gantry-apiserver`.
//!
//! Ratios to the memory copy of the same bytes tell how far reads are from what the machine could do; they hold on any
//! machine, where requests a second do not. The store's file is made in GANTRY_BENCH_DIR or the temporary folder.

use bytes::Bytes;
use gantry_apiserver::services::Range;
use gantry_apiserver::{Config, Local, Server, TlsFiles};
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Embedded;
use http::Request;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

const OBJECTS: usize = 21_885;
const CLIENTS: usize = 32;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const TIME: Duration = Duration::from_secs(3);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let base = std::env::var_os("GANTRY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(base).expect("a folder");
    let pki = Pki::open(&folder.path().join("pki"), &ServerNames::default()).expect("certificates");
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
    let store = Embedded::open(&folder.path().join("db"), 8 << 30).expect("a store");
    let server = Server::new(Arc::new(store), config).await.expect("a server");
    let root = server.local(User::new("root", &[MASTERS, AUTHENTICATED]));

    let start = Instant::now();
    let creating = (0..CLIENTS).map(|client| {
        let root = root.clone();
        tokio::spawn(async move {
            let filler = "x".repeat(1024);
            for n in (client..OBJECTS).step_by(CLIENTS) {
                let body = format!(
                    r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"map-{n:06}","labels":{{"n":"{}"}}}},"data":{{"a":"{filler}"}}}}"#,
                    n % 100
                );
                send(&root, "POST", MAPS, body).await;
            }
        })
    });
    for task in creating.collect::<Vec<_>>() {
        task.await.expect("a client");
    }
    let rate = OBJECTS as f64 / start.elapsed().as_secs_f64();
    println!(
        "{:<52}{rate:>10.0}/s",
        format!("durable creates of 1 KB, {CLIENTS} at once")
    );

    let gets = many(&root, CLIENTS, |n| {
        format!("{MAPS}/map-{:06}", n * 7919 % OBJECTS)
    })
    .await;
    println!("{:<52}{:>10.0}/s", "gets of one object", gets.0);
    reset_peak();
    let before = memory("VmRSS:");
    let lists = many(&root, 4, |_| MAPS.to_string()).await;
    let taken = memory("VmHWM:").saturating_sub(before);
    let copy = copies(lists.1 / lists.0);
    println!(
        "{:<52}{:>10.1}/s   {:.0} MB/s, {:.2} of copying as much memory",
        format!("lists of {OBJECTS} objects, 4 at once"),
        lists.0,
        lists.1 / 1e6,
        lists.1 / copy
    );
    println!(
        "{:<52}{:>10.1} MB",
        "memory of 4 such lists at once",
        taken as f64 / 1024.0
    );
    for (what, query) in [
        ("with a label selector for one in 100", "labelSelector=n%3D7"),
        ("of 500 in pages", "limit=500"),
    ] {
        let lists = many(&root, 4, move |_| format!("{MAPS}?{query}")).await;
        println!("{:<52}{:>10.1}/s", format!("lists {what}"), lists.0);
    }
}

/// Makes the kernel forget how much memory this process once had.
fn reset_peak() {
    if let Err(error) = std::fs::write("/proc/self/clear_refs", "5") {
        eprintln!("the peak of memory is that of the whole run: {error}");
    }
}

/// A figure of this process's memory, in kilobytes.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(field));
    let kilobytes = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0)
}

/// Sends requests for a while; returns how many a second, and how many bytes a second they brought.
async fn many(
    root: &Local,
    clients: usize,
    path: impl Fn(usize) -> String + Copy + Send + 'static,
) -> (f64, f64) {
    let start = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let root = root.clone();
            tokio::spawn(async move {
                let (mut count, mut bytes) = (0, 0);
                while start.elapsed() < TIME {
                    bytes += send(&root, "GET", &path(count * clients + client), String::new()).await;
                    count += 1;
                }
                (count, bytes)
            })
        })
        .collect();
    let (mut count, mut bytes) = (0, 0);
    for task in tasks {
        let (c, b) = task.await.expect("a client");
        count += c;
        bytes += b;
    }
    let seconds = start.elapsed().as_secs_f64();
    (count as f64 / seconds, bytes as f64 / seconds)
}

/// Sends one request; returns its answer's length. The answer is read as it comes, not kept.
async fn send(root: &Local, method: &str, path: &str, body: String) -> usize {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Bytes::from(body))
        .expect("a request");
    let response = root.send(request).await;
    assert!(
        response.status().is_success(),
        "{method} {path}: {}",
        response.status()
    );
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.expect("an answer").data_ref().map_or(0, Bytes::len);
    }
    bytes
}

/// Bytes a second that two threads copy, in blocks as long as an answer.
fn copies(block: f64) -> f64 {
    let start = Instant::now();
    let copied: usize = std::thread::scope(|scope| {
        let copy = || {
            let from = vec![1u8; block as usize];
            let mut to = vec![0u8; from.len()];
            let mut copied = 0;
            while start.elapsed() < Duration::from_secs(1) {
                to.copy_from_slice(std::hint::black_box(&from));
                std::hint::black_box(&mut to);
                copied += from.len();
            }
            copied
        };
        let threads = [scope.spawn(copy), scope.spawn(copy)];
        threads.map(|t| t.join().unwrap_or(0)).iter().sum()
    });
    copied as f64 / start.elapsed().as_secs_f64()
}
