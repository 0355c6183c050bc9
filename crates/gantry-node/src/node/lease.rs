//! The node's lease: its sign of life.

use gantry_client::resource::{LEASES, NODES};
use gantry_client::{Client, Error};
use serde_json::{Value, json};
use std::time::Duration;
use time::OffsetDateTime;
use time::macros::format_description;

const NAMESPACE: &str = "kube-node-lease";
/// How often it is renewed, and how long it holds.
const RENEW: Duration = Duration::from_secs(10);
const HOLDS: u32 = 40;
/// The pauses after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(7);

/// Renews the lease for as long as it runs.
pub async fn keep(client: Client, node: String) {
    let mut pause = FIRST_PAUSE;
    let mut held = None;
    loop {
        match renew(&client, &node, held.take()).await {
            Ok(lease) => {
                held = Some(lease);
                pause = FIRST_PAUSE;
                tokio::time::sleep(RENEW).await;
            }
            Err(error) => {
                tracing::debug!("the lease of node {node} cannot be renewed: {error}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn renew(client: &Client, node: &str, held: Option<Value>) -> Result<Value, Error> {
    let lease = match held {
        Some(lease) => Some(lease),
        None => match client.get(&LEASES, NAMESPACE, node).await {
            Ok(lease) => Some(lease),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        },
    };
    let spec = json!({"holderIdentity": node, "leaseDurationSeconds": HOLDS, "renewTime": now()});
    if let Some(mut lease) = lease {
        lease["spec"] = spec;
        return client.update(&LEASES, &lease).await;
    }
    let mut lease = json!({"metadata": {"name": node, "namespace": NAMESPACE}, "spec": spec});
    // The lease goes when the node does.
    if let Ok(object) = client.get(&NODES, "", node).await {
        lease["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Node", "name": node,
            "uid": object["metadata"]["uid"]}]);
    }
    client.create(&LEASES, &lease).await
}

/// Now, to the microsecond.
fn now() -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    OffsetDateTime::now_utc().format(&format).unwrap_or_default()
}
