//! What requests are refused, and in which form objects come back: the answers that clients tell servers apart by.

mod common;

use bytes::Bytes;
use gantry_apiserver::{Local, Server};
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT, WARNING};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const NOT_ALLOWED: &str = "the server does not allow this method on the requested resource";

struct Cluster {
    root: Local,
    _folder: tempfile::TempDir,
}

struct Answer {
    code: u16,
    body: Value,
    text: String,
    warnings: Vec<String>,
}

impl Cluster {
    async fn start() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
        let config = common::config(&pki);
        let server = Server::new(Arc::new(Memory::new()), config).await.unwrap();
        Cluster {
            root: server.local(User::new("root", &[MASTERS, AUTHENTICATED])),
            _folder: folder,
        }
    }

    async fn send(&self, request: &str, accept: &str, body: &Value) -> Answer {
        let (method, path) = request.split_once(' ').unwrap();
        let body = match body.is_null() {
            true => Bytes::new(),
            false => body.to_string().into(),
        };
        let type_ = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(ACCEPT, accept)
            .header(CONTENT_TYPE, type_)
            .header(USER_AGENT, "test")
            .body(body)
            .unwrap();
        let response = self.root.send(request).await;
        let warnings = response.headers().get_all(WARNING).iter();
        let warnings = warnings.map(|w| w.to_str().unwrap().to_string()).collect();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer {
            code,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            text: String::from_utf8_lossy(&bytes).into_owned(),
            warnings,
        }
    }

    /// One request, and the code and the start of the message that it must get.
    async fn refused(&self, request: &str, body: Value, code: u16, message: &str) {
        let answer = self.send(request, "application/json", &body).await;
        let found = answer.body["message"].as_str().unwrap_or(&answer.text);
        assert!(
            answer.code == code && found.starts_with(message),
            "{request}: {} {found}",
            answer.code
        );
    }

    async fn expect(&self, request: &str, body: Value, code: u16) -> Answer {
        let answer = self.send(request, "application/json", &body).await;
        assert_eq!(answer.code, code, "{request}: {}", answer.text);
        answer
    }
}

#[tokio::test]
async fn paths_take_their_methods_alone() {
    let cluster = Cluster::start().await;
    let map = json!({"metadata": {"name": "m"}});
    cluster.expect(&format!("POST {MAPS}"), map, 201).await;
    let pods = "/api/v1/namespaces/default/pods";
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let cases = [
        ("DELETE /api/v1/configmaps".to_string(), 405, NOT_ALLOWED),
        ("POST /api/v1/configmaps".into(), 405, NOT_ALLOWED),
        (format!("PUT {MAPS}"), 405, NOT_ALLOWED),
        (format!("POST {MAPS}/m"), 405, NOT_ALLOWED),
        (format!("DELETE {pods}/p/status"), 405, NOT_ALLOWED),
        (format!("DELETE {pods}/p/eviction"), 405, NOT_ALLOWED),
        (format!("GET {accounts}/default/token"), 405, NOT_ALLOWED),
        (format!("DELETE {accounts}/default/token"), 405, NOT_ALLOWED),
        ("POST /version".into(), 405, NOT_ALLOWED),
        ("DELETE /api/v1".into(), 405, NOT_ALLOWED),
        (
            "GET /apis/authorization.k8s.io/v1/subjectaccessreviews/x".into(),
            404,
            "the server could not find the requested resource",
        ),
        ("GET /apis/none/v1/things".into(), 404, "404 page not found\n"),
        ("GET /none".into(), 404, "404 page not found\n"),
        ("GET /healthz/".into(), 404, "404 page not found\n"),
    ];
    for (request, code, message) in cases {
        cluster.refused(&request, Value::Null, code, message).await;
    }
    cluster.expect(&format!("GET {MAPS}/m"), Value::Null, 200).await;
    let root = cluster.expect("GET /", Value::Null, 200).await.body;
    assert!(
        root["paths"]
            .as_array()
            .unwrap()
            .contains(&json!("/apis/apps/v1"))
    );
}

#[tokio::test]
async fn options_that_are_wrong() {
    let cluster = Cluster::start().await;
    let map = json!({"metadata": {"name": "m"}});
    cluster.expect(&format!("POST {MAPS}"), map.clone(), 201).await;
    let cases = [
        (
            format!("POST {MAPS}?dryRun=some"),
            map.clone(),
            422,
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"some\"]: supported values: \"All\"",
        ),
        (
            format!("PUT {MAPS}/m?fieldValidation=Nope"),
            map.clone(),
            422,
            "UpdateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Nope\"",
        ),
        (
            format!("PUT {MAPS}/m"),
            json!({"metadata": {}}),
            400,
            "the name of the object (m based on URL) was undeterminable: name must be provided",
        ),
        (
            format!("DELETE {MAPS}/m"),
            json!({"propagationPolicy": "Never"}),
            422,
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Never\": supported \
             values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
        ),
        (
            format!("DELETE {MAPS}/m"),
            json!({"dryRun": ["some"]}),
            422,
            "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value",
        ),
        (
            format!("DELETE {MAPS}/m?gracePeriodSeconds=x"),
            Value::Null,
            400,
            "strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            format!("DELETE {MAPS}/m"),
            json!({"gracePeriodSeconds": "x"}),
            400,
            "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64",
        ),
        (
            format!("DELETE {MAPS}/m"),
            json!({"preconditions": {"uid": "u"}}),
            409,
            "Operation cannot be fulfilled on ConfigMap \"m\": the UID in the precondition (u) does not match the UID \
             in record (",
        ),
    ];
    for (request, body, code, message) in cases {
        cluster.refused(&request, body, code, message).await;
    }
    cluster.expect(&format!("GET {MAPS}/m"), Value::Null, 200).await;
    // A body stands for the whole of the query.
    let dry = format!("DELETE {MAPS}/m?dryRun=All");
    cluster.expect(&dry, Value::Null, 200).await;
    cluster.expect(&dry, json!({}), 200).await;
    cluster.expect(&format!("GET {MAPS}/m"), Value::Null, 404).await;
}

#[tokio::test]
async fn looks_that_are_not_there() {
    let cluster = Cluster::start().await;
    let check = async |accept: &str, code: u16, kind: &str| {
        let answer = cluster.send(&format!("GET {MAPS}"), accept, &Value::Null).await;
        let found = answer.body["kind"].as_str().unwrap_or("");
        assert_eq!((answer.code, found), (code, kind), "{accept}");
    };
    check("application/json;as=Table;v=v1;g=meta.k8s.io", 200, "Table").await;
    check("application/json;as=Table;v=v9;g=meta.k8s.io", 406, "Status").await;
    check("application/json;as=Thing;v=v1;g=meta.k8s.io", 406, "Status").await;
    check(
        "application/json;as=Thing;v=v1;g=meta.k8s.io,application/json",
        200,
        "ConfigMapList",
    )
    .await;
}

#[tokio::test]
async fn objects_come_back_in_upstreams_form() {
    let cluster = Cluster::start().await;
    let object = json!({"metadata": {"name": "m", "labels": {}, "annotations": {"a": null}},
        "data": {}, "immutable": false});
    let made = cluster.expect(&format!("POST {MAPS}"), object, 201).await.body;
    assert_eq!(made["metadata"].get("labels"), None);
    assert_eq!(made["metadata"]["annotations"], json!({"a": ""}));
    assert_eq!(
        (made.get("data"), made.get("immutable")),
        (None, Some(&json!(false)))
    );
    // What every object shows is nobody's.
    let events = "POST /api/v1/namespaces/default/events";
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}});
    let made = cluster.expect(events, event, 201).await.body;
    assert_eq!(made["eventTime"], Value::Null);
    assert!(made.as_object().unwrap().contains_key("eventTime"));
    let owned = &made["metadata"]["managedFields"][0]["fieldsV1"];
    assert_eq!(owned.get("f:eventTime"), None, "{owned}");
    assert!(owned.get("f:involvedObject").is_some(), "{owned}");
    let cases = [
        (
            json!({"metadata": {"name": "x"}, "binaryData": {"a": "x"}}),
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: illegal base64 data at input byte ",
        ),
        (
            json!({"metadata": {"name": "x", "ownerReferences": [{"name": 1}]}}),
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct \
             field OwnerReference.metadata.ownerReferences.name of type string",
        ),
        (
            json!({"metadata": {"name": "x", "creationTimestamp": "now"}}),
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: parsing time \"now\" as",
        ),
    ];
    for (object, message) in cases {
        cluster
            .refused(&format!("POST {MAPS}"), object, 400, message)
            .await;
    }
}

#[tokio::test]
async fn warnings() {
    let cluster = Cluster::start().await;
    let check = async |request: &str, body: Value, expected: &[&str]| {
        let answer = cluster.send(request, "application/json", &body).await;
        assert!(answer.code < 300, "{request}: {}", answer.text);
        let texts: Vec<String> = expected.iter().map(|t| format!("299 - \"{t}\"")).collect();
        assert_eq!(answer.warnings, texts, "{request}");
    };
    check(
        &format!("POST {MAPS}?dryRun=All"),
        json!({"metadata": {"name": "x", "yyy": 1}, "zzz": 1}),
        &["unknown field \\\"metadata.yyy\\\"", "unknown field \\\"zzz\\\""],
    )
    .await;
    check(
        "POST /api/v1/namespaces/default/services?dryRun=All",
        json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "externalIPs": ["1.2.3.4"],
            "trafficDistribution": "PreferClose"}}),
        &[
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
            "spec.trafficDistribution: \\\"PreferClose\\\" is deprecated; use \\\"PreferSameZone\\\"",
        ],
    )
    .await;
    let ends = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
    check("GET /api/v1/endpoints", Value::Null, &[ends]).await;
}

#[tokio::test]
async fn some_updates_name_their_version() {
    let cluster = Cluster::start().await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({"metadata": {"name": "l"}});
    let made = cluster
        .expect(&format!("POST {leases}"), lease.clone(), 201)
        .await;
    let update = format!("PUT {leases}/l");
    let why = "leases.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: 0: must be \
               specified for an update";
    cluster.refused(&update, lease, 422, why).await;
    cluster.expect(&update, made.body, 200).await;
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    cluster.expect(&format!("PATCH {leases}/l"), patch, 200).await;
}
