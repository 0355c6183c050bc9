//! PersistentVolumes that are deleted stay for as long as they are bound to a claim.
//!
//! Source: pkg/controller/volume/pvprotection.

use crate::protection::Protection;
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use async_trait::async_trait;
use gantry_client::resource::PERSISTENT_VOLUMES;
use gantry_client::{Change, Informer, Resource, key_of};
use std::sync::Arc;

const PROTECTION: Protection =
    Protection { resource: PERSISTENT_VOLUMES, finalizer: "kubernetes.io/pv-protection" };

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "pv-protection-controller",
    queue: "pvprotection",
    workers: 1,
    watches: || vec![PERSISTENT_VOLUMES],
    rules: &[
        Rule { groups: &[""], resources: &["persistentvolumes"], verbs: &["get", "list", "update", "watch"] },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let volumes = ctx.informers.of(&PERSISTENT_VOLUMES);
        Arc::new(PvProtection { ctx, volumes })
    },
};

struct PvProtection {
    ctx: Context,
    volumes: Arc<Informer>,
}

#[async_trait]
impl Controller for PvProtection {
    fn keys(&self, _: &Resource, change: Change<'_>) -> Vec<String> {
        change.new.filter(|volume| PROTECTION.concerns(volume)).map(|volume| key_of(volume)).into_iter().collect()
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let Some(volume) = self.volumes.get_key(key) else { return Ok(Next::Done) };
        let in_use = async { Ok(volume["status"]["phase"] == "Bound") };
        PROTECTION.settle(&self.ctx.client, &volume, in_use).await
    }
}
