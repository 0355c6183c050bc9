//! The APIServices of the group versions that this server serves itself.
//! Source: k8s.io/kube-aggregator/pkg/controllers/autoregister.

use crate::bootstrap::ensure;
use crate::group_priority;
use crate::registry::{Registry, revision_of};
use crate::request::Kinds;
use futures::future::try_join_all;
use gantry_api::meta;
use gantry_api::status::Status;
use serde_json::{Value, json};

const PLACE: (&str, &str, &str) = ("apiregistration.k8s.io", "v1", "apiservices");
/// Marks what the server made itself.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Makes one for each built-in group version, and removes those of versions that are not served any more.
pub async fn run(registry: &Registry, kinds: &Kinds) -> Result<(), Status> {
    let Some(kind) = kinds.get(PLACE.0, PLACE.1, PLACE.2) else {
        return Ok(());
    };
    let wanted: Vec<Value> = kinds
        .group_versions()
        .iter()
        .filter_map(|(g, v)| service(g, v))
        .collect();
    for stored in registry.all(&kind, &kind.prefix(None)).await? {
        let own = stored["metadata"]["labels"][MANAGED] == "onstart";
        if own && !wanted.iter().any(|w| meta::name(w) == meta::name(&stored)) {
            registry.delete(&kind, &stored, revision_of(&stored)).await?;
        }
    }
    try_join_all(
        wanted
            .into_iter()
            .map(|service| ensure(registry, kinds, PLACE, service, corrected)),
    )
    .await?;
    Ok(())
}

fn service(group: &str, version: &str) -> Option<Value> {
    let (group_priority, version_priority) = group_priority::of(group, version)?;
    let mut spec = json!({
        "version": version, "groupPriorityMinimum": group_priority, "versionPriority": version_priority,
    });
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    let metadata = json!({"name": format!("{version}.{group}"), "labels": {MANAGED: "onstart"}});
    Some(json!({"metadata": metadata, "spec": spec}))
}

/// The stored one with the spec it should have, unless someone has made it their own.
fn corrected(wanted: &Value, stored: &Value) -> Option<Value> {
    let own = stored["metadata"]["labels"][MANAGED] == "onstart";
    if !own || stored["spec"] == wanted["spec"] {
        return None;
    }
    let mut object = stored.clone();
    object["spec"] = wanted["spec"].clone();
    Some(object)
}
