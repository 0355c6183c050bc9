//! `gantry bench churn`: objects that come and go at a steady rate. What the server keeps of them must not grow.

use super::connection::Target;
use super::load::{Load, Request};
use super::report::Figures;
use super::{Error, in_namespace, memory_of, wait_for_account};
use crate::kubeconfig;
use bytes::Bytes;
use http::Method;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Options of `gantry bench churn`.
#[derive(clap::Args)]
pub struct Options {
    /// Leads to the server and says who asks; that user must be allowed to make and delete a namespace and all in it.
    #[arg(long, env = "KUBECONFIG", default_value = "/var/lib/gantry/admin.kubeconfig")]
    kubeconfig: PathBuf,
    /// Objects, ConfigMaps of 1 KB and Pods by turns, that are made a second; as many are deleted.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How many there are at a time.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    live: u32,
    /// Seconds of a round, after which the figures are taken.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How many rounds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// The server's process on this machine, whose memory is shown.
    #[arg(long)]
    pid: Option<u32>,
    /// The folder of the server's store on this machine, whose size is shown.
    #[arg(long)]
    store: Option<PathBuf>,
}

/// Few enough that an object's create is answered long before its delete is sent.
const CONNECTIONS: u16 = 16;

/// Measures.
pub async fn measure(options: &Options) -> Result<Vec<Figures>, Error> {
    let target = Target::new(kubeconfig::read(&options.kubeconfig)?)?;
    in_namespace(&target, async |namespace| {
        wait_for_account(&target, namespace).await?;
        let fill = "x".repeat(900);
        let live = load("make the first", options.live, None);
        let mut found = vec![
            live.run(&target, &|i| create(namespace, u64::from(i), &fill))
                .await?,
        ];
        take(options, &mut found);
        let steps = options.rate * options.seconds;
        for round in 0..options.rounds {
            let begun = u64::from(round) * u64::from(steps);
            let name = format!("make and delete, round {}", round + 1);
            // One request makes an object, the next deletes the oldest.
            let both = load(&name, 2 * steps, Some(2 * options.rate));
            let step = |i: u32| {
                let oldest = begun + u64::from(i / 2);
                match i % 2 {
                    0 => create(namespace, oldest + u64::from(options.live), &fill),
                    _ => delete(namespace, oldest),
                }
            };
            found.push(both.run(&target, &step).await?);
            take(options, &mut found);
        }
        Ok(found)
    })
    .await
}

fn load(name: &str, count: u32, rate: Option<u32>) -> Load {
    Load {
        name: name.into(),
        connections: CONNECTIONS,
        count,
        rate,
    }
}

/// Adds to the last figures what the server takes now.
fn take(options: &Options, found: &mut [Figures]) {
    if let Some(figures) = found.last_mut() {
        figures.memory = options.pid.and_then(memory_of);
        figures.store = options.store.as_ref().and_then(|folder| size_of(folder).ok());
    }
}

/// How long the files in a folder are, in MB.
fn size_of(folder: &Path) -> std::io::Result<f64> {
    let mut bytes = 0;
    for file in std::fs::read_dir(folder)? {
        bytes += file?.metadata()?.len();
    }
    Ok(bytes as f64 / 1e6)
}

/// Where an object is; ConfigMaps and Pods by turns.
fn resource(number: u64) -> &'static str {
    match number % 2 {
        0 => "configmaps",
        _ => "pods",
    }
}

fn create(namespace: &str, number: u64, fill: &str) -> Request {
    let name = format!("churn-{number}");
    let body = match resource(number) {
        "pods" => json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            // No scheduler has this name, so that nothing runs.
            "spec": {"schedulerName": "gantry-bench", "containers": [{"name": "c", "image": "none"}]}}),
        _ => {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"fill": fill}})
        }
    };
    Request {
        method: Method::POST,
        path: format!("/api/v1/namespaces/{namespace}/{}", resource(number)),
        media_type: "application/json",
        body: body.to_string().into(),
    }
}

fn delete(namespace: &str, number: u64) -> Request {
    Request {
        method: Method::DELETE,
        path: format!(
            "/api/v1/namespaces/{namespace}/{}/churn-{number}",
            resource(number)
        ),
        media_type: "",
        body: Bytes::new(),
    }
}
