//! What all parts of the node use.

use crate::config::Config;
use crate::cri::Runtime;
use crate::image::Puller;
use crate::pod::cgroup::Cgroups;
use crate::volumes::Volumes;
use gantry_client::{Client, Informer, Recorder};
use std::sync::Arc;
use tokio::sync::watch;

/// What all parts of the node use.
pub struct Shared {
    /// What the node was told at start.
    pub config: Config,
    /// The API.
    pub client: Client,
    /// The container runtime.
    pub runtime: Runtime,
    /// Writes events.
    pub recorder: Recorder,
    /// Pulls images.
    pub puller: Puller,
    /// Prepares volumes.
    pub volumes: Volumes,
    /// Pods' cgroups.
    pub cgroups: Cgroups,
    /// The cluster's services, for environments.
    pub services: Arc<Informer>,
    /// The node's memory, in bytes.
    pub memory: i64,
    /// Whether the runtime's network is ready; else why not.
    pub network: watch::Receiver<Result<(), String>>,
}

impl Shared {
    /// The environment of a container.
    pub async fn environment(
        &self,
        pod: &serde_json::Value,
        container: &serde_json::Value,
        ips: &[String],
    ) -> Result<Vec<(String, String)>, crate::pod::ConfigError> {
        let mut services = self.services.list_namespace(gantry_api::meta::namespace(pod));
        // Sorted with those of the namespace; the same one twice does no harm.
        services.extend(self.services.get("default", "kubernetes"));
        let sources = crate::env::Sources {
            client: self.client.clone(),
            services,
            allocatable: serde_json::json!({"memory": self.memory.to_string(), "cpu": cpus().to_string()}),
        };
        let ips = crate::env::Ips {
            pod: ips.to_vec(),
            host: vec![self.config.ip.to_string()],
        };
        crate::env::container_env(pod, container, &sources, &ips)
            .await
            .map_err(|e| crate::pod::ConfigError::Config(e.to_string()))
    }
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}
