//! Control loops: each brings what is to what should be.
//!
//! A controller is one file with a [`Descriptor`] and a [`Controller`]; its line in the list below is all it takes to
//! run it. [`runner`] owns what they have in common: queue, back-off, panic isolation, metrics and spans. Controllers
//! act by an object's key alone, on what informers hold now, and so survive missed and repeated events.

mod claim;
mod discovery;
mod expectations;
mod metrics;
mod object;
mod pods;
mod protection;
pub mod runner;
mod selector;
mod service;
mod subsets;

use gantry_auth::service_account::Tokens;
use gantry_client::{Client, Informers};
use std::sync::Arc;
use std::time::Duration;

pub use runner::{Context, Controller, Controllers, Descriptor, Error, Next, Rule};

/// Names the controllers: a module each, and its place in the list of those that run.
macro_rules! controllers {
    ($($module:ident),* $(,)?) => {
        $(mod $module;)*

        /// Every controller there is.
        pub static ALL: &[&Descriptor] = &[$(&$module::DESCRIPTOR),*];
    };
}

controllers! {
    cluster_role_aggregation,
    deployment,
    endpoints,
    endpointslice,
    endpointslice_mirroring,
    garbage_collector,
    namespace,
    node_ipam,
    node_lifecycle,
    pod_gc,
    pv_protection,
    pvc_protection,
    replicaset,
    root_ca,
    service_cidr,
    serviceaccount,
    taint_eviction,
    tokens,
    ttl,
    vac_protection,
}

/// What controllers need to be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's certificate authority as PEM text, published to every namespace.
    pub cluster_ca_pem: String,
    /// Signs the tokens that Secrets hold; without it they stay empty.
    pub tokens: Option<Arc<Tokens>>,
    /// Each node gets a /24 (IPv6: /64) of this range, or of each of two, separated by a comma; `None` leaves nodes without.
    pub cluster_cidr: Option<String>,
    /// How often nodes are looked at.
    pub node_monitor_period: Duration,
    /// How long a node may keep silent until it counts as unreachable.
    pub node_monitor_grace_period: Duration,
    /// How long a new node may take until its first status.
    pub node_startup_grace_period: Duration,
    /// How often pods that nothing else removes are looked for.
    pub pod_gc_period: Duration,
    /// Pods that ended are kept up to this number.
    pub terminated_pod_threshold: usize,
    /// Scales the number of workers each controller asks for; 1 is upstream's.
    pub worker_factor: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            cluster_ca_pem: String::new(),
            tokens: None,
            cluster_cidr: None,
            node_monitor_period: Duration::from_secs(5),
            node_monitor_grace_period: Duration::from_secs(50),
            node_startup_grace_period: Duration::from_secs(60),
            pod_gc_period: Duration::from_secs(20),
            terminated_pod_threshold: 12_500,
            worker_factor: 1,
        }
    }
}

/// Starts every controller. They run until [`Controllers::stop`], or as long as the runtime does.
pub fn start(client: Client, informers: Informers, config: Config) -> Controllers {
    runner::start(ALL, client, informers, config)
}
