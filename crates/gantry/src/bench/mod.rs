//! `gantry bench`: what a Kubernetes cluster does under load, whoever made it.
//!
//! Everything happens in a namespace of its own, which is deleted at the end. `api` is here: [`connection`] sends
//! requests, [`load`] drives many connections and measures them, [`fan_out`] measures watches. [`pods`] measures how
//! soon pods run, and [`churn`] whether a server stays as it is. [`report`] shows the figures.

mod churn;
mod connection;
mod fan_out;
mod histogram;
mod load;
mod pods;
mod report;

use crate::kubeconfig::{self, KubeconfigError};
use bytes::Bytes;
use connection::{ConnectError, Connection, Target};
use http::Method;
use load::{Load, Request};
use report::Figures;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Options of `gantry bench`.
#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Measures creates, gets, lists, patches, deletes and watches of an API server.
    Api(Api),
    /// Measures how long pods take from their creation until they run.
    Pods(Pods),
    /// Makes and deletes objects at a steady rate, and shows whether the server's memory and file stay as they are.
    Churn(Churn),
}

/// Options of `gantry bench churn`.
#[derive(clap::Args)]
struct Churn {
    #[command(flatten)]
    churn: churn::Options,
    #[command(flatten)]
    show: Show,
}

/// Options of `gantry bench pods`.
#[derive(clap::Args)]
struct Pods {
    #[command(flatten)]
    pods: pods::Options,
    #[command(flatten)]
    show: Show,
}

/// How the figures are shown.
#[derive(Clone, clap::Args)]
struct Show {
    /// For people, or for programs.
    #[arg(long, default_value = "table")]
    output: Output,
    /// The JSON output of another run: shows how many times its figures these are.
    #[arg(long)]
    compare: Option<PathBuf>,
}

/// Options of `gantry bench api`.
#[derive(Clone, clap::Args)]
struct Api {
    /// Leads to the server and says who asks; that user must be allowed to make and delete a namespace and all in it.
    #[arg(long, env = "KUBECONFIG", default_value = "/var/lib/gantry/admin.kubeconfig")]
    kubeconfig: PathBuf,
    /// Connections that ask at the same time, each one request after the other.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,
    /// Connections that list at the same time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    listers: u16,
    /// How many ConfigMaps and Pods are made, and how often one is read, patched and deleted.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// How many lists of all ConfigMaps are read.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    lists: u32,
    /// Watches that are told of each change.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    watchers: u16,
    /// Changes a second that the watches are told of, for ten seconds.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    changes: u32,
    /// Only some of: create, pods, list-pods, get, list, patch, watch, delete. What is read, patched or deleted is made before.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// The server's process on this machine, whose memory is then shown, too.
    #[arg(long)]
    pid: Option<u32>,
    #[command(flatten)]
    show: Show,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Create,
    Pods,
    ListPods,
    Get,
    List,
    Patch,
    Watch,
    Delete,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig is unusable.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The server cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused what has to be.
    #[error("{0} was answered with {1}: {2}")]
    Refused(String, u16, String),
    /// The container runtime failed.
    #[error(transparent)]
    Runtime(#[from] gantry_node::cri::CriError),
    /// A pod did not stay.
    #[error("the pod {0} is {1}; choose an image that runs until it is ended with --image")]
    Ended(String, String),
    /// A watch ended, or said what is no event.
    #[error("the watch of pods ended early")]
    Watch,
    /// Something did not happen in time.
    #[error("not in {0:?}: {1}")]
    Late(Duration, &'static str),
    /// The other run's figures are unusable.
    #[error("the figures in {0} cannot be used: {1}; make them with --output json")]
    Compare(PathBuf, String),
    /// It was interrupted.
    #[error("interrupted; what was made is deleted")]
    Interrupted,
    /// The system refused threads or signals.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
}

/// How long the server may take to make a namespace usable, and to empty it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs the command.
pub fn run(options: Options) -> Result<(), Error> {
    let show = match &options.command {
        Command::Api(options) => &options.show,
        Command::Pods(options) => &options.show,
        Command::Churn(options) => &options.show,
    };
    let other = show.compare.as_ref().map(|path| {
        let wrong = |why: String| Error::Compare(path.clone(), why);
        let text = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
        report::parse(&text).map_err(wrong)
    });
    let other = other.transpose()?;
    // One thread: on a machine of few cores the load must not take more than it has to from the server.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let figures = match &options.command {
        Command::Api(options) => runtime.block_on(measure(options)),
        Command::Pods(options) => runtime.block_on(pods::measure(&options.pods)),
        Command::Churn(options) => runtime.block_on(churn::measure(&options.churn)),
    }?;
    match show.output {
        Output::Table => print!("{}", report::table(&figures, other.as_deref())),
        Output::Json => println!("{}", report::json(&figures)),
    }
    Ok(())
}

async fn measure(options: &Api) -> Result<Vec<Figures>, Error> {
    let target = Target::new(kubeconfig::read(&options.kubeconfig)?)?;
    in_namespace(&target, async |namespace| {
        let bench = Bench {
            options,
            target: &target,
            namespace,
        };
        bench.all().await
    })
    .await
}

/// Works in a namespace made for it, and deletes that.
async fn in_namespace<F>(target: &Target, work: F) -> Result<Vec<Figures>, Error>
where
    F: AsyncFnOnce(&str) -> Result<Vec<Figures>, Error>,
{
    let namespace = format!("gantry-bench-{}", std::process::id());
    let mut control = Connection::open(target).await?;
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    must(&mut control, Method::POST, "/api/v1/namespaces", &body).await?;
    let result = tokio::select! {
        result = work(&namespace) => result,
        signal = tokio::signal::ctrl_c() => signal.map_err(Error::from).and(Err(Error::Interrupted)),
    };
    // The first connection may have been closed in the meantime.
    let mut control = Connection::open(target).await?;
    let path = format!("/api/v1/namespaces/{namespace}");
    must(&mut control, Method::DELETE, &path, &Value::Null).await?;
    let gone = async {
        while control.send(Method::GET, &path, "", Bytes::new()).await?.status != 404 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    };
    let gone = tokio::time::timeout(PATIENCE, gone).await;
    let gone = gone.map_err(|_| Error::Late(PATIENCE, "the benchmark's namespace is gone"))?;
    result.and_then(|figures| gone.map(|()| figures))
}

/// Pods are refused before a controller has made the namespace's default service account.
async fn wait_for_account(target: &Target, namespace: &str) -> Result<(), Error> {
    let mut connection = Connection::open(target).await?;
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
    let wait = async {
        while connection
            .send(Method::GET, &path, "", Bytes::new())
            .await?
            .status
            != 200
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .map_err(|_| Error::Late(PATIENCE, "the namespace has its default service account"))?
}

/// Sends what has to succeed.
async fn must(connection: &mut Connection, method: Method, path: &str, body: &Value) -> Result<(), Error> {
    let bytes = match body {
        Value::Null => Bytes::new(),
        body => body.to_string().into(),
    };
    let what = format!("{method} {path}");
    let answer = connection.send(method, path, "application/json", bytes).await?;
    match answer.status {
        200..=299 => Ok(()),
        status => Err(Error::Refused(what, status, answer.start())),
    }
}

/// What was found so far.
struct Found {
    pid: Option<u32>,
    figures: Vec<Figures>,
}

impl Found {
    /// Adds figures, with the memory that the server has now.
    fn push(&mut self, mut figures: Figures) {
        figures.memory = self.pid.and_then(memory_of);
        self.figures.push(figures);
    }
}

/// The resident memory of a process and the most it had, in megabytes.
fn memory_of(pid: u32) -> Option<[f64; 2]> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes * 1024.0 / 1e6)
    };
    Some([field("VmRSS:")?, field("VmHWM:")?])
}

/// One run.
struct Bench<'a> {
    options: &'a Api,
    target: &'a Target,
    namespace: &'a str,
}

impl Bench<'_> {
    async fn all(&self) -> Result<Vec<Figures>, Error> {
        let (count, connections) = (self.options.count, self.options.connections);
        let (maps, pods) = (self.path("configmaps"), self.path("pods"));
        let mut found = Found {
            pid: self.options.pid,
            figures: Vec::new(),
        };
        let load = |name: &str, connections: u16, count: u32| Load {
            name: name.into(),
            connections,
            count,
            rate: None,
        };
        let request = |method: Method, path: String, media_type: &'static str, body: String| Request {
            method,
            path,
            media_type,
            body: body.into(),
        };
        if self.wants_any(&[Part::Create, Part::Get, Part::List, Part::Patch, Part::Delete]) {
            let fill = "x".repeat(900);
            let made = load("create ConfigMaps of 1 KB", connections, count);
            let made = made
                .run(self.target, &|i| {
                    let body = json!({"apiVersion": "v1", "kind": "ConfigMap",
                        "metadata": {"name": format!("map-{i}")}, "data": {"fill": fill}});
                    request(Method::POST, maps.clone(), "application/json", body.to_string())
                })
                .await?;
            if self.wanted(Part::Create) {
                found.push(made);
            }
        }
        if self.wants_any(&[Part::Pods, Part::ListPods]) {
            wait_for_account(self.target, self.namespace).await?;
            let made = load("create Pods", connections, count)
                .run(self.target, &|i| {
                    let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("pod-{i}")},
                        // No scheduler has this name, so that nothing runs.
                        "spec": {"schedulerName": "gantry-bench", "containers": [{"name": "c", "image": "none"}]}});
                    request(Method::POST, pods.clone(), "application/json", body.to_string())
                })
                .await?;
            if self.wanted(Part::Pods) {
                found.push(made);
            }
        }
        if self.wanted(Part::ListPods) {
            found.push(
                self.lists("Pods", &pods, "from cache", "?resourceVersion=0")
                    .await?,
            );
        }
        if self.wanted(Part::Get) {
            let load = load("get a ConfigMap", connections, count.max(20_000));
            let one = |_| request(Method::GET, format!("{maps}/map-0"), "", String::new());
            found.push(load.run(self.target, &one).await?);
        }
        if self.wanted(Part::List) {
            for (from, query) in [("from cache", "?resourceVersion=0"), ("consistent", "")] {
                found.push(self.lists("ConfigMaps", &maps, from, query).await?);
            }
        }
        if self.wanted(Part::Patch) {
            let load = load("patch a ConfigMap", connections, count);
            let patch = |i: u32| {
                let body = json!({"data": {"touched": i.to_string()}}).to_string();
                let path = format!("{maps}/map-{}", i % count);
                request(Method::PATCH, path, "application/merge-patch+json", body)
            };
            found.push(load.run(self.target, &patch).await?);
        }
        if self.wanted(Part::Watch) {
            let (watchers, changes) = (self.options.watchers, self.options.changes);
            found.push(fan_out::run(self.target, &maps, watchers, changes).await?);
        }
        if self.wanted(Part::Delete) {
            let load = load("delete ConfigMaps", connections, count);
            let delete = |i| request(Method::DELETE, format!("{maps}/map-{i}"), "", String::new());
            found.push(load.run(self.target, &delete).await?);
        }
        Ok(found.figures)
    }

    /// Lists all objects of a kind again and again.
    async fn lists(&self, kind: &str, path: &str, from: &str, query: &str) -> Result<Figures, Error> {
        let load = Load {
            name: format!("list {} {kind}, {from}", self.options.count),
            connections: self.options.listers,
            count: self.options.lists,
            rate: None,
        };
        let list = |_| Request {
            method: Method::GET,
            path: format!("{path}{query}"),
            media_type: "",
            body: Bytes::new(),
        };
        load.run(self.target, &list).await
    }

    fn wants_any(&self, parts: &[Part]) -> bool {
        parts.iter().any(|part| self.wanted(*part))
    }

    fn wanted(&self, part: Part) -> bool {
        self.options.only.is_empty() || self.options.only.contains(&part)
    }

    fn path(&self, resource: &str) -> String {
        format!("/api/v1/namespaces/{}/{resource}", self.namespace)
    }
}
