//! Starting one container of a pod.

use crate::clock;
use crate::cri::v1;
use crate::pod::container::{self, ConfigError};
use crate::pod::plan::Kill;
use crate::pod::state::{Phase, PodState};
use crate::pod::{backoff, hosts, kill, lifecycle, mounts, spec};
use crate::shared::Shared;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a container does not run, as its status shows it.
#[derive(Debug)]
pub struct NotStarted {
    /// Such as `CrashLoopBackOff`.
    pub reason: String,
    /// What a person reads.
    pub message: String,
    /// When to try again, in nanoseconds since 1970; `None` if something must change first.
    pub again: Option<i64>,
}

impl NotStarted {
    fn new(reason: &str, message: impl Into<String>) -> Self {
        NotStarted {
            reason: reason.into(),
            message: message.into(),
            again: None,
        }
    }
}

/// What a start needs.
pub struct Start<'a> {
    /// What the node's parts share.
    pub shared: &'a Shared,
    /// The pod.
    pub pod: &'a Value,
    /// What it has.
    pub state: &'a PodState,
    /// Its volumes.
    pub volumes: &'a BTreeMap<String, PathBuf>,
    /// Its directory.
    pub pod_dir: &'a Path,
    /// The sandbox to start in.
    pub sandbox: &'a str,
    /// And its configuration.
    pub sandbox_config: &'a v1::PodSandboxConfig,
    /// The pod's addresses.
    pub ips: &'a [String],
}

impl Start<'_> {
    /// Starts a container, unless it failed a short while ago.
    pub async fn run(&self, container: &Value, pauses: &mut backoff::Backoff) -> Result<(), NotStarted> {
        self.back_off(container, pauses)?;
        let name = spec::text(container, "name");
        let image = self
            .shared
            .puller
            .ensure(self.pod, container)
            .await
            .map_err(|e| {
                self.tell(container, "Warning", "Failed", format!("Error: {}", e.reason));
                NotStarted {
                    reason: e.reason.into(),
                    message: e.message,
                    again: e.again,
                }
            })?;
        let attempt = self.attempt(name);
        let config = self.config(container, &image, attempt).await.map_err(|e| {
            self.tell(container, "Warning", "Failed", format!("Error: {e}"));
            NotStarted::new("CreateContainerConfigError", e.to_string())
        })?;
        self.make_log_dir(name).map_err(|e| {
            self.tell(container, "Warning", "Failed", format!("Error: {e}"));
            NotStarted::new("CreateContainerError", e.to_string())
        })?;
        let runtime = &self.shared.runtime;
        let created = runtime
            .create_container(self.sandbox, config, self.sandbox_config.clone())
            .await;
        let id = created.map_err(|e| {
            self.tell(container, "Warning", "Failed", format!("Error: {}", e.message()));
            NotStarted::new("CreateContainerError", e.message())
        })?;
        self.tell(container, "Normal", "Created", "Container created".into());
        runtime.start_container(&id).await.map_err(|e| {
            // The same words each time, so that events are counted up.
            let told = format!("Error: {}", e.message()).replace(&id, name);
            self.tell(container, "Warning", "Failed", told);
            NotStarted::new("RunContainerError", e.message())
        })?;
        self.tell(container, "Normal", "Started", "Container started".into());
        self.link_log(name, &id, attempt);
        self.post_start(container, name, &id).await
    }

    fn tell(&self, container: &Value, type_: &str, reason: &str, message: String) {
        let at = spec::field_path(self.pod, container);
        self.shared
            .recorder
            .event_at(self.pod, &at, type_, reason, message);
    }

    /// A container that ended must wait; the pause begins when it ended.
    fn back_off(&self, container: &Value, pauses: &mut backoff::Backoff) -> Result<(), NotStarted> {
        let name = spec::text(container, "name");
        let ended = self
            .state
            .containers
            .iter()
            .find(|c| c.name == name && c.phase == Phase::Exited);
        let Some(ended) = ended else { return Ok(()) };
        let key = format!("{name}/{}", spec::hash(container));
        let Some((pause, again)) = pauses.pause(&key, ended.finished_at, clock::now()) else {
            pauses.failed(&key, ended.finished_at);
            return Ok(());
        };
        let pod = spec::format(self.pod);
        self.tell(
            container,
            "Warning",
            "BackOff",
            format!("Back-off restarting failed container {name} in pod {pod}"),
        );
        Err(NotStarted {
            reason: "CrashLoopBackOff".into(),
            message: format!(
                "back-off {} restarting failed container={name} pod={pod}",
                backoff::text(pause)
            ),
            again: Some(again),
        })
    }

    /// How often the container was started before: the runtime knows, or the API, or the logs.
    fn attempt(&self, name: &str) -> u32 {
        if let Some(latest) = self.state.latest(name) {
            return latest.restart_count + 1;
        }
        let dir = container::log_dir(&self.shared.config.log_dir, self.pod).join(name);
        let logs = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let numbers = logs.filter_map(|l| l.file_name().to_str()?.split('.').next()?.parse::<u32>().ok());
        numbers.max().map_or(0, |highest| highest + 1)
    }

    async fn config(
        &self,
        container: &Value,
        image: &v1::Image,
        attempt: u32,
    ) -> Result<v1::ContainerConfig, ConfigError> {
        let env = self.shared.environment(self.pod, container, self.ips).await?;
        let hosts_of_node = match spec::host_network(self.pod) {
            true => std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
            false => String::new(),
        };
        let hosts = hosts::file(
            self.pod,
            self.ips,
            &self.shared.config.cluster_domain,
            &hosts_of_node,
        );
        let target = match spec::text(container, "targetContainerName") {
            "" => None,
            name => {
                let found = self.state.latest(name);
                let missing = || ConfigError::Config(format!("unable to find target container {name}"));
                Some(found.ok_or_else(missing)?.id.clone())
            }
        };
        let vars = env.clone();
        let expand = |text: &str| crate::env::expand(text, &vars);
        container::config(container::Input {
            pod: self.pod,
            container,
            image,
            attempt,
            env,
            mounts: mounts::Input {
                pod_dir: self.pod_dir,
                volumes: self.volumes,
                hosts: &hosts,
                expand: &expand,
            },
            memory: self.shared.memory,
            target,
        })
    }

    fn make_log_dir(&self, name: &str) -> Result<(), ConfigError> {
        let dir = container::log_dir(&self.shared.config.log_dir, self.pod).join(name);
        std::fs::create_dir_all(&dir).map_err(|e| ConfigError::File(dir.display().to_string(), e))
    }

    /// For log collectors; nothing of ours reads it.
    fn link_log(&self, name: &str, id: &str, attempt: u32) {
        let base = &self.shared.config.log_dir;
        let log = container::log_dir(base, self.pod)
            .join(name)
            .join(format!("{attempt}.log"));
        let link = container::log_link(base, self.pod, name, id);
        let linked = std::fs::create_dir_all(base.join("containers"))
            .and_then(|()| std::os::unix::fs::symlink(&log, &link));
        if let Err(error) = linked {
            tracing::warn!("{} cannot be made: {error}", link.display());
        }
    }

    async fn post_start(&self, container: &Value, name: &str, id: &str) -> Result<(), NotStarted> {
        let hook = &container["lifecycle"]["postStart"];
        if !hook.is_object() {
            return Ok(());
        }
        let runtime = &self.shared.runtime;
        let pod_ip = self.ips.first().map_or("", String::as_str);
        let Err(why) = lifecycle::run(runtime, self.pod, container, id, pod_ip, hook).await else {
            return Ok(());
        };
        tracing::info!("{why}");
        self.tell(
            container,
            "Warning",
            "FailedPostStartHook",
            "PostStartHook failed".into(),
        );
        let kill = Kill {
            id: id.into(),
            name: name.into(),
            message: "FailedPostStartHook".into(),
        };
        let grace = Duration::from_secs(spec::grace(self.pod).unsigned_abs());
        if let Err(error) = kill::container(self.shared, self.pod, &kill, pod_ip, grace).await {
            tracing::warn!(
                "container {name} of {} cannot be stopped: {error}",
                spec::format(self.pod)
            );
        }
        Err(NotStarted::new("PostStartHookError", why))
    }
}
