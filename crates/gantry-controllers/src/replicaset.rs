//! ReplicaSet: as many pods of a template as asked for.

use crate::claim::Claimant;
use crate::expectations::Expectations;
use crate::object::{
    BY_CONTROLLER, by_controller, condition, controller_of, controller_reference, int,
    now_stamp, orphans_of, put_condition, remove_condition, split, text, uid, without_empty,
};
use crate::pods;
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use crate::selector;
use async_trait::async_trait;
use futures::future::join_all;
use gantry_api::meta;
use gantry_client::resource::{PODS, REPLICA_SETS};
use gantry_client::{Change, Informer, Resource, key_of};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use time::OffsetDateTime;

/// Pods made or deleted in one go.
const BURST: usize = 500;
/// The first batch of creations; each that succeeds is followed by one twice as large.
const FIRST_BATCH: usize = 1;

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "replicaset-controller",
    queue: "replicaset",
    workers: 5,
    watches: || vec![REPLICA_SETS, PODS],
    rules: &[
        Rule { groups: &["apps", "extensions"], resources: &["replicasets"], verbs: &["get", "list", "watch", "update"] },
        Rule { groups: &["apps", "extensions"], resources: &["replicasets/status", "replicasets/finalizers"], verbs: &["update"] },
        Rule { groups: &[""], resources: &["pods"], verbs: &["create", "delete", "list", "patch", "watch"] },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let (sets, pods) = (ctx.informers.of(&REPLICA_SETS), ctx.informers.of(&PODS));
        pods.add_index(BY_CONTROLLER, by_controller);
        sets.add_index(BY_CONTROLLER, by_controller);
        Arc::new(ReplicaSets { ctx, sets, pods, expectations: Expectations::default() })
    },
};

struct ReplicaSets {
    ctx: Context,
    sets: Arc<Informer>,
    pods: Arc<Informer>,
    expectations: Expectations,
}

#[async_trait]
impl Controller for ReplicaSets {
    fn keys(&self, resource: &Resource, change: Change<'_>) -> Vec<String> {
        if *resource == PODS {
            return self.keys_of_pod(change);
        }
        if change.new.is_none() {
            self.expectations.forget(uid(change.object()));
        }
        vec![key_of(change.object())]
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let Some(set) = self.sets.get_key(key) else {
            return Ok(Next::Done);
        };
        // Read before the pods: what is met later may already be visible, but not the other way round.
        let caught_up = self.expectations.are_met(uid(&set));
        let selector = &set["spec"]["selector"];
        let mut candidates = self.pods.indexed(BY_CONTROLLER, uid(&set));
        let terminating = candidates
            .iter()
            .filter(|p| pods::is_terminating(p) && selector::matches(selector, &p["metadata"]["labels"]))
            .count();
        candidates.extend(self.pods.indexed(BY_CONTROLLER, &orphans_of(split(key).0)));
        candidates.retain(|p| pods::is_active(p));
        let claimant = Claimant { client: &self.ctx.client, resource: &REPLICA_SETS, owner: &set, selector };
        let active = claimant.claim(&PODS, candidates).await?;
        let managed = match caught_up && !meta::is_deleting(&set) {
            true => self.manage(&set, &active).await,
            false => Ok(()),
        };
        let now = OffsetDateTime::now_utc();
        let status = status_of(&set, &active, terminating, managed.as_ref().err(), now);
        self.write_status(&set, status).await?;
        managed?;
        let min_ready = int(&set["spec"]["minReadySeconds"]);
        let pauses = active.iter().filter_map(|p| pods::available_in(p, min_ready, now));
        Ok(match pauses.filter(|p| !p.is_zero()).min() {
            Some(pause) => Next::After(pause),
            None => Next::Done,
        })
    }
}

impl ReplicaSets {
    fn keys_of_pod(&self, change: Change<'_>) -> Vec<String> {
        let mut keys = Vec::new();
        for pod in [change.old, change.new].into_iter().flatten() {
            let Some(reference) = controller_of(pod) else { continue };
            if reference["kind"] == "ReplicaSet" {
                keys.push(format!("{}/{}", meta::namespace(pod), text(&reference["name"])));
            }
        }
        keys.dedup();
        let pod = change.object();
        match controller_of(pod) {
            Some(reference) => {
                let owner = text(&reference["uid"]);
                if change.old.is_none() {
                    self.expectations.created(owner, 1);
                }
                if change.new.is_none() || meta::is_deleting(pod) {
                    self.expectations.deleted(owner, uid(pod));
                }
            }
            // An orphan: some set may want it.
            None if change.new.is_some() && !meta::is_deleting(pod) => {
                let same = |old: &Arc<Value>| {
                    old["metadata"]["labels"] == pod["metadata"]["labels"] && controller_of(old).is_none()
                };
                if !change.old.is_some_and(same) {
                    let wants = |set: &Arc<Value>| {
                        selector::matches(&set["spec"]["selector"], &pod["metadata"]["labels"])
                    };
                    let sets = self.sets.list_namespace(meta::namespace(pod));
                    keys.extend(sets.iter().filter(|s| wants(s)).map(|s| key_of(s)));
                }
            }
            None => {}
        }
        keys
    }

    /// Creates what is missing or deletes what is too much.
    async fn manage(&self, set: &Value, active: &[Arc<Value>]) -> Result<(), Error> {
        let wanted = usize::try_from(int(&set["spec"]["replicas"])).unwrap_or(0);
        if active.len() < wanted {
            self.create(set, (wanted - active.len()).min(BURST)).await
        } else if active.len() > wanted {
            self.delete(set, active, (active.len() - wanted).min(BURST)).await
        } else {
            Ok(())
        }
    }

    /// Starts slowly: when pods cannot be made at all (a quota, say), few attempts find out.
    async fn create(&self, set: &Value, count: usize) -> Result<(), Error> {
        self.expectations.expect(uid(set), count, std::iter::empty());
        let pod = pod_of(set);
        let mut remaining = count;
        let mut batch = FIRST_BATCH.min(remaining);
        while batch > 0 {
            let results = join_all((0..batch).map(|_| self.create_one(set, &pod))).await;
            let failed = results.iter().filter(|r| r.is_err()).count();
            self.expectations.created(uid(set), failed);
            remaining -= batch;
            if let Some(error) = results.into_iter().find_map(Result::err) {
                self.expectations.created(uid(set), remaining);
                return match error.is_namespace_terminating() {
                    // Nothing can be made there any more.
                    true => Ok(()),
                    false => Err(error.into()),
                };
            }
            batch = (2 * batch).min(remaining);
        }
        Ok(())
    }

    async fn create_one(&self, set: &Value, pod: &Value) -> Result<(), gantry_client::Error> {
        match self.ctx.client.create(&PODS, pod).await {
            Ok(created) => {
                let message = format!("Created pod: {}", meta::name(&created));
                self.ctx.events.event(set, "Normal", "SuccessfulCreate", message);
                Ok(())
            }
            Err(error) => {
                if !error.is_namespace_terminating() {
                    self.ctx.events.event(set, "Warning", "FailedCreate", format!("Error creating: {error}"));
                }
                Err(error)
            }
        }
    }

    async fn delete(&self, set: &Value, active: &[Arc<Value>], count: usize) -> Result<(), Error> {
        let chosen = to_delete(active, &self.related(set), count, OffsetDateTime::now_utc());
        self.expectations.expect(uid(set), 0, chosen.iter().map(|p| uid(p).to_string()));
        let results = join_all(chosen.iter().map(|pod| self.delete_one(set, pod))).await;
        results.into_iter().collect()
    }

    async fn delete_one(&self, set: &Value, pod: &Value) -> Result<(), Error> {
        let (namespace, name) = (meta::namespace(pod), meta::name(pod));
        // A pod of this name that somebody else made since must not die.
        let options = json!({"preconditions": {"uid": uid(pod)}});
        let Err(error) = self.ctx.client.delete(&PODS, namespace, name, &options).await else {
            self.ctx.events.event(set, "Normal", "SuccessfulDelete", format!("Deleted pod: {name}"));
            return Ok(());
        };
        self.expectations.deleted(uid(set), uid(pod));
        if error.is_not_found() || error.is_conflict() {
            return Ok(());
        }
        self.ctx.events.event(set, "Warning", "FailedDelete", format!("Error deleting: {error}"));
        Err(error.into())
    }

    /// The active pods of all sets that share this one's controller, its own included.
    fn related(&self, set: &Value) -> Vec<Arc<Value>> {
        let Some(owner) = controller_of(set) else {
            return self.pods.indexed(BY_CONTROLLER, uid(set));
        };
        let sets = self.sets.indexed(BY_CONTROLLER, text(&owner["uid"]));
        sets.iter().flat_map(|s| self.pods.indexed(BY_CONTROLLER, uid(s))).collect()
    }

    async fn write_status(&self, set: &Arc<Value>, status: Value) -> Result<(), Error> {
        if set["status"] == status {
            return Ok(());
        }
        let mut updated = (**set).clone();
        updated["status"] = status;
        match self.ctx.client.update_status(&REPLICA_SETS, &updated).await {
            Ok(_) => Ok(()),
            // Deleted meanwhile: there is nobody to tell.
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A pod as the set's template has it.
fn pod_of(set: &Value) -> Value {
    let template = &set["spec"]["template"];
    let mut metadata = json!({
        "namespace": meta::namespace(set),
        "generateName": format!("{}-", meta::name(set)),
        "ownerReferences": [controller_reference(&REPLICA_SETS, set)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(field).filter(|v| !v.is_null()) {
            metadata[field] = value.clone();
        }
    }
    json!({"metadata": metadata, "spec": template["spec"]})
}

/// The `count` pods to delete first.
fn to_delete(active: &[Arc<Value>], related: &[Arc<Value>], count: usize, now: OffsetDateTime) -> Vec<Arc<Value>> {
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|p| pods::is_active(p)) {
        *on_node.entry(text(&pod["spec"]["nodeName"])).or_default() += 1;
    }
    let rank = |pod: &Value| on_node.get(text(&pod["spec"]["nodeName"])).copied().unwrap_or(0);
    let mut pods = active.to_vec();
    if count < pods.len() {
        pods.sort_by(|a, b| pods::deletion_order((a, rank(a)), (b, rank(b)), now));
    }
    pods.truncate(count);
    pods
}

fn status_of(
    set: &Value,
    active: &[Arc<Value>],
    terminating: usize,
    failure: Option<&Error>,
    now: OffsetDateTime,
) -> Value {
    let spec = &set["spec"];
    let count = |wanted: &dyn Fn(&Value) -> bool| active.iter().filter(|p| wanted(p)).count();
    let template_labels = &spec["template"]["metadata"]["labels"];
    let min_ready = int(&spec["minReadySeconds"]);
    let Value::Object(counts) = json!({
        "fullyLabeledReplicas": count(&|p| selector::is_subset(template_labels, &p["metadata"]["labels"])),
        "readyReplicas": count(&pods::is_ready),
        "availableReplicas": count(&|p| pods::available_in(p, min_ready, now).is_some_and(|d| d.is_zero())),
        "observedGeneration": set["metadata"]["generation"],
        "conditions": set["status"]["conditions"],
    }) else {
        unreachable!("it was just made an object");
    };
    let mut status = Value::Object(without_empty(counts));
    status["replicas"] = active.len().into();
    status["terminatingReplicas"] = terminating.into();
    match (failure, condition(&set["status"], "ReplicaFailure")) {
        (Some(error), None) => {
            let wanted = usize::try_from(int(&spec["replicas"])).unwrap_or(0);
            let reason = if active.len() < wanted { "FailedCreate" } else { "FailedDelete" };
            let failed = json!({
                "type": "ReplicaFailure", "status": "True", "lastTransitionTime": now_stamp(),
                "reason": reason, "message": error.to_string(),
            });
            put_condition(&mut status, failed);
        }
        (None, Some(_)) => remove_condition(&mut status, "ReplicaFailure"),
        _ => {}
    }
    status
}
