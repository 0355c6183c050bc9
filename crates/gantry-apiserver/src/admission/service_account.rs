//! ServiceAccount: every pod runs as one, and gets its token. Source: plugin/pkg/admission/serviceaccount.

use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_api::status::Status;
use rand::Rng;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const MIRROR: &str = "kubernetes.io/config.mirror";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Upstream's lifetime of tokens that pods get without asking: an hour and seven seconds, by which they can be told.
const TOKEN_SECONDS: i64 = 3607;
/// The default account is made by a controller; a pod in a new namespace may come before it.
const WAITS: u32 = 50;
const WAIT: Duration = Duration::from_millis(50);

pub struct ServiceAccount;

#[async_trait]
impl Plugin for ServiceAccount {
    fn concerns(&self, request: &Request<'_>) -> bool {
        request.creates("", "pods")
    }

    async fn admit(&self, request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
        if object["metadata"]["annotations"].get(MIRROR).is_some() {
            return mirror(object).map_err(|why| request.forbidden(meta::name(object), why));
        }
        if object["spec"]["serviceAccountName"]
            .as_str()
            .unwrap_or("")
            .is_empty()
        {
            object["spec"]["serviceAccountName"] = "default".into();
        }
        object["spec"]["serviceAccount"] = object["spec"]["serviceAccountName"].clone();
        let name = object["spec"]["serviceAccountName"]
            .as_str()
            .unwrap_or("")
            .to_string();
        let account = match find(request, &name).await {
            Ok(account) => account,
            Err(status) if status.code == 404 => {
                let namespace = request.namespace;
                let why = format!(
                    "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
                );
                return Err(request.forbidden(meta::name(object), &why));
            }
            Err(status) => return Err(status),
        };
        let wants = |of: &Value| of["automountServiceAccountToken"].as_bool();
        if wants(&object["spec"]).or(wants(&account)).unwrap_or(true) {
            mount_token(&mut object["spec"], &suffix());
        }
        let none = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
        if none(&object["spec"]["imagePullSecrets"]) && !none(&account["imagePullSecrets"]) {
            object["spec"]["imagePullSecrets"] = account["imagePullSecrets"].clone();
        }
        Ok(())
    }
}

/// What a mirror pod may not have, for nobody has checked that its node may use it.
fn mirror(pod: &Value) -> Result<(), &'static str> {
    if !pod["spec"]["serviceAccountName"]
        .as_str()
        .unwrap_or("")
        .is_empty()
    {
        return Err("a mirror pod may not reference service accounts");
    }
    if pod["spec"].to_string().contains("\"secret") {
        return Err("a mirror pod may not reference secrets");
    }
    if pod["spec"]["volumes"]
        .to_string()
        .contains("\"serviceAccountToken\"")
    {
        return Err("a mirror pod may not use ServiceAccountToken volume projections");
    }
    Ok(())
}

async fn find(request: &Request<'_>, name: &str) -> Result<Arc<Value>, Status> {
    let missing = || Status::not_found("", "serviceaccounts", name);
    let kind = request
        .api
        .kinds
        .get("", "v1", "serviceaccounts")
        .ok_or_else(missing)?;
    for _ in 0..WAITS {
        match request
            .api
            .registry
            .look_up(&kind, Some(request.namespace), name)
            .await
        {
            Err(status) if status.code == 404 && name == "default" => tokio::time::sleep(WAIT).await,
            other => return other,
        }
    }
    Err(missing())
}

fn suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rng = rand::rng();
    (0..5)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect()
}

/// Mounts a token into every container that has nothing else in its place.
fn mount_token(spec: &mut Value, suffix: &str) {
    let volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
    let own = |v: &&Value| {
        v["name"]
            .as_str()
            .is_some_and(|n| n.starts_with("kube-api-access-"))
    };
    let existing = volumes.iter().find(own).map(|v| v["name"].clone());
    let name = existing
        .clone()
        .unwrap_or_else(|| format!("kube-api-access-{suffix}").into());
    let mut needed = false;
    for list in ["initContainers", "containers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let mut mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
            if !mounts.iter().any(|m| m["mountPath"] == MOUNT_PATH) {
                mounts.push(json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH}));
                container["volumeMounts"] = mounts.into();
                needed = true;
            }
        }
    }
    if !needed || existing.is_some() {
        return;
    }
    let mut volumes = volumes;
    volumes.push(
        json!({"name": name, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}),
    );
    spec["volumes"] = volumes.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_mounted_where_nothing_else_is() {
        let mut spec = json!({"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [
            {"name": "mine", "mountPath": MOUNT_PATH}]}]});
        mount_token(&mut spec, "x");
        assert_eq!(spec["volumes"].as_array().unwrap().len(), 1);
        assert_eq!(
            spec["containers"][0]["volumeMounts"][0]["name"],
            "kube-api-access-x"
        );
        assert_eq!(spec["containers"][1]["volumeMounts"].as_array().unwrap().len(), 1);
        let once = spec.clone();
        mount_token(&mut spec, "y");
        assert_eq!(spec, once);
    }

    #[test]
    fn mirror_pods() {
        let check = |spec: Value, ok: bool| assert_eq!(mirror(&json!({"spec": spec})).is_ok(), ok);
        check(json!({"volumes": [{"hostPath": {"path": "/"}}]}), true);
        check(json!({"serviceAccountName": "a"}), false);
        check(json!({"volumes": [{"secret": {"secretName": "a"}}]}), false);
    }
}
