//! VolumeAttributesClasses that are deleted stay for as long as a volume or claim names them.
//!
//! Source: pkg/controller/volume/vacprotection.

use crate::object::text;
use crate::protection::Protection;
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use async_trait::async_trait;
use gantry_client::resource::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, VOLUME_ATTRIBUTES_CLASSES};
use gantry_client::{Change, Informer, Resource, key_of};
use serde_json::Value;
use std::sync::Arc;

/// The index of volumes and claims by the classes that they name.
const BY_CLASS: &str = "volume attributes class";
const PROTECTION: Protection =
    Protection { resource: VOLUME_ATTRIBUTES_CLASSES, finalizer: "kubernetes.io/vac-protection" };

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "volumeattributesclass-protection-controller",
    queue: "vacprotection",
    workers: 1,
    watches: || vec![VOLUME_ATTRIBUTES_CLASSES, PERSISTENT_VOLUMES, PERSISTENT_VOLUME_CLAIMS],
    rules: &[
        Rule {
            groups: &[""],
            resources: &["persistentvolumeclaims", "persistentvolumes"],
            verbs: &["get", "list", "watch"],
        },
        Rule {
            groups: &["storage.k8s.io"],
            resources: &["volumeattributesclasses"],
            verbs: &["get", "list", "update", "watch"],
        },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let classes = ctx.informers.of(&VOLUME_ATTRIBUTES_CLASSES);
        let users = [&PERSISTENT_VOLUMES, &PERSISTENT_VOLUME_CLAIMS].map(|resource| ctx.informers.of(resource));
        for user in &users {
            user.add_index(BY_CLASS, classes_of);
        }
        Arc::new(VacProtection { ctx, classes, users })
    },
};

struct VacProtection {
    ctx: Context,
    classes: Arc<Informer>,
    users: [Arc<Informer>; 2],
}

#[async_trait]
impl Controller for VacProtection {
    /// Classes that change themselves, and those that a volume or claim no longer names.
    fn keys(&self, resource: &Resource, change: Change<'_>) -> Vec<String> {
        if *resource == VOLUME_ATTRIBUTES_CLASSES {
            let class = change.new.filter(|class| PROTECTION.concerns(class));
            return class.map(|class| key_of(class)).into_iter().collect();
        }
        let now = change.new.map(|user| classes_of(user)).unwrap_or_default();
        let mut left = change.old.map(|user| classes_of(user)).unwrap_or_default();
        left.retain(|class| !now.contains(class));
        left
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        for user in &self.users {
            user.synced().await;
        }
        let Some(class) = self.classes.get_key(key) else { return Ok(Next::Done) };
        let in_use = async { Ok(self.users.iter().any(|user| user.count_indexed(BY_CLASS, key) > 0)) };
        PROTECTION.settle(&self.ctx.client, &class, in_use).await
    }
}

/// The classes that a volume or claim names, each once.
fn classes_of(user: &Value) -> Vec<String> {
    let (spec, status) = (&user["spec"], &user["status"]);
    let named = [
        &spec["volumeAttributesClassName"],
        &status["currentVolumeAttributesClassName"],
        &status["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
    ];
    let mut names: Vec<String> = named.into_iter().map(|name| text(name).to_owned()).collect();
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes_that_are_named() {
        let check = |user: Value, expected: &[&str]| assert_eq!(classes_of(&user), expected, "{user}");
        check(json!({}), &[]);
        check(json!({"spec": {"volumeAttributesClassName": ""}}), &[]);
        check(
            json!({
                "spec": {"volumeAttributesClassName": "b"},
                "status": {
                    "currentVolumeAttributesClassName": "a",
                    "modifyVolumeStatus": {"targetVolumeAttributesClassName": "b"},
                },
            }),
            &["a", "b"],
        );
    }
}
