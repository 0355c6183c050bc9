//! The node agent: runs the pods of one node through CRI.
//!
//! [`start`] brings the container runtime up, registers the node and follows its pods. Pods are in `pod/`, the
//! node's own standing in `node/`.

mod clock;
mod config;
pub mod containerd;
pub mod cri;
pub mod env;
pub mod image;
mod logs;
mod mount;
mod node;
pub mod pod;
mod probe;
mod server;
mod shared;
mod stats;
pub mod volumes;

pub use config::{Config, ServerIdentity};
pub use server::{ServerError, TlsError};

use gantry_client::resource::{PODS, SERVICES};
use gantry_client::{Client, Informers, ListOptions, Recorder};
use node::{Health, Standing};
use pod::cgroup::Cgroups;
use pod::manager::Manager;
use shared::Shared;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Why the node could not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The container runtime does not run.
    #[error(transparent)]
    Containerd(#[from] containerd::ContainerdError),
    /// The pause image could not be imported.
    #[error(transparent)]
    Image(#[from] image::ImageError),
    /// The node's own server cannot listen.
    #[error(transparent)]
    Server(#[from] server::ServerError),
}

/// A running node.
pub struct Node {
    manager: Arc<Manager>,
    server: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts the node: containerd, unless one is given; then its Node object and its pods.
pub async fn start(mut config: Config, client: Client, informers: Informers) -> Result<Node, NodeError> {
    let bound = server::bind(&config).await?;
    config.port = bound.address().port();
    let socket = match &config.containerd_endpoint {
        Some(socket) => socket.clone(),
        None => containerd::Paths::new(&config.data_dir).socket(),
    };
    let runtime = match &config.containerd_endpoint {
        Some(socket) => containerd::given(socket).await?,
        None => {
            let runtime = containerd::ensure(&config.data_dir, image::PAUSE_IMAGE).await?;
            image::ensure_pause(&runtime, &socket, &config.data_dir).await?;
            runtime
        }
    };
    let own = config.containerd_endpoint.is_none();
    let data_dir = config.data_dir.clone();
    let client = client.named("kubelet");
    let recorder = Recorder::new(client.clone(), "kubelet", &config.name);
    let (health_sender, health) = watch::channel(Health::unknown());
    let standing = Standing {
        config: config.clone(),
        client: client.clone(),
        runtime: runtime.clone(),
        recorder: recorder.clone(),
        health: health.clone(),
    };
    let shared = Arc::new(Shared {
        puller: image::Puller::new(runtime.clone(), client.clone(), recorder.clone()),
        volumes: volumes::Volumes::new(client.clone(), config.ip.to_string()),
        cgroups: Cgroups::detect(),
        services: informers.of(&SERVICES),
        memory: node::memory(),
        network: node::network_of(health),
        client,
        recorder,
        runtime: runtime.clone(),
        config,
    });
    let mine = ListOptions::fields(format!("spec.nodeName={}", shared.config.name));
    let manager = Manager::start(shared.clone(), informers.filtered(&PODS, mine));
    let address = bound.address();
    let api = server::Api::new(shared, manager.clone());
    let mut tasks = vec![
        tokio::spawn(logs::rotate::run(runtime.clone(), manager.clone())),
        tokio::spawn(bound.serve(Arc::new(api))),
        tokio::spawn(node::follow_health(runtime, health_sender)),
        tokio::spawn(standing.run()),
        tokio::spawn(manager.clone().follow_runtime()),
    ];
    if own {
        tasks.push(tokio::spawn(containerd::keep(data_dir, image::PAUSE_IMAGE)));
    }
    Ok(Node {
        manager,
        server: address,
        tasks,
    })
}

impl Node {
    /// Ends the node's work. Its pods, and containerd, go on.
    pub fn stop(self) {
        self.manager.stop();
        for task in self.tasks {
            task.abort();
        }
    }

    /// Where the node's own server listens.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// The node's pods.
    pub fn pods(&self) -> &Arc<Manager> {
        &self.manager
    }
}

/// Removes all pods, ends containerd, and unmounts what is left below `data_dir`. For `make down`.
pub async fn teardown(data_dir: &Path) -> Result<(), containerd::ContainerdError> {
    containerd::teardown(data_dir).await?;
    Cgroups::detect().remove_all();
    Ok(())
}
