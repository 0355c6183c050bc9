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
    /// The address the node's own server listens on.
    pub address: IpAddr,
    /// And its port; 0 takes any that is free.
    pub port: u16,
    /// The server's certificate, and whose clients it believes.
    pub server: ServerIdentity,
    /// How many pods the node takes.
    pub max_pods: u32,
}

/// The certificate of the node's own server, its key, and the authority of its clients, all as PEM text.
#[derive(Clone)]
pub struct ServerIdentity {
    /// Certificate chain.
    pub certificate_pem: String,
    /// Private key.
    pub key_pem: String,
    /// The authority whose client certificates are believed.
    pub client_ca_pem: String,
}

/// The key stays out of logs.
impl std::fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerIdentity").finish_non_exhaustive()
    }
}
