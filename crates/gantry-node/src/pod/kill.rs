//! Ending containers and pods.

use crate::cri::CriError;
use crate::pod::plan::Kill;
use crate::pod::state::{Container, PodState};
use crate::pod::{lifecycle, spec};
use crate::shared::Shared;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// A container gets at least this long after its preStop hook.
const LEAST: Duration = Duration::from_secs(2);

/// Ends one container: preStop hook, stop signal, and SIGKILL when the grace period is over.
pub async fn container(
    shared: &Shared,
    pod: &Value,
    kill: &Kill,
    pod_ip: &str,
    grace: Duration,
) -> Result<(), CriError> {
    let begin = Instant::now();
    if let Some(container) = spec::container(pod, &kill.name) {
        let at = spec::field_path(pod, container);
        shared
            .recorder
            .event_at(pod, &at, "Normal", "Killing", kill.message.clone());
        let hook = &container["lifecycle"]["preStop"];
        if hook.is_object() && !grace.is_zero() {
            let run = lifecycle::run(&shared.runtime, pod, container, &kill.id, pod_ip, hook);
            match tokio::time::timeout(grace, run).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => {
                    tracing::info!("{why}");
                    shared
                        .recorder
                        .event_at(pod, &at, "Warning", "FailedPreStopHook", "PreStopHook failed");
                }
                Err(_) => tracing::info!(
                    "the preStop hook of {} in {} took too long",
                    kill.name,
                    spec::format(pod)
                ),
            }
        }
    }
    let rest = grace.saturating_sub(begin.elapsed()).max(LEAST);
    shared.runtime.stop_container(&kill.id, rest).await
}

/// Ends all of a pod: app containers together, then sidecars, the last first, then the sandboxes.
pub async fn pod(shared: &Shared, pod: &Value, state: &PodState, grace: Duration) -> Result<(), CriError> {
    let begin = Instant::now();
    let ips = state.sandboxes.first().and_then(|s| s.ips.first()).cloned();
    let pod_ip = if spec::host_network(pod) {
        shared.config.ip.to_string()
    } else {
        ips.unwrap_or_default()
    };
    let order = |c: &Container| {
        spec::init_containers(pod)
            .iter()
            .position(|i| spec::text(i, "name") == c.name)
    };
    let stop = |c: &Container| {
        let kill = Kill {
            id: c.id.clone(),
            name: c.name.clone(),
            message: format!("Stopping container {}", c.name),
        };
        let (rest, pod_ip) = (grace.saturating_sub(begin.elapsed()), pod_ip.clone());
        async move { container(shared, pod, &kill, &pod_ip, rest).await }
    };
    let (mut sidecars, apps): (Vec<_>, Vec<_>) = state.running().partition(|c| order(c).is_some());
    futures::future::try_join_all(apps.into_iter().map(stop)).await?;
    sidecars.sort_by_key(|c| std::cmp::Reverse(order(c)));
    for sidecar in sidecars {
        stop(sidecar).await?;
    }
    for sandbox in state.sandboxes.iter().filter(|s| s.ready) {
        shared.runtime.stop_pod_sandbox(&sandbox.id).await?;
    }
    Ok(())
}
