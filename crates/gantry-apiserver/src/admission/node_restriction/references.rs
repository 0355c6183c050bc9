//! What pods refer to in the API: those that nodes make themselves refer to nothing.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What of the API a pod refers to, if anything.
pub fn of(pod: &Value) -> Result<Option<&'static str>, String> {
    let spec = &pod["spec"];
    let some = |list: &Value| list.as_array().is_some_and(|l| !l.is_empty());
    if spec["serviceAccountName"].as_str().is_some_and(|n| !n.is_empty()) {
        return Ok(Some("serviceaccounts"));
    }
    let mut named = BTreeSet::new();
    let mut without_volumes = pod.clone();
    without_volumes["spec"]["volumes"] = Value::Null;
    gantry_auth::node::graph::references(&without_volumes, &mut |object, name| {
        if name.is_string() {
            named.insert(object);
        }
    });
    if named.contains(&gantry_auth::node::Object::Secret) {
        return Ok(Some("secrets"));
    }
    if named.contains(&gantry_auth::node::Object::ConfigMap) {
        return Ok(Some("configmaps"));
    }
    if some(&spec["resourceClaims"]) {
        return Ok(Some("resourceclaims"));
    }
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        if let Some(what) = volume_reference(volume)? {
            return Ok(Some(what));
        }
    }
    Ok(None)
}

fn volume_reference(volume: &Value) -> Result<Option<&'static str>, String> {
    let name = volume["name"].as_str().unwrap_or_default();
    let source = volume
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .find(|k| *k != "name");
    let unknown = || format!("unknown volume type for volume  {name:?}");
    Ok(match source.map(String::as_str).ok_or_else(unknown)? {
        "configMap" => Some("configmaps (via configmap volumes)"),
        "secret" => Some("secrets (via secret volumes)"),
        "csi" => Some("csidrivers (via CSI volumes)"),
        "glusterfs" => Some("endpoints (via glusterFS volumes)"),
        "persistentVolumeClaim" => Some("persistentvolumeclaims"),
        "ephemeral" => Some("persistentvolumeclaims (via ephemeral volumes)"),
        "azureFile" => Some("secrets (via azureFile volumes)"),
        "projected" => {
            for source in volume["projected"]["sources"].as_array().into_iter().flatten() {
                let kind = source
                    .as_object()
                    .and_then(|s| s.keys().next())
                    .map(String::as_str);
                match kind {
                    Some("configMap") => return Ok(Some("configmaps (via projected volumes)")),
                    Some("secret") => return Ok(Some("secrets (via projected volumes)")),
                    Some("serviceAccountToken") => {
                        return Ok(Some("serviceaccounts (via projected volumes)"));
                    }
                    Some("clusterTrustBundle") => return Ok(Some("clustertrustbundles")),
                    Some("podCertificate") => return Ok(Some("podcertificates")),
                    Some("downwardAPI") => {}
                    _ => return Err(format!("unknown source for projected volume {name:?}")),
                }
            }
            None
        }
        "awsElasticBlockStore"
        | "azureDisk"
        | "cephfs"
        | "cinder"
        | "downwardAPI"
        | "emptyDir"
        | "fc"
        | "flexVolume"
        | "flocker"
        | "gcePersistentDisk"
        | "gitRepo"
        | "hostPath"
        | "image"
        | "iscsi"
        | "nfs"
        | "photonPersistentDisk"
        | "portworxVolume"
        | "quobyte"
        | "rbd"
        | "scaleIO"
        | "storageos"
        | "vsphereVolume" => None,
        _ => return Err(unknown()),
    })
}
