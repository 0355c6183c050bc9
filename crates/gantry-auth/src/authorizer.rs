//! The chain of authorizers: `system:masters`, then the node authorizer, then RBAC. The first that allows decides;
//! a request that none allows is refused.

use crate::{Attributes, MASTERS, node, rbac};
use serde_json::{Value, json};

/// What decisions are made from.
pub trait Facts: rbac::Objects + node::Graph {}

impl<T: rbac::Objects + node::Graph> Facts for T {}

/// Whether a request may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// It may.
    pub allowed: bool,
    /// What led to this, for a person; often empty.
    pub reason: String,
}

impl Decision {
    pub(crate) fn allow(reason: impl Into<String>) -> Self {
        Decision {
            allowed: true,
            reason: reason.into(),
        }
    }

    pub(crate) fn no_opinion(reason: impl Into<String>) -> Self {
        Decision {
            allowed: false,
            reason: reason.into(),
        }
    }
}

/// Decides over a request.
pub fn decide(attributes: &Attributes, facts: &dyn Facts) -> Decision {
    if attributes.user.in_group(MASTERS) {
        return Decision::allow("");
    }
    let node = node::decide(attributes, facts);
    if node.allowed {
        return node;
    }
    let rbac = rbac::decide(attributes, facts);
    if rbac.allowed {
        return rbac;
    }
    let reasons = [node.reason, rbac.reason];
    let reasons: Vec<&str> = reasons
        .iter()
        .map(String::as_str)
        .filter(|r| !r.is_empty())
        .collect();
    Decision::no_opinion(reasons.join("\n"))
}

/// What a user may do in a namespace, as far as it can be listed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Rules over resources.
    pub resources: Vec<Value>,
    /// Rules over paths.
    pub paths: Vec<Value>,
    /// Why the list may lack something; empty when it is whole.
    pub errors: Vec<String>,
    /// Whether it is known to lack something.
    pub incomplete: bool,
}

/// Lists what a user may do in `namespace`.
pub fn rules_for(user: &crate::User, namespace: &str, facts: &dyn Facts) -> Rules {
    let mut rules = Rules::default();
    if user.in_group(MASTERS) {
        rules
            .resources
            .push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        rules
            .paths
            .push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    if user.node_name().is_some() {
        rules.incomplete = true;
        rules
            .errors
            .push("node authorizer does not support user rule resolution".into());
    }
    rbac::collect_rules(user, namespace, facts, &mut rules);
    rules
}
