//! The node inside a server: its network, its containers, and what is left of them afterwards.

use crate::options::Options;
use gantry_apiserver::Server;
use gantry_apiserver::services::Range;
use gantry_auth::{NODES, User};
use gantry_client::Informers;
use gantry_cluster::pki::{Pki, PkiError, ServerNames};
use gantry_network::dns::{self, Dns};
use gantry_network::proxy::{self, Proxy};
use gantry_node::{Config, Node, ServerIdentity};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// Why the node could not start, or not be removed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is no pod network.
    #[error(transparent)]
    Network(#[from] gantry_network::NetworkError),
    /// There is no service proxy.
    #[error(transparent)]
    Proxy(#[from] proxy::ProxyError),
    /// There is no DNS.
    #[error(transparent)]
    Dns(#[from] dns::DnsError),
    /// The node's server has no certificate.
    #[error(transparent)]
    Certificate(#[from] PkiError),
    /// A file cannot be used.
    #[error("{0} cannot be used: {1}; check its permissions, and that the disk is not full")]
    File(PathBuf, std::io::Error),
    /// The containers' side failed.
    #[error(transparent)]
    Node(#[from] gantry_node::NodeError),
    /// Something could not be removed.
    #[error(transparent)]
    Containerd(#[from] gantry_node::containerd::ContainerdError),
    /// The runtime failed.
    #[error("what the node left cannot be removed: {0}")]
    System(#[from] std::io::Error),
}

/// How many pods a node takes, as upstream's kubelet.
const MAX_PODS: u32 = 110;
/// The port of the node's own server.
const PORT: u16 = 10250;

/// What runs on the node beside its pods.
pub struct Agent {
    node: Node,
    dns: Dns,
    proxy: Proxy,
}

/// Starts the node as a client of `server`, under the node's own name and rights. The network's parts follow Services
/// through `cluster`, which the process has anyway.
pub async fn start(
    options: &Options,
    services: Range,
    pki: &Pki,
    server: &Server,
    cluster: Informers,
) -> Result<Agent, AgentError> {
    let data = options.data_dir.join("agent");
    gantry_network::configure(&data.join("cni/net.d"), &data, &options.pod_cidr())?;
    let cluster_dns: IpAddr = services.nth(10).into();
    // Whoever takes the node down does not know the options that it was started with.
    let file = dns_file(&data);
    std::fs::write(&file, cluster_dns.to_string()).map_err(|e| AgentError::File(file, e))?;
    let name = options.name();
    let user = format!("system:node:{name}");
    let names = ServerNames {
        dns: vec![name.clone()],
        ips: vec![options.node_address()],
    };
    let identity = pki.issue_server(&user, &[NODES], &names)?;
    let client = server
        .local(User::new(user, &[NODES, gantry_auth::AUTHENTICATED]))
        .client("kubelet");
    let config = Config {
        name,
        ip: options.node_address(),
        data_dir: data,
        log_dir: "/var/log".into(),
        containerd_endpoint: options.containerd_endpoint.clone(),
        cluster_dns,
        cluster_domain: options.cluster_domain.clone(),
        labels: Default::default(),
        address: Ipv4Addr::UNSPECIFIED.into(),
        port: PORT,
        server: ServerIdentity {
            certificate_pem: identity.certificate_pem,
            key_pem: identity.key_pem,
            client_ca_pem: pki.ca_pem().into(),
        },
        max_pods: MAX_PODS,
    };
    let proxy = proxy::start(
        proxy::Config {
            node_name: options.name(),
            pod_cidr: options.pod_cidr(),
            cluster_cidr: options.cluster_cidr.clone(),
        },
        cluster.clone(),
    )
    .await?;
    let dns = dns::start(
        dns::Config {
            address: cluster_dns,
            port: 53,
            domain: options.cluster_domain.clone(),
            service_cidr: options.service_cidr.clone(),
            pod_cidr: options.cluster_cidr.clone(),
            resolv_conf: "/etc/resolv.conf".into(),
        },
        cluster,
    )?;
    let node = gantry_node::start(config, client.clone(), Informers::new(client)).await?;
    Ok(Agent { node, dns, proxy })
}

impl Agent {
    /// Ends the node's work. Its pods, containerd and the rules for Services stay.
    pub async fn stop(self) {
        self.node.stop();
        self.proxy.stop();
        self.dns.stop().await;
    }
}

/// Removes all that the node of `data_dir` left: pods, containerd, mounts, the DNS address, the rules for Services.
pub fn teardown(data_dir: &Path) -> Result<(), AgentError> {
    let data = data_dir.join("agent");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(gantry_node::teardown(&data))?;
    let file = dns_file(&data);
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            if let Ok(address) = text.trim().parse() {
                dns::teardown(address)?;
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(AgentError::File(file, error)),
    }
    Ok(runtime.block_on(proxy::teardown())?)
}

/// Where the address stands that this machine took on for DNS.
fn dns_file(data: &Path) -> PathBuf {
    data.join("dns-address")
}
