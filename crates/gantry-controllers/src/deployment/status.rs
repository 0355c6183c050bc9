//! What a deployment tells about itself.

use super::Deployments;
use super::sets::{Found, REVISION, limits, replicas};
use crate::object::{annotation, condition, int, now_stamp, put_condition, remove_condition, text, time_of, without_empty};
use crate::runner::{Error, Next};
use gantry_api::meta;
use gantry_client::PatchType;
use gantry_client::resource::DEPLOYMENTS;
use serde_json::{Value, json};
use std::time::Duration;
use time::OffsetDateTime;

/// A deadline of this many seconds is none.
const NO_DEADLINE: i64 = i32::MAX as i64;

impl Deployments {
    /// Notes that the deployment was paused or resumed, which stops the clock of its deadline.
    pub(super) async fn note_pause(&self, deployment: &mut Value) -> Result<(), Error> {
        if !has_deadline(deployment) {
            return Ok(());
        }
        let reason = condition(&deployment["status"], "Progressing").map(|c| text(&c["reason"])).unwrap_or("");
        let paused = deployment["spec"]["paused"] == true;
        let (reason, message) = match (paused, reason == "DeploymentPaused") {
            _ if reason == "ProgressDeadlineExceeded" => return Ok(()),
            (true, false) => ("DeploymentPaused", "Deployment is paused"),
            (false, true) => ("DeploymentResumed", "Deployment is resumed"),
            _ => return Ok(()),
        };
        set_progressing(deployment, "Unknown", reason, message.into());
        *deployment = self.ctx.client.update_status(&DEPLOYMENTS, deployment).await?;
        Ok(())
    }

    /// The deployment bears the revision of its new set.
    pub(super) async fn write_revision(&self, deployment: &mut Value, revision: &str) -> Result<(), Error> {
        if annotation(deployment, REVISION) == Some(revision) {
            return Ok(());
        }
        let place = (meta::namespace(deployment), meta::name(deployment));
        let patch = json!({"metadata": {"uid": crate::object::uid(deployment), "annotations": {REVISION: revision}}});
        *deployment = self.ctx.client.patch(&DEPLOYMENTS, place, "", PatchType::Merge, &patch).await?;
        Ok(())
    }

    /// Writes counts and availability.
    pub(super) async fn write_plain_status(&self, deployment: &mut Value, found: &Found) -> Result<(), Error> {
        let status = status_of(deployment, found);
        if deployment["status"] != status {
            deployment["status"] = status;
            self.ctx.client.update_status(&DEPLOYMENTS, deployment).await?;
        }
        Ok(())
    }

    /// Writes counts, availability and progress, and says when the deadline is to be looked at.
    pub(super) async fn write_status(&self, mut deployment: Value, found: &Found) -> Result<Next, Error> {
        let status = with_progress(&deployment, found, status_of(&deployment, found), OffsetDateTime::now_utc());
        let changed = deployment["status"] != status;
        let next = next_check(&deployment, &status, OffsetDateTime::now_utc());
        if changed {
            deployment["status"] = status;
            self.ctx.client.update_status(&DEPLOYMENTS, &deployment).await?;
        }
        Ok(next)
    }
}

/// Whether the deployment is to make progress within some time.
pub(super) fn has_deadline(deployment: &Value) -> bool {
    deployment["spec"]["progressDeadlineSeconds"].as_i64().is_some_and(|s| s != NO_DEADLINE)
}

/// Whether all replicas are new and available.
pub(super) fn is_complete(deployment: &Value, status: &Value) -> bool {
    let desired = replicas(deployment);
    ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|f| int(&status[*f]) == desired)
        && int(&status["observedGeneration"]) >= int(&deployment["metadata"]["generation"])
}

/// Sets the Progressing condition in the deployment's status.
pub(super) fn set_progressing(deployment: &mut Value, status: &str, reason: &str, message: String) {
    if deployment["status"].is_null() {
        deployment["status"] = json!({});
    }
    set_condition(&mut deployment["status"], new_condition("Progressing", status, reason, &message));
}

fn new_condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    let now = now_stamp();
    json!({
        "type": type_, "status": status, "lastUpdateTime": now, "lastTransitionTime": now,
        "reason": reason, "message": message,
    })
}

/// Sets a condition, unless it stands with the same status and reason.
fn set_condition(status: &mut Value, mut new: Value) {
    if let Some(old) = condition(status, text(&new["type"]))
        && old["status"] == new["status"]
    {
            if old["reason"] == new["reason"] {
                return;
            }
            new["lastTransitionTime"] = old["lastTransitionTime"].clone();
    }
    put_condition(status, new);
}

fn status_of(deployment: &Value, found: &Found) -> Value {
    let sum = |field: &str| found.all().map(|s| int(&s["status"][field])).sum::<i64>();
    let available = sum("availableReplicas");
    let wanted: i64 = found.all().map(|s| replicas(s)).sum();
    let terminating = found
        .all()
        .filter(|s| int(&s["status"]["observedGeneration"]) != 0)
        .map(|s| s["status"]["terminatingReplicas"].as_i64())
        .sum::<Option<i64>>();
    let old = &deployment["status"];
    let Value::Object(counts) = json!({
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": sum("replicas"),
        "updatedReplicas": found.new.as_ref().map(|s| int(&s["status"]["replicas"])),
        "readyReplicas": sum("readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": (wanted - available).max(0),
        "conditions": old["conditions"],
    }) else {
        unreachable!("it was just made an object");
    };
    let mut status = Value::Object(without_empty(counts));
    if let Some(terminating) = terminating {
        status["terminatingReplicas"] = terminating.into();
    }
    if let Some(collisions) = old.get("collisionCount") {
        status["collisionCount"] = collisions.clone();
    }
    let enough = available >= replicas(deployment) - limits(deployment).unavailable;
    let condition = match enough {
        true => ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        false => ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
    };
    set_condition(&mut status, new_condition("Available", condition.0, condition.1, condition.2));
    status
}

fn with_progress(deployment: &Value, found: &Found, mut status: Value, now: OffsetDateTime) -> Value {
    let old = &deployment["status"];
    let current = condition(old, "Progressing").cloned();
    if !has_deadline(deployment) {
        remove_condition(&mut status, "Progressing");
    } else if !(status["replicas"] == status["updatedReplicas"]
        && current.as_ref().is_some_and(|c| c["reason"] == "NewReplicaSetAvailable"))
    {
        let who = match &found.new {
            Some(set) => format!("ReplicaSet {:?}", meta::name(set)),
            None => format!("Deployment {:?}", meta::name(deployment)),
        };
        if is_complete(deployment, &status) {
            let message = format!("{who} has successfully progressed.");
            set_condition(&mut status, new_condition("Progressing", "True", "NewReplicaSetAvailable", &message));
        } else if has_progressed(old, &status) {
            let mut new = new_condition("Progressing", "True", "ReplicaSetUpdated", &format!("{who} is progressing."));
            if let Some(current) = current.filter(|c| c["status"] == "True") {
                new["lastTransitionTime"] = current["lastTransitionTime"].clone();
            }
            // Replaced even when nothing but its time changes: the deadline counts from it.
            put_condition(&mut status, new);
        } else if has_timed_out(deployment, &status, now) {
            let message = format!("{who} has timed out progressing.");
            set_condition(&mut status, new_condition("Progressing", "False", "ProgressDeadlineExceeded", &message));
        }
    }
    let failures = |set: &Value| condition(&set["status"], "ReplicaFailure").cloned();
    match found.new.iter().chain(&found.old).find_map(|s| failures(s)) {
        Some(mut failure) => {
            failure["lastUpdateTime"] = failure["lastTransitionTime"].clone();
            set_condition(&mut status, failure);
        }
        None => remove_condition(&mut status, "ReplicaFailure"),
    }
    status
}

fn has_progressed(old: &Value, new: &Value) -> bool {
    let more = |field: &str| int(&new[field]) > int(&old[field]);
    let outdated = |status: &Value| int(&status["replicas"]) - int(&status["updatedReplicas"]);
    more("updatedReplicas") || outdated(new) < outdated(old) || more("readyReplicas") || more("availableReplicas")
}

/// When the deadline passes, judged by the Progressing condition.
fn deadline(deployment: &Value, progressing: &Value) -> Option<OffsetDateTime> {
    let seconds = deployment["spec"]["progressDeadlineSeconds"].as_i64()?;
    Some(time_of(&progressing["lastUpdateTime"])? + time::Duration::seconds(seconds))
}

fn has_timed_out(deployment: &Value, status: &Value, now: OffsetDateTime) -> bool {
    let Some(progressing) = condition(status, "Progressing") else {
        return false;
    };
    match text(&progressing["reason"]) {
        "NewReplicaSetAvailable" => false,
        "ProgressDeadlineExceeded" => true,
        _ => deadline(deployment, progressing).is_some_and(|d| d < now),
    }
}

/// A stuck deployment changes nothing, so that only the clock can tell of it.
fn next_check(deployment: &Value, status: &Value, now: OffsetDateTime) -> Next {
    let Some(progressing) = condition(status, "Progressing").filter(|_| has_deadline(deployment)) else {
        return Next::Done;
    };
    if is_complete(deployment, status) || progressing["reason"] == "ProgressDeadlineExceeded" {
        return Next::Done;
    }
    match deadline(deployment, progressing) {
        Some(at) => {
            let left = Duration::try_from(at - now).unwrap_or_default();
            Next::After(left + Duration::from_secs(1))
        }
        None => Next::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn progressing(status: &Value) -> (String, String) {
        let c = condition(status, "Progressing").cloned().unwrap_or_default();
        (text(&c["reason"]).to_string(), text(&c["message"]).to_string())
    }

    #[test]
    fn progress_is_told() {
        let deployment = json!({
            "metadata": {"name": "d", "generation": 1},
            "spec": {"replicas": 1, "progressDeadlineSeconds": 60, "strategy": {"type": "Recreate"}},
            "status": {"conditions": [{
                "type": "Progressing", "status": "True", "reason": "NewReplicaSetCreated",
                "lastUpdateTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]},
        });
        let set = |replicas: i64, available: i64| {
            let status = json!({"replicas": replicas, "readyReplicas": available, "availableReplicas": available});
            Arc::new(json!({"metadata": {"name": "d-1"}, "spec": {"replicas": 1}, "status": status}))
        };
        let check = |replicas: i64, available: i64, now: &str, reason: &str, message: &str| {
            let found = Found { new: Some(set(replicas, available)), old: Vec::new() };
            let now = time_of(&now.into()).unwrap();
            let status = with_progress(&deployment, &found, status_of(&deployment, &found), now);
            assert_eq!(progressing(&status), (reason.to_string(), message.to_string()));
        };
        check(0, 0, "2026-01-01T00:00:30Z", "NewReplicaSetCreated", "");
        check(0, 0, "2026-01-01T00:01:30Z", "ProgressDeadlineExceeded", "ReplicaSet \"d-1\" has timed out progressing.");
        check(1, 0, "2026-01-01T00:00:30Z", "ReplicaSetUpdated", "ReplicaSet \"d-1\" is progressing.");
        check(1, 1, "2026-01-01T00:00:30Z", "NewReplicaSetAvailable", "ReplicaSet \"d-1\" has successfully progressed.");
    }
}
