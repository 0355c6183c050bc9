//! Writes of several managers, from outside: patches of every sort, and what `managedFields` says after them.

mod common;

use bytes::Bytes;
use gantry_apiserver::Server;
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::Request;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";

struct Cluster {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
        let config = common::config(&pki);
        Cluster {
            server: Server::new(Arc::new(Memory::new()), config).await.unwrap(),
            _folder: folder,
        }
    }

    async fn send(
        &self,
        user: User,
        request: &str,
        type_: &str,
        body: impl ToString,
    ) -> (u16, Value, Vec<String>) {
        let (method, path) = request.split_once(' ').unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, type_)
            .header(USER_AGENT, "agent/v1 (test)")
            .body(Bytes::from(body.to_string()))
            .unwrap();
        let response = self.server.local(user).send(request).await;
        let code = response.status().as_u16();
        let warnings = response
            .headers()
            .get_all("warning")
            .iter()
            .map(|v| v.to_str().unwrap().to_string())
            .collect();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (
            code,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            warnings,
        )
    }

    /// A request of an administrator that must get this code; its answer.
    async fn expect(&self, request: &str, type_: &str, body: impl ToString, code: u16) -> Value {
        let root = User::new("root", &[MASTERS, AUTHENTICATED]);
        let (found, answer, _) = self.send(root, request, type_, body).await;
        assert_eq!(found, code, "{request}: {answer}");
        answer
    }
}

fn owners(object: &Value) -> Vec<String> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or("").to_string();
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| {
            format!(
                "{} {} {}: {}",
                text(e, "manager"),
                text(e, "operation"),
                text(e, "subresource"),
                e["fieldsV1"]
            )
        })
        .collect()
}

fn deployment(replicas: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[tokio::test]
async fn every_write_has_its_manager() {
    let cluster = Cluster::start().await;
    let create = format!("POST {MAPS}");
    let one = format!("{MAPS}/one");
    let body = json!({"metadata": {"name": "one"}, "data": {"a": "1"}});
    let made = cluster
        .expect(&create, "application/json", body.clone(), 201)
        .await;
    let agent = r#"agent Update : {"f:data":{".":{},"f:a":{}}}"#;
    assert_eq!(owners(&made), [agent]);
    // Writing the same again changes nothing, not even the revision.
    let same = cluster
        .expect(
            &format!("PUT {one}?fieldManager=two"),
            "application/json",
            body,
            200,
        )
        .await;
    assert_eq!(same, made);
    let patches = [
        (MERGE, json!({"data": {"b": "1"}})),
        (STRATEGIC, json!({"data": {"c": "1"}})),
        (
            JSON_PATCH,
            json!([{"op": "add", "path": "/data/d", "value": "1"}]),
        ),
    ];
    let mut object = Value::Null;
    for (type_, patch) in patches {
        object = cluster
            .expect(&format!("PATCH {one}?fieldManager=two"), type_, patch, 200)
            .await;
    }
    let two = r#"two Update : {"f:data":{"f:b":{},"f:c":{},"f:d":{}}}"#;
    assert_eq!(owners(&object), [agent, two]);
    let object = cluster
        .expect(
            &format!("PATCH {one}"),
            MERGE,
            json!({"metadata": {"managedFields": [{}]}}),
            200,
        )
        .await;
    assert_eq!(owners(&object), [""; 0]);
}

#[tokio::test]
async fn apply_makes_changes_and_takes() {
    let cluster = Cluster::start().await;
    let patch = |manager: &str| format!("PATCH {WEB}?fieldManager={manager}");
    let made = cluster.expect(&patch("one"), APPLY, deployment(1), 201).await;
    assert_eq!(made["metadata"]["generation"], 1);
    let again = cluster.expect(&patch("one"), APPLY, deployment(1), 200).await;
    assert_eq!(again, made);
    let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2}});
    let status = cluster.expect(&patch("two"), APPLY, other.clone(), 409).await;
    assert_eq!(
        (&status["reason"], &status["message"]),
        (
            &json!("Conflict"),
            &json!("Apply failed with 1 conflict: conflict with \"one\": .spec.replicas")
        )
    );
    assert_eq!(
        status["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".spec.replicas"}])
    );
    let dry = format!("{}&force=true&dryRun=All", patch("two"));
    assert_eq!(
        cluster.expect(&dry, APPLY, other.clone(), 200).await["spec"]["replicas"],
        2
    );
    assert_eq!(
        cluster.expect(&format!("GET {WEB}"), "", "", 200).await,
        made,
        "a dry run"
    );
    let forced = cluster
        .expect(&format!("{}&force=true", patch("two")), APPLY, other, 200)
        .await;
    assert_eq!(owners(&forced)[1], r#"two Apply : {"f:spec":{"f:replicas":{}}}"#);
    // The scale subresource has owners of its own.
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 3}});
    let path = format!("PATCH {WEB}/scale?fieldManager=three");
    cluster.expect(&path, APPLY, scale.clone(), 409).await;
    let scaled = cluster
        .expect(&format!("{path}&force=true"), APPLY, scale, 200)
        .await;
    assert_eq!(
        (&scaled["kind"], &scaled["spec"]["replicas"]),
        (&json!("Scale"), &json!(3))
    );
    let status = json!({"apiVersion": "apps/v1", "kind": "Deployment", "status": {"replicas": 3}});
    let path = format!("PATCH {WEB}/status?fieldManager=four");
    let object = cluster.expect(&path, APPLY, status, 200).await;
    let all = owners(&object);
    assert!(
        all.contains(&r#"three Apply scale: {"f:spec":{"f:replicas":{}}}"#.to_string()),
        "{all:?}"
    );
    assert!(
        all.contains(&r#"four Apply status: {"f:status":{"f:replicas":{}}}"#.to_string()),
        "{all:?}"
    );
    assert!(!all.iter().any(|o| o.starts_with("two")), "{all:?}");
    // A write of the status may annotate, but nothing of the spec.
    let path = format!("PATCH {WEB}/status?fieldManager=five");
    let patch = json!({"metadata": {"annotations": {"a": "b"}, "ownerReferences": [{"uid": "u", "name": "n",
        "kind": "k", "apiVersion": "v1"}]}, "spec": {"replicas": 9}, "status": {"readyReplicas": 2}});
    let object = cluster.expect(&path, MERGE, patch, 200).await;
    assert_eq!(object["spec"]["replicas"], 3);
    assert_eq!(object["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(
        owners(&object).last().map(String::as_str),
        Some(
            r#"five Update status: {"f:metadata":{"f:annotations":{".":{},"f:a":{}}},"f:status":{"f:readyReplicas":{}}}"#
        )
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_patch() {
    let cluster = Cluster::start().await;
    cluster
        .expect(
            &format!("PATCH {WEB}?fieldManager=one"),
            APPLY,
            deployment(1),
            201,
        )
        .await;
    let object = |part: Value| {
        let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment"});
        object
            .as_object_mut()
            .unwrap()
            .extend(part.as_object().unwrap().clone());
        object.to_string()
    };
    let text = |v: Value| v.to_string();
    let new = WEB.replace("web", "new");
    let strict = format!("{WEB}?fieldManager=m&fieldValidation=Strict");
    let by_m = format!("{WEB}?fieldManager=m");
    let cases = [
        (
            WEB,
            APPLY,
            object(json!({})),
            422,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ),
        (
            &format!("{WEB}?fieldManager=m&force=true"),
            MERGE,
            text(json!({})),
            422,
            "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch",
        ),
        (
            &by_m,
            APPLY,
            object(json!({"metadata": {"name": "other"}})),
            400,
            "the name of the object (other) does not match the name on the URL (web)",
        ),
        (
            &format!("{new}?fieldManager=m"),
            APPLY,
            object(json!({"metadata": {"uid": "1"}})),
            409,
            "Operation cannot be fulfilled on deployments.apps \"new\": uid mismatch: the provided object specified \
             uid 1, and no existing object was found",
        ),
        (
            &format!("{new}/status?fieldManager=m"),
            APPLY,
            object(json!({})),
            404,
            "deployments.apps \"new\" not found",
        ),
        (
            &format!("{}?fieldManager=m", new.replace("default", "nowhere")),
            APPLY,
            object(json!({"metadata": {"name": "new"}})),
            404,
            "namespaces \"nowhere\" not found",
        ),
        (&by_m, APPLY, "a: [".into(), 400, "error decoding YAML: "),
        (
            &strict,
            APPLY,
            "apiVersion: apps/v1\nkind: Deployment\nkind: Deployment".into(),
            400,
            "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 3: key \
             \"kind\" already set in map",
        ),
        (
            &by_m,
            "application/apply-patch+cbor",
            "x".into(),
            415,
            "415: Unsupported Media Type",
        ),
        (
            &strict,
            MERGE,
            text(json!({"spec": {"foo": 1}})),
            422,
            " \"\" is invalid: patch: Invalid value: \"{\\\"spec\\\":{\\\"foo\\\":1}}\": strict decoding error: \
             unknown field \"spec.foo\"",
        ),
        (
            &by_m,
            STRATEGIC,
            text(json!({"spec": {"replicas": "x"}})),
            422,
            " \"\" is invalid: patch: Invalid value: ",
        ),
        (
            &by_m,
            JSON_PATCH,
            text(json!([{"op": "remove", "path": "/spec/none"}])),
            422,
            "the server rejected our request due to an error in our request",
        ),
        (&by_m, MERGE, "[".into(), 400, "error decoding patch: "),
        (
            &by_m,
            MERGE,
            text(json!({"metadata": {"resourceVersion": "1"}})),
            409,
            "Operation cannot be fulfilled on deployments.apps \"web\": the object has been modified",
        ),
    ];
    for (path, type_, body, code, message) in cases {
        let answer = cluster.expect(&format!("PATCH {path}"), type_, body, code).await;
        let found = answer["message"].as_str().unwrap();
        assert!(found.starts_with(message), "{path}: {found}");
    }
}

#[tokio::test]
async fn who_may_only_patch_makes_nothing() {
    let cluster = Cluster::start().await;
    let role = json!({"metadata": {"name": "patcher"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch", "get"]}]});
    let roles = "POST /apis/rbac.authorization.k8s.io/v1/clusterroles";
    cluster.expect(roles, "application/json", role, 201).await;
    let binding = json!({"metadata": {"name": "patcher"}, "subjects": [{"kind": "User", "name": "ann",
        "apiGroup": "rbac.authorization.k8s.io"}], "roleRef": {"kind": "ClusterRole", "name": "patcher",
        "apiGroup": "rbac.authorization.k8s.io"}});
    let bindings = "POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    cluster.expect(bindings, "application/json", binding, 201).await;
    let config =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"a": "1"}});
    let path = format!("PATCH {MAPS}/new?fieldManager=m");
    let ann = || User::new("ann", &[AUTHENTICATED]);
    // Rules reach the authorizer a moment after they are stored.
    for _ in 0..10_000 {
        let (code, _, _) = cluster.send(ann(), &format!("GET {MAPS}/new"), "", "").await;
        if code == 404 {
            break;
        }
        tokio::task::yield_now().await;
    }
    let (code, answer, _) = cluster.send(ann(), &path, APPLY, &config).await;
    assert_eq!(code, 403, "{answer}");
    assert_eq!(
        answer["message"],
        "configmaps \"new\" is forbidden: User \"ann\" cannot create resource \"configmaps\" in API group \"\" in \
         the namespace \"default\""
    );
    cluster.expect(&path, APPLY, &config, 201).await;
    let (code, answer, _) = cluster.send(ann(), &path, APPLY, &config).await;
    assert_eq!(code, 200, "{answer}");
}
