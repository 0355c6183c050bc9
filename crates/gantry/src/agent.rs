//! The node inside a server: its network, its containers, and what is left of them afterwards.

use crate::local;
use crate::options::Options;
use gantry_apiserver::Server;
use gantry_apiserver::services::Range;
use gantry_auth::{NODES, User};
use gantry_client::Informers;
use gantry_node::{Config, Node, ServerIdentity};
use std::net::Ipv4Addr;
use std::path::Path;

/// Why the node could not start, or not be removed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is no pod network.
    #[error(transparent)]
    Network(#[from] gantry_network::NetworkError),
    /// The containers' side failed.
    #[error(transparent)]
    Node(#[from] gantry_node::NodeError),
    /// Something could not be removed.
    #[error(transparent)]
    Containerd(#[from] gantry_node::containerd::ContainerdError),
    /// The bridge or the runtime failed.
    #[error("what the node left cannot be removed: {0}")]
    System(#[from] std::io::Error),
}

/// How many pods a node takes, as upstream's kubelet.
const MAX_PODS: u32 = 110;
/// The port of the node's own server.
const PORT: u16 = 10250;

/// Starts the node as a client of `server`, under the node's own name and rights.
pub async fn start(
    options: &Options,
    services: Range,
    server: &Server,
    identity: ServerIdentity,
) -> Result<Node, AgentError> {
    let data = options.data_dir.join("agent");
    gantry_network::configure(&data.join("cni/net.d"), &data, &options.pod_cidr())?;
    let name = options.name();
    let user = User::new(
        format!("system:node:{name}"),
        &[NODES, gantry_auth::AUTHENTICATED],
    );
    let client = local::client(server.local(user), "kubelet");
    let config = Config {
        name,
        ip: options.node_address(),
        data_dir: data,
        log_dir: "/var/log".into(),
        containerd_endpoint: options.containerd_endpoint.clone(),
        cluster_dns: services.nth(10).into(),
        cluster_domain: options.cluster_domain.clone(),
        labels: Default::default(),
        address: Ipv4Addr::UNSPECIFIED.into(),
        port: PORT,
        server: identity,
        max_pods: MAX_PODS,
    };
    Ok(gantry_node::start(config, client.clone(), Informers::new(client)).await?)
}

/// Removes all that the node of `data_dir` left: pods, containerd, mounts, the bridge.
pub fn teardown(data_dir: &Path) -> Result<(), AgentError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(gantry_node::teardown(&data_dir.join("agent")))?;
    Ok(gantry_network::teardown()?)
}
