//! Authorization over the cluster's objects, kept in memory by watching the store, so that a decision needs no I/O.

mod follow;
mod node_graph;
mod rbac_cache;

use crate::request::Kinds;
use gantry_api::meta;
use gantry_api::status::Status;
use gantry_auth::authorizer::{self, Decision, Rules};
use gantry_auth::{Attributes, User, node, rbac};
use gantry_store::{ReadError, Store};
use node_graph::NodeGraph;
use rbac_cache::RbacCache;
use serde_json::{Value, json};
use std::sync::Arc;

/// Who may do what.
pub struct Authorizer(Arc<Facts>);

struct Facts {
    rbac: Arc<RbacCache>,
    graph: Arc<NodeGraph>,
}

impl Authorizer {
    /// Reads what decisions are made from, and keeps it up to date for as long as the authorizer lives.
    pub async fn start(store: &Arc<dyn Store>, kinds: &Kinds) -> Result<Self, ReadError> {
        Ok(Authorizer(Arc::new(Facts {
            rbac: RbacCache::start(store, kinds).await?,
            graph: NodeGraph::start(store, kinds).await?,
        })))
    }

    /// Decides over a request.
    pub fn decide(&self, attributes: &Attributes) -> Decision {
        authorizer::decide(attributes, &*self.0)
    }

    /// Decides over a request; a refusal is the answer to it.
    pub fn allow(&self, attributes: &Attributes) -> Result<(), Status> {
        let decision = self.decide(attributes);
        if decision.allowed {
            return Ok(());
        }
        Err(forbidden(attributes, &decision.reason))
    }

    /// Lists what a user may do in a namespace.
    pub fn rules_for(&self, user: &User, namespace: &str) -> Rules {
        authorizer::rules_for(user, namespace, &*self.0)
    }

    /// Checks that a role or binding gives nobody what its writer does not have.
    pub fn may_grant(&self, grant: &rbac::Grant) -> Result<(), Status> {
        rbac::may_grant(grant, &*self.0).map_err(|refusal| match refusal {
            rbac::Refusal::Forbidden(why) => {
                let name = meta::name(grant.object);
                Status::forbidden(rbac::API_GROUP, grant.resource, name, &why)
            }
            rbac::Refusal::NoRole { kind, name } => Status::not_found(rbac::API_GROUP, kind, &name),
        })
    }
}

/// The answer to a request that is not allowed.
fn forbidden(attributes: &Attributes, reason: &str) -> Status {
    let mut why = rbac::denial(attributes);
    if !reason.is_empty() {
        why = format!("{why}: {reason}");
    }
    if attributes.path.is_some() {
        let mut status = Status::new(403, "Forbidden", format!("forbidden: {why}"));
        status.details = Some(json!({}));
        return status;
    }
    Status::forbidden(attributes.group, attributes.resource, attributes.name, &why)
}

impl rbac::Objects for Facts {
    fn cluster_role_bindings(&self) -> Vec<Arc<Value>> {
        self.rbac.cluster_role_bindings()
    }

    fn role_bindings(&self, namespace: &str) -> Vec<Arc<Value>> {
        self.rbac.role_bindings(namespace)
    }

    fn cluster_role(&self, name: &str) -> Option<Arc<Value>> {
        self.rbac.cluster_role(name)
    }

    fn role(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.rbac.role(namespace, name)
    }
}

impl node::Graph for Facts {
    fn related(&self, node: &str, object: node::Object, namespace: &str, name: &str) -> bool {
        self.graph.related(node, object, namespace, name)
    }
}
