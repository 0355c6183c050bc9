//! The node's own standing: its Node object, its lease, its conditions.

mod lease;
pub mod machine;
mod object;

pub use machine::memory;

use crate::config::Config;
use crate::cri::{CriError, Runtime, v1};
use gantry_client::resource::NODES;
use gantry_client::{Client, Error, PatchType, Recorder};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often the runtime is asked how it is: first until it is ready, then for good.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_secs(5);
/// How often the status is looked at, and how often it is written when nothing changed.
const STATUS: Duration = Duration::from_secs(10);
const REPORT: Duration = Duration::from_secs(300);
/// How long the first report waits for the runtime to be ready.
const FIRST_HEALTH: Duration = Duration::from_secs(5);
/// The pause after a failed write.
const PAUSE: Duration = Duration::from_secs(1);

/// How the runtime is: its two conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether containers can be run; else why not.
    pub runtime: Result<(), String>,
    /// Whether pods get a network; else why not.
    pub network: Result<(), String>,
}

impl Health {
    /// Nothing is known yet.
    pub fn unknown() -> Self {
        let why = || Err("the container runtime has not been asked yet".to_string());
        Health {
            runtime: why(),
            network: why(),
        }
    }

    fn is_ready(&self) -> bool {
        self.runtime.is_ok() && self.network.is_ok()
    }
}

/// Asks the runtime how it is, for as long as the node runs.
pub async fn follow_health(runtime: Runtime, health: watch::Sender<Health>) {
    loop {
        let now = match look(&runtime).await {
            Ok(now) => now,
            Err(error) => Health {
                runtime: Err(format!("container runtime is down: {error}")),
                network: Ok(()),
            },
        };
        let ready = now.is_ready();
        health.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
        tokio::time::sleep(if ready { LOOK } else { FIRST_LOOK }).await;
    }
}

async fn look(runtime: &Runtime) -> Result<Health, CriError> {
    let answer = runtime.status(v1::StatusRequest::default()).await?;
    let conditions = answer.status.unwrap_or_default().conditions;
    let condition = |type_: &str| match conditions.iter().find(|c| c.r#type == type_) {
        Some(c) if c.status => Ok(()),
        Some(c) => Err(format!("{type_}=false reason:{} message:{}", c.reason, c.message)),
        None => Err(format!("{type_} is not reported")),
    };
    let network =
        condition("NetworkReady").map_err(|why| format!("container runtime network not ready: {why}"));
    let runtime = condition("RuntimeReady").map_err(|why| format!("container runtime not ready: {why}"));
    Ok(Health { runtime, network })
}

/// Keeps the Node object and its lease, for as long as the node runs.
pub struct Standing {
    /// What the node was told.
    pub config: Config,
    /// The API.
    pub client: Client,
    /// The container runtime.
    pub runtime: Runtime,
    /// Writes events.
    pub recorder: Recorder,
    /// How the runtime is.
    pub health: watch::Receiver<Health>,
}

impl Standing {
    /// Registers the node, then reports.
    pub async fn run(mut self) {
        let lease = lease::keep(self.client.clone(), self.config.name.clone());
        let lease = tokio::spawn(lease);
        let mut written: Option<(Value, Instant)> = None;
        let version = self.runtime_version().await;
        let mut started = false;
        // A node that is only not known to be ready must not be reported as one that is not: pods would be evicted.
        let _ = tokio::time::timeout(FIRST_HEALTH, self.health.wait_for(Health::is_ready)).await;
        loop {
            let health = self.health.borrow_and_update().clone();
            let images = self.images().await;
            let made = object::make(&self.config, &health, &version, images);
            let comparable = object::comparable(&made);
            let due = written
                .as_ref()
                .is_none_or(|(before, at)| *before != comparable || at.elapsed() >= REPORT);
            let mut pause = STATUS;
            if due {
                match self.write(&made).await {
                    Ok(()) => written = Some((comparable, Instant::now())),
                    Err(error) => {
                        tracing::warn!(
                            "the status of node {} cannot be written: {error}",
                            self.config.name
                        );
                        pause = PAUSE;
                    }
                }
            }
            if !started && written.is_some() {
                started = true;
                self.recorder
                    .event(&self.reference(), "Normal", "Starting", "Starting kubelet.");
            }
            tokio::select! {
                changed = self.health.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(pause) => {}
            }
        }
        lease.abort();
    }

    /// Writes the node's status; makes the object if it is not there, and brings its labels up to date.
    async fn write(&self, made: &Value) -> Result<(), Error> {
        let name = &self.config.name;
        let existing = match self.client.get(&NODES, "", name).await {
            Ok(existing) => existing,
            Err(error) if error.is_not_found() => self.client.create(&NODES, made).await?,
            Err(error) => return Err(error),
        };
        let labels = &made["metadata"]["labels"];
        let stale = labels
            .as_object()
            .into_iter()
            .flatten()
            .any(|(k, v)| existing["metadata"]["labels"][k] != *v);
        if stale {
            let patch = json!({"metadata": {"labels": labels}});
            self.client
                .patch(&NODES, ("", name), "", PatchType::Strategic, &patch)
                .await?;
        }
        let status = object::merged(&existing["status"], &made["status"]);
        self.tell_changes(&existing["status"], &status);
        let patch = json!({"status": status});
        self.client
            .patch(&NODES, ("", name), "status", PatchType::Strategic, &patch)
            .await
            .map(drop)
    }

    /// Events of conditions that changed.
    fn tell_changes(&self, before: &Value, now: &Value) {
        for reason in object::changes(before, now) {
            let message = format!("Node {} status is now: {reason}", self.config.name);
            self.recorder.event(&self.reference(), "Normal", reason, message);
        }
    }

    /// The node as its events name it.
    fn reference(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.config.name, "uid": self.config.name}})
    }

    async fn runtime_version(&self) -> String {
        match self.runtime.version(v1::VersionRequest::default()).await {
            Ok(answer) => format!("{}://{}", answer.runtime_name, answer.runtime_version),
            Err(_) => "containerd://unknown".into(),
        }
    }

    async fn images(&self) -> Vec<v1::Image> {
        match self.runtime.list_images(v1::ListImagesRequest::default()).await {
            Ok(answer) => answer.images,
            Err(error) => {
                tracing::debug!("the images cannot be listed: {error}");
                Vec::new()
            }
        }
    }
}

/// Shares the network's part of the health.
pub fn network_of(mut health: watch::Receiver<Health>) -> watch::Receiver<Result<(), String>> {
    let (sender, receiver) = watch::channel(health.borrow_and_update().network.clone());
    tokio::spawn(async move {
        while health.changed().await.is_ok() {
            let network = health.borrow_and_update().network.clone();
            let _previous = sender.send_replace(network);
        }
    });
    receiver
}
