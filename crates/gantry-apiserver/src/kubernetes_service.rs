//! The Service `default/kubernetes`, by which pods reach this server. Source: pkg/controlplane/controller/kubernetesservice.

use crate::local::Local;
use bytes::Bytes;
use gantry_api::status::Status;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// How often it is looked whether all is there.
const PERIOD: Duration = Duration::from_secs(10);

/// One of the objects.
struct Part {
    path: &'static str,
    object: Value,
    /// What this server brings up to date when it starts.
    own: &'static [&'static str],
}

/// Makes the Service at `address`, and its endpoints, which lead to this server at `advertise`. They are made again when
/// somebody removes them.
pub async fn keep(local: Local, address: Ipv4Addr, advertise: (IpAddr, u16)) -> Result<(), Status> {
    let parts = parts(address, advertise);
    for part in &parts {
        write(&local, part, true).await?;
    }
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PERIOD).await;
            for part in &parts {
                // What is there may lead to another server of the cluster.
                if let Err(status) = write(&local, part, false).await {
                    tracing::warn!("default/kubernetes is looked at again later: {}", status.message);
                }
            }
        }
    });
    Ok(())
}

fn parts(address: Ipv4Addr, (ip, port): (IpAddr, u16)) -> Vec<Part> {
    let service = Part {
        path: "/api/v1/namespaces/default/services",
        object: json!({
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "type": "ClusterIP", "clusterIP": address, "sessionAffinity": "None",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
            },
        }),
        own: &[],
    };
    // Loopback means another machine to everyone else, and the API refuses it.
    if ip.is_loopback() {
        return vec![service];
    }
    let ports = json!([{"name": "https", "port": port, "protocol": "TCP"}]);
    let endpoints = Part {
        path: "/api/v1/namespaces/default/endpoints",
        object: json!({
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
            },
            "subsets": [{"addresses": [{"ip": ip}], "ports": ports}],
        }),
        own: &["subsets"],
    };
    let slice = Part {
        path: "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        object: json!({
            "metadata": {
                "name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}],
            "ports": ports,
        }),
        own: &["endpoints", "ports"],
    };
    vec![service, endpoints, slice]
}

/// Creates an object, or brings the one that is there up to date.
async fn write(local: &Local, part: &Part, update: bool) -> Result<(), Status> {
    let one = format!("{}/kubernetes", part.path);
    match call(local, Method::GET, &one, None).await? {
        (404, _) => expect(call(local, Method::POST, part.path, Some(&part.object)).await?),
        (200, mut stored) => {
            let before = stored.clone();
            for field in part.own.iter().filter(|_| update) {
                stored[*field] = part.object[*field].clone();
            }
            if stored == before {
                return Ok(());
            }
            expect(call(local, Method::PUT, &one, Some(&stored)).await?)
        }
        other => expect(other),
    }
}

fn expect((code, answer): (u16, Value)) -> Result<(), Status> {
    match code {
        // Another server of the cluster was faster.
        200 | 201 | 409 => Ok(()),
        _ => Err(Status::internal(
            answer["message"].as_str().unwrap_or("no message"),
        )),
    }
}

async fn call(
    local: &Local,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<(u16, Value), Status> {
    let body = body.map_or_else(Bytes::new, |b| b.to_string().into());
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header("user-agent", "kube-apiserver")
        .body(body)
        .map_err(Status::internal)?;
    let response = local.send(request).await;
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(Status::internal)?;
    let body = body.to_bytes();
    Ok((code, serde_json::from_slice(&body).map_err(Status::internal)?))
}
