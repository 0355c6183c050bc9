//! Every namespace has the ServiceAccount that its pods use unless they name another.

use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_client::resource::{NAMESPACES, SERVICE_ACCOUNTS};
use gantry_client::{Change, Informer, Resource};
use serde_json::json;
use std::sync::Arc;

const NAME: &str = "default";

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "service-account-controller",
    queue: "serviceaccount",
    workers: 1,
    watches: || vec![NAMESPACES, SERVICE_ACCOUNTS],
    rules: &[
        Rule { groups: &[""], resources: &["namespaces"], verbs: &["get", "list", "watch"] },
        Rule { groups: &[""], resources: &["serviceaccounts"], verbs: &["create", "get", "list", "watch"] },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let of = |resource| ctx.informers.of(resource);
        let (namespaces, accounts) = (of(&NAMESPACES), of(&SERVICE_ACCOUNTS));
        Arc::new(ServiceAccounts { ctx, namespaces, accounts })
    },
};

struct ServiceAccounts {
    ctx: Context,
    namespaces: Arc<Informer>,
    accounts: Arc<Informer>,
}

#[async_trait]
impl Controller for ServiceAccounts {
    fn keys(&self, resource: &Resource, change: Change<'_>) -> Vec<String> {
        let object = change.object();
        match *resource == NAMESPACES {
            true => vec![meta::name(object).to_string()],
            false if change.new.is_none() && meta::name(object) == NAME => vec![meta::namespace(object).to_string()],
            false => Vec::new(),
        }
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let alive = self.namespaces.get("", key).is_some_and(|ns| !meta::is_deleting(&ns));
        if !alive || self.accounts.get(key, NAME).is_some() {
            return Ok(Next::Done);
        }
        let account = json!({"metadata": {"namespace": key, "name": NAME}});
        match self.ctx.client.create(&SERVICE_ACCOUNTS, &account).await {
            Err(error) if !error.is_already_exists() && !error.is_namespace_terminating() => Err(error.into()),
            _ => Ok(Next::Done),
        }
    }
}
