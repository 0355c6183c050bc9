//! What the runtime has of a pod.

use crate::cri::{CriError, Runtime, v1};
use crate::pod::spec;
use serde_json::Value;
use std::collections::HashMap;

/// The labels that tie sandboxes and containers to pods; they are upstream's.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// See [`POD_NAME`].
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// See [`POD_NAME`].
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// See [`POD_NAME`].
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// An annotation of containers.
pub const HASH: &str = "io.kubernetes.container.hash";
/// An annotation of containers.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// An annotation of containers.
pub const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// An annotation of containers.
pub const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// An annotation of containers.
pub const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

/// The longest termination message from a file, and from a log.
const MESSAGE_LIMIT: u64 = 4096;
const LOG_MESSAGE_LIMIT: usize = 2048;
const LOG_MESSAGE_LINES: usize = 80;

/// A pod's sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Its id.
    pub id: String,
    /// How many the pod had before it.
    pub attempt: u32,
    /// Whether it runs.
    pub ready: bool,
    /// Creation, in nanoseconds.
    pub created_at: i64,
    /// Its addresses; empty with the node's network.
    pub ips: Vec<String>,
}

/// What a container does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Not started yet.
    #[default]
    Created,
    /// Running.
    Running,
    /// Ended.
    Exited,
    /// The runtime lost it.
    Unknown,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// What it does.
    pub phase: Phase,
    /// The sandbox it is in.
    pub sandbox: String,
    /// How it ended.
    pub exit_code: i32,
    /// Why it ended, in a word.
    pub reason: String,
    /// Why it ended.
    pub message: String,
    /// Times, in nanoseconds; 0 when not yet.
    pub created_at: i64,
    /// See `created_at`.
    pub started_at: i64,
    /// See `created_at`.
    pub finished_at: i64,
    /// The image's name.
    pub image: String,
    /// The image's digest.
    pub image_ref: String,
    /// How often the container was started before.
    pub restart_count: u32,
    /// The spec's hash when it was created.
    pub hash: String,
    /// Its log file.
    pub log_path: String,
}

/// All of a pod's sandboxes and containers, each with the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodState {
    /// Sandboxes.
    pub sandboxes: Vec<Sandbox>,
    /// Containers.
    pub containers: Vec<Container>,
}

impl PodState {
    /// Asks the runtime. `before` saves questions about what cannot change any more.
    pub async fn read(runtime: &Runtime, uid: &str, before: &PodState) -> Result<Self, CriError> {
        let selector = HashMap::from([(POD_UID.to_string(), uid.to_string())]);
        let sandboxes = runtime.list_pod_sandbox(v1::ListPodSandboxRequest {
            filter: Some(v1::PodSandboxFilter {
                label_selector: selector.clone(),
                ..Default::default()
            }),
        });
        let containers = runtime.list_containers(v1::ListContainersRequest {
            filter: Some(v1::ContainerFilter {
                label_selector: selector,
                ..Default::default()
            }),
        });
        let (sandboxes, containers) = futures::try_join!(sandboxes, containers)?;
        let mut state = PodState::default();
        for item in sandboxes.items {
            let known = before.sandboxes.iter().find(|s| s.id == item.id);
            let ready = item.state() == v1::PodSandboxState::SandboxReady;
            match known {
                Some(known) if known.ready == ready => state.sandboxes.push(known.clone()),
                _ => match runtime.pod_sandbox_status(&item.id).await {
                    Ok(status) => state.sandboxes.push(sandbox(status)),
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                },
            }
        }
        for item in containers.containers {
            let same = |c: &&Container| c.id == item.id && c.phase == phase(item.state());
            match before.containers.iter().find(same) {
                Some(known) => state.containers.push(known.clone()),
                None => match runtime.container_status(&item.id).await {
                    Ok(status) => state.containers.push(container(status, &item.pod_sandbox_id)),
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                },
            }
        }
        state.sandboxes.sort_by_key(|s| std::cmp::Reverse(s.created_at));
        state.containers.sort_by_key(|c| std::cmp::Reverse(c.created_at));
        Ok(state)
    }

    /// The newest container of a name.
    pub fn latest(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// The newest sandbox, if it runs.
    pub fn ready_sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first().filter(|s| s.ready)
    }

    /// Whether anything runs.
    pub fn is_running(&self) -> bool {
        self.running().next().is_some() || self.sandboxes.iter().any(|s| s.ready)
    }

    /// The containers that run, or may.
    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers
            .iter()
            .filter(|c| matches!(c.phase, Phase::Running | Phase::Unknown))
    }

    /// What is in the newest sandbox; containers of older ones count for history only.
    pub fn active(&self) -> PodState {
        let Some(newest) = self.sandboxes.first() else {
            return PodState::default();
        };
        let containers = self
            .containers
            .iter()
            .filter(|c| c.sandbox == newest.id)
            .cloned()
            .collect();
        PodState {
            sandboxes: vec![newest.clone()],
            containers,
        }
    }

    /// Whether the pod must get a new sandbox, and its number.
    pub fn needs_sandbox(&self, pod: &Value) -> Option<u32> {
        let Some(newest) = self.sandboxes.first() else {
            return Some(0);
        };
        let ready = self.sandboxes.iter().filter(|s| s.ready).count();
        let no_address = newest.ips.is_empty() && !spec::host_network(pod);
        (!newest.ready || ready > 1 || no_address).then_some(newest.attempt + 1)
    }
}

fn sandbox(status: v1::PodSandboxStatus) -> Sandbox {
    let ready = status.state() == v1::PodSandboxState::SandboxReady;
    let network = status.network.unwrap_or_default();
    let ips = std::iter::once(network.ip).chain(network.additional_ips.into_iter().map(|ip| ip.ip));
    Sandbox {
        id: status.id,
        attempt: status.metadata.unwrap_or_default().attempt,
        ready,
        created_at: status.created_at,
        ips: ips.filter(|ip| !ip.is_empty()).collect(),
    }
}

/// The state of CRI as ours.
pub fn phase(state: v1::ContainerState) -> Phase {
    match state {
        v1::ContainerState::ContainerCreated => Phase::Created,
        v1::ContainerState::ContainerRunning => Phase::Running,
        v1::ContainerState::ContainerExited => Phase::Exited,
        v1::ContainerState::ContainerUnknown => Phase::Unknown,
    }
}

fn container(status: v1::ContainerStatus, sandbox: &str) -> Container {
    let annotation = |name: &str| status.annotations.get(name).cloned().unwrap_or_default();
    let phase = phase(status.state());
    let message = match phase {
        Phase::Exited => termination_message(&status),
        _ => status.message.clone(),
    };
    Container {
        sandbox: sandbox.to_string(),
        phase,
        message,
        name: status.labels.get(CONTAINER_NAME).cloned().unwrap_or_default(),
        hash: annotation(HASH),
        restart_count: annotation(RESTART_COUNT).parse().unwrap_or(0),
        exit_code: status.exit_code,
        reason: status.reason,
        created_at: status.created_at,
        started_at: status.started_at,
        finished_at: status.finished_at,
        image: status.image.unwrap_or_default().image,
        image_ref: status.image_ref,
        log_path: status.log_path,
        id: status.id,
    }
}

/// The runtime's message, then what the container itself left: in its file, or as the end of its log.
fn termination_message(status: &v1::ContainerStatus) -> String {
    let annotation = |name: &str| status.annotations.get(name).map_or("", String::as_str);
    let path = annotation(MESSAGE_PATH);
    let from_log = annotation(MESSAGE_POLICY) == "FallbackToLogsOnError" && status.exit_code != 0;
    let mut own = String::new();
    if let Some(mount) = status
        .mounts
        .iter()
        .find(|m| !path.is_empty() && m.container_path == path)
    {
        own = read_end(&mount.host_path, MESSAGE_LIMIT).unwrap_or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => String::new(),
            _ => format!("Error on reading termination log {}: {error}", mount.host_path),
        });
    }
    if own.is_empty() && from_log {
        own = read_end(&status.log_path, 8 * MESSAGE_LIMIT)
            .map(|log| log_message(&log))
            .unwrap_or_default();
    }
    match (status.message.is_empty(), own.is_empty()) {
        (_, true) => status.message.clone(),
        (true, false) => own,
        (false, false) => format!("{}: {own}", status.message),
    }
}

/// The last lines of a log in CRI's format (`time stream tag text`), as much as a message may hold.
fn log_message(log: &str) -> String {
    let piece = |line| {
        let mut words = str::splitn(line, 4, ' ').skip(2);
        let (tag, text) = (words.next()?, words.next()?);
        // P is a part of a line: the rest comes next, or the container ended there.
        Some((text, if tag.starts_with('P') { "" } else { "\n" }))
    };
    let pieces: Vec<(&str, &str)> = log.lines().filter_map(piece).collect();
    let last = &pieces[pieces.len().saturating_sub(LOG_MESSAGE_LINES)..];
    let text: String = last.iter().flat_map(|(text, end)| [*text, *end]).collect();
    let from = text.len().saturating_sub(LOG_MESSAGE_LIMIT);
    let from = (from..text.len())
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(text.len());
    text[from..].to_string()
}

fn read_end(path: &str, limit: u64) -> std::io::Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_log_becomes_a_message() {
        let log = "2026-01-01T00:00:00Z stdout F one two\n2026-01-01T00:00:00Z stderr F three\n";
        assert_eq!(log_message(log), "one two\nthree\n");
        assert_eq!(
            log_message("t stdout P a\nt stdout F b\nt stdout P DONE\n"),
            "ab\nDONE"
        );
        let long = format!("t stdout F {}\n", "x".repeat(5000));
        assert_eq!(log_message(&long).len(), LOG_MESSAGE_LIMIT);
    }

    #[test]
    fn sandboxes_are_replaced() {
        let check = |sandboxes: Vec<Sandbox>, host_network: bool, expected: Option<u32>| {
            let pod = json!({"spec": {"hostNetwork": host_network}});
            let state = PodState {
                sandboxes,
                containers: Vec::new(),
            };
            assert_eq!(state.needs_sandbox(&pod), expected, "{state:?}");
        };
        let sandbox = |attempt, ready, ips: &[&str]| Sandbox {
            attempt,
            ready,
            ips: ips.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        check(vec![], false, Some(0));
        check(vec![sandbox(0, true, &["10.0.0.1"])], false, None);
        check(vec![sandbox(0, true, &[])], true, None);
        check(vec![sandbox(0, true, &[])], false, Some(1));
        check(
            vec![sandbox(3, false, &["10.0.0.1"]), sandbox(2, false, &[])],
            false,
            Some(4),
        );
    }
}
