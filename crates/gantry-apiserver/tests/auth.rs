//! Who may do what, from outside: requests of several users against one server.

mod common;

use bytes::Bytes;
use gantry_apiserver::{Config, Server};
use gantry_auth::{AUTHENTICATED, MASTERS, NODES, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;

struct Cluster {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
        let config = Config {
            join_token: Some("sesame".into()),
            ..common::config(&pki)
        };
        Cluster {
            server: Server::new(Arc::new(Memory::new()), config).await.unwrap(),
            _folder: folder,
        }
    }

    /// One request from "METHOD /path"; its code and answer.
    async fn send(&self, user: &User, request: &str, body: Value) -> (u16, Value) {
        let (method, path) = request.split_once(' ').unwrap();
        let body = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        let request = Request::builder().method(method).uri(path).body(body).unwrap();
        let response = self.server.local(user.clone()).send(request).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// A request that must get this code; its answer.
    async fn expect(&self, user: &User, request: &str, body: Value, code: u16) -> Value {
        let (found, answer) = self.send(user, request, body).await;
        assert_eq!(found, code, "{} {request}: {answer}", user.name);
        answer
    }

    /// Whether a user may, once the server has seen what was written before.
    async fn may(&self, user: &str, verb: &str, resource: &str) -> bool {
        let review = json!({"spec": {
            "user": user, "resourceAttributes": {"namespace": "default", "verb": verb, "resource": resource},
        }});
        let path = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews";
        self.expect(&root(), path, review, 201).await["status"]["allowed"] == true
    }

    /// Waits until a user may: rules reach the authorizer a moment after they are stored.
    async fn until_may(&self, user: &str, verb: &str, resource: &str) {
        for _ in 0..10_000 {
            if self.may(user, verb, resource).await {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{user} never comes to {verb} {resource}");
    }
}

fn root() -> User {
    User::new("root", &[MASTERS, AUTHENTICATED])
}

fn ann() -> User {
    User::new("ann", &[AUTHENTICATED])
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const TOKEN_REVIEWS: &str = "POST /apis/authentication.k8s.io/v1/tokenreviews";

#[tokio::test]
async fn tokens_live_as_long_as_what_they_are_bound_to() {
    let cluster = Cluster::start().await;
    let root = root();
    let named = |name: &str| json!({"metadata": {"name": name}});
    cluster
        .expect(&root, &format!("POST {ACCOUNTS}"), named("bot"), 201)
        .await;
    let secrets = "/api/v1/namespaces/default/secrets";
    cluster
        .expect(&root, &format!("POST {secrets}"), named("s"), 201)
        .await;
    let ask = format!("POST {ACCOUNTS}/bot/token");
    let bound = json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "s"}}});
    let free = cluster.expect(&root, &ask, json!({}), 201).await;
    let bound = cluster.expect(&root, &ask, bound, 201).await;
    assert_eq!(free["spec"]["expirationSeconds"], 3600);
    let review = async |request: &Value| {
        let body = json!({"spec": {"token": request["status"]["token"]}});
        cluster.expect(&root, TOKEN_REVIEWS, body, 201).await["status"].clone()
    };
    for request in [&free, &bound] {
        let status = review(request).await;
        assert_eq!(
            status["user"]["username"], "system:serviceaccount:default:bot",
            "{status}"
        );
    }
    cluster
        .expect(&root, &format!("DELETE {secrets}/s"), Value::Null, 200)
        .await;
    assert_eq!(
        review(&bound).await["error"],
        "service account token has been invalidated"
    );
    assert_eq!(review(&free).await["authenticated"], true);
    cluster
        .expect(&root, &format!("DELETE {ACCOUNTS}/bot"), Value::Null, 200)
        .await;
    cluster
        .expect(&root, &format!("POST {ACCOUNTS}"), named("bot"), 201)
        .await;
    let error = review(&free).await["error"].to_string();
    assert!(error.contains("does not match claim"), "{error}");

    let join = json!({"spec": {"token": "sesame"}});
    let status = cluster.expect(&root, TOKEN_REVIEWS, join, 201).await;
    assert_eq!(status["status"]["user"]["groups"][0], "system:bootstrappers");
    let short = json!({"spec": {"expirationSeconds": 1}});
    cluster.expect(&root, &ask, short, 422).await;
    cluster.expect(&ann(), &ask, json!({}), 403).await;
    cluster
        .expect(&root, &format!("POST {ACCOUNTS}/nobody/token"), json!({}), 404)
        .await;
}

#[tokio::test]
async fn reviews_are_answered_and_not_stored() {
    let cluster = Cluster::start().await;
    let check = async |request: &str, body: Value, code: u16, pointer: &str, expected: Value| {
        let answer = cluster.expect(&ann(), request, body, code).await;
        assert_eq!(answer.pointer(pointer), Some(&expected), "{request}: {answer}");
    };
    let authentication = "/apis/authentication.k8s.io/v1";
    let authorization = "/apis/authorization.k8s.io/v1";
    let whoami = format!("POST {authentication}/selfsubjectreviews");
    check(&whoami, json!({}), 201, "/status/userInfo/username", json!("ann")).await;
    let can_i = format!("POST {authorization}/selfsubjectaccessreviews");
    let get = json!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/apis"}}});
    check(&can_i, get, 201, "/status/allowed", json!(true)).await;
    let pods = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    check(&can_i, pods, 201, "/status/allowed", json!(false)).await;
    check(
        &can_i,
        json!({"spec": {}}),
        422,
        "/details/causes/0/field",
        json!("spec.resourceAttributes"),
    )
    .await;
    let list = format!("POST {authorization}/selfsubjectrulesreviews");
    let body = json!({"spec": {"namespace": "default"}});
    check(
        &list,
        body,
        201,
        "/status/resourceRules/0/verbs",
        json!(["create"]),
    )
    .await;
    check(
        &list,
        json!({"spec": {}}),
        400,
        "/message",
        json!("no namespace on request"),
    )
    .await;
    let forbidden = format!("POST {authorization}/subjectaccessreviews");
    check(&forbidden, json!({}), 403, "/reason", json!("Forbidden")).await;
    let local = format!("POST {authorization}/namespaces/default/localsubjectaccessreviews");
    let body = json!({"spec": {"user": "ann", "resourceAttributes": {"namespace": "other"}}});
    cluster.expect(&root(), &local, body, 422).await;
    cluster
        .expect(
            &root(),
            &format!("GET {authorization}/selfsubjectrulesreviews"),
            Value::Null,
            405,
        )
        .await;
}

#[tokio::test]
async fn nobody_grants_what_they_lack() {
    let cluster = Cluster::start().await;
    let role = |name: &str, verbs: Value, group: &str, resource: &str| {
        json!({
            "metadata": {"name": name},
            "rules": [{"verbs": verbs, "apiGroups": [group], "resources": [resource]}],
        })
    };
    let binding = |role: &str, user: &str| {
        json!({
            "metadata": {"name": format!("{role}-{user}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": user}],
        })
    };
    let roles = format!("POST {RBAC}/clusterroles");
    let bindings = format!("POST {RBAC}/clusterrolebindings");
    let group = "rbac.authorization.k8s.io";
    for (name, verbs, group, resource) in [
        ("writer", json!(["create", "update", "delete"]), group, "*"),
        ("reader", json!(["get"]), "", "pods"),
        ("breaker", json!(["delete"]), "", "pods"),
    ] {
        cluster
            .expect(&root(), &roles, role(name, verbs, group, resource), 201)
            .await;
    }
    cluster
        .expect(&root(), &bindings, binding("writer", "ann"), 201)
        .await;
    cluster
        .expect(&root(), &bindings, binding("reader", "ann"), 201)
        .await;
    cluster.until_may("ann", "get", "pods").await;

    cluster
        .expect(&ann(), &bindings, binding("reader", "bob"), 201)
        .await;
    cluster.until_may("bob", "get", "pods").await;
    let refused = cluster
        .expect(&ann(), &bindings, binding("breaker", "bob"), 403)
        .await;
    let text = refused["message"].as_str().unwrap_or_default();
    assert!(
        text.contains("is attempting to grant RBAC permissions not currently held"),
        "{text}"
    );
    cluster
        .expect(&ann(), &bindings, binding("gone", "bob"), 404)
        .await;
    cluster
        .expect(&ann(), &roles, role("mine", json!(["get"]), "", "pods"), 201)
        .await;
    cluster
        .expect(&ann(), &roles, role("more", json!(["get"]), "", "nodes"), 403)
        .await;
    let wider = role("mine", json!(["*"]), "", "pods");
    cluster
        .expect(&ann(), &format!("PUT {RBAC}/clusterroles/mine"), wider, 403)
        .await;
    assert!(!cluster.may("bob", "delete", "pods").await);
}

#[tokio::test]
async fn nodes_keep_to_themselves() {
    let cluster = Cluster::start().await;
    let node = User::new("system:node:n1", &[NODES, AUTHENTICATED]);
    let named = |name: &str| json!({"metadata": {"name": name}});
    cluster
        .expect(&node, "POST /api/v1/nodes", named("n1"), 201)
        .await;
    cluster
        .expect(&node, "POST /api/v1/nodes", named("n2"), 403)
        .await;
    cluster
        .expect(&node, "GET /api/v1/nodes/n1", Value::Null, 200)
        .await;
    cluster
        .expect(
            &node,
            "GET /api/v1/nodes?fieldSelector=metadata.name%3Dn1",
            Value::Null,
            200,
        )
        .await;
    cluster.expect(&node, "GET /api/v1/nodes", Value::Null, 403).await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    cluster
        .expect(&node, &format!("POST {leases}"), named("n1"), 201)
        .await;
    cluster
        .expect(&node, &format!("POST {leases}"), named("n2"), 403)
        .await;

    for (kind, name) in [
        ("secrets", "used"),
        ("secrets", "other"),
        ("serviceaccounts", "default"),
    ] {
        let path = format!("POST /api/v1/namespaces/default/{kind}");
        cluster.expect(&root(), &path, named(name), 201).await;
    }
    let pod = json!({
        "metadata": {"name": "p"},
        "spec": {
            "nodeName": "n1", "serviceAccountName": "default",
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [
                {"name": "s", "secret": {"secretName": "used"}},
                {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            ],
        },
    });
    let pods = "/api/v1/namespaces/default/pods";
    let pod = cluster.expect(&root(), &format!("POST {pods}"), pod, 201).await;
    let secret = |name: &str| format!("GET /api/v1/namespaces/default/secrets/{name}");
    let mut seen = 0;
    for _ in 0..10_000 {
        seen = cluster.send(&node, &secret("used"), Value::Null).await.0;
        if seen == 200 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(seen, 200);
    cluster.expect(&node, &secret("other"), Value::Null, 403).await;
    cluster
        .expect(
            &node,
            "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn1",
            Value::Null,
            200,
        )
        .await;
    cluster.expect(&node, "GET /api/v1/pods", Value::Null, 403).await;
    let token = |uid: &Value| json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid}}});
    let ask = format!("POST {ACCOUNTS}/default/token");
    let answer = cluster
        .expect(&node, &ask, token(&pod["metadata"]["uid"]), 201)
        .await;
    assert_eq!(
        answer["spec"]["audiences"][0],
        "https://kubernetes.default.svc.cluster.local"
    );
    cluster.expect(&node, &ask, token(&json!("other")), 403).await;
    cluster.expect(&node, &ask, json!({}), 403).await;
    let other = User::new("system:node:n2", &[NODES, AUTHENTICATED]);
    cluster.expect(&other, &secret("used"), Value::Null, 403).await;
    cluster
        .expect(&other, &format!("DELETE {pods}/p"), Value::Null, 403)
        .await;
}
