//! The Service `default/kubernetes`, by which pods reach this server. Source: pkg/controlplane/controller/kubernetesservice.

use crate::local::Local;
use bytes::Bytes;
use gantry_api::status::Status;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};

/// Makes the Service at `address`, and its endpoints, which lead to this server at `advertise`.
pub async fn ensure(local: &Local, address: Ipv4Addr, advertise: (IpAddr, u16)) -> Result<(), Status> {
    let (ip, port) = advertise;
    let service = json!({
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP", "clusterIP": address, "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    });
    write(local, "/api/v1/namespaces/default/services", service, |_| {}).await?;
    // Loopback means another machine to everyone else, and the API refuses it.
    if ip.is_loopback() {
        return Ok(());
    }
    let labels = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
    let subsets =
        json!([{"addresses": [{"ip": ip}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}]);
    let endpoints = json!({
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels}, "subsets": subsets,
    });
    write(local, "/api/v1/namespaces/default/endpoints", endpoints, |old| {
        old["subsets"] = subsets.clone()
    })
    .await?;
    let slice = json!({
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let (ends, ports) = (slice["endpoints"].clone(), slice["ports"].clone());
    write(local, path, slice, |old| {
        old["endpoints"] = ends.clone();
        old["ports"] = ports.clone();
    })
    .await
}

/// Creates an object, or brings the one that is there up to date.
async fn write(local: &Local, path: &str, object: Value, update: impl Fn(&mut Value)) -> Result<(), Status> {
    let one = format!("{path}/kubernetes");
    match call(local, Method::GET, &one, None).await? {
        (404, _) => expect(call(local, Method::POST, path, Some(&object)).await?),
        (200, mut stored) => {
            let before = stored.clone();
            update(&mut stored);
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
