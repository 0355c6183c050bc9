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
    let is_new = lease.is_none();
    let mut lease = lease.unwrap_or_else(|| json!({"metadata": {"name": node, "namespace": NAMESPACE}}));
    lease["spec"] = json!({"holderIdentity": node, "leaseDurationSeconds": HOLDS, "renewTime": now()});
    // The lease goes when the node does, which may not be there yet when it is first made.
    if lease["metadata"].get("ownerReferences").is_none()
        && let Ok(object) = client.get(&NODES, "", node).await
    {
        lease["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Node", "name": node,
            "uid": object["metadata"]["uid"]}]);
    }
    match is_new {
        true => client.create(&LEASES, &lease).await,
        false => client.update(&LEASES, &lease).await,
    }
}

/// Now, to the microsecond.
fn now() -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    OffsetDateTime::now_utc().format(&format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use bytes::Bytes;
    use gantry_client::{Body, Transport, TransportError};
    use http::{Method, Request, Response};
    use http_body_util::{BodyExt, Full};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Leases are what was sent last; a node comes later.
    #[derive(Default)]
    struct Api {
        has_node: AtomicBool,
    }

    #[async_trait]
    impl Transport for Api {
        async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
            let is_node = request.uri().path().contains("/nodes/");
            let (code, body) = match *request.method() {
                Method::GET if is_node && self.has_node.load(Ordering::SeqCst) => (
                    200,
                    json!({"metadata": {"name": "n", "uid": "u"}}).to_string().into(),
                ),
                Method::GET => (
                    404,
                    json!({"kind": "Status", "code": 404, "reason": "NotFound"})
                        .to_string()
                        .into(),
                ),
                _ => (200, request.into_body()),
            };
            let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
            Ok(Response::builder().status(code).body(body).expect("a response"))
        }
    }

    #[tokio::test]
    async fn a_lease_gets_its_owner_in_time() {
        let api = Arc::new(Api::default());
        let client = Client::new(api.clone(), "test");
        let lease = renew(&client, "n", None).await.unwrap();
        assert_eq!(lease["metadata"].get("ownerReferences"), None);
        api.has_node.store(true, Ordering::SeqCst);
        let owned = renew(&client, "n", Some(lease)).await.unwrap();
        let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]);
        assert_eq!(owned["metadata"]["ownerReferences"], owner);
        assert_eq!(owned["spec"]["holderIdentity"], "n");
        let first = renew(&client, "n", None).await.unwrap();
        assert_eq!(first["metadata"]["ownerReferences"], owner);
    }
}
