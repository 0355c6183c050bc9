//! PersistentVolumeClaims that are deleted stay for as long as a pod on a node uses them.
//!
//! Source: pkg/controller/volume/pvcprotection.

use crate::object::{controller_of, items, text, uid};
use crate::protection::Protection;
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_client::resource::{PERSISTENT_VOLUME_CLAIMS, PODS};
use gantry_client::{Change, Informer, ListOptions, Resource, key_of};
use serde_json::Value;
use std::sync::Arc;

/// The index of pods by the claims that their volumes name.
const BY_CLAIM: &str = "claim";
const PROTECTION: Protection =
    Protection { resource: PERSISTENT_VOLUME_CLAIMS, finalizer: "kubernetes.io/pvc-protection" };

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "pvc-protection-controller",
    queue: "pvcprotection",
    workers: 1,
    watches: || vec![PERSISTENT_VOLUME_CLAIMS, PODS],
    rules: &[
        Rule { groups: &[""], resources: &["persistentvolumeclaims"], verbs: &["get", "list", "update", "watch"] },
        Rule { groups: &[""], resources: &["persistentvolumeclaims/status"], verbs: &["update"] },
        Rule { groups: &[""], resources: &["pods"], verbs: &["get", "list", "watch"] },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let (claims, pods) = (ctx.informers.of(&PERSISTENT_VOLUME_CLAIMS), ctx.informers.of(&PODS));
        pods.add_index(BY_CLAIM, |pod| {
            claims_of(pod).map(|name| format!("{}/{name}", meta::namespace(pod))).collect()
        });
        Arc::new(PvcProtection { ctx, claims, pods })
    },
};

struct PvcProtection {
    ctx: Context,
    claims: Arc<Informer>,
    pods: Arc<Informer>,
}

#[async_trait]
impl Controller for PvcProtection {
    /// Claims that change themselves, and those of pods that go.
    fn keys(&self, resource: &Resource, change: Change<'_>) -> Vec<String> {
        if *resource == PERSISTENT_VOLUME_CLAIMS {
            let claim = change.new.filter(|claim| PROTECTION.concerns(claim));
            return claim.map(|claim| key_of(claim)).into_iter().collect();
        }
        let replaced = |old: &&Arc<Value>| change.new.is_none_or(|new| uid(new) != uid(old));
        let going = |new: &&Arc<Value>| meta::is_deleting(new);
        let pods = change.old.filter(replaced).into_iter().chain(change.new.filter(going));
        let keys = pods.flat_map(|pod| claims_of(pod).map(|name| format!("{}/{name}", meta::namespace(pod))));
        keys.collect()
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        self.pods.synced().await;
        let Some(claim) = self.claims.get_key(key) else { return Ok(Next::Done) };
        PROTECTION.settle(&self.ctx.client, &claim, self.is_used(key, &claim)).await
    }
}

impl PvcProtection {
    async fn is_used(&self, key: &str, claim: &Value) -> Result<bool, Error> {
        if self.pods.indexed(BY_CLAIM, key).iter().any(|pod| uses(pod, claim)) {
            return Ok(true);
        }
        // The informer may not know a pod yet that the server knows.
        let pods = self.ctx.client.list(&PODS, meta::namespace(claim), &ListOptions::default()).await?;
        Ok(pods.items.iter().any(|pod| uses(pod, claim)))
    }
}

/// The name of the claim behind a volume, and whether the claim is made for the pod.
fn claim_of(pod: &Value, volume: &Value) -> Option<(String, bool)> {
    if let Some(name) = volume["persistentVolumeClaim"]["claimName"].as_str() {
        return Some((name.to_owned(), false));
    }
    let own = || (format!("{}-{}", meta::name(pod), text(&volume["name"])), true);
    volume["ephemeral"].is_object().then(own)
}

fn claims_of(pod: &Value) -> impl Iterator<Item = String> {
    items(&pod["spec"]["volumes"]).filter_map(|volume| claim_of(pod, volume)).map(|(name, _)| name)
}

/// Whether a pod holds a claim. One without a node does not: no node starts it once the claim is being deleted.
fn uses(pod: &Value, claim: &Value) -> bool {
    // No node works at it any more, be it that it has ended or that it was removed by force.
    let is_shut_down = meta::is_deleting(pod) && pod["metadata"]["deletionGracePeriodSeconds"] == 0;
    let made_for_it = || controller_of(claim).is_some_and(|owner| text(&owner["uid"]) == uid(pod));
    let is_it = |volume: &Value| match claim_of(pod, volume) {
        Some((name, own)) => name == meta::name(claim) && (!own || !is_shut_down && made_for_it()),
        None => false,
    };
    !text(&pod["spec"]["nodeName"]).is_empty() && items(&pod["spec"]["volumes"]).any(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_uses_a_claim() {
        let claim = |owner: &str| {
            let owners = json!([{"uid": owner, "controller": true}]);
            json!({"metadata": {"name": "p-data", "ownerReferences": owners}})
        };
        let pod = |node: &str, volume: Value| {
            json!({"metadata": {"name": "p", "uid": "1"}, "spec": {"nodeName": node, "volumes": [volume]}})
        };
        let named = || json!({"name": "data", "persistentVolumeClaim": {"claimName": "p-data"}});
        let own = || json!({"name": "data", "ephemeral": {"volumeClaimTemplate": {}}});
        let check = |pod: Value, claim: &Value, expected: bool| assert_eq!(uses(&pod, claim), expected, "{pod} {claim}");
        check(pod("n", named()), &claim("2"), true);
        check(pod("", named()), &claim("2"), false);
        check(pod("n", own()), &claim("1"), true);
        check(pod("n", own()), &claim("2"), false);
        check(pod("n", json!({"name": "data", "emptyDir": {}})), &claim("1"), false);
        let gone = |mut pod: Value| {
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            pod["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            pod
        };
        check(gone(pod("n", own())), &claim("1"), false);
        check(gone(pod("n", named())), &claim("1"), true);
    }
}
