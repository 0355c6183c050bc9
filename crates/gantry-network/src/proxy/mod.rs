//! The service proxy: leads the addresses and ports of Services to their endpoints, by nftables.
//!
//! [`service`] decides what a Service's rules are, [`pod`] what those of a pod's host ports are; [`ruleset`] knows what
//! the kernel has and writes the transaction that brings it from there to what is wanted; this file follows the API.
//! Source of the rules: pkg/proxy/nftables and pkg/proxy/topology.go.

mod conntrack;
mod nft;
mod pod;
mod ruleset;
mod service;

use gantry_client::resource::{ENDPOINT_SLICES, PODS, SERVICES};
use gantry_client::{Change, Informer, Informers, ListOptions};
use ruleset::{Ruleset, Unit};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// Transactions are at least so far apart: what changes in between goes into one.
const APART: Duration = Duration::from_millis(50);
/// How long to wait after a transaction that failed, doubled each time up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The index of EndpointSlices by their Service.
const BY_SERVICE: &str = "proxied-service";

/// What the proxy needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this node.
    pub node_name: String,
    /// The addresses of this node's pods.
    pub pod_cidr: String,
    /// The addresses of all nodes' pods.
    pub cluster_cidr: String,
}

/// Why there is no service proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The program is not there.
    #[error("nft is missing: install it with apt-get install nftables, or use --disable-agent")]
    Missing,
    /// The program cannot be run.
    #[error("nft cannot be run: {0}")]
    Run(std::io::Error),
    /// The kernel or the program refused the rules.
    #[error("nftables refuses the rules for Services: {0}; gantry needs root and nf_tables in the kernel")]
    Refused(String),
}

/// A running proxy.
pub struct Proxy {
    task: JoinHandle<()>,
    synced: watch::Receiver<bool>,
}

impl Proxy {
    /// Waits until the rules of all Services are in the kernel.
    pub async fn synced(&self) {
        // An error means that the proxy has stopped, and there is nothing left to wait for.
        let _ = self.synced.clone().wait_for(|synced| *synced).await;
    }

    /// Ends it. The rules stay, so that Services go on while gantry is started anew.
    pub fn stop(self) {
        self.task.abort();
    }
}

/// Starts the proxy; its informers must be allowed to list and watch services, endpointslices and pods.
pub async fn start(config: Config, informers: Informers) -> Result<Proxy, ProxyError> {
    nft::check(&Ruleset::new(&config).whole()).await?;
    let source = Source::new(&config, &informers);
    let (sender, synced) = watch::channel(false);
    let task = tokio::spawn(run(config, source, sender));
    Ok(Proxy { task, synced })
}

/// Removes all rules; it is fine when there are none.
pub async fn teardown() -> Result<(), ProxyError> {
    match nft::apply(ruleset::REMOVE).await {
        // Without the program, there cannot be rules of its making.
        Err(ProxyError::Missing) => Ok(()),
        done => done,
    }
}

/// What the rules are made of, and what of it has changed.
struct Source {
    node: String,
    services: Arc<Informer>,
    slices: Arc<Informer>,
    pods: Arc<Informer>,
    dirty: Arc<Dirty>,
}

#[derive(Default)]
struct Dirty {
    units: Mutex<BTreeSet<Unit>>,
    changed: Notify,
}

impl Dirty {
    fn add(&self, unit: Unit) {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        units.insert(unit);
        self.changed.notify_one();
    }

    fn take(&self) -> BTreeSet<Unit> {
        std::mem::take(&mut *self.units.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Source {
    fn new(config: &Config, informers: &Informers) -> Source {
        let mine = ListOptions::fields(format!("spec.nodeName={}", config.node_name));
        let source = Source {
            node: config.node_name.clone(),
            services: informers.of(&SERVICES),
            slices: informers.of(&ENDPOINT_SLICES),
            pods: informers.filtered(&PODS, mine),
            dirty: Arc::default(),
        };
        source
            .slices
            .add_index(BY_SERVICE, |slice| service_of(slice).into_iter().collect());
        let follow = |informer: &Informer, unit_of: fn(&Value) -> Option<Unit>| {
            let dirty = source.dirty.clone();
            informer.on_change(move |change: Change<'_>| {
                for object in [change.old, change.new].into_iter().flatten() {
                    if let Some(unit) = unit_of(object) {
                        dirty.add(unit);
                    }
                }
            });
        };
        follow(&source.services, |service| {
            Some(Unit::Service(gantry_client::key_of(service)))
        });
        follow(&source.slices, |slice| service_of(slice).map(Unit::Service));
        follow(&source.pods, |pod| {
            let ports = pod::has_host_ports(pod);
            ports.then(|| Unit::Pod(gantry_client::key_of(pod)))
        });
        source
    }

    async fn synced(&self) {
        for informer in [&self.services, &self.slices, &self.pods] {
            informer.synced().await;
        }
    }

    /// All that there are rules for.
    fn all(&self) -> BTreeSet<Unit> {
        let services = self.services.list();
        let services = services.iter().map(|s| Unit::Service(gantry_client::key_of(s)));
        let pods = self.pods.iter().filter(|p| pod::has_host_ports(p));
        services
            .chain(pods.map(|p| Unit::Pod(gantry_client::key_of(&p))))
            .collect()
    }

    /// The rules of one unit as the API is now.
    fn rules(&self, unit: &Unit, cluster_cidr: &str) -> ruleset::Rules {
        match unit {
            Unit::Service(key) => {
                let Some(service) = self.services.get_key(key) else {
                    return Default::default();
                };
                let slices = self.slices.indexed(BY_SERVICE, key);
                service::rules(&service, &slices, &self.node, cluster_cidr)
            }
            Unit::Pod(key) => self.pods.get_key(key).map(|p| pod::rules(&p)).unwrap_or_default(),
        }
    }
}

/// The namespace and name of the Service that an EndpointSlice belongs to.
fn service_of(slice: &Value) -> Option<String> {
    let service = slice["metadata"]["labels"]["kubernetes.io/service-name"].as_str()?;
    let namespace = slice["metadata"]["namespace"].as_str()?;
    Some(format!("{namespace}/{service}"))
}

async fn run(config: Config, source: Source, synced: watch::Sender<bool>) {
    source.synced().await;
    // What an earlier process left in the kernel is not known: it is replaced as a whole.
    let mut known: Option<Ruleset> = None;
    let mut pause = PAUSE;
    loop {
        let began = Instant::now();
        let dirty = source.dirty.take();
        let mut next = known.clone().unwrap_or_else(|| Ruleset::new(&config));
        let units = match known {
            Some(_) => dirty,
            None => source.all(),
        };
        for unit in units {
            let rules = source.rules(&unit, &config.cluster_cidr);
            next.set(unit, rules);
        }
        let text = match &known {
            Some(known) => next.since(known),
            None => next.whole(),
        };
        match nft::apply(&text).await {
            Ok(()) => {
                pause = PAUSE;
                let stale = next.stale_flows(known.as_ref());
                known = Some(next);
                conntrack::forget(stale).await;
                synced.send_replace(true);
                source.dirty.changed.notified().await;
                sleep_until(began + APART).await;
            }
            Err(error) => {
                tracing::error!("{error}; all rules are written anew in {pause:?}");
                known = None;
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// The IPv4 address in a field, if that is what it holds.
fn address(value: &Value) -> Option<std::net::Ipv4Addr> {
    match value.as_str()?.parse() {
        Ok(IpAddr::V4(address)) => Some(address),
        _ => None,
    }
}
