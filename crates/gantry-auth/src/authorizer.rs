//! The chain of authorizers: `system:masters`, then the node authorizer, then RBAC. The first that allows decides;
//! a request that none allows is refused.

use crate::{Attributes, MASTERS, node, rbac};
use serde_json::Value;

/// What decisions are made from.
pub struct Facts<'a> {
    /// Roles and bindings.
    pub policy: &'a rbac::Policy,
    /// What is related to which node.
    pub graph: &'a node::References,
}

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

/// Whether a request is allowed; otherwise why not, as far as there is something to say.
pub fn allowed(attributes: &Attributes, facts: &Facts) -> Result<(), String> {
    if attributes.user.in_group(MASTERS) {
        return Ok(());
    }
    let node = node::decide(attributes, facts.graph);
    if node.allowed {
        return Ok(());
    }
    match rbac::granted(attributes, facts.policy) {
        Ok(_) => Ok(()),
        Err(reason) => Err(joined(node.reason, reason)),
    }
}

/// Decides over a request as [`allowed`] does, and says through what it is allowed.
pub fn decide(attributes: &Attributes, facts: &Facts) -> Decision {
    if attributes.user.in_group(MASTERS) {
        return Decision::allow("");
    }
    let node = node::decide(attributes, facts.graph);
    if node.allowed {
        return node;
    }
    let rbac = rbac::decide(attributes, facts.policy);
    match rbac.allowed {
        true => rbac,
        false => Decision::no_opinion(joined(node.reason, rbac.reason)),
    }
}

fn joined(node: String, rbac: String) -> String {
    match (node.is_empty(), rbac.is_empty()) {
        (false, false) => format!("{node}\n{rbac}"),
        _ => node + &rbac,
    }
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

/// Lists what a user may do in `namespace`. Masters are known by the role that is bound to them, as upstream lists them.
pub fn rules_for(user: &crate::User, namespace: &str, facts: &Facts) -> Rules {
    let mut rules = Rules::default();
    if user.node_name().is_some() {
        rules.incomplete = true;
        rules
            .errors
            .push("node authorizer does not support user rule resolution".into());
    }
    rbac::collect_rules(user, namespace, facts.policy, &mut rules);
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NODES, User};
    use serde_json::json;

    #[test]
    fn the_first_that_allows_decides() {
        let mut policy = rbac::Policy::default();
        let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        policy.set(
            rbac::Part::ClusterRole,
            "",
            "reader",
            Some(json!({"rules": [rule.clone()]})),
        );
        for role in ["reader", "gone"] {
            let binding = json!({
                "metadata": {"name": role}, "roleRef": {"kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "Group", "name": "dev"}],
            });
            policy.set(rbac::Part::ClusterRoleBinding, "", role, Some(binding));
        }
        let graph = node::References::default();
        let facts = Facts {
            policy: &policy,
            graph: &graph,
        };
        let missing = "RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found";
        let through =
            "RBAC: allowed by ClusterRoleBinding \"reader\" of ClusterRole \"reader\" to Group \"dev\"";
        let unrelated = "no relationship found between node 'n' and this object";
        let check = |name: &str, groups: &[&str], resource: &str, allowed_: bool, reason: &str| {
            let user = User::new(name, groups);
            let attributes = Attributes {
                resource,
                namespace: "ns",
                name: "x",
                ..Attributes::of(&user, "get")
            };
            let decision = decide(&attributes, &facts);
            assert_eq!(
                (decision.allowed, decision.reason.as_str()),
                (allowed_, reason),
                "{name}"
            );
            let short = allowed(&attributes, &facts);
            assert_eq!(short.err().as_deref(), (!allowed_).then_some(reason), "{name}");
        };
        check("root", &[MASTERS], "nodes", true, "");
        check("ann", &["dev"], "pods", true, through);
        check("ann", &["dev"], "nodes", false, missing);
        check("ann", &[], "pods", false, "");
        check(
            "system:node:n",
            &[NODES],
            "nodes",
            false,
            "node 'n' cannot read 'x', only its own Node object",
        );
        let both = format!("{unrelated}\n{missing}");
        check("system:node:n", &[NODES, "dev"], "secrets", false, &both);
        check("system:node:x", &[NODES], "nodes", true, "");
        let rules = rules_for(&User::new("system:node:n", &[NODES, "dev"]), "ns", &facts);
        assert_eq!(rules.resources, [rule]);
        assert!(rules.incomplete && rules.errors.len() == 2, "{rules:?}");
    }
}
