//! A pod's conditions. Follows upstream's pkg/kubelet/status/generate.go.

use super::Input;
use crate::clock::stamp;
use crate::pod::spec;
use serde_json::{Value, json};

/// The conditions that this node writes; others belong to others.
const OURS: [&str; 5] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

/// Whether a condition is written by the node.
pub fn is_ours(type_: &str) -> bool {
    OURS.contains(&type_)
}

struct Condition {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Condition {
    fn holds() -> Self {
        Condition {
            holds: true,
            reason: "",
            message: String::new(),
        }
    }

    fn fails(reason: &'static str, message: impl Into<String>) -> Self {
        Condition {
            holds: false,
            reason,
            message: message.into(),
        }
    }
}

/// All conditions: those of others as they were, then ours.
pub(super) fn make(input: &Input<'_>, phase: &str, init: &[Value], app: &[Value]) -> Vec<Value> {
    let old = spec::list(&input.pod["status"], "conditions");
    let mut conditions: Vec<Value> = old
        .iter()
        .filter(|c| !is_ours(spec::text(c, "type")))
        .cloned()
        .collect();
    let sandbox = match input.state.needs_sandbox(input.pod) {
        None => Condition::holds(),
        Some(_) => Condition::fails("", ""),
    };
    let made = [
        sandbox,
        initialized(input, phase, init, app),
        ready(input.pod, old, phase, init, app),
        containers_ready(input.pod, phase, init, app),
        Condition::holds(),
    ];
    for (type_, condition) in OURS.into_iter().zip(made) {
        conditions.push(write(input, old, type_, condition));
    }
    conditions
}

/// Writes a condition; its transition time stays while its status does.
fn write(input: &Input<'_>, old: &[Value], type_: &str, condition: Condition) -> Value {
    let status = if condition.holds { "True" } else { "False" };
    let same = old.iter().find(|c| c["type"] == type_ && c["status"] == status);
    let transition = same
        .and_then(|c| c.get("lastTransitionTime"))
        .filter(|t| t.is_string())
        .cloned();
    let mut written = json!({
        "type": type_, "status": status, "lastProbeTime": null,
        "lastTransitionTime": transition.unwrap_or_else(|| stamp(input.now).into()),
    });
    if let Some(generation) = input.pod["metadata"]["generation"].as_i64() {
        written["observedGeneration"] = generation.into();
    }
    for (field, text) in [
        ("reason", condition.reason),
        ("message", condition.message.as_str()),
    ] {
        if !text.is_empty() {
            written[field] = text.into();
        }
    }
    written
}

fn status_of<'a>(statuses: &'a [Value], container: &Value) -> Option<&'a Value> {
    statuses.iter().find(|s| s["name"] == container["name"])
}

fn initialized(input: &Input<'_>, phase: &str, init: &[Value], app: &[Value]) -> Condition {
    if phase == "Succeeded" {
        return Condition {
            reason: "PodCompleted",
            ..Condition::holds()
        };
    }
    let started = |s: &Value| {
        s["started"] == true || s["state"].get("running").is_some() || s["state"].get("terminated").is_some()
    };
    if app.iter().any(started) {
        return Condition::holds();
    }
    let incomplete = spec::init_containers(input.pod).iter().filter(|c| {
        let field = if spec::is_sidecar(c) { "started" } else { "ready" };
        status_of(init, c).is_none_or(|s| s[field] != true)
    });
    match names(incomplete) {
        None => Condition::holds(),
        Some(names) => Condition::fails(
            "ContainersNotInitialized",
            format!("containers with incomplete status: {names}"),
        ),
    }
}

fn containers_ready(pod: &Value, phase: &str, init: &[Value], app: &[Value]) -> Condition {
    match phase {
        "Succeeded" => return Condition::fails("PodCompleted", ""),
        "Failed" => return Condition::fails("PodFailed", ""),
        _ => {}
    }
    let sidecars = spec::init_containers(pod).iter().filter(|c| spec::is_sidecar(c));
    let unready = sidecars.chain(spec::containers(pod)).filter(|c| {
        let status = status_of(init, c).or_else(|| status_of(app, c));
        status.is_none_or(|s| s["ready"] != true)
    });
    match names(unready) {
        None => Condition::holds(),
        Some(names) => Condition::fails(
            "ContainersNotReady",
            format!("containers with unready status: {names}"),
        ),
    }
}

fn ready(pod: &Value, conditions: &[Value], phase: &str, init: &[Value], app: &[Value]) -> Condition {
    let containers = containers_ready(pod, phase, init, app);
    if !containers.holds {
        return containers;
    }
    let gates = spec::list(&pod["spec"], "readinessGates")
        .iter()
        .filter_map(|gate| {
            let type_ = spec::text(gate, "conditionType");
            match conditions
                .iter()
                .find(|c| c["type"] == type_)
                .map(|c| spec::text(c, "status"))
            {
                None => Some(format!(
                    "corresponding condition of pod readiness gate {type_:?} does not exist."
                )),
                Some("True") => None,
                Some(other) => Some(format!(
                    "the status of pod readiness gate {type_:?} is not \"True\", but {other}"
                )),
            }
        });
    let messages: Vec<String> = gates.collect();
    if messages.is_empty() {
        return Condition::holds();
    }
    Condition::fails("ReadinessGatesNotReady", messages.join(", "))
}

/// `[a b]`, as Go prints a list; nothing when there are none.
fn names<'a>(containers: impl Iterator<Item = &'a Value>) -> Option<String> {
    let names: Vec<&str> = containers.map(|c| spec::text(c, "name")).collect();
    (!names.is_empty()).then(|| format!("[{}]", names.join(" ")))
}
