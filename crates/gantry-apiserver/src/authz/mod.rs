//! Authorization over the cluster's objects, kept in memory by watching the store, so that a decision needs no I/O.

mod node_graph;
mod rbac_cache;

use crate::request::Kinds;
use gantry_api::meta;
use gantry_api::status::Status;
use gantry_auth::authorizer::{self, Decision, Facts, Rules};
use gantry_auth::{Attributes, User, rbac};
use gantry_store::{ReadError, Store};
use node_graph::NodeGraph;
use rbac_cache::RbacCache;
use serde_json::json;
use std::sync::Arc;

/// Who may do what.
pub struct Authorizer {
    rbac: Arc<RbacCache>,
    graph: Arc<NodeGraph>,
}

impl Authorizer {
    /// Reads what decisions are made from, and keeps it up to date for as long as the authorizer lives.
    pub async fn start(store: &Arc<dyn Store>, kinds: &Kinds) -> Result<Self, ReadError> {
        Ok(Authorizer {
            rbac: RbacCache::start(store, kinds).await?,
            graph: NodeGraph::start(store, kinds).await?,
        })
    }

    fn with<T>(&self, decide: impl FnOnce(&Facts) -> T) -> T {
        decide(&Facts {
            policy: &self.rbac.policy(),
            graph: &self.graph.references(),
        })
    }

    /// Decides over a request, and says why.
    pub fn decide(&self, attributes: &Attributes) -> Decision {
        self.with(|facts| authorizer::decide(attributes, facts))
    }

    /// Decides over a request; a refusal is the answer to it.
    pub fn allow(&self, attributes: &Attributes) -> Result<(), Status> {
        self.with(|facts| authorizer::allowed(attributes, facts))
            .map_err(|reason| forbidden(attributes, &reason))
    }

    /// Whether a user may do something in the name of a signer of certificates, or of all signers of its domain.
    /// Source: pkg/certauthorization.
    pub fn may_for_signer(&self, user: &User, verb: &str, signer: &str) -> bool {
        let domain = signer.split('/').next().unwrap_or_default();
        let allowed = |name: &str| {
            let attributes = Attributes {
                group: "certificates.k8s.io",
                resource: "signers",
                name,
                ..Attributes::of(user, verb)
            };
            self.decide(&attributes).allowed
        };
        allowed(signer) || allowed(&format!("{domain}/*"))
    }

    /// Lists what a user may do in a namespace.
    pub fn rules_for(&self, user: &User, namespace: &str) -> Rules {
        self.with(|facts| authorizer::rules_for(user, namespace, facts))
    }

    /// Checks that a role or binding gives nobody what its writer does not have.
    pub fn may_grant(&self, grant: &rbac::Grant) -> Result<(), Status> {
        rbac::may_grant(grant, &self.rbac.policy()).map_err(|refusal| match refusal {
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
