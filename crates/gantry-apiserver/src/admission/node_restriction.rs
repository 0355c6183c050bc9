//! NodeRestriction: a node writes only what is its own. The node authorizer has let the request through by kind;
//! this looks at the objects.
//!
//! Source of the rules and their wording: kubernetes/plugin/pkg/admission/noderestriction.

mod references;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gantry_api::features::{Feature, enabled};
use gantry_api::kind::Kind;
use gantry_api::status::Status;
use gantry_api::{meta, x509};
use gantry_auth::User;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const LEASES: &str = "kube-node-lease";
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Labels of the kubernetes.io and k8s.io namespaces that a node may set on itself.
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

/// A write, as NodeRestriction sees it.
pub struct Write<'a> {
    /// Who writes.
    pub user: &'a User,
    /// `create`, `update`, `patch` or `delete`.
    pub verb: &'a str,
    /// The kind of the path.
    pub kind: &'a Kind,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// The namespace, or empty.
    pub namespace: &'a str,
    /// The object to be stored, or the body of a subresource.
    pub new: Option<&'a Value>,
    /// The object that stands now.
    pub old: Option<&'a Value>,
    /// What the write leans on: the Node of a pod's owner reference, or the pod a token is bound to.
    pub related: Option<&'a Value>,
}

/// Whether a write needs [`Write::related`], and which object it is: resource, namespace and name.
pub fn leans_on(write: &Write) -> Option<(&'static str, Option<String>, String)> {
    let node = write.user.node_name()?;
    match (write.kind.plural.as_str(), write.subresource, write.verb) {
        ("pods", "", "create") => Some(("nodes", None, node.to_owned())),
        ("serviceaccounts", "token", "create") => {
            let name = write.new?["spec"]["boundObjectRef"]["name"].as_str()?;
            Some(("pods", Some(write.namespace.to_owned()), name.to_owned()))
        }
        _ => None,
    }
}

/// Checks a write. Anyone but a node is let through.
pub fn check(write: &Write) -> Result<(), Status> {
    let Some(node) = write.user.node_name() else {
        return Ok(());
    };
    let result = match node {
        "" => Err(format!(
            "could not determine node from user {:?}",
            write.user.name
        )),
        _ => by_kind(node, write),
    };
    result.map_err(|why| Status::forbidden(&write.kind.group, &write.kind.plural, write.name, &why))
}

type Verdict = Result<(), String>;

fn by_kind(node: &str, write: &Write) -> Verdict {
    match (
        write.kind.group.as_str(),
        write.kind.plural.as_str(),
        write.subresource,
    ) {
        ("", "pods", "") => pod(node, write),
        ("", "pods", "status") => pod_status(node, write),
        ("", "pods", "eviction") => only(node_of(write.old) == node, || {
            format!("node {node} can only evict pods with spec.nodeName set to itself")
        }),
        ("", "pods", other) => Err(format!(
            "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
        )),
        ("", "nodes", _) => own_node(node, write),
        ("", "persistentvolumeclaims", "status") => claim_status(node, write),
        ("", "persistentvolumeclaims", _) => Err("may only update PVC status".into()),
        ("", "serviceaccounts", "token") if write.verb == "create" => token(node, write),
        ("coordination.k8s.io", "leases", _) => {
            only(write.namespace == LEASES, || {
                format!("can only access leases in the {LEASES:?} system namespace")
            })?;
            only(write.name == node, || {
                "can only access node lease with the same name as the requesting node".into()
            })
        }
        ("storage.k8s.io", "csinodes", _) => only(write.name == node, || {
            "can only access CSINode with the same name as the requesting node".into()
        }),
        ("certificates.k8s.io", "certificatesigningrequests", "") if write.verb == "create" => {
            certificate_request(node, write)
        }
        ("resource.k8s.io", "resourceslices", _) => {
            let (object, verb) = match write.verb {
                "create" => (write.new, "create"),
                "delete" => (write.old, "delete"),
                _ => return Ok(()),
            };
            only(node_of(object) == node, || {
                format!("can only {verb} ResourceSlice with the same NodeName as the requesting node")
            })
        }
        _ => Ok(()),
    }
}

fn only(allowed: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    allowed.then_some(()).ok_or_else(otherwise)
}

fn node_of(object: Option<&Value>) -> &str {
    object
        .and_then(|o| o["spec"]["nodeName"].as_str())
        .unwrap_or_default()
}

fn pod(node: &str, write: &Write) -> Verdict {
    match (write.verb, write.new) {
        ("create", Some(pod)) => mirror_pod(node, pod, write.related),
        ("delete", _) => only(node_of(write.old) == node, || {
            format!("node {node:?} can only delete pods with spec.nodeName set to itself")
        }),
        (verb, _) => Err(format!(
            "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
            verb.to_uppercase()
        )),
    }
}

fn mirror_pod(node: &str, pod: &Value, own: Option<&Value>) -> Verdict {
    only(pod["metadata"]["annotations"][MIRROR].is_string(), || {
        format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods")
    })?;
    only(node_of(Some(pod)) == node, || {
        format!("node {node:?} can only create pods with spec.nodeName set to itself")
    })?;
    let owners = pod["metadata"]["ownerReferences"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let owner = match owners {
        [owner] if owner["apiVersion"] == "v1" && owner["kind"] == "Node" && owner["name"] == node => owner,
        [_, _, ..] => {
            return Err(format!(
                "node {node:?} can only create pods with a single owner reference set to itself"
            ));
        }
        _ => {
            return Err(format!(
                "node {node:?} can only create pods with an owner reference set to itself"
            ));
        }
    };
    only(owner["controller"] == true, || {
        format!("node {node:?} can only create pods with a controller owner reference set to itself")
    })?;
    only(owner["blockOwnerDeletion"] != true, || {
        format!("node {node:?} must not set blockOwnerDeletion on an owner reference")
    })?;
    let own = own.ok_or_else(|| format!("node {node:?} does not exist"))?;
    let (named, found) = (owner["uid"].as_str().unwrap_or_default(), meta::text(own, "uid"));
    only(named == found, || {
        format!("node {node} UID mismatch: expected {named} got {found}")
    })?;
    match references::of(pod)? {
        Some(what) => Err(format!("node {node:?} can not create pods that reference {what}")),
        None => Ok(()),
    }
}

fn pod_status(node: &str, write: &Write) -> Verdict {
    let (Some(new), Some(old)) = (write.new, write.old) else {
        return Err(format!("unexpected operation {:?}", write.verb.to_uppercase()));
    };
    only(node_of(Some(old)) == node, || {
        format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself")
    })?;
    let labels = |pod: &Value| pod["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    only(labels(new) == labels(old), || {
        format!("node {node:?} cannot update labels through pod status")
    })?;
    let same = |field: &str| new["status"][field] == old["status"][field];
    only(same("resourceClaimStatuses"), || {
        format!("node {node:?} cannot update resource claim statues")
    })?;
    only(same("extendedResourceClaimStatus"), || {
        format!("node {node:?} cannot update extended resource claim status")
    })
}

fn own_node(node: &str, write: &Write) -> Verdict {
    only(write.name == node, || {
        format!("node {node:?} is not allowed to modify node {:?}", write.name)
    })?;
    let Some(new) = write.new else { return Ok(()) };
    let source = &new["spec"]["configSource"];
    let Some(old) = write.old else {
        only(source.is_null(), || {
            format!("node {node:?} is not allowed to create pods with a non-nil configSource")
        })?;
        let labels = forbidden_labels(new, &Value::Null);
        return only(labels.is_empty(), || {
            format!(
                "node {node:?} is not allowed to set the following labels: {}",
                labels.join(", ")
            )
        });
    };
    only(source.is_null() || *source == old["spec"]["configSource"], || {
        format!("node {node:?} is not allowed to update configSource to a new non-nil configSource")
    })?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    only(
        list(&new["spec"]["taints"]) == list(&old["spec"]["taints"]),
        || format!("node {node:?} is not allowed to modify taints"),
    )?;
    let owners = |object: &Value| list(&object["metadata"]["ownerReferences"]);
    only(owners(new) == owners(old), || {
        format!("node {node:?} is not allowed to modify ownerReferences")
    })?;
    let labels = forbidden_labels(new, old);
    only(labels.is_empty(), || {
        format!("is not allowed to modify labels: {}", labels.join(", "))
    })
}

/// The labels that are different and that a node may not touch, in order.
fn forbidden_labels<'a>(new: &'a Value, old: &'a Value) -> Vec<&'a str> {
    let labels = |object: &'a Value| object["metadata"]["labels"].as_object();
    let (new, old) = (labels(new), labels(old));
    let keys: BTreeSet<&str> = [new, old]
        .into_iter()
        .flatten()
        .flat_map(Map::keys)
        .map(String::as_str)
        .collect();
    let value = |map: Option<&'a Map<String, Value>>, key: &str| map.and_then(|m| m.get(key));
    keys.into_iter()
        .filter(|key| value(new, key) != value(old, key))
        .filter(|key| !may_label(key))
        .collect()
}

fn may_label(key: &str) -> bool {
    let namespace = key.split_once('/').map_or("", |(namespace, _)| namespace);
    let within = |domain: &str| {
        namespace == domain
            || namespace
                .strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    if within("node-restriction.kubernetes.io") {
        return false;
    }
    if !within("kubernetes.io") && !within("k8s.io") {
        return true;
    }
    OWN_LABELS.contains(&key) || within("kubelet.kubernetes.io") || within("node.kubernetes.io")
}

fn claim_status(node: &str, write: &Write) -> Verdict {
    let (Some(new), Some(old)) = (write.new, write.old) else {
        return Err(format!("unexpected operation {:?}", write.verb.to_uppercase()));
    };
    let rest = |claim: &Value| {
        let mut claim = claim.clone();
        let drop = |part: &mut Value, fields: &[&str]| {
            if let Some(map) = part.as_object_mut() {
                fields.iter().for_each(|f| {
                    map.remove(*f);
                });
            }
        };
        drop(&mut claim["metadata"], &["resourceVersion", "managedFields"]);
        let open = [
            "capacity",
            "conditions",
            "allocatedResourceStatuses",
            "allocatedResources",
        ];
        drop(&mut claim["status"], &open);
        claim
    };
    only(rest(new) == rest(old), || {
        format!(
            "node {node:?} is not allowed to update fields other than status.quantity and status.conditions"
        )
    })
}

/// A node asks for certificates of nodes in its own name alone.
fn certificate_request(node: &str, write: &Write) -> Verdict {
    let spec = &write.new.unwrap_or(&Value::Null)["spec"];
    let signers = [
        "kubernetes.io/kubelet-serving",
        "kubernetes.io/kube-apiserver-client-kubelet",
    ];
    if enabled(Feature::AllowInsecureKubeletCertificateSigningRequests)
        || !signers.iter().any(|signer| spec["signerName"] == *signer)
    {
        return Ok(());
    }
    let pem = STANDARD.decode(spec["request"].as_str().unwrap_or_default());
    let request = x509::Request::parse(&pem.unwrap_or_default());
    let request = request.map_err(|why| format!("unable to parse csr: {why}"))?;
    only(request.common_name == format!("system:node:{node}"), || {
        format!("can only create a node CSR with CN=system:node:{node}")
    })
}

fn token(node: &str, write: &Write) -> Verdict {
    let reference = &write.new.unwrap_or(&Value::Null)["spec"]["boundObjectRef"];
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    only(
        text("apiVersion") == "v1" && text("kind") == "Pod" && !text("name").is_empty(),
        || "node requested token not bound to a pod".into(),
    )?;
    only(!text("uid").is_empty(), || {
        "node requested token with a pod binding without a uid".into()
    })?;
    let pod = write
        .related
        .ok_or_else(|| format!("pod {:?} not found", text("name")))?;
    only(text("uid") == meta::text(pod, "uid"), || {
        format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have \
             been deleted and then recreated",
            text("uid")
        )
    })?;
    only(node_of(Some(pod)) == node, || {
        "node requested token bound to a pod scheduled on a different node".into()
    })?;
    audience(write, pod)
}

/// A node asks only for the audiences that the pod's volumes name; none stands for the API server's.
fn audience(write: &Write, pod: &Value) -> Verdict {
    let audiences = write.new.and_then(|n| n["spec"]["audiences"].as_array());
    let wanted = match audiences.map(Vec::as_slice) {
        None | Some([]) => "",
        Some([one]) => one.as_str().unwrap_or_default(),
        Some(_) => return Err("node may only request 0 or 1 audiences".into()),
    };
    let named = pod["spec"]["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|volume| {
            volume["projected"]["sources"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|source| {
                    let token = &source["serviceAccountToken"];
                    token.is_object() && token["audience"].as_str().unwrap_or_default() == wanted
                })
        });
    only(named, || {
        format!(
            "audience {wanted:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
            write.user.name
        )
    })
}

#[cfg(test)]
mod tests;
