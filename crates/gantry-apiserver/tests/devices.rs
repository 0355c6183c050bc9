//! Who may have devices for administration, and who may write which part of a claim's status.

mod common;

use gantry_apiserver::Server;
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;

const CLAIMS: &str = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

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
        Bench {
            server,
            _folder: folder,
        }
    }

    async fn send(&self, user: User, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");
        let request = request.body(body.to_string().into()).unwrap();
        let response = self.server.local(user).send(request).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap())
    }

    async fn root(&self, method: &str, path: &str, body: &Value) -> Value {
        let root = User::new("root", &[MASTERS, AUTHENTICATED]);
        let (code, answer) = self.send(root, method, path, body).await;
        assert!(code < 300, "{method} {path}: {answer}");
        answer
    }

    /// Lets a user of the name `ann` do these things with claims.
    async fn allow(&self, role: &str, verbs: &[&str], resource: &str) {
        let rule = json!({"apiGroups": ["resource.k8s.io"], "resources": [resource], "verbs": verbs});
        let role_object = json!({"metadata": {"name": role}, "rules": [rule]});
        self.root("POST", ROLES, &role_object).await;
        let binding = json!({
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}],
        });
        self.root("POST", BINDINGS, &binding).await;
    }

    /// Writes a status as `ann`, again until the answer is the one expected: rules take effect a moment later.
    async fn status(&self, claim: &Value, part: &str) {
        let ann = || User::new("ann", &[AUTHENTICATED]);
        let path = format!("{CLAIMS}/c/status?dryRun=All");
        let mut last = Value::Null;
        for _ in 0..100 {
            let (_, answer) = self.send(ann(), "PUT", &path, claim).await;
            let found = match answer["kind"] == "Status" {
                true => answer["message"].as_str().unwrap_or_default(),
                false => "",
            };
            if (part.is_empty() && found.is_empty()) || (!part.is_empty() && found.contains(part)) {
                return;
            }
            last = answer;
            tokio::task::yield_now().await;
        }
        panic!("wanted {part:?}, got {last}");
    }
}

#[tokio::test]
async fn devices_for_administration_need_a_namespace_for_them() {
    let bench = Bench::start().await;
    let exactly = json!({"deviceClassName": "c", "adminAccess": true});
    let claim = json!({"metadata": {"name": "c"}, "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}}});
    let root = User::new("root", &[MASTERS, AUTHENTICATED]);
    let (code, answer) = bench.send(root, "POST", CLAIMS, &claim).await;
    assert_eq!(code, 422, "{answer}");
    assert_eq!(
        answer["message"],
        "ResourceClaim.resource.k8s.io \"c\" is invalid: spec.devices.requests[0].adminAccess: Forbidden: admin access to \
         devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace"
    );
    let mut namespace = bench
        .root("GET", "/api/v1/namespaces/default", &Value::Null)
        .await;
    namespace["metadata"]["labels"]["resource.kubernetes.io/admin-access"] = "true".into();
    bench.root("PUT", "/api/v1/namespaces/default", &namespace).await;
    bench.root("POST", CLAIMS, &claim).await;
}

#[tokio::test]
async fn parts_of_a_status_need_permissions_of_their_own() {
    let bench = Bench::start().await;
    let request = json!({"name": "r", "exactly": {"deviceClassName": "c"}});
    let claim = json!({"metadata": {"name": "c"}, "spec": {"devices": {"requests": [request]}}});
    let mut claim = bench.root("POST", CLAIMS, &claim).await;
    let device = json!({"driver": "d.io", "pool": "p", "device": "a"});
    let mut result = device.clone();
    result["request"] = "r".into();
    claim["status"] = json!({"allocation": {"devices": {"results": [result]}}});
    bench.allow("status", &["update"], "resourceclaims/status").await;
    bench
        .status(
            &claim,
            "changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\", \
             verb=\"update\" permission",
        )
        .await;
    bench
        .allow("binding", &["update"], "resourceclaims/binding")
        .await;
    bench.status(&claim, "").await;
    let mut claim = bench.root("PUT", &format!("{CLAIMS}/c/status"), &claim).await;
    claim["status"]["devices"] = json!([device]);
    bench
        .status(
            &claim,
            "changing status.devices requires resource=\"resourceclaims/driver\", verb=\"[arbitrary-node:update]\" \
             permission",
        )
        .await;
    bench
        .allow("driver", &["arbitrary-node:update"], "resourceclaims/driver")
        .await;
    bench.status(&claim, "").await;
}
