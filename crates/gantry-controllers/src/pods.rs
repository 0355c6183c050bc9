//! What controllers must know of pods: their state, and which to delete first.

use crate::object::{annotation, condition, created, int, items, now_stamp, text, time_of, uid};
use gantry_api::meta;
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::time::Duration;
use time::OffsetDateTime;

/// The index of pods by the node they are bound to.
pub(crate) const BY_NODE: &str = "spec.nodeName";

/// Where a pod stands in [`BY_NODE`].
pub(crate) fn by_node(pod: &Value) -> Vec<String> {
    Some(text(&pod["spec"]["nodeName"]))
        .filter(|node| !node.is_empty())
        .map(String::from)
        .into_iter()
        .collect()
}

/// The condition that says why a pod is deleted from outside.
pub(crate) fn disruption(pod: &Value, reason: &str, message: &str) -> Value {
    let mut condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
        "lastProbeTime": null, "lastTransitionTime": now_stamp(),
    });
    if let Some(generation) = pod["metadata"]["generation"].as_i64() {
        condition["observedGeneration"] = generation.into();
    }
    condition
}

/// Whether the pod ran to its end.
pub(crate) fn is_finished(pod: &Value) -> bool {
    matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed")
}

/// Whether the pod counts as a replica.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_finished(pod) && !meta::is_deleting(pod)
}

/// Whether the pod is being deleted and has yet to end.
pub(crate) fn is_terminating(pod: &Value) -> bool {
    !is_finished(pod) && meta::is_deleting(pod)
}

/// Whether the pod's Ready condition is True.
pub(crate) fn is_ready(pod: &Value) -> bool {
    condition(&pod["status"], "Ready").is_some_and(|c| c["status"] == "True")
}

fn ready_since(pod: &Value) -> Option<OffsetDateTime> {
    let ready = condition(&pod["status"], "Ready").filter(|c| c["status"] == "True")?;
    time_of(&ready["lastTransitionTime"])
}

/// How long until a pod that stays ready is available; `None` when it is not ready.
pub(crate) fn available_in(pod: &Value, min_ready_seconds: i64, now: OffsetDateTime) -> Option<Duration> {
    if !is_ready(pod) {
        return None;
    }
    if min_ready_seconds == 0 {
        return Some(Duration::ZERO);
    }
    let at = ready_since(pod)? + time::Duration::seconds(min_ready_seconds);
    // What lies in the past is no std Duration: available now.
    Some(Duration::try_from(at - now).unwrap_or_default())
}

/// Which of two pods is the better one to delete (`Less`), by upstream's criteria in turn. `rank` is the number of
/// related pods on the same node.
pub(crate) fn deletion_order(a: (&Value, usize), b: (&Value, usize), now: OffsetDateTime) -> Ordering {
    let ((a, rank_a), (b, rank_b)) = (a, b);
    let assigned = |p: &Value| !text(&p["spec"]["nodeName"]).is_empty();
    let phase = |p: &Value| match text(&p["status"]["phase"]) {
        "Pending" => 0,
        "Unknown" => 1,
        "Running" => 2,
        _ => 3,
    };
    assigned(a)
        .cmp(&assigned(b))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| is_ready(a).cmp(&is_ready(b)))
        .then_with(|| deletion_cost(a).cmp(&deletion_cost(b)))
        .then_with(|| rank_b.cmp(&rank_a))
        .then_with(|| match (is_ready(a), is_ready(b)) {
            (true, true) => younger_first(a, b, ready_since, now),
            _ => Ordering::Equal,
        })
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| younger_first(a, b, created, now))
}

fn deletion_cost(pod: &Value) -> i32 {
    annotation(pod, "controller.kubernetes.io/pod-deletion-cost")
        .and_then(|c| c.parse().ok())
        .unwrap_or(0)
}

/// The one whose time is unknown first, then the younger. Ages of the same order of magnitude count as equal, so that
/// scaling down spares no failure domain for its pods' being a little older.
fn younger_first(
    a: &Value,
    b: &Value,
    at: fn(&Value) -> Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Ordering {
    let (Some(at_a), Some(at_b)) = (at(a), at(b)) else {
        return at(a).is_some().cmp(&at(b).is_some());
    };
    if at_a == at_b {
        return Ordering::Equal;
    }
    let magnitude = |at: OffsetDateTime| match (now - at).whole_nanoseconds() {
        age if age > 0 => i64::from(age.ilog2()),
        _ => -1,
    };
    magnitude(at_a)
        .cmp(&magnitude(at_b))
        .then_with(|| uid(a).cmp(uid(b)))
}

/// The most restarts of one container, then of one sidecar.
fn restarts(pod: &Value) -> (i64, i64) {
    let most = |statuses: &Value, wanted: &dyn Fn(&Value) -> bool| {
        items(statuses)
            .filter(|s| wanted(s))
            .map(|s| int(&s["restartCount"]))
            .max()
            .unwrap_or(0)
    };
    let is_sidecar = |status: &Value| {
        items(&pod["spec"]["initContainers"])
            .any(|c| c["name"] == status["name"] && c["restartPolicy"] == "Always")
    };
    (
        most(&pod["status"]["containerStatuses"], &|_| true),
        most(&pod["status"]["initContainerStatuses"], &is_sidecar),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(change: Value) -> Value {
        let pod = json!({
            "metadata": {"uid": "m", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "n"},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            },
        });
        gantry_api::patch::merge(pod, &change)
    }

    #[test]
    fn the_least_useful_pod_goes_first() {
        let now = time_of(&json!("2026-01-02T00:00:00Z")).unwrap();
        let check = |what: &str, first: (Value, usize), second: (Value, usize)| {
            let order =
                |a: &(Value, usize), b: &(Value, usize)| deletion_order((&a.0, a.1), (&b.0, b.1), now);
            assert_eq!(order(&first, &second), Ordering::Less, "{what}");
            assert_eq!(
                order(&second, &first),
                Ordering::Greater,
                "{what}, the other way round"
            );
        };
        let usual = || (pod(json!({})), 0);
        let ready_at = |at: &str| json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at}]}});
        check(
            "unassigned",
            (pod(json!({"spec": {"nodeName": null}})), 0),
            usual(),
        );
        check(
            "pending",
            (pod(json!({"status": {"phase": "Pending"}})), 0),
            usual(),
        );
        check(
            "not ready",
            (pod(json!({"status": {"conditions": []}})), 0),
            usual(),
        );
        let cost = json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-5"}}});
        check("cheap", (pod(cost), 0), usual());
        check("crowded", (pod(json!({})), 2), usual());
        check(
            "ready for a shorter time",
            (pod(ready_at("2026-01-01T23:59:00Z")), 0),
            usual(),
        );
        check(
            "of the same age by uid",
            (
                pod(json!({"metadata": {"uid": "a", "creationTimestamp": "2026-01-01T00:00:01Z"}})),
                0,
            ),
            usual(),
        );
        let restarted = json!({"status": {"containerStatuses": [{"name": "c", "restartCount": 3}]}});
        check("restarted", (pod(restarted), 0), usual());
        let young = json!({"metadata": {"creationTimestamp": "2026-01-01T23:00:00Z"}});
        check("younger", (pod(young), 0), usual());
    }

    #[test]
    fn available_after_min_ready_seconds() {
        let at = |s: &str| time_of(&json!(s)).unwrap();
        let check = |pod: Value, min: i64, now: &str, expected: Option<u64>| {
            assert_eq!(
                available_in(&pod, min, at(now)),
                expected.map(Duration::from_secs)
            );
        };
        check(pod(json!({})), 0, "2026-01-01T00:00:00Z", Some(0));
        check(pod(json!({})), 10, "2026-01-01T00:00:04Z", Some(6));
        check(pod(json!({})), 10, "2026-01-01T00:00:10Z", Some(0));
        check(
            pod(json!({"status": {"conditions": []}})),
            0,
            "2026-01-01T00:00:10Z",
            None,
        );
    }
}
