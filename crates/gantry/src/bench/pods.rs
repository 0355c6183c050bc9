//! `gantry bench pods`: how long pods take from their creation until they run, and what of that the container runtime takes.

use super::connection::{Connection, Target};
use super::histogram::Histogram;
use super::report::Figures;
use super::{Error, PATIENCE, in_namespace, must, wait_for_account};
use crate::kubeconfig;
use bytes::{Bytes, BytesMut};
use futures::future::try_join_all;
use gantry_node::cri::{Runtime, image_spec, v1};
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Options of `gantry bench pods`.
#[derive(clap::Args)]
pub struct Options {
    /// Leads to the server and says who asks; that user must be allowed to make and delete a namespace and all in it.
    #[arg(long, env = "KUBECONFIG", default_value = "/var/lib/gantry/admin.kubeconfig")]
    kubeconfig: PathBuf,
    /// Pods made at once.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=500))]
    count: u16,
    /// How often.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// What the pods run. It must be on the nodes, and run until it is ended.
    #[arg(long, default_value = gantry_node::image::PAUSE_IMAGE)]
    image: String,
    /// Socket of this machine's containerd: measures as many sandboxes and containers made without Kubernetes.
    #[arg(long)]
    containerd_endpoint: Option<PathBuf>,
}

/// A line longer than this is no event of ours.
const LINE: usize = 4 << 20;

/// Measures.
pub async fn measure(options: &Options) -> Result<Vec<Figures>, Error> {
    let target = Target::new(kubeconfig::read(&options.kubeconfig)?)?;
    let mut found = in_namespace(&target, async |namespace| {
        wait_for_account(&target, namespace).await?;
        pods(options, &target, namespace).await
    })
    .await?;
    if let Some(socket) = &options.containerd_endpoint {
        found.push(runtime(options, socket).await?);
    }
    Ok(found)
}

async fn pods(options: &Options, target: &Target, namespace: &str) -> Result<Vec<Figures>, Error> {
    let (mut bound, mut running) = (Histogram::default(), Histogram::default());
    let mut connections = try_join_all((0..options.count).map(|_| Connection::open(target))).await?;
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let mut elapsed = Duration::ZERO;
    for round in 0..options.rounds {
        let mut watcher = Connection::open(target).await?;
        let watched = format!("{path}?watch=true&labelSelector=round%3D{round}");
        let (_, body) = watcher.begin(Method::GET, &watched, "", Bytes::new()).await?;
        let began = Instant::now();
        let creates = connections.iter_mut().enumerate().map(async |(i, connection)| {
            let body = json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("pod-{round}-{i}"), "labels": {"round": round.to_string()}},
                "spec": {"terminationGracePeriodSeconds": 0, "enableServiceLinks": false,
                    "containers": [{"name": "c", "image": options.image, "imagePullPolicy": "IfNotPresent"}]}});
            let sent = Instant::now();
            must(connection, Method::POST, &path, &body).await?;
            Ok::<_, Error>((format!("pod-{round}-{i}"), sent))
        });
        let mut events = Events::new(body);
        let seen = async {
            let mut seen = Seen::default();
            while seen.running.len() < usize::from(options.count) {
                seen.take(&events.next().await?)?;
            }
            Ok(seen)
        };
        let both = async { tokio::try_join!(try_join_all(creates), seen) };
        let both = tokio::time::timeout(PATIENCE, both).await;
        let (sent, seen) = both.map_err(|_| Error::Late(PATIENCE, "all pods run"))??;
        elapsed += began.elapsed();
        for (name, sent) in sent {
            for (histogram, times) in [(&mut bound, &seen.bound), (&mut running, &seen.running)] {
                let at = times.get(&name).copied().unwrap_or(sent);
                histogram.add(at.saturating_duration_since(sent));
            }
        }
        must(&mut connections[0], Method::DELETE, &path, &Value::Null).await?;
        let gone = async {
            while events.gone < usize::from(options.count) {
                events.next().await?;
            }
            Ok::<_, Error>(())
        };
        let gone = tokio::time::timeout(PATIENCE, gone).await;
        gone.map_err(|_| Error::Late(PATIENCE, "the pods of a round are gone"))??;
    }
    let (count, all) = (
        options.count,
        u64::from(options.count) * u64::from(options.rounds),
    );
    let figures = |what: &str, histogram: &Histogram| {
        Figures::new(
            &format!("{count} pods at once: created to {what}"),
            all,
            elapsed,
            0,
            histogram,
        )
    };
    Ok(vec![figures("bound", &bound), figures("Running", &running)])
}

/// When pods were first seen with a node, and running.
#[derive(Default)]
struct Seen {
    bound: HashMap<String, Instant>,
    running: HashMap<String, Instant>,
}

impl Seen {
    fn take(&mut self, pod: &Value) -> Result<(), Error> {
        let (now, name) = (Instant::now(), pod["metadata"]["name"].as_str().unwrap_or(""));
        if pod["spec"]["nodeName"].is_string() {
            self.bound.entry(name.into()).or_insert(now);
        }
        match pod["status"]["phase"].as_str() {
            Some("Running") => {
                self.running.entry(name.into()).or_insert(now);
            }
            Some(phase @ ("Failed" | "Succeeded")) => return Err(Error::Ended(name.into(), phase.into())),
            _ => {}
        }
        Ok(())
    }
}

/// The events of a watch.
struct Events {
    body: Incoming,
    buffer: BytesMut,
    /// Objects that were deleted.
    gone: usize,
}

impl Events {
    fn new(body: Incoming) -> Events {
        Events {
            body,
            buffer: BytesMut::new(),
            gone: 0,
        }
    }

    /// The object of the next event.
    async fn next(&mut self) -> Result<Value, Error> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(end + 1);
                let mut event: Value = serde_json::from_slice(&line).map_err(|_| Error::Watch)?;
                self.gone += usize::from(event["type"] == "DELETED");
                return Ok(event["object"].take());
            }
            let frame = self.body.frame().await.ok_or(Error::Watch)?;
            let frame = frame.map_err(super::ConnectError::from)?;
            self.buffer
                .extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new()));
            if self.buffer.len() > LINE {
                return Err(Error::Watch);
            }
        }
    }
}

/// What as many sandboxes with a container each take when nobody but this asks for them.
async fn runtime(options: &Options, socket: &Path) -> Result<Figures, Error> {
    let runtime = Runtime::new(socket)?;
    let logs = std::env::temp_dir().join(format!("gantry-bench-{}", std::process::id()));
    let (mut histogram, mut elapsed) = (Histogram::default(), Duration::ZERO);
    for round in 0..options.rounds {
        let began = Instant::now();
        let starts = (0..options.count).map(|i| one(&runtime, &options.image, &logs, format!("{round}-{i}")));
        let started = try_join_all(starts).await?;
        elapsed += began.elapsed();
        for (sandbox, took) in started {
            histogram.add(took);
            runtime.stop_pod_sandbox(&sandbox).await?;
            runtime.remove_pod_sandbox(&sandbox).await?;
        }
    }
    match std::fs::remove_dir_all(&logs) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    let name = format!("{} at once: containerd alone", options.count);
    let all = u64::from(options.count) * u64::from(options.rounds);
    Ok(Figures::new(&name, all, elapsed, 0, &histogram))
}

/// Makes a sandbox and starts a container in it; the sandbox, and how long that took.
async fn one(runtime: &Runtime, image: &str, logs: &Path, name: String) -> Result<(String, Duration), Error> {
    let began = Instant::now();
    let config = v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            uid: format!("gantry-bench-{}-{name}", std::process::id()),
            name: name.clone(),
            namespace: "gantry-bench".into(),
            attempt: 0,
        }),
        hostname: name.clone(),
        log_directory: logs.display().to_string(),
        linux: Some(v1::LinuxPodSandboxConfig::default()),
        ..Default::default()
    };
    let sandbox = runtime.run_pod_sandbox(config.clone()).await?;
    let container = v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata {
            name: "c".into(),
            attempt: 0,
        }),
        image: Some(image_spec(image)),
        log_path: format!("{name}.log"),
        linux: Some(v1::LinuxContainerConfig::default()),
        ..Default::default()
    };
    let container = runtime.create_container(&sandbox, container, config).await?;
    runtime.start_container(&container).await?;
    Ok((sandbox, began.elapsed()))
}
