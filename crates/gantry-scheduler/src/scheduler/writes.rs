//! What the scheduler writes: bindings, why pods wait, and who has to leave.

use super::{Attempt, Shared};
use crate::info::{PREEMPTED, PodInfo};
use crate::metrics::Outcome;
use crate::preemption::Plan;
use gantry_api::meta;
use gantry_client::resource::PODS;
use gantry_client::{Error, PatchType};
use serde_json::{Value, json};
use smol_str::SmolStr;
use std::time::Instant;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

impl Shared {
    /// Makes pods leave for another one.
    pub(super) async fn make_room(&self, pod: &PodInfo, plan: &Plan) {
        for victim in plan.victims.iter().filter(|v| !v.leaving.0) {
            if let Err(error) = self.evict(victim, pod, &plan.node).await
                && !error.is_not_found()
            {
                tracing::warn!(
                    "{} could not be made to leave for {}: {error}",
                    victim.key,
                    pod.key
                );
            }
        }
        for less in &plan.outranked {
            self.cache().drop_nomination(&less.uid);
            let patch = json!({"metadata": {"uid": less.uid}, "status": {"nominatedNodeName": null}});
            self.write_status(less, &patch).await;
            self.queue.changed_for(|waiting| waiting.uid == less.uid);
        }
    }

    async fn evict(&self, victim: &PodInfo, pod: &PodInfo, node: &str) -> Result<(), Error> {
        let (namespace, name) = victim.place();
        let message = format!("{}: preempting to accommodate a higher priority pod", self.name);
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": PREEMPTED, "message": message,
            "lastTransitionTime": now(), "lastProbeTime": null,
        });
        let patch = json!({"metadata": {"uid": victim.uid}, "status": {"conditions": [condition]}});
        self.client
            .patch(&PODS, (namespace, name), "status", PatchType::Strategic, &patch)
            .await?;
        let options = json!({"preconditions": {"uid": victim.uid}});
        self.client.delete(&PODS, namespace, name, &options).await?;
        if let Some(object) = self.pods.get(namespace, name) {
            let message = format!("Preempted by pod {} on node {node}", pod.uid);
            self.recorder.event(&object, "Normal", "Preempted", message);
        }
        Ok(())
    }

    pub(super) async fn bind(&self, pod: &PodInfo, node: &SmolStr, attempt: Attempt) {
        let (namespace, name) = pod.place();
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"namespace": namespace, "name": name, "uid": pod.uid},
            "target": {"kind": "Node", "name": node},
        });
        match self
            .client
            .create_subresource(&PODS, namespace, name, "binding", &binding)
            .await
        {
            Ok(_) => {
                self.metrics
                    .attempted(Outcome::Scheduled, attempt.start.elapsed());
                if let Some((since, attempts)) = attempt.history {
                    self.metrics.bound(since.elapsed(), attempts);
                }
                self.queue.remove(&pod.uid);
                if let Some(object) = self.pods.get(namespace, name) {
                    let message = format!("Successfully assigned {} to {node}", pod.key);
                    self.recorder.event(&object, "Normal", "Scheduled", message);
                }
            }
            Err(error) => self.not_bound(pod, error, attempt.start).await,
        }
    }

    async fn not_bound(&self, pod: &PodInfo, error: Error, start: Instant) {
        self.cache().displace(&pod.uid);
        if error.is_not_found() {
            self.queue.remove(&pod.uid);
            return;
        }
        self.metrics.attempted(Outcome::Error, start.elapsed());
        tracing::warn!("{} could not be bound: {error}", pod.key);
        self.report(pod, "SchedulerError", &format!("binding rejected: {error}"), None)
            .await;
        self.queue.retry(&pod.uid);
    }

    /// Tells why a pod has no node: as an event and in its PodScheduled condition. `nominated` is the node that others
    /// leave for it; empty when room is kept no longer.
    pub(super) async fn report(&self, pod: &PodInfo, reason: &str, message: &str, nominated: Option<&str>) {
        let (namespace, name) = pod.place();
        let Some(object) = self
            .pods
            .get(namespace, name)
            .filter(|o| meta::text(o, "uid") == pod.uid)
        else {
            return;
        };
        self.recorder
            .event(&object, "Warning", "FailedScheduling", cut(message));
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        let old = conditions
            .into_iter()
            .find(|c| c["type"] == "PodScheduled")
            .unwrap_or(&Value::Null);
        let mut status = json!({});
        if !(old["status"] == "False" && old["reason"] == reason && old["message"] == message) {
            let since = match old["lastTransitionTime"]
                .as_str()
                .filter(|_| old["status"] == "False")
            {
                Some(since) => since.to_string(),
                None => now(),
            };
            let mut condition = json!({
                "type": "PodScheduled", "status": "False", "reason": reason, "message": message,
                "lastTransitionTime": since, "lastProbeTime": null,
            });
            if let Some(generation) = object["metadata"]["generation"].as_i64() {
                condition["observedGeneration"] = generation.into();
            }
            status["conditions"] = json!([condition]);
        }
        let known = object["status"]["nominatedNodeName"].as_str().unwrap_or("");
        if let Some(node) = nominated.filter(|node| *node != known) {
            status["nominatedNodeName"] = if node.is_empty() { Value::Null } else { node.into() };
        }
        if status != json!({}) {
            self.write_status(pod, &json!({"metadata": {"uid": pod.uid}, "status": status}))
                .await;
        }
    }

    async fn write_status(&self, pod: &PodInfo, patch: &Value) {
        match self
            .client
            .patch(&PODS, pod.place(), "status", PatchType::Strategic, patch)
            .await
        {
            Ok(_) => {}
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => tracing::warn!("the status of {} could not be written: {error}", pod.key),
        }
    }
}

fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0)
        .unwrap_or(now)
        .format(&Rfc3339)
        .unwrap_or_default()
}

/// As much of a message as an event holds.
fn cut(message: &str) -> String {
    const LIMIT: usize = 1024;
    const MORE: &str = " ...";
    if message.len() <= LIMIT {
        return message.into();
    }
    let end = (0..=LIMIT - MORE.len())
        .rev()
        .find(|at| message.is_char_boundary(*at))
        .unwrap_or(0);
    format!("{}{MORE}", &message[..end])
}
