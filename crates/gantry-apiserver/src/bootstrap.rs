//! What a new cluster carries: its namespaces and its RBAC roles. Each start adds what is missing.

use crate::options::FieldValidation;
use crate::pipeline;
use crate::registry::Registry;
use crate::request::Kinds;
use crate::verbs::stamp;
use gantry_api::status::Status;
use gantry_auth::rbac;
use serde_json::{Value, json};

/// Creates the objects that are missing. `client_ca` is the authority that clients' certificates are checked against.
pub async fn run(registry: &Registry, kinds: &Kinds, client_ca: &str) -> Result<(), Status> {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        ensure(
            registry,
            kinds,
            ("", "v1", "namespaces"),
            json!({"metadata": {"name": name}}),
        )
        .await?;
    }
    let rbac_v1 = |plural| ("rbac.authorization.k8s.io", "v1", plural);
    for role in rbac::bootstrap_cluster_roles() {
        ensure(registry, kinds, rbac_v1("clusterroles"), role).await?;
    }
    for binding in rbac::bootstrap_cluster_role_bindings() {
        ensure(registry, kinds, rbac_v1("clusterrolebindings"), binding).await?;
    }
    // How API servers beside this one learn whom to believe.
    let authentication = json!({
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {"client-ca-file": client_ca},
    });
    ensure(registry, kinds, ("", "v1", "configmaps"), authentication).await
}

async fn ensure(
    registry: &Registry,
    kinds: &Kinds,
    (group, version, plural): (&str, &str, &str),
    object: Value,
) -> Result<(), Status> {
    let kind = kinds
        .get(group, version, plural)
        .ok_or_else(|| Status::internal(format!("{plural}.{group} is needed to start and is not served")))?;
    let mut decoded = pipeline::decode(&kind, object, FieldValidation::Ignore, &mut Vec::new())?;
    stamp(decoded.metadata());
    let validated = decoded.admit_create(&kind).validate(&kind, None)?;
    match registry.create(&kind, &validated).await {
        Err(status) if status.reason != "AlreadyExists" => Err(status),
        _ => Ok(()),
    }
}
