//! What configMap, secret, downwardAPI and projected volumes hold.

use crate::env::{self, Ips};
use crate::pod::spec;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gantry_api::meta;
use gantry_client::resource::{CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS};
use gantry_client::{Client, Resource};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What is in it.
    pub contents: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
    /// Its owner, if it is not root.
    pub user: Option<u32>,
}

impl File {
    /// A file of root.
    pub fn new(contents: Vec<u8>, mode: u32) -> Self {
        File {
            contents,
            mode,
            user: None,
        }
    }
}

/// Files by their paths.
pub type Files = BTreeMap<String, File>;

const MODE: u64 = 0o644;

/// The entries of a ConfigMap or Secret.
pub fn payload(object: &Value) -> BTreeMap<String, Vec<u8>> {
    let secret = object["kind"] == "Secret";
    let encoded = if secret { "data" } else { "binaryData" };
    let mut all: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (key, value) in object[encoded].as_object().into_iter().flatten() {
        // The API took only what is base64.
        all.insert(
            key.clone(),
            STANDARD.decode(value.as_str().unwrap_or("")).unwrap_or_default(),
        );
    }
    if !secret {
        for (key, value) in object["data"].as_object().into_iter().flatten() {
            all.insert(key.clone(), value.as_str().unwrap_or("").as_bytes().to_vec());
        }
    }
    all
}

/// The files of a volume. `current` reads a file as it stands, so that a token is renewed only when it must be.
pub async fn of(
    client: &Client,
    pod: &Value,
    type_: &str,
    source: &Value,
    ips: &Ips,
    current: &(dyn Fn(&str) -> Option<Vec<u8>> + Sync),
) -> Result<Files, String> {
    let default = source["defaultMode"].as_u64().unwrap_or(MODE);
    let mut files = Files::new();
    if type_ != "projected" {
        let name = if type_ == "secret" {
            &source["secretName"]
        } else {
            &source["name"]
        };
        add(client, pod, type_, source, name, default, ips, &mut files).await?;
        return Ok(files);
    }
    for part in source["sources"].as_array().into_iter().flatten() {
        for type_ in ["configMap", "secret", "downwardAPI"] {
            if part[type_].is_object() {
                let name = &part[type_]["name"];
                add(client, pod, type_, &part[type_], name, default, ips, &mut files).await?;
            }
        }
        let token = &part["serviceAccountToken"];
        if token.is_object() {
            let path = token["path"].as_str().unwrap_or("token").to_string();
            let contents = match current(&path).filter(|t| fresh(t)) {
                Some(contents) => contents,
                None => request_token(client, pod, token).await?,
            };
            // Only the pod's user, and its group, if there are such.
            let user = user(pod);
            let group = &pod["spec"]["securityContext"]["fsGroup"];
            let mode = match user.is_some() || !group.is_null() {
                true => 0o600,
                false => default as u32,
            };
            files.insert(path, File { contents, mode, user });
        }
    }
    Ok(files)
}

#[expect(
    clippy::too_many_arguments,
    reason = "one place reads all that a source may need"
)]
async fn add(
    client: &Client,
    pod: &Value,
    type_: &str,
    source: &Value,
    name: &Value,
    default: u64,
    ips: &Ips,
    files: &mut Files,
) -> Result<(), String> {
    let mode = |item: &Value| item["mode"].as_u64().unwrap_or(default) as u32;
    let path = |item: &Value| item["path"].as_str().unwrap_or("").to_string();
    if type_ == "downwardAPI" {
        for item in source["items"].as_array().into_iter().flatten() {
            let text = match item["fieldRef"]["fieldPath"].as_str() {
                Some(field) => env::field(pod, field, ips),
                None => env::resource(pod, &Value::Null, &item["resourceFieldRef"], &Value::Null),
            };
            files.insert(
                path(item),
                File::new(text.map_err(|e| e.to_string())?.into_bytes(), mode(item)),
            );
        }
        return Ok(());
    }
    let resource: &Resource = if type_ == "secret" { &SECRETS } else { &CONFIG_MAPS };
    let optional = source["optional"] == true;
    let name = name.as_str().unwrap_or("");
    let object = match client.get(resource, meta::namespace(pod), name).await {
        Ok(object) => object,
        Err(error) if error.is_not_found() && optional => return Ok(()),
        Err(error) if error.is_not_found() => {
            return Err(format!("{} \"{name}\" not found", resource.kind.to_lowercase()));
        }
        Err(error) => return Err(error.to_string()),
    };
    let mut data = payload(&object);
    let Some(items) = source["items"].as_array().filter(|i| !i.is_empty()) else {
        files.extend(
            data.into_iter()
                .map(|(key, value)| (key, File::new(value, default as u32))),
        );
        return Ok(());
    };
    for item in items {
        let key = item["key"].as_str().unwrap_or("");
        match data.remove(key) {
            Some(value) => {
                files.insert(path(item), File::new(value, mode(item)));
            }
            None if optional => {}
            None => {
                return Err(format!(
                    "references non-existent {} key: {key}",
                    resource.kind.to_lowercase()
                ));
            }
        }
    }
    Ok(())
}

/// The user that all containers of a pod run as; `None` if one does not say, or they differ.
fn user(pod: &Value) -> Option<u32> {
    let whole = &pod["spec"]["securityContext"]["runAsUser"];
    let mut users = spec::all_containers(pod).map(|container| {
        let own = container["securityContext"]["runAsUser"].as_u64();
        own.or(whole.as_u64()).and_then(|u| u32::try_from(u).ok())
    });
    let first = users.next()??;
    users.all(|u| u == Some(first)).then_some(first)
}

/// Whether a token has at least a fifth of its life left.
fn fresh(token: &[u8]) -> bool {
    let claims = std::str::from_utf8(token)
        .ok()
        .and_then(|t| t.split('.').nth(1))
        .and_then(|c| URL_SAFE_NO_PAD.decode(c).ok())
        .and_then(|c| serde_json::from_slice::<Value>(&c).ok())
        .unwrap_or_default();
    let (Some(from), Some(to)) = (claims["iat"].as_u64(), claims["exp"].as_u64()) else {
        return false;
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    now < from + to.saturating_sub(from) * 4 / 5
}

async fn request_token(client: &Client, pod: &Value, source: &Value) -> Result<Vec<u8>, String> {
    let audiences: Vec<&str> = source["audience"]
        .as_str()
        .filter(|a| !a.is_empty())
        .into_iter()
        .collect();
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {
            "audiences": audiences, "expirationSeconds": source["expirationSeconds"].as_i64().unwrap_or(3600),
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta::name(pod), "uid": meta::text(pod, "uid")},
        },
    });
    let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or("default");
    let answer = client
        .create_subresource(
            &SERVICE_ACCOUNTS,
            meta::namespace(pod),
            account,
            "token",
            &request,
        )
        .await
        .map_err(|e| format!("failed to fetch token: {e}"))?;
    match answer["status"]["token"].as_str() {
        Some(token) => Ok(token.as_bytes().to_vec()),
        None => Err("failed to fetch token: the answer holds none".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let secret = json!({"kind": "Secret", "data": {"a": "YQ=="}});
        assert_eq!(payload(&secret)["a"], b"a");
        let map = json!({"kind": "ConfigMap", "data": {"a": "x"}, "binaryData": {"b": "AAE="}});
        assert_eq!(
            (payload(&map)["a"].as_slice(), payload(&map)["b"].as_slice()),
            (&b"x"[..], &[0, 1][..])
        );
    }

    #[test]
    fn users() {
        let check = |whole: Value, own: &[Value], expected: Option<u32>| {
            let containers: Vec<Value> = own
                .iter()
                .map(|u| json!({"securityContext": {"runAsUser": u}}))
                .collect();
            let pod = json!({"spec": {"securityContext": {"runAsUser": whole}, "containers": containers}});
            assert_eq!(user(&pod), expected, "{pod}");
        };
        check(Value::Null, &[Value::Null], None);
        check(json!(5), &[Value::Null, Value::Null], Some(5));
        check(json!(5), &[Value::Null, json!(6)], None);
        check(Value::Null, &[json!(6), json!(6)], Some(6));
        check(Value::Null, &[json!(6), Value::Null], None);
    }

    #[test]
    fn tokens_are_renewed_in_time() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let check = |from: u64, to: u64, expected: bool| {
            let claims = URL_SAFE_NO_PAD.encode(json!({"iat": from, "exp": to}).to_string());
            assert_eq!(fresh(format!("h.{claims}.s").as_bytes()), expected);
        };
        check(now - 10, now + 3600, true);
        check(now - 3000, now + 600, false);
        assert!(!fresh(b"nonsense"));
    }
}
