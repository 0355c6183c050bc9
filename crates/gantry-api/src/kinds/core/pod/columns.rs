//! What `kubectl get pods` shows. Source: printPod in pkg/printers/internalversion/printers.go.

use crate::kind::Column;
use crate::kinds::columns::{age, age_column, column, name_column, or_none, wide};
use crate::kinds::values::{flag, given, list, number, text};
use crate::meta;
use serde_json::Value;

/// The columns.
pub fn columns() -> Vec<Column> {
    vec![
        name_column(),
        column("Ready", "string", |o, _| {
            let summary = summary(o);
            format!("{}/{}", summary.ready, summary.total).into()
        }),
        column("Status", "string", |o, _| summary(o).reason.into()),
        column("Restarts", "string", |o, now| {
            let summary = summary(o);
            match summary.last_restart {
                "" => summary.restarts.to_string(),
                last => format!("{} ({} ago)", summary.restarts, age(last, now)),
            }
            .into()
        }),
        age_column(),
        wide("IP", "string", |o, _| or_none(text(&o["status"]["podIPs"][0]["ip"]))),
        wide("Node", "string", |o, _| or_none(text(&o["spec"]["nodeName"]))),
        wide("Nominated Node", "string", |o, _| or_none(text(&o["status"]["nominatedNodeName"]))),
        wide("Readiness Gates", "string", |o, _| readiness_gates(o).into()),
    ]
}

struct Summary<'a> {
    ready: usize,
    total: usize,
    reason: String,
    restarts: i64,
    /// When a container last came to its end before a restart; empty when none was restarted.
    last_restart: &'a str,
}

/// Restarts and the latest end before one. RFC 3339 moments in UTC sort as text.
#[derive(Clone, Copy, Default)]
struct Restarts<'a> {
    count: i64,
    last: &'a str,
}

impl<'a> Restarts<'a> {
    fn add(&mut self, status: &'a Value) {
        self.count += number(&status["restartCount"]);
        self.last = self.last.max(text(&status["lastState"]["terminated"]["finishedAt"]));
    }
}

fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let conditions = list(&object["status"]["conditions"]);
    conditions.iter().find(|c| c["type"] == type_).unwrap_or(&Value::Null)
}

/// Why a container ended.
fn end_reason(terminated: &Value) -> String {
    match (text(&terminated["reason"]), number(&terminated["signal"])) {
        ("", 0) => format!("ExitCode:{}", number(&terminated["exitCode"])),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.into(),
    }
}

fn summary(pod: &Value) -> Summary<'_> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let phase = text(&status["phase"]);
    let mut reason = match text(&status["reason"]) {
        "" => phase.to_string(),
        reason => reason.to_string(),
    };
    if condition(pod, "PodScheduled")["reason"] == "SchedulingGated" {
        reason = "SchedulingGated".into();
    }
    let init = list(&spec["initContainers"]);
    let keeps_running = |name: &Value| {
        let found = init.iter().find(|c| c["name"] == *name);
        found.is_some_and(|c| c["restartPolicy"] == "Always")
    };
    let total = list(&spec["containers"]).len() + init.iter().filter(|c| c["restartPolicy"] == "Always").count();
    let mut ready = 0;
    let (mut restarts, mut sidecar_restarts) = (Restarts::default(), Restarts::default());
    let mut initializing = false;
    for (i, container) in list(&status["initContainerStatuses"]).iter().enumerate() {
        let sidecar = keeps_running(&container["name"]);
        restarts.add(container);
        if sidecar {
            sidecar_restarts.add(container);
        }
        let state = &container["state"];
        let waiting = text(&state["waiting"]["reason"]);
        let ended = &state["terminated"];
        if given(ended) && number(&ended["exitCode"]) == 0 {
            continue;
        }
        if sidecar && flag(&container["started"]) {
            ready += usize::from(flag(&container["ready"]));
            continue;
        }
        reason = if given(ended) {
            format!("Init:{}", end_reason(ended))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{i}/{}", init.len())
        };
        initializing = true;
        break;
    }
    if !initializing || condition(pod, "Initialized")["status"] == "True" {
        restarts = sidecar_restarts;
        let mut running = false;
        let mut error = None;
        for container in list(&status["containerStatuses"]).iter().rev() {
            restarts.add(container);
            let state = &container["state"];
            let ended = &state["terminated"];
            if !text(&state["waiting"]["reason"]).is_empty() {
                reason = text(&state["waiting"]["reason"]).into();
            } else if given(ended) {
                reason = end_reason(ended);
                if number(&ended["exitCode"]) != 0 {
                    error = Some(reason.clone());
                }
            } else if flag(&container["ready"]) && given(&state["running"]) {
                running = true;
                ready += 1;
            }
        }
        // A pod of which only some containers have completed is not yet done.
        if reason == "Completed" {
            if running && condition(pod, "Ready")["status"] == "True" {
                reason = "Running".into();
            } else if let Some(error) = error {
                reason = error;
            } else if running {
                reason = "NotReady".into();
            }
        }
    }
    if meta::is_deleting(pod) {
        if text(&status["reason"]) == "NodeLost" {
            reason = "Unknown".into();
        } else if !matches!(phase, "Succeeded" | "Failed") {
            reason = "Terminating".into();
        }
    }
    Summary {
        ready,
        total,
        reason,
        restarts: restarts.count,
        last_restart: if restarts.count == 0 { "" } else { restarts.last },
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(&pod["spec"]["readinessGates"]);
    if gates.is_empty() {
        return "<none>".into();
    }
    let open = |gate: &&Value| condition(pod, text(&gate["conditionType"]))["status"] == "True";
    format!("{}/{}", gates.iter().filter(open).count(), gates.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows() {
        let check = |status: Value, expected: [&str; 3]| {
            let pod = json!({
                "metadata": {"name": "p"},
                "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]},
                "status": status,
            });
            let now = 1_000;
            let cells: Vec<Value> = columns()[1..4].iter().map(|c| c.value(&pod, now)).collect();
            assert_eq!(cells, expected, "{status}");
        };
        let run = json!({"ready": true, "state": {"running": {}}});
        let done = json!({"state": {"terminated": {"reason": "Completed", "exitCode": 0}}});
        let failed = json!({"state": {"terminated": {"exitCode": 3}}});
        let crash = json!({
            "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"finishedAt": "1970-01-01T00:11:40Z"}},
        });
        check(json!({"phase": "Pending"}), ["0/2", "Pending", "0"]);
        check(json!({"phase": "Running", "containerStatuses": [run, run]}), ["2/2", "Running", "0"]);
        check(json!({"phase": "Running", "containerStatuses": [run, crash]}), ["1/2", "CrashLoopBackOff", "3 (5m ago)"]);
        check(json!({"phase": "Succeeded", "containerStatuses": [done, done]}), ["0/2", "Completed", "0"]);
        check(json!({"phase": "Running", "containerStatuses": [done, run]}), ["1/2", "NotReady", "0"]);
        check(json!({"phase": "Failed", "containerStatuses": [done, failed]}), ["0/2", "ExitCode:3", "0"]);
        check(
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
            ["0/2", "Init:0/1", "0"],
        );
        check(
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": failed["state"]}]}),
            ["0/2", "Init:ExitCode:3", "0"],
        );
        check(json!({"phase": "Failed", "reason": "Evicted"}), ["0/2", "Evicted", "0"]);
    }

    #[test]
    fn a_deleted_pod_is_terminating() {
        let pod = json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:00Z"}, "status": {"phase": "Running"}});
        assert_eq!(summary(&pod).reason, "Terminating");
    }
}
