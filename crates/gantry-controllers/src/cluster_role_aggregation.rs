//! Cluster role aggregation: a ClusterRole with an aggregation rule has the rules of the roles it selects.
//!
//! Source: pkg/controller/clusterroleaggregation. What the rules come to is pure, in gantry-auth.

use crate::object::items;
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_auth::rbac::aggregated_rules;
use gantry_client::resource::CLUSTER_ROLES;
use gantry_client::{Change, Informer, PatchType, Resource};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "clusterrole-aggregation-controller",
    queue: "ClusterRoleAggregator",
    workers: 5,
    watches: || vec![CLUSTER_ROLES],
    rules: &[Rule {
        groups: &["rbac.authorization.k8s.io"],
        resources: &["clusterroles"],
        verbs: &["escalate", "get", "list", "patch", "update", "watch"],
    }],
    make: |ctx| {
        let roles = ctx.informers.of(&CLUSTER_ROLES);
        Arc::new(Aggregation { ctx, roles })
    },
};

struct Aggregation {
    ctx: Context,
    roles: Arc<Informer>,
}

fn aggregates(role: &Value) -> bool {
    items(&role["aggregationRule"]["clusterRoleSelectors"]).next().is_some()
}

#[async_trait]
impl Controller for Aggregation {
    /// Any role may be a part of any that aggregates.
    fn keys(&self, _: &Resource, _: Change<'_>) -> Vec<String> {
        let roles = self.roles.list();
        roles.iter().filter(|r| aggregates(r)).map(|r| meta::name(r).to_string()).collect()
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let Some(role) = self.roles.get("", key) else { return Ok(Next::Done) };
        let all = self.roles.list();
        let Some(rules) = aggregated_rules(&role, all.iter().map(|r| &**r)) else {
            return Ok(Next::Done);
        };
        let applied = json!({
            "apiVersion": CLUSTER_ROLES.api_version(), "kind": "ClusterRole",
            "metadata": {"name": key, "uid": meta::text(&role, "uid")}, "rules": rules,
        });
        match self.ctx.client.patch(&CLUSTER_ROLES, ("", key), "", PatchType::Apply, &applied).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(Next::Done),
        }
    }
}
