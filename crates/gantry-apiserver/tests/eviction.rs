//! `pods/eviction` from outside.

mod common;

use bytes::Bytes;
use gantry_apiserver::Server;
use gantry_auth::{AUTHENTICATED, MASTERS, NODES, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;

const PODS: &str = "/api/v1/namespaces/default/pods";

struct Bench {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Bench {
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
            .expect(
                &root(),
                "POST /api/v1/namespaces/default/serviceaccounts",
                account,
                201,
            )
            .await;
        bench
    }

    async fn expect(&self, user: &User, request: &str, body: Value, code: u16) -> Value {
        let (method, path) = request.split_once(' ').unwrap();
        let body = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        let request_ = Request::builder().method(method).uri(path).body(body).unwrap();
        let response = self.server.local(user.clone()).send(request_).await;
        let found = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let answer = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        assert_eq!(found, code, "{} {request}: {answer}", user.name);
        answer
    }

    /// Makes a pod on node `n`, in this phase.
    async fn pod(&self, name: &str, phase: &str) -> Value {
        let pod = json!({
            "metadata": {"name": name},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
        });
        let mut pod = self.expect(&root(), &format!("POST {PODS}"), pod, 201).await;
        pod["status"]["phase"] = phase.into();
        self.expect(&root(), &format!("PUT {PODS}/{name}/status"), pod, 200)
            .await
    }

    async fn evict(&self, user: &User, name: &str, options: Value, code: u16) -> Value {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options,
        });
        self.expect(user, &format!("POST {PODS}/{name}/eviction"), eviction, code)
            .await
    }
}

fn root() -> User {
    User::new("root", &[MASTERS, AUTHENTICATED])
}

#[tokio::test]
async fn pods_are_evicted() {
    let bench = Bench::start().await;
    let get = async |name: &str, code: u16| {
        bench
            .expect(&root(), &format!("GET {PODS}/{name}"), Value::Null, code)
            .await
    };
    bench.pod("running", "Running").await;
    bench
        .evict(&root(), "running", json!({"dryRun": ["All"]}), 201)
        .await;
    let eviction = json!({"metadata": {"name": "running"}});
    let path = format!("POST {PODS}/running/eviction?dryRun=All");
    bench.expect(&root(), &path, eviction, 201).await;
    assert!(get("running", 200).await["metadata"]["deletionTimestamp"].is_null());
    let answer = bench
        .evict(&root(), "running", json!({"gracePeriodSeconds": 7}), 201)
        .await;
    assert_eq!(
        (&answer["kind"], &answer["status"], &answer["code"]),
        (&json!("Status"), &json!("Success"), &json!(201))
    );
    let going = get("running", 200).await;
    assert_eq!(going["metadata"]["deletionGracePeriodSeconds"], 7);
    let conditions = going["status"]["conditions"].as_array().unwrap();
    let target = conditions
        .iter()
        .find(|c| c["type"] == "DisruptionTarget")
        .unwrap();
    assert_eq!(target["reason"], "EvictionByEvictionAPI");
    bench
        .evict(&root(), "running", json!({"gracePeriodSeconds": 0}), 201)
        .await;
    get("running", 404).await;

    bench.pod("done", "Succeeded").await;
    bench.evict(&root(), "done", Value::Null, 201).await;
    get("done", 404).await;
}

#[tokio::test]
async fn evictions_are_refused() {
    let bench = Bench::start().await;
    let pod = bench.pod("p", "Running").await;
    bench.evict(&root(), "none", Value::Null, 404).await;
    let other = json!({"metadata": {"name": "q"}});
    let path = format!("POST {PODS}/p/eviction");
    bench.expect(&root(), &path, other, 400).await;
    for preconditions in [json!({"uid": "other"}), json!({"resourceVersion": "1"})] {
        let options = json!({"preconditions": preconditions});
        let status = bench.evict(&root(), "p", options, 409).await;
        let message = status["message"].as_str().unwrap();
        assert!(message.contains("in the precondition"), "{message}");
    }
    let nobody = User::new("ann", &[AUTHENTICATED]);
    bench.evict(&nobody, "p", Value::Null, 403).await;
    let stranger = User::new("system:node:other", &[NODES, AUTHENTICATED]);
    let status = bench.evict(&stranger, "p", Value::Null, 403).await;
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("can only evict pods with spec.nodeName set to itself")
    );

    let own = json!({"preconditions": {
        "uid": pod["metadata"]["uid"], "resourceVersion": pod["metadata"]["resourceVersion"],
    }});
    let node = User::new("system:node:n", &[NODES, AUTHENTICATED]);
    bench.evict(&node, "p", own, 201).await;
}
