//! The status that the API shows, made from a pod's spec and what runs. Pure.

mod conditions;
mod phase;

pub use conditions::is_ours as is_our_condition;

use crate::clock::stamp;
use crate::pod::plan::runs_again;
use crate::pod::spec;
use crate::pod::state::{Container, Phase, PodState};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// A container's standing with its probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// It runs and its startup probe, if any, has succeeded.
    pub started: bool,
    /// It is started and its readiness probe, if any, succeeds.
    pub ready: bool,
}

/// What a status is made from.
pub struct Input<'a> {
    /// The pod, with the status that was last known.
    pub pod: &'a Value,
    /// What runs.
    pub state: &'a PodState,
    /// By container id.
    pub standing: &'a dyn Fn(&Container) -> Standing,
    /// By container name: why it could not be started.
    pub reasons: &'a HashMap<String, (String, String)>,
    /// The pod's end has come: nothing will run again.
    pub terminal: bool,
    /// A phase, reason and message that overrule what the containers say.
    pub verdict: Option<&'a (String, String)>,
    /// The node's address.
    pub host_ip: &'a str,
    /// Now, in nanoseconds.
    pub now: i64,
}

/// Makes the status.
pub fn make(input: &Input<'_>) -> Value {
    let pod = input.pod;
    let old = &pod["status"];
    let mut status = Map::new();
    let init = containers(input, spec::init_containers(pod), "initContainerStatuses", true);
    let app = containers(input, spec::containers(pod), "containerStatuses", false);
    let mut ephemeral = containers(
        input,
        spec::ephemeral_containers(pod),
        "ephemeralContainerStatuses",
        false,
    );
    for status in &mut ephemeral {
        // They take no part in what the pod is for.
        status["ready"] = false.into();
        if let Some(status) = status.as_object_mut() {
            status.remove("started");
        }
    }
    let phase = phase::phase(pod, &init, &app, input);
    let terminal_before = matches!(spec::text(old, "phase"), "Failed" | "Succeeded");
    let mut phase = if terminal_before {
        spec::text(old, "phase")
    } else {
        phase
    };
    for field in ["reason", "message"] {
        if spec::text(old, "phase") == phase && !spec::text(old, field).is_empty() {
            status.insert(field.into(), old[field].clone());
        }
    }
    if let Some((reason, message)) = input.verdict.filter(|_| !terminal_before) {
        phase = "Failed";
        status.insert("reason".into(), reason.as_str().into());
        status.insert("message".into(), message.as_str().into());
    }
    status.insert("phase".into(), phase.into());
    status.insert(
        "conditions".into(),
        conditions::make(input, phase, &init, &app).into(),
    );
    status.insert("hostIP".into(), input.host_ip.into());
    status.insert("hostIPs".into(), json!([{"ip": input.host_ip}]));
    let ips: Vec<String> = match input.state.ready_sandbox() {
        _ if spec::host_network(pod) => vec![input.host_ip.to_string()],
        Some(sandbox) => sandbox.ips.clone(),
        // A pod that ended keeps its address on record.
        None => spec::list(old, "podIPs")
            .iter()
            .map(|ip| spec::text(ip, "ip").to_string())
            .collect(),
    };
    if let Some(first) = ips.first() {
        status.insert("podIP".into(), first.as_str().into());
        status.insert("podIPs".into(), ips.iter().map(|ip| json!({"ip": ip})).collect());
    }
    let start = old
        .get("startTime")
        .cloned()
        .unwrap_or_else(|| stamp(input.now).into());
    status.insert("startTime".into(), start);
    let class = old
        .get("qosClass")
        .cloned()
        .unwrap_or_else(|| spec::qos(pod).name().into());
    status.insert("qosClass".into(), class);
    if let Some(generation) = pod["metadata"]["generation"].as_i64() {
        status.insert("observedGeneration".into(), generation.into());
    }
    if !init.is_empty() {
        status.insert("initContainerStatuses".into(), init.into());
    }
    status.insert("containerStatuses".into(), app.into());
    if !ephemeral.is_empty() {
        status.insert("ephemeralContainerStatuses".into(), ephemeral.into());
    }
    Value::Object(status)
}

/// The statuses of one list of containers, in the order that upstream shows: of the spec for init containers, by
/// name for the others.
fn containers(input: &Input<'_>, specs: &[Value], field: &str, init: bool) -> Vec<Value> {
    let old = spec::list(&input.pod["status"], field);
    let mut statuses: Vec<Value> = specs
        .iter()
        .map(|container| {
            let name = spec::text(container, "name");
            container_status(
                input,
                container,
                old.iter().find(|s| spec::text(s, "name") == name),
                init,
            )
        })
        .collect();
    if !init {
        statuses.sort_by(|a, b| spec::text(a, "name").cmp(spec::text(b, "name")));
    }
    statuses
}

fn container_status(input: &Input<'_>, container: &Value, old: Option<&Value>, init: bool) -> Value {
    let (pod, name) = (input.pod, spec::text(container, "name"));
    let mut found = input.state.containers.iter().filter(|c| c.name == name);
    let (latest, previous) = (found.next(), found.next());
    let mut status = match latest {
        Some(latest) => from_runtime(latest, previous, old),
        None => from_nothing(pod, container, old),
    };
    if let (Some(object), Some(mounts)) = (status.as_object_mut(), volume_mounts(container)) {
        object.insert("volumeMounts".into(), mounts);
    }
    if let Some(resources) = container
        .get("resources")
        .filter(|r| r.as_object().is_some_and(|r| !r.is_empty()))
    {
        status["resources"] = resources.clone();
        if let Some(requests) = resources.get("requests") {
            status["allocatedResources"] = requests.clone();
        }
    }
    let completed_init = init
        && !spec::is_sidecar(container)
        && latest.is_some_and(|l| l.phase == Phase::Exited && l.exit_code == 0);
    let runs_again = !input.terminal
        && pod["metadata"]["deletionTimestamp"].is_null()
        && latest.is_none_or(|l| runs_again(pod, container, l));
    if let Some((reason, message)) = input.reasons.get(name).filter(|_| runs_again && !completed_init) {
        if let Some(terminated) = status["state"].get("terminated").cloned() {
            status["lastState"] = json!({"terminated": terminated});
        }
        let mut waiting = json!({"reason": reason});
        if !message.is_empty() {
            waiting["message"] = message.as_str().into();
        }
        status["state"] = json!({"waiting": waiting});
    }
    let running = status["state"].get("running").is_some();
    let standing = latest.filter(|_| running).map(input.standing).unwrap_or_default();
    status["started"] = standing.started.into();
    status["ready"] = match init && !spec::is_sidecar(container) {
        true => status["state"]["terminated"]["exitCode"] == 0,
        false => standing.ready,
    }
    .into();
    status
}

fn from_runtime(latest: &Container, previous: Option<&Container>, old: Option<&Value>) -> Value {
    let last = match previous {
        Some(previous) if previous.phase == Phase::Exited => json!({"terminated": terminated(previous)}),
        // The one before may have been cleaned away; the API remembers it.
        _ => match old {
            Some(old) if old["containerID"] == container_id(latest) => old["lastState"].clone(),
            Some(old) if old["state"].get("terminated").is_some() => old["state"].clone(),
            Some(old) => old["lastState"].clone(),
            None => json!({}),
        },
    };
    let state = match latest.phase {
        Phase::Running => json!({"running": {"startedAt": stamp(latest.started_at)}}),
        Phase::Exited => json!({"terminated": terminated(latest)}),
        Phase::Created => json!({"waiting": {}}),
        Phase::Unknown if old.is_some_and(|o| o["state"].get("running").is_some()) => json!({"terminated": {
            "reason": "ContainerStatusUnknown", "exitCode": 137,
            "message": "The container could not be located when the pod was terminated",
        }}),
        Phase::Unknown => json!({"waiting": {}}),
    };
    let restarts = old.and_then(|o| o["restartCount"].as_u64()).unwrap_or(0);
    json!({
        "name": latest.name, "image": latest.image, "imageID": latest.image_ref,
        "containerID": container_id(latest),
        "restartCount": restarts.max(u64::from(latest.restart_count)),
        "state": state, "lastState": if last.is_null() { json!({}) } else { last },
    })
}

/// For a container that the runtime does not have: not made yet, or cleaned away.
fn from_nothing(pod: &Value, container: &Value, old: Option<&Value>) -> Value {
    if let Some(old) = old.filter(|o| o["state"].get("terminated").is_some()) {
        return old.clone();
    }
    let reason = if spec::init_containers(pod).is_empty() {
        "ContainerCreating"
    } else {
        "PodInitializing"
    };
    let mut status = json!({
        "name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0,
        "state": {"waiting": {"reason": reason}}, "lastState": {},
    });
    let Some(old) = old else { return status };
    status["restartCount"] = old["restartCount"].clone();
    status["lastState"] = old.get("lastState").cloned().unwrap_or_else(|| json!({}));
    if old["state"].get("running").is_some() && status["lastState"].get("terminated").is_none() {
        status["lastState"] = json!({"terminated": {
            "reason": "ContainerStatusUnknown", "exitCode": 137,
            "message": "The container could not be located when the pod was deleted.  The container used to be Running",
            "startedAt": null, "finishedAt": null,
        }});
        if pod["metadata"]["deletionTimestamp"].is_null() {
            status["restartCount"] = (old["restartCount"].as_u64().unwrap_or(0) + 1).into();
        }
    }
    status
}

fn terminated(container: &Container) -> Value {
    let mut state = json!({
        "exitCode": container.exit_code,
        "startedAt": stamp(container.started_at), "finishedAt": stamp(container.finished_at),
        "containerID": container_id(container),
    });
    for (field, text) in [("reason", &container.reason), ("message", &container.message)] {
        if !text.is_empty() {
            state[field] = text.as_str().into();
        }
    }
    state
}

/// The statuses of all containers that a pod's status tells of.
pub fn of_containers(status: &Value) -> impl Iterator<Item = &Value> {
    let lists = [
        "containerStatuses",
        "initContainerStatuses",
        "ephemeralContainerStatuses",
    ];
    lists.into_iter().flat_map(|field| spec::list(status, field))
}

/// A container's id as the API shows it.
pub fn container_id(container: &Container) -> String {
    format!("containerd://{}", container.id)
}

fn volume_mounts(container: &Value) -> Option<Value> {
    let mounts = spec::list(container, "volumeMounts");
    (!mounts.is_empty()).then(|| {
        mounts
            .iter()
            .map(|m| {
                let mut mount = json!({"name": m["name"], "mountPath": m["mountPath"]});
                if spec::flag(m, "readOnly") {
                    mount["readOnly"] = true.into();
                    mount["recursiveReadOnly"] = "Disabled".into();
                }
                mount
            })
            .collect()
    })
}

#[cfg(test)]
mod tests;
