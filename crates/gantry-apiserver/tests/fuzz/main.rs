//! Requests that nobody would write: heads and bodies of good ones, changed at random, the same way every time. The server
//! must say what is wrong with them, and never that something is wrong with itself. What reads them is fed by itself, too.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../../fuzz/src/harness.rs"]
mod harness;
#[path = "../../../../fuzz/src/short.rs"]
mod short;
mod targets;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use futures::StreamExt;
use gantry_api::protobuf;
use gantry_apiserver::{Local, Server};
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::{HeaderValue, Request, Uri};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use short::mutator::Mutator;
use std::sync::Arc;
use std::time::Duration;

/// So many changed requests of each sort.
const ROUNDS: usize = 4_000;
/// A watch is left after this long.
const PATIENCE: Duration = Duration::from_millis(1);
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

struct Cluster {
    root: Local,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
        let config = common::config(&pki);
        let server = Server::new(Arc::new(Memory::new()), config).await.unwrap();
        let root = server.local(User::new("root", &[MASTERS, AUTHENTICATED]));
        let cluster = Cluster {
            root,
            _folder: folder,
        };
        for name in ["a", "b", "c"] {
            let body = json!({"metadata": {"name": name}, "data": {"a": "b"}}).to_string();
            let made = cluster
                .send("POST", MAPS, "application/json", "", body.into())
                .await;
            assert_eq!(made.map(|a| a.0), Some(201));
        }
        cluster
    }

    /// The code of an answer and its body; none when no HTTP client could send that.
    async fn send(
        &self,
        method: &str,
        path: &str,
        type_: &str,
        accept: &str,
        body: Bytes,
    ) -> Option<(u16, Bytes)> {
        let uri: Uri = path.parse().ok()?;
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", HeaderValue::from_bytes(type_.as_bytes()).ok()?)
            .header("accept", HeaderValue::from_bytes(accept.as_bytes()).ok()?)
            .body(body)
            .ok()?;
        let response = self.root.send(request).await;
        let code = response.status().as_u16();
        let mut frames = response.into_body().into_data_stream();
        let mut whole = Vec::new();
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(PATIENCE, frames.next()).await {
            whole.extend_from_slice(&frame);
        }
        Some((code, whole.into()))
    }

    /// What is sent must not be the server's fault; but for what upstream, too, answers so: versions yet to come, and
    /// applies of what is under no schema.
    async fn bears(&self, method: &str, path: &str, type_: &str, accept: &str, body: &[u8]) {
        let sent = self.send(method, path, type_, accept, Bytes::copy_from_slice(body));
        let Some((code, answer)) = sent.await else { return };
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            code < 500 || code == 504 || answer.contains("failed to create typed patch object"),
            "{method} {path} ({type_}, {accept}) {:?} is answered {code}: {answer}",
            String::from_utf8_lossy(body)
        );
    }
}

fn text(mutator: &mut Mutator, seeds: &[&str], words: &[&str]) -> String {
    let seeds: Vec<&[u8]> = seeds.iter().map(|s| s.as_bytes()).collect();
    String::from_utf8_lossy(&mutator.change(&seeds, words)).into_owned()
}

#[tokio::test]
async fn heads() {
    let cluster = Cluster::start().await;
    let mut mutator = Mutator::default();
    let paths = [
        "/api/v1/namespaces/default/configmaps?labelSelector=a%3Db%2Cc+in+(d)&limit=2&resourceVersion=1",
        "/api/v1/namespaces/default/configmaps/a?fieldManager=x&dryRun=All&fieldValidation=Strict&pretty=true",
        "/apis/apps/v1/deployments?watch=1&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1",
        "/apis/apps/v1/namespaces/default/deployments/a/scale",
        "/api/v1/namespaces/default/pods?fieldSelector=status.phase%3DRunning&sendInitialEvents=true",
        "/api/v1/namespaces/default/configmaps/b?propagationPolicy=Foreground&gracePeriodSeconds=0",
        "/openapi/v3/apis/apps/v1?hash=1",
        "/readyz/etcd?verbose&exclude=etcd",
    ];
    let words = [
        "/",
        "?",
        "&",
        "=",
        "%",
        "%00",
        "%2F",
        "..",
        "watch=true",
        "limit=-1",
        "continue=",
        "é",
        "//",
    ];
    let accepts = [
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;q=0.5",
        "application/vnd.kubernetes.protobuf;stream=watch, */*",
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1;q=0.9,application/yaml",
    ];
    let of_accept = [
        ";",
        ",",
        "q=",
        "as=",
        "*/*",
        "v=v1beta1",
        "q=nan",
        "q=1e999",
        "\"",
        "=",
    ];
    for round in 0..ROUNDS {
        let path = text(&mut mutator, &paths, &words);
        let accept = text(&mut mutator, &accepts, &of_accept);
        let method = ["GET", "GET", "HEAD", "DELETE", "OPTIONS"][round % 5];
        cluster.bears(method, &path, "", &accept, b"").await;
    }
}

#[tokio::test]
async fn continue_tokens() {
    let cluster = Cluster::start().await;
    let (_, first) = cluster
        .send("GET", &format!("{MAPS}?limit=1"), "", "", Bytes::new())
        .await
        .unwrap();
    let list: Value = serde_json::from_slice(&first).unwrap();
    let token = list["metadata"]["continue"].as_str().unwrap();
    let inside = BASE64.decode(token.trim_end_matches('=')).unwrap();
    let mut mutator = Mutator::default();
    let words = [
        "\"v\"",
        "meta.k8s.io/v1",
        "-1",
        "0",
        "99999999999999999999",
        "..",
        "/",
        "\\u0000",
        "null",
    ];
    for round in 0..ROUNDS {
        let token = match round % 2 {
            0 => BASE64.encode(mutator.change(&[&inside], &words)),
            _ => text(&mut mutator, &[token], &["=", "%", "AAAA"]),
        };
        let path = format!("{MAPS}?limit=1&continue={token}");
        cluster.bears("GET", &path, "", "", b"").await;
    }
}

#[tokio::test]
async fn bodies() {
    let cluster = Cluster::start().await;
    let mut mutator = Mutator::default();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new", "labels": {"a": "b"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]}, "data": {"a": "b"}});
    let json_text = map.to_string();
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new, labels: &l {a: b}}\ndata:\n  a: |\n    b\n  c: 'd'\n  <<: *l\n";
    let bytes = protobuf::encode_object(&map).unwrap();
    let options = r#"{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"x"},"propagationPolicy":"Orphan"}"#;
    let patch = r#"[{"op":"add","path":"/data/x","value":"y"},{"op":"test","path":"/data/a","value":"b"}]"#;
    let merge = r#"{"metadata":{"labels":{"x":"y","a":null},"finalizers":["a/b"]},"data":{"$patch":"replace","z":"1"}}"#;
    let one = format!("{MAPS}/a");
    let words = [
        "null", "{}", "[]", "\"\"", "1e999", "-1", "&a", "*a", "<<:", "---\n", "!!binary", "- ", ": ", "\t",
        "\\ud800", "k8s\0",
    ];
    let sorts: [(&str, &str, &str, &[u8]); 8] = [
        ("POST", MAPS, "application/json", json_text.as_bytes()),
        ("POST", MAPS, "application/yaml", yaml.as_bytes()),
        ("POST", MAPS, "application/vnd.kubernetes.protobuf", &bytes),
        ("DELETE", &one, "application/json", options.as_bytes()),
        ("PATCH", &one, "application/json-patch+json", patch.as_bytes()),
        ("PATCH", &one, "application/merge-patch+json", merge.as_bytes()),
        (
            "PATCH",
            &one,
            "application/strategic-merge-patch+json",
            merge.as_bytes(),
        ),
        ("PATCH", &one, "application/apply-patch+yaml", yaml.as_bytes()),
    ];
    for (method, path, type_, seed) in sorts {
        let path = format!("{path}?fieldManager=fuzz");
        for _ in 0..ROUNDS / 4 {
            let body = mutator.change(&[seed], &words);
            cluster.bears(method, &path, type_, "", &body).await;
        }
    }
}

#[test]
fn decoders_bear_everything() {
    short::run(targets::TARGETS, 1_500);
}
