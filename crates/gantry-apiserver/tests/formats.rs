//! Formats on the wire: which answers come in which, and what is refused.

mod common;

use bytes::Bytes;
use gantry_apiserver::Server;
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use http_body_util::BodyExt;
use serde_json::json;
use std::sync::Arc;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const BOATS: &str = "/apis/example.com/v1/boats";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

async fn server() -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
    let server = Server::new(Arc::new(Memory::new()), common::config(&pki))
        .await
        .unwrap();
    let names = json!({"plural": "boats", "kind": "Boat"});
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": schema});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.example.com"},
        "spec": {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]},
    });
    let map = json!({"metadata": {"name": "a"}});
    let boat = json!({"apiVersion": "example.com/v1", "kind": "Boat", "metadata": {"name": "a"}});
    for (path, body) in [(DEFINITIONS, definition), (MAPS, map), (BOATS, boat)] {
        let answer = send(&server, "POST", path, "", &body.to_string()).await;
        assert_eq!(answer.0, 201, "{path}");
    }
    (server, folder)
}

/// The code, type and body of an answer.
async fn send(server: &Server, method: &str, path: &str, accept: &str, body: &str) -> (u16, String, Bytes) {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_TYPE, JSON);
    if !accept.is_empty() {
        request = request.header(ACCEPT, accept);
    }
    let request = request.body(Bytes::from(body.to_string())).unwrap();
    let root = User::new("root", &[MASTERS, AUTHENTICATED]);
    let response = server.local(root).send(request).await;
    let type_ = response
        .headers()
        .get(CONTENT_TYPE)
        .map_or("", |v| v.to_str().unwrap())
        .to_string();
    let code = response.status().as_u16();
    (
        code,
        type_,
        response.into_body().collect().await.unwrap().to_bytes(),
    )
}

#[tokio::test]
async fn answers_come_as_they_are_asked_for() {
    let (server, _folder) = server().await;
    let check = async |method: &str, path: &str, accept: &str, code: u16, type_: &str, part: &str| {
        let (found, in_type, body) = send(&server, method, path, accept, "").await;
        let text = String::from_utf8_lossy(&body);
        assert_eq!(
            (found, &*in_type),
            (code, type_),
            "{method} {path} {accept}: {text}"
        );
        assert!(text.contains(part), "{method} {path} {accept}: {text}");
    };
    let page = "text/plain; charset=utf-8";
    let only = "only the following media types are accepted: application/json, application/yaml, \
                application/vnd.kubernetes.protobuf";
    let router = "406: Not Acceptable\\n\\nAvailable representations: application/json, application/yaml, \
                  application/vnd.kubernetes.protobuf";
    let metadata = format!("{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    let metadata_list = format!("{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
    let table = "as=Table;g=meta.k8s.io;v=v1";
    let table_first = format!("{PROTOBUF};{table},{JSON};{table}");
    for collection in [BOATS, MAPS] {
        let one = &format!("{collection}/a");
        check("GET", one, &metadata, 200, PROTOBUF, "PartialObjectMetadata").await;
        check(
            "GET",
            collection,
            &metadata_list,
            200,
            PROTOBUF,
            "PartialObjectMetadataList",
        )
        .await;
        let watch = &format!("{collection}?watch=true&timeoutSeconds=1");
        let stream = &format!("{PROTOBUF};stream=watch");
        check("GET", watch, &metadata, 200, stream, "ADDED").await;
        check("GET", watch, &metadata, 200, stream, "PartialObjectMetadata").await;
        check("GET", collection, &table_first, 200, JSON, "\"rows\":[{").await;
        check(
            "GET",
            collection,
            &format!("{YAML};{table}"),
            200,
            YAML,
            "kind: Table\nmetadata:",
        )
        .await;
        check("GET", collection, YAML, 200, YAML, "\nkind: ").await;
        // Refusals are never looks of objects.
        check(
            "GET",
            &format!("{collection}/none"),
            &metadata,
            404,
            JSON,
            "not found",
        )
        .await;
        check(
            "GET",
            collection,
            "application/json;as=Other;g=meta.k8s.io;v=v1",
            406,
            JSON,
            only,
        )
        .await;
    }
    check("GET", BOATS, PROTOBUF, 406, PROTOBUF, only).await;
    check("GET", BOATS, &format!("{PROTOBUF},{JSON}"), 200, JSON, "BoatList").await;
    check("GET", BOATS, "application/*", 200, JSON, "BoatList").await;
    check("GET", MAPS, "application/*", 406, JSON, router).await;
    check("GET", MAPS, PROTOBUF, 200, PROTOBUF, "ConfigMapList").await;
    for path in [
        "/apis/example.com/v1/ships",
        "/apis/example.com/v2",
        "/apis/example.com/v1/namespaces/a/boats",
    ] {
        check("GET", path, JSON, 404, page, "404 page not found\n").await;
    }
    check(
        "GET",
        "/apis/apps/v1/ships",
        JSON,
        404,
        JSON,
        "could not find the requested resource",
    )
    .await;
    // Discovery
    for path in [
        "/api",
        "/apis",
        "/apis/apps",
        "/apis/apps/v1",
        "/apis/example.com/v1",
    ] {
        check("GET", path, YAML, 200, YAML, "kind: API").await;
        check("GET", path, PROTOBUF, 200, PROTOBUF, "k8s\0").await;
        check("GET", path, JSON, 200, JSON, "\"kind\":\"API").await;
    }
    for (path, code, why) in [
        ("/api/v1", 406, router),
        ("/apis/apps/v1", 406, router),
        ("/apis", 406, only),
    ] {
        check("GET", path, "text/html", code, JSON, why).await;
    }
    check("GET", "/apis/example.com/v1", "text/html", 406, JSON, only).await;
    for path in ["/api", "/apis/apps/v1"] {
        check("POST", path, JSON, 405, JSON, "does not allow this method").await;
    }
    for path in ["/apis", "/apis/apps", "/apis/example.com/v1"] {
        check("POST", path, JSON, 200, JSON, "\"kind\":\"API").await;
    }
    check("GET", "/version", "application/json", 200, JSON, "gitVersion").await;
    check(
        "GET",
        "/version",
        YAML,
        406,
        YAML,
        "Available representations: application/json",
    )
    .await;
}
