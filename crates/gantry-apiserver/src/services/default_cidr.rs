//! The ServiceCIDR `kubernetes`, which a cluster begins with. It is made from this server's range and stays as it is,
//! unless somebody removes it. Source: pkg/controlplane/controller/defaultservicecidr.

use super::Range;
use super::state::DEFAULT;
use crate::bootstrap;
use crate::local::Local;
use crate::registry::Registry;
use crate::request::Kinds;
use bytes::Bytes;
use gantry_api::meta;
use gantry_api::status::Status;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::time::Duration;

const PLACE: (&str, &str, &str) = ("networking.k8s.io", "v1", "servicecidrs");
const PATH: &str = "/apis/networking.k8s.io/v1/servicecidrs";
const MANAGER: &str = "kubernetes-service-cidr-controller";
/// How often it is looked at.
const PERIOD: Duration = Duration::from_secs(10);

fn wanted(range: Range) -> Value {
    json!({"metadata": {"name": DEFAULT}, "spec": {"cidrs": [range.to_string()]}})
}

/// Makes it before anything asks for an address, if such objects are served.
pub async fn ensure(registry: &Registry, kinds: &Kinds, range: Range) -> Result<(), Status> {
    match kinds.get(PLACE.0, PLACE.1, PLACE.2) {
        Some(_) => bootstrap::ensure(registry, kinds, PLACE, wanted(range), |_, _| None).await,
        None => Ok(()),
    }
}

/// Makes it anew when it is gone, and says that it is ready when nobody has said anything of that.
pub async fn keep(own: Local, range: Range) {
    look(&own, range).await;
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PERIOD).await;
            look(&own, range).await;
        }
    });
}

async fn look(own: &Local, range: Range) {
    if let Err(why) = sync(own, range).await {
        tracing::warn!("the ServiceCIDR {DEFAULT} is looked at again later: {why}");
    }
}

async fn sync(own: &Local, range: Range) -> Result<(), String> {
    let one = format!("{PATH}/{DEFAULT}");
    let object = match call(own, Method::GET, &one, &Value::Null).await? {
        (200, object) => object,
        (404, status) if status["details"]["name"] != DEFAULT => return Ok(()),
        (404, _) => {
            tracing::info!("the ServiceCIDR {DEFAULT} is made: {range}");
            match call(own, Method::POST, PATH, &wanted(range)).await? {
                (201, object) => object,
                // Another server was faster; what it says of it is right, too.
                (409, _) => return Ok(()),
                (_, status) => return Err(status["message"].to_string()),
            }
        }
        (_, status) => return Err(status["message"].to_string()),
    };
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let said = conditions.any(|c| c["type"] == "Ready" && c["status"] != "Unknown");
    let is_this = object["spec"]["cidrs"] == json!([range.to_string()]);
    if !is_this {
        let cidrs = &object["spec"]["cidrs"];
        tracing::debug!("the ServiceCIDR {DEFAULT} has {cidrs}, and this server was told {range}");
    }
    if said || !is_this || meta::is_deleting(&object) {
        return Ok(());
    }
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": meta::now(),
    });
    let status = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": DEFAULT},
        "status": {"conditions": [condition]},
    });
    let path = format!("{one}/status?fieldManager={MANAGER}&force=true");
    match call(own, Method::PATCH, &path, &status).await? {
        (200, _) => Ok(()),
        (_, status) => Err(status["message"].to_string()),
    }
}

async fn call(own: &Local, method: Method, path: &str, body: &Value) -> Result<(u16, Value), String> {
    let type_ = match method {
        Method::PATCH => "application/apply-patch+yaml",
        _ => "application/json",
    };
    let body = if body.is_null() {
        Bytes::new()
    } else {
        body.to_string().into()
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", type_)
        .header("user-agent", "kube-apiserver");
    let request = request.body(body).map_err(|e| e.to_string())?;
    let response = own.send(request).await;
    let code = response.status().as_u16();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|e| e.to_string())?
        .to_bytes();
    let answer = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
    Ok((code, answer))
}
