//! The node authorizer: a node may read what its pods need, and write what is its own.
//!
//! Source of the rules: kubernetes/plugin/pkg/auth/authorizer/node.

pub mod graph;

pub use graph::References;

use crate::authorizer::Decision;
use crate::{Attributes, rbac};
use serde_json::Value;
use std::sync::LazyLock;

/// Kinds whose objects a node reaches through its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    /// Pods bound to the node.
    Pod,
    /// Secrets its pods name, and those of its pods' volumes.
    Secret,
    /// ConfigMaps its pods name.
    ConfigMap,
    /// The service accounts its pods run as.
    ServiceAccount,
    /// Claims of its pods' volumes.
    PersistentVolumeClaim,
    /// Volumes bound to those claims.
    PersistentVolume,
    /// Claims of its pods' devices.
    ResourceClaim,
    /// Attachments to the node.
    VolumeAttachment,
    /// Slices the node published.
    ResourceSlice,
    /// Requests for certificates of its pods.
    PodCertificateRequest,
}

/// What is related to which node.
pub trait Graph {
    /// Whether an object is related to a node.
    fn related(&self, node: &str, object: Object, namespace: &str, name: &str) -> bool;
}

static RULES: LazyLock<Vec<Value>> = LazyLock::new(|| rbac::rules_of("system:node"));

/// The namespace of nodes' leases.
const LEASES: &str = "kube-node-lease";

/// Decides over a node's request; has no opinion on anyone else's.
pub fn decide(attributes: &Attributes, graph: &(impl Graph + ?Sized)) -> Decision {
    let Some(node) = attributes.user.node_name() else {
        return Decision::no_opinion("");
    };
    if node.is_empty() {
        return Decision::no_opinion(format!("unknown node for user {:?}", attributes.user.name));
    }
    let refusal = match attributes.path {
        None => by_resource(node, attributes, graph),
        Some(_) => by_rules(attributes),
    };
    match refusal {
        Ok(()) => Decision::allow(""),
        Err(why) => Decision::no_opinion(why),
    }
}

fn by_rules(attributes: &Attributes) -> Result<(), String> {
    match RULES.iter().any(|rule| rbac::rule_allows(rule, attributes)) {
        true => Ok(()),
        false => Err(String::new()),
    }
}

fn by_resource(node: &str, attributes: &Attributes, graph: &(impl Graph + ?Sized)) -> Result<(), String> {
    let get = |object| {
        only(
            attributes.verb == "get",
            "can only get individual resources of this type",
        )?;
        only(attributes.subresource.is_empty(), "cannot get subresource")?;
        related(node, object, attributes, graph)
    };
    let read = |object| {
        let verbs = ["get", "list", "watch"];
        only(
            verbs.contains(&attributes.verb),
            "can only read resources of this type",
        )?;
        only(attributes.subresource.is_empty(), "cannot read subresource")?;
        only(
            !attributes.namespace.is_empty(),
            "can only read namespaced object of this type",
        )?;
        related(node, object, attributes, graph)
    };
    match (attributes.group, attributes.resource) {
        ("", "secrets") => read(Object::Secret),
        ("", "configmaps") => read(Object::ConfigMap),
        ("", "persistentvolumeclaims") if attributes.subresource == "status" => {
            let verbs = ["update", "patch"];
            only(
                verbs.contains(&attributes.verb),
                "can only get/update/patch this type",
            )?;
            related(node, Object::PersistentVolumeClaim, attributes, graph)
        }
        ("", "persistentvolumeclaims") => get(Object::PersistentVolumeClaim),
        ("", "persistentvolumes") => get(Object::PersistentVolume),
        ("resource.k8s.io", "resourceclaims") => get(Object::ResourceClaim),
        ("storage.k8s.io", "volumeattachments") => get(Object::VolumeAttachment),
        ("", "serviceaccounts") if attributes.verb == "get" && attributes.subresource.is_empty() => {
            read(Object::ServiceAccount)
        }
        ("", "serviceaccounts") => {
            only(
                attributes.verb == "create" && !attributes.name.is_empty(),
                "can only create tokens for individual service accounts",
            )?;
            only(
                attributes.subresource == "token",
                "can only create token subresource of serviceaccount",
            )?;
            related(node, Object::ServiceAccount, attributes, graph)
        }
        ("coordination.k8s.io", "leases") => {
            let what = "a node lease";
            only_own(attributes, node, what, "node lease")?;
            only(
                attributes.namespace == LEASES,
                &format!("can only access leases in the {LEASES:?} system namespace"),
            )
        }
        ("storage.k8s.io", "csinodes") => {
            only_own(attributes, node, "a CSINode", "CSINode")?;
            only(
                attributes.subresource.is_empty(),
                "cannot authorize CSINode subresources",
            )
        }
        ("resource.k8s.io", "resourceslices") => slices(node, attributes, graph),
        ("certificates.k8s.io", "podcertificaterequests") => certificate_requests(node, attributes, graph),
        ("", "nodes") => nodes(node, attributes),
        ("", "pods") => pods(node, attributes, graph),
        _ => by_rules(attributes),
    }
}

fn only(allowed: bool, otherwise: &str) -> Result<(), String> {
    allowed.then_some(()).ok_or_else(|| otherwise.to_owned())
}

fn related(
    node: &str,
    object: Object,
    attributes: &Attributes,
    graph: &(impl Graph + ?Sized),
) -> Result<(), String> {
    only(!attributes.name.is_empty(), "No Object name found")?;
    only(
        graph.related(node, object, attributes.namespace, attributes.name),
        &format!("no relationship found between node '{node}' and this object"),
    )
}

/// A node's own object of the node's name; the name is not known yet on create, where NodeRestriction checks it.
fn only_own(attributes: &Attributes, node: &str, one: &str, what: &str) -> Result<(), String> {
    let verbs = ["get", "create", "update", "patch", "delete"];
    only(
        verbs.contains(&attributes.verb),
        &format!("can only get, create, update, patch, or delete {one}"),
    )?;
    only(
        attributes.verb == "create" || attributes.name == node,
        &format!("can only access {what} with the same name as the requesting node"),
    )
}

fn slices(node: &str, attributes: &Attributes, graph: &(impl Graph + ?Sized)) -> Result<(), String> {
    only(
        attributes.subresource.is_empty(),
        "cannot authorize ResourceSlice subresources",
    )?;
    match attributes.verb {
        "create" => Ok(()),
        "get" | "update" | "patch" | "delete" => related(node, Object::ResourceSlice, attributes, graph),
        "watch" | "list" | "deletecollection" => only(
            attributes.selects("spec.nodeName", node),
            "can only list/watch/deletecollection resourceslices with nodeName field selector",
        ),
        _ => Err(
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, \
             delete, deletecollection"
                .to_owned(),
        ),
    }
}

fn certificate_requests(
    node: &str,
    attributes: &Attributes,
    graph: &(impl Graph + ?Sized),
) -> Result<(), String> {
    only(
        attributes.subresource.is_empty(),
        "nodes may not access the status subresource of PodCertificateRequests",
    )?;
    match attributes.verb {
        // NodeRestriction keeps a node to its own pods.
        "create" => Ok(()),
        "get" => related(node, Object::PodCertificateRequest, attributes, graph),
        "list" | "watch" => only(
            attributes.selects("spec.nodeName", node),
            "can only list/watch podcertificaterequests with nodeName field selector",
        ),
        verb => Err(format!("nodes may not {verb} podcertificaterequests")),
    }
}

fn nodes(node: &str, attributes: &Attributes) -> Result<(), String> {
    match (attributes.subresource, attributes.verb) {
        // NodeRestriction keeps a node to its own object.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        ("", "get" | "list" | "watch") if attributes.name == node => Ok(()),
        ("", "get" | "list" | "watch") if attributes.name.is_empty() => Err(format!(
            "node '{node}' cannot read all nodes, only its own Node object"
        )),
        ("", "get" | "list" | "watch") => Err(format!(
            "node '{node}' cannot read '{}', only its own Node object",
            attributes.name
        )),
        _ => Err(String::new()),
    }
}

fn pods(node: &str, attributes: &Attributes, graph: &(impl Graph + ?Sized)) -> Result<(), String> {
    match (attributes.subresource, attributes.verb) {
        ("", "get") => related(node, Object::Pod, attributes, graph),
        ("", "list" | "watch") if attributes.selects("spec.nodeName", node) => Ok(()),
        ("", "list" | "watch") if !attributes.name.is_empty() => {
            related(node, Object::Pod, attributes, graph)
        }
        ("", "list" | "watch") => {
            Err("can only list/watch pods with spec.nodeName field selector".to_owned())
        }
        // NodeRestriction keeps a node to its own pods.
        ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
        _ => Err(String::new()),
    }
}

#[cfg(test)]
mod tests;
