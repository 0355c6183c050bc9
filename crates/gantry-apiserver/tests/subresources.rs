//! Subresources of pods that write a part of the object.

mod common;

use bytes::Bytes;
use gantry_apiserver::Server;
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;

const POD: &str = "/api/v1/namespaces/default/pods/p";

struct Bench {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// A server with the pod `p`.
    async fn start() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
        let config = common::config(&pki);
        let server = Server::new(Arc::new(Memory::new()), config).await.unwrap();
        let bench = Bench {
            server,
            _folder: folder,
        };
        let account = json!({"metadata": {"name": "default"}, "automountServiceAccountToken": false});
        bench
            .expect("POST /api/v1/namespaces/default/serviceaccounts", account, 201)
            .await;
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [
            {"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}},
        ]}});
        bench
            .expect("POST /api/v1/namespaces/default/pods", pod, 201)
            .await;
        bench
    }

    async fn expect(&self, request: &str, body: Value, code: u16) -> Value {
        let (method, path) = request.split_once(' ').unwrap();
        let type_ = match method {
            "PATCH" => "application/strategic-merge-patch+json",
            _ => "application/json",
        };
        let body = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        let asked = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", type_);
        let root = User::new("root", &[MASTERS, AUTHENTICATED]);
        let response = self.server.local(root).send(asked.body(body).unwrap()).await;
        let found = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let answer = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        assert_eq!(found, code, "{request}: {answer}");
        answer
    }
}

#[tokio::test]
async fn ephemeral_containers() {
    let bench = Bench::start().await;
    let path = format!("{POD}/ephemeralcontainers");
    let debugger = json!({"name": "d", "image": "i", "targetContainerName": "c"});
    let patch = json!({"metadata": {"labels": {"a": "b"}}, "spec": {
        "ephemeralContainers": [debugger], "containers": [{"name": "c", "image": "other"}],
    }});
    let pod = bench.expect(&format!("PATCH {path}"), patch, 200).await;
    assert_eq!(pod["spec"]["ephemeralContainers"][0]["name"], "d");
    assert_eq!(
        pod["spec"]["ephemeralContainers"][0]["terminationMessagePolicy"], "File",
        "defaults are filled in"
    );
    assert_eq!(
        pod["spec"]["containers"][0]["image"], "i",
        "the rest of the spec is kept"
    );
    assert!(pod["metadata"]["labels"].is_null(), "and so is the metadata");
    assert_eq!(bench.expect(&format!("GET {path}"), Value::Null, 200).await, pod);
    let mut changed = pod.clone();
    changed["spec"]["ephemeralContainers"][0]["image"] = "other".into();
    bench.expect(&format!("PUT {path}"), changed, 422).await;
    bench.expect(&format!("POST {path}"), pod, 405).await;
}

#[tokio::test]
async fn resize() {
    let bench = Bench::start().await;
    let path = format!("{POD}/resize");
    let more =
        |cpu: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
    let pod = bench.expect(&format!("PATCH {path}"), more("200m"), 200).await;
    assert_eq!(
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"],
        "200m"
    );
    assert_eq!(pod["metadata"]["generation"], 2);
    bench.expect(&format!("PATCH {POD}"), more("300m"), 422).await;
    let image = json!({"spec": {"containers": [{"name": "c", "image": "other"}]}});
    let same = bench.expect(&format!("PATCH {path}"), image, 200).await;
    assert_eq!(
        same["spec"]["containers"][0]["image"], "i",
        "the rest of the spec is kept"
    );
    let other = json!({"spec": {"containers": [{"name": "d", "image": "i"}]}});
    bench.expect(&format!("PATCH {path}"), other, 422).await;
}
