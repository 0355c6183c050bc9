//! Removes what a pod has left behind while it goes on: of each container, one instance that ended is kept, for its log
//! and for what its status tells, and the one before for as long as the status names it.

use crate::cri::CriError;
use crate::logs::rotate;
use crate::pod::state::{Container, Phase, PodState, Sandbox};
use crate::pod::{container, status};
use crate::shared::Shared;
use serde_json::Value;
use std::path::Path;

/// Instances of a container that ended, and are kept.
const KEPT: usize = 1;

/// Why something could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum GarbageError {
    /// The runtime refused.
    #[error(transparent)]
    Cri(#[from] CriError),
    /// A file could not be removed.
    #[error("{0} cannot be removed: {1}")]
    File(String, #[source] std::io::Error),
}

/// Removes what is not kept, with its logs. `of_pod` is the status that was made last.
pub async fn collect(
    shared: &Shared,
    pod: &Value,
    state: &PodState,
    of_pod: &Value,
) -> Result<(), GarbageError> {
    let containers = containers(state, of_pod);
    for container in &containers {
        let log = Path::new(&container.log_path);
        let failed = |path: &Path, e| GarbageError::File(path.display().to_string(), e);
        if !container.log_path.is_empty() {
            rotate::remove(log).map_err(|e| failed(log, e))?;
        }
        let link = container::log_link(&shared.config.log_dir, pod, &container.name, &container.id);
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&link, error)),
            _ => {}
        }
        shared.runtime.remove_container(&container.id).await?;
    }
    for sandbox in sandboxes(state, &containers) {
        shared.runtime.stop_pod_sandbox(&sandbox.id).await?;
        shared.runtime.remove_pod_sandbox(&sandbox.id).await?;
    }
    Ok(())
}

/// Containers that ended, but for the newest of each name, and those that are the last that their status tells of: one
/// that ended as soon as it was started is newer than these, and their logs are still asked for.
fn containers<'a>(state: &'a PodState, of_pod: &Value) -> Vec<&'a Container> {
    let named = |container: &Container| {
        let id = status::container_id(container);
        status::of_containers(of_pod).any(|s| s["lastState"]["terminated"]["containerID"] == *id)
    };
    let ended: Vec<&Container> = state
        .containers
        .iter()
        .filter(|c| c.phase == Phase::Exited)
        .collect();
    let newer = |at: usize| ended[..at].iter().filter(|c| c.name == ended[at].name).count();
    (0..ended.len())
        .filter(|at| newer(*at) >= KEPT)
        .map(|at| ended[at])
        .filter(|container| !named(container))
        .collect()
}

/// Sandboxes that ended and have no containers any more, but for the newest.
fn sandboxes<'a>(state: &'a PodState, removed: &[&Container]) -> Vec<&'a Sandbox> {
    let is_used = |sandbox: &Sandbox| {
        let mut left = state
            .containers
            .iter()
            .filter(|c| !removed.iter().any(|r| r.id == c.id));
        left.any(|c| c.sandbox == sandbox.id)
    };
    let older = state.sandboxes.iter().skip(1);
    older.filter(|s| !s.ready && !is_used(s)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_of_each_is_kept() {
        let container = |id: &str, name: &str, phase: Phase, sandbox: &str| Container {
            id: id.into(),
            name: name.into(),
            phase,
            sandbox: sandbox.into(),
            ..Default::default()
        };
        let sandbox = |id: &str, ready: bool| Sandbox {
            id: id.into(),
            ready,
            ..Default::default()
        };
        // The newest come first.
        let state = PodState {
            sandboxes: vec![sandbox("s3", false), sandbox("s2", false), sandbox("s1", false)],
            containers: vec![
                container("a4", "a", Phase::Running, "s3"),
                container("a3", "a", Phase::Exited, "s2"),
                container("b1", "b", Phase::Exited, "s2"),
                container("a2", "a", Phase::Exited, "s1"),
                container("a1", "a", Phase::Exited, "s1"),
            ],
        };
        let check = |last: &str, expected: &[&str]| {
            let last = json!({"terminated": {"containerID": format!("containerd://{last}")}});
            let status = json!({"containerStatuses": [{"name": "a", "state": {}, "lastState": last}]});
            let removed = containers(&state, &status);
            let ids: Vec<&str> = removed.iter().map(|c| c.id.as_str()).collect();
            assert_eq!(ids, expected, "{status}");
        };
        check("a3", &["a2", "a1"]);
        check("a2", &["a1"]);
        let removed = containers(&state, &json!({}));
        let ids: Vec<&str> = sandboxes(&state, &removed)
            .iter()
            .map(|s| s.id.as_str())
            .collect();
        assert_eq!(ids, ["s1"]);
    }
}
