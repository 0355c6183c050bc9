//! What a node is told at start.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// What a node is told at start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Node object's name.
    pub name: String,
    /// The address under which other nodes and the API server reach this one.
    pub ip: IpAddr,
    /// Where the node's data lives.
    pub data_dir: PathBuf,
    /// Where logs go: `pods/` and `containers/` below it. Usually /var/log.
    pub log_dir: PathBuf,
    /// The socket of a container runtime that runs already; otherwise containerd is started.
    pub containerd_endpoint: Option<PathBuf>,
    /// The address of the cluster's DNS.
    pub cluster_dns: IpAddr,
    /// The cluster's domain, usually `cluster.local`.
    pub cluster_domain: String,
    /// Labels for the Node object besides the usual ones.
    pub labels: BTreeMap<String, String>,
    /// The port of the node's own server.
    pub port: u16,
    /// How many pods the node takes.
    pub max_pods: u32,
}
