//! Deployment: brings ReplicaSets, one per template, from the old to the new.
//!
//! [`sets`] reads ReplicaSets and does the arithmetic, [`rollout`] moves replicas, [`status`] tells how it goes.

mod rollout;
mod sets;
mod status;

use crate::claim::Claimant;
use crate::object::{
    BY_CONTROLLER, by_controller, controller_of, int, orphans_of, split, text, uid,
};
use crate::pods;
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use crate::selector;
use async_trait::async_trait;
use gantry_api::meta;
use gantry_client::resource::{DEPLOYMENTS, PODS, REPLICA_SETS};
use gantry_client::{Change, Informer, Resource, key_of};
use serde_json::Value;
use std::sync::Arc;

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "deployment-controller",
    queue: "deployment",
    workers: 5,
    watches: || vec![DEPLOYMENTS, REPLICA_SETS, PODS],
    rules: &[
        Rule { groups: &["apps", "extensions"], resources: &["deployments"], verbs: &["get", "list", "watch", "update", "patch"] },
        Rule { groups: &["apps", "extensions"], resources: &["deployments/status", "deployments/finalizers"], verbs: &["update"] },
        Rule {
            groups: &["apps", "extensions"],
            resources: &["replicasets"],
            verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
        },
        Rule { groups: &[""], resources: &["pods"], verbs: &["get", "list", "update", "watch"] },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let of = |resource| ctx.informers.of(resource);
        let (deployments, sets, pods) = (of(&DEPLOYMENTS), of(&REPLICA_SETS), of(&PODS));
        sets.add_index(BY_CONTROLLER, by_controller);
        pods.add_index(BY_CONTROLLER, by_controller);
        Arc::new(Deployments { ctx, deployments, sets, pods })
    },
};

struct Deployments {
    ctx: Context,
    deployments: Arc<Informer>,
    sets: Arc<Informer>,
    pods: Arc<Informer>,
}

#[async_trait]
impl Controller for Deployments {
    fn keys(&self, resource: &Resource, change: Change<'_>) -> Vec<String> {
        if *resource == DEPLOYMENTS {
            return vec![key_of(change.object())];
        }
        if *resource == PODS {
            return self.keys_of_pod(change);
        }
        let mut keys: Vec<String> = [change.old, change.new].into_iter().flatten().filter_map(owner_key).collect();
        keys.dedup();
        let set = change.object();
        if change.new.is_some() && controller_of(set).is_none() && !meta::is_deleting(set) {
            let wants = |d: &Arc<Value>| selector::matches(&d["spec"]["selector"], &set["metadata"]["labels"]);
            let all = self.deployments.list_namespace(meta::namespace(set));
            keys.extend(all.iter().filter(|d| wants(d)).map(|d| key_of(d)));
        }
        keys
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let Some(deployment) = self.deployments.get_key(key) else {
            return Ok(Next::Done);
        };
        let mut deployment = (*deployment).clone();
        let selector = deployment["spec"]["selector"].clone();
        if selector::is_empty(&selector) {
            let message = "This deployment is selecting all pods. A non-empty selector is required.";
            self.ctx.events.event(&deployment, "Warning", "SelectingAll", message);
            if deployment["status"]["observedGeneration"] != deployment["metadata"]["generation"] {
                deployment["status"]["observedGeneration"] = deployment["metadata"]["generation"].clone();
                self.ctx.client.update_status(&DEPLOYMENTS, &deployment).await?;
            }
            return Ok(Next::Done);
        }
        let mut candidates = self.sets.indexed(BY_CONTROLLER, uid(&deployment));
        candidates.extend(self.sets.indexed(BY_CONTROLLER, &orphans_of(split(key).0)));
        let claimant = Claimant { client: &self.ctx.client, resource: &DEPLOYMENTS, owner: &deployment, selector: &selector };
        let owned = claimant.claim(&REPLICA_SETS, candidates).await?;
        if meta::is_deleting(&deployment) {
            let found = sets::Found::new(&deployment, owned);
            self.write_plain_status(&mut deployment, &found).await?;
            return Ok(Next::Done);
        }
        self.note_pause(&mut deployment).await?;
        if deployment["spec"]["paused"] == true || is_scaled(&deployment, &owned) {
            return self.sync(deployment, owned).await;
        }
        match text(&deployment["spec"]["strategy"]["type"]) {
            "Recreate" => self.recreate(deployment, owned).await,
            "RollingUpdate" => self.roll(deployment, owned).await,
            other => Err(Error::Object(format!("unexpected deployment strategy type: {other}"))),
        }
    }
}

impl Deployments {
    /// Pods matter to those that recreate: their last old pod's end lets the new ones start.
    fn keys_of_pod(&self, change: Change<'_>) -> Vec<String> {
        let Some(pod) = change.old.filter(|_| change.new.is_none() || pods::is_finished(change.object())) else {
            return Vec::new();
        };
        let Some(reference) = controller_of(pod) else {
            return Vec::new();
        };
        let set = self.sets.get(meta::namespace(pod), text(&reference["name"]));
        let key = set.filter(|s| uid(s) == text(&reference["uid"])).and_then(|s| owner_key(&s));
        let recreates = |key: &String| {
            self.deployments.get_key(key).is_some_and(|d| d["spec"]["strategy"]["type"] == "Recreate")
        };
        key.filter(recreates).into_iter().collect()
    }

    /// Whether pods of other sets than `new` still run.
    fn old_pods_run(&self, found: &sets::Found) -> bool {
        found.old.iter().any(|set| {
            int(&set["status"]["replicas"]) > 0
                || self.pods.indexed(BY_CONTROLLER, uid(set)).iter().any(|p| !pods::is_finished(p))
        })
    }
}

fn owner_key(set: &Arc<Value>) -> Option<String> {
    let reference = controller_of(set).filter(|r| r["kind"] == "Deployment")?;
    Some(format!("{}/{}", meta::namespace(set), text(&reference["name"])))
}

/// Whether the number of replicas asked for has changed since the sets were sized.
fn is_scaled(deployment: &Value, owned: &[Arc<Value>]) -> bool {
    owned
        .iter()
        .filter(|s| sets::replicas(s) > 0)
        .filter_map(|s| sets::desired_annotation(s))
        .any(|desired| desired != sets::replicas(deployment))
}
