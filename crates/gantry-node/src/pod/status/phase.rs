//! A pod's phase. Follows getPhase of upstream's kubelet_pods.go.

use super::Input;
use crate::pod::spec;
use serde_json::Value;

/// The phase that containers' statuses make up.
pub(super) fn phase(pod: &Value, init: &[Value], app: &[Value], input: &Input<'_>) -> &'static str {
    let (mut pending_init, mut pending_sidecars, mut failed_init) = (0, 0, 0);
    let (mut running, mut waiting, mut stopped, mut final_stops, mut succeeded) = (0, 0, 0, 0, 0);
    for (container, status) in spec::init_containers(pod).iter().zip(init) {
        let (state, ended) = (&status["state"], exit_code(&status["state"]));
        let before = exit_code(&status["lastState"]);
        if spec::is_sidecar(container) {
            if state.get("running").is_some() {
                running += 1;
                pending_sidecars += u32::from(status["started"] != true);
            } else if ended.is_none() && before.is_none() {
                waiting += 1;
                pending_sidecars += 1;
            }
            continue;
        }
        let waiting = state.get("waiting").is_some();
        match ended.or(before.filter(|_| waiting)) {
            Some(0) => {}
            Some(code) => failed_init += u32::from(!spec::restarts(pod, container, code)),
            None => pending_init += 1,
        }
    }
    for status in app {
        let Some(container) = spec::container(pod, spec::text(status, "name")) else {
            continue;
        };
        let (ended, before) = (exit_code(&status["state"]), exit_code(&status["lastState"]));
        if status["state"].get("running").is_some() {
            running += 1;
        } else if let Some(code) = ended.or(before) {
            stopped += 1;
            final_stops += u32::from(!spec::restarts(pod, container, code));
            succeeded += u32::from(ended == Some(0));
        } else {
            waiting += 1;
        }
    }
    let started = spec::containers(pod).iter().any(|c| {
        let active = input.state.active();
        active
            .latest(spec::text(c, "name"))
            .is_some_and(|c| c.started_at > 0)
    });
    if failed_init > 0 {
        return "Failed";
    }
    let ended = || {
        if stopped == succeeded {
            "Succeeded"
        } else {
            "Failed"
        }
    };
    match () {
        _ if pending_init > 0 || (pending_sidecars > 0 && !started) || waiting > 0 => "Pending",
        _ if running > 0 => "Running",
        _ if stopped > 0 && input.terminal => ended(),
        _ if stopped > 0 && stopped != final_stops => "Running",
        _ if stopped > 0 => ended(),
        _ => "Pending",
    }
}

fn exit_code(state: &Value) -> Option<i32> {
    let terminated = state.get("terminated")?;
    Some(
        terminated["exitCode"]
            .as_i64()
            .and_then(|c| i32::try_from(c).ok())
            .unwrap_or(0),
    )
}
