//! Every namespace has the ConfigMap by which pods know the API server's authority.

use crate::object::annotation;
use crate::runner::{Context, Controller, Descriptor, Error, Feed, Next, Rule};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_client::resource::{CONFIG_MAPS, NAMESPACES};
use gantry_client::{Change, Informer, ListOptions, Resource};
use serde_json::json;
use std::sync::Arc;

const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
const DESCRIPTION_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
    endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
    distributions of Kubernetes clusters.";

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "root-ca-cert-publisher",
    queue: "root_ca_cert_publisher",
    workers: 1,
    watches: || vec![NAMESPACES],
    rules: &[
        Rule { groups: &[""], resources: &["namespaces"], verbs: &["get", "list", "watch"] },
        Rule { groups: &[""], resources: &["configmaps"], verbs: &["create", "get", "list", "update", "watch"] },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let namespaces = ctx.informers.of(&NAMESPACES);
        let maps = ctx.informers.filtered(&CONFIG_MAPS, ListOptions::fields(format!("metadata.name={NAME}")));
        Arc::new(RootCa { ctx, namespaces, maps })
    },
};

struct RootCa {
    ctx: Context,
    namespaces: Arc<Informer>,
    // Of all ConfigMaps only those of this name.
    maps: Arc<Informer>,
}

#[async_trait]
impl Controller for RootCa {
    fn keys(&self, _: &Resource, change: Change<'_>) -> Vec<String> {
        vec![meta::name(change.object()).to_string()]
    }

    async fn feed(&self, feed: &Feed) {
        let feed = feed.clone();
        self.maps.on_change(move |change| feed.add(meta::namespace(change.object()).to_string()));
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let alive = self.namespaces.get("", key).is_some_and(|ns| !meta::is_deleting(&ns));
        if !alive {
            return Ok(Next::Done);
        }
        self.maps.synced().await;
        let data = json!({"ca.crt": self.ctx.config.cluster_ca_pem});
        let result = match self.maps.get(key, NAME) {
            Some(map) if map["data"] == data && annotation(&map, DESCRIPTION) == Some(DESCRIPTION_TEXT) => {
                return Ok(Next::Done);
            }
            Some(map) => {
                let mut map = (*map).clone();
                map["data"] = data;
                map["metadata"]["annotations"][DESCRIPTION] = DESCRIPTION_TEXT.into();
                self.ctx.client.update(&CONFIG_MAPS, &map).await
            }
            None => {
                let metadata = json!({
                    "namespace": key, "name": NAME, "annotations": {DESCRIPTION: DESCRIPTION_TEXT},
                });
                self.ctx.client.create(&CONFIG_MAPS, &json!({"metadata": metadata, "data": data})).await
            }
        };
        match result {
            Err(error) if !error.is_already_exists() && !error.is_namespace_terminating() => Err(error.into()),
            _ => Ok(Next::Done),
        }
    }
}
