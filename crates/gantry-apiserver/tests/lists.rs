//! Lists and watches from outside: versions, pages, selectors, formats, and what happened meanwhile.

mod common;

use bytes::Bytes;
use gantry_api::protobuf;
use gantry_apiserver::{Body, Local, Server};
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::{Memory, Store};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

struct Cluster {
    store: Arc<Memory>,
    root: Local,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
        let config = common::config(&pki);
        let store = Arc::new(Memory::new());
        let server = Server::new(store.clone(), config).await.unwrap();
        Cluster {
            store,
            root: server.local(User::new("root", &[MASTERS, AUTHENTICATED])),
            _folder: folder,
        }
    }

    async fn open(&self, request: &str, accept: &str, body: Value) -> (u16, Body) {
        let (method, path) = request.split_once(' ').unwrap();
        let body = match body.is_null() {
            true => Bytes::new(),
            false => body.to_string().into(),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept", accept)
            .body(body)
            .unwrap();
        let response = self.root.send(request).await;
        (response.status().as_u16(), response.into_body())
    }

    async fn raw(&self, request: &str, accept: &str) -> Vec<u8> {
        let (code, body) = self.open(request, accept, Value::Null).await;
        assert_eq!(code, 200, "{request}");
        body.collect().await.unwrap().to_bytes().to_vec()
    }

    /// One request that must get this code; its answer.
    async fn expect(&self, request: &str, body: Value, code: u16) -> Value {
        let (found, answer) = self.open(request, "application/json", body).await;
        let bytes = answer.collect().await.unwrap().to_bytes();
        let answer = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        assert_eq!(found, code, "{request}: {answer}");
        answer
    }

    async fn list(&self, query: &str) -> Value {
        self.expect(&format!("GET {MAPS}?{query}"), Value::Null, 200)
            .await
    }

    async fn create(&self, name: &str, labels: Value) -> Value {
        let map = json!({"metadata": {"name": name, "labels": labels}, "data": {"n": name}});
        self.expect(&format!("POST {MAPS}"), map, 201).await
    }

    async fn watch(&self, query: &str) -> Watch {
        let request = format!("GET {MAPS}?watch=true&{query}");
        let (code, body) = self.open(&request, "application/json", Value::Null).await;
        assert_eq!(code, 200, "{request}");
        Watch {
            body,
            buffer: Vec::new(),
        }
    }
}

struct Watch {
    body: Body,
    buffer: Vec<u8>,
}

impl Watch {
    /// The next event's type and object; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let mut event: Value = serde_json::from_slice(&line).unwrap();
                return Some((event["type"].as_str().unwrap().into(), event["object"].take()));
            }
            let frame = tokio::time::timeout(Duration::from_secs(10), self.body.frame());
            let frame = frame.await.expect("the watch is silent")?.unwrap();
            self.buffer.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    /// The next events, as "TYPE name".
    async fn names(&mut self, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        for _ in 0..count {
            let (type_, object) = self.next().await.expect("the watch ended");
            found.push(format!(
                "{type_} {}",
                object["metadata"]["name"].as_str().unwrap_or("")
            ));
        }
        found
    }
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|i| i["metadata"]["name"].as_str().unwrap())
        .collect()
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn token(list: &Value) -> &str {
    list["metadata"]["continue"].as_str().unwrap_or("")
}

#[tokio::test]
async fn pages_are_of_one_revision() {
    let cluster = Cluster::start().await;
    // The namespace has a ConfigMap of its own only in time; begin with known ones.
    for n in 0..25 {
        cluster
            .create(&format!("m{n:02}"), json!({"odd": (n % 2).to_string()}))
            .await;
    }
    let first = cluster.list("limit=10").await;
    assert_eq!(names(&first).len(), 10);
    assert_eq!(first["metadata"]["remainingItemCount"], 15);
    assert_eq!(first["kind"], "ConfigMapList");
    assert_eq!(first["items"][0].get("kind"), None, "items carry no kind");
    cluster.create("m15a", json!({})).await;
    cluster
        .expect(&format!("DELETE {MAPS}/m20"), Value::Null, 200)
        .await;
    let second = cluster
        .list(&format!("limit=10&continue={}", token(&first)))
        .await;
    assert_eq!(second["metadata"]["remainingItemCount"], 5);
    let third = cluster
        .list(&format!("limit=10&continue={}", token(&second)))
        .await;
    assert_eq!(
        (token(&third), third["metadata"].get("remainingItemCount")),
        ("", None)
    );
    let all: Vec<_> = [&first, &second, &third].into_iter().flat_map(names).collect();
    let expected: Vec<_> = (0..25).map(|n| format!("m{n:02}")).collect();
    assert_eq!(all, expected);
    assert_eq!(
        (version(&first), version(&first)),
        (version(&second), version(&third))
    );

    // Selectors look beyond what they drop, and do not count it.
    let odd = cluster.list("limit=10&labelSelector=odd%3D1").await;
    assert_eq!(names(&odd).len(), 10);
    assert_eq!(odd["metadata"].get("remainingItemCount"), None);
    let rest = format!("limit=10&labelSelector=odd%3D1&continue={}", token(&odd));
    assert_eq!(names(&cluster.list(&rest).await), ["m21", "m23"]);
    let one = cluster.list("fieldSelector=metadata.name%3Dm03").await;
    assert_eq!(names(&one), ["m03"]);
    assert_eq!(
        names(&cluster.list("fieldSelector=metadata.name%3Dm0").await).len(),
        0
    );
}

#[tokio::test]
async fn versions_of_lists() {
    let cluster = Cluster::start().await;
    let old = version(&cluster.create("a", json!({})).await);
    cluster.create("b", json!({})).await;
    let first = cluster.list("limit=1").await;
    let exact = format!("resourceVersion={old}&resourceVersionMatch=Exact");
    assert_eq!(names(&cluster.list(&exact).await), ["a"]);
    assert_eq!(version(&cluster.list(&exact).await), old);
    assert_eq!(
        names(&cluster.list(&format!("resourceVersion={old}&limit=5")).await),
        ["a"]
    );
    assert_eq!(
        names(&cluster.list(&format!("resourceVersion={old}")).await),
        ["a", "b"]
    );
    let request = |query: &str| format!("GET {MAPS}?{query}");
    let future = cluster
        .expect(&request("resourceVersion=99999"), Value::Null, 504)
        .await;
    assert_eq!(future["reason"], "Timeout");
    let message = future["message"].as_str().unwrap();
    assert!(
        message.starts_with("Timeout: Too large resource version: 99999, current: "),
        "{message}"
    );
    assert_eq!(
        future["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );

    cluster.create("c", json!({})).await;
    cluster.store.compact(cluster.store.revision()).await.unwrap();
    let gone = cluster.expect(&request(&exact), Value::Null, 410).await;
    assert_eq!(
        gone["message"],
        "The resourceVersion for the provided list is too old."
    );
    assert_eq!(gone["reason"], "Expired");
    let next = request(&format!("limit=1&continue={}", token(&first)));
    let gone = cluster.expect(&next, Value::Null, 410).await;
    assert!(
        gone["message"]
            .as_str()
            .unwrap()
            .contains("use the continue token in this response")
    );
    let rest = cluster.list(&format!("limit=5&continue={}", token(&gone))).await;
    assert_eq!(names(&rest), ["b", "c"], "the rest, as it stands now");
    cluster.expect(&request("continue=x"), Value::Null, 400).await;
    cluster
        .expect(&request("resourceVersionMatch=Exact"), Value::Null, 422)
        .await;
}

#[tokio::test]
async fn long_lists_in_every_format() {
    const COUNT: usize = 1000;
    let cluster = Cluster::start().await;
    let filler = "x".repeat(500);
    for n in 0..COUNT {
        let map = json!({"metadata": {"name": format!("m{n:04}")}, "data": {"multi": format!("{n}\n: é {filler}\n")}});
        cluster.expect(&format!("POST {MAPS}"), map, 201).await;
    }
    let request = format!("GET {MAPS}");
    let json: Value = serde_json::from_slice(&cluster.raw(&request, "application/json").await).unwrap();
    let expected: Vec<_> = (0..COUNT).map(|n| format!("m{n:04}")).collect();
    assert_eq!(names(&json), expected);
    let one = cluster
        .expect(&format!("GET {MAPS}/m0777"), Value::Null, 200)
        .await;
    let mut item = json["items"][777].clone();
    item["kind"] = "ConfigMap".into();
    item["apiVersion"] = "v1".into();
    assert_eq!(item, one, "an item is the object");

    let protobuf = cluster.raw(&request, "application/vnd.kubernetes.protobuf").await;
    let protobuf = protobuf::decode_object(&protobuf, None).unwrap();
    assert_eq!(protobuf["items"][777]["data"], json["items"][777]["data"]);
    assert_eq!(names(&protobuf), expected);
    assert_eq!(protobuf["metadata"], json["metadata"]);

    let yaml: Value = serde_saphyr::from_slice(&cluster.raw(&request, "application/yaml").await).unwrap();
    assert_eq!(yaml, json);
    let none = cluster
        .raw(&format!("{request}?labelSelector=a"), "application/yaml")
        .await;
    let none: Value = serde_saphyr::from_slice(&none).unwrap();
    assert_eq!(none["items"], json!([]));

    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let table: Value = serde_json::from_slice(&cluster.raw(&request, accept).await).unwrap();
    assert_eq!(table["rows"].as_array().unwrap().len(), COUNT);
    assert_eq!(table["rows"][777]["cells"][0], "m0777");
    assert_eq!(table["columnDefinitions"][0]["name"], "Name");
    assert_eq!(table["rows"][777]["object"]["kind"], "PartialObjectMetadata");

    let accept = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
    let partial = protobuf::decode_object(&cluster.raw(&request, accept).await, None).unwrap();
    assert_eq!(partial["kind"], "PartialObjectMetadataList");
    assert_eq!(names(&partial), expected);
    assert_eq!(partial["items"][777]["metadata"], one["metadata"]);
    assert_eq!(partial["items"][777].get("data"), None);
}

#[tokio::test]
async fn watches_begin_where_they_are_told() {
    let cluster = Cluster::start().await;
    let a = version(&cluster.create("a", json!({})).await);
    cluster.create("b", json!({})).await;
    // Nothing and 0 begin with what exists; who knows bookmarks learns where that ends.
    for query in ["", "&resourceVersion=0"] {
        let mut watch = cluster.watch(&format!("allowWatchBookmarks=true{query}")).await;
        assert_eq!(watch.names(2).await, ["ADDED a", "ADDED b"]);
        let (type_, bookmark) = watch.next().await.unwrap();
        assert_eq!(type_, "BOOKMARK");
        assert_eq!(
            bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"],
            "true"
        );
        assert_eq!(version(&bookmark), cluster.store.revision());
    }
    let not_older = "resourceVersionMatch=NotOlderThan";
    let mut now = cluster
        .watch(&format!("sendInitialEvents=false&{not_older}"))
        .await;
    let mut after = cluster.watch(&format!("resourceVersion={a}")).await;
    cluster.create("c", json!({})).await;
    assert_eq!(now.names(1).await, ["ADDED c"]);
    assert_eq!(after.names(2).await, ["ADDED b", "ADDED c"]);

    let future = format!("sendInitialEvents=true&{not_older}&resourceVersion=99999");
    let (type_, status) = cluster.watch(&future).await.next().await.unwrap();
    assert_eq!((type_.as_str(), &status["code"]), ("ERROR", &json!(504)));
    let mut short = cluster
        .watch(&format!(
            "timeoutSeconds=1&resourceVersion={}",
            cluster.store.revision()
        ))
        .await;
    assert_eq!(short.next().await, None, "it ends in time");
    cluster.store.compact(cluster.store.revision()).await.unwrap();
    let mut old = cluster.watch(&format!("resourceVersion={a}")).await;
    let (type_, status) = old.next().await.unwrap();
    assert_eq!((type_.as_str(), &status["code"]), ("ERROR", &json!(410)));
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .starts_with(&format!("too old resource version: {a} ("))
    );
    assert_eq!(old.next().await, None);
    cluster
        .expect(
            &format!("GET {MAPS}?watch=true&sendInitialEvents=true"),
            Value::Null,
            422,
        )
        .await;
}

#[tokio::test]
async fn selectors_turn_changes_into_coming_and_going() {
    let cluster = Cluster::start().await;
    let since = cluster.store.revision();
    let query = format!("resourceVersion={since}");
    let mut all = cluster.watch(&query).await;
    let mut chosen = cluster.watch(&format!("{query}&labelSelector=on%3Dyes")).await;
    let mut one = cluster
        .watch(&format!("{query}&fieldSelector=metadata.name%3Dweb"))
        .await;
    cluster.create("web-1", json!({"on": "yes"})).await;
    cluster.create("web", json!({"on": "no"})).await;
    let put = async |on: &str| {
        let map = json!({"metadata": {"name": "web", "labels": {"on": on}}, "data": {"on": on}});
        cluster.expect(&format!("PUT {MAPS}/web"), map, 200).await
    };
    put("yes").await;
    let left = put("no").await;
    put("yes").await;
    cluster
        .expect(&format!("DELETE {MAPS}/web"), Value::Null, 200)
        .await;
    let expected = [
        "ADDED web-1",
        "ADDED web",
        "MODIFIED web",
        "MODIFIED web",
        "MODIFIED web",
        "DELETED web",
    ];
    assert_eq!(all.names(6).await, expected);
    assert_eq!(one.names(5).await, expected[1..]);
    assert_eq!(chosen.names(2).await, ["ADDED web-1", "ADDED web"]);
    let (type_, object) = chosen.next().await.unwrap();
    assert_eq!(type_, "DELETED");
    assert_eq!(object["data"]["on"], "yes", "the object as it last matched");
    assert_eq!(version(&object), version(&left), "at the revision of the change");
    assert_eq!(chosen.names(2).await, ["ADDED web", "DELETED web"]);
}

/// A field that is demanded a value of spares the watch what others are about, and nothing else.
#[tokio::test]
async fn watches_of_one_field_value() {
    let cluster = Cluster::start().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    let watch = async |query: &str| {
        let request = format!(
            "GET {secrets}?watch=true&resourceVersion={}&{query}",
            cluster.store.revision()
        );
        let (code, body) = cluster.open(&request, "application/json", Value::Null).await;
        assert_eq!(code, 200, "{request}");
        Watch {
            body,
            buffer: Vec::new(),
        }
    };
    let mut a = watch("fieldSelector=type%3Dexample.com/a").await;
    let mut b = watch("fieldSelector=type%3Dexample.com/b&labelSelector=x").await;
    let mut others = watch("fieldSelector=type!%3Dexample.com/a").await;
    for (name, type_, labels) in [
        ("a-1", "example.com/a", json!({})),
        ("b-1", "example.com/b", json!({})),
        ("b-2", "example.com/b", json!({"x": ""})),
        ("a-2", "example.com/a", json!({"x": ""})),
    ] {
        let secret = json!({"metadata": {"name": name, "labels": labels}, "type": type_});
        cluster.expect(&format!("POST {secrets}"), secret, 201).await;
    }
    for name in ["b-2", "a-1"] {
        cluster
            .expect(&format!("DELETE {secrets}/{name}"), Value::Null, 200)
            .await;
    }
    assert_eq!(a.names(3).await, ["ADDED a-1", "ADDED a-2", "DELETED a-1"]);
    assert_eq!(b.names(2).await, ["ADDED b-2", "DELETED b-2"]);
    assert_eq!(others.names(3).await, ["ADDED b-1", "ADDED b-2", "DELETED b-2"]);
}

/// Who reads too slowly is cut off without an error, and goes on from where it was without a gap.
#[tokio::test]
async fn a_slow_watch_ends_and_goes_on() {
    const WRITES: usize = 12_000;
    let cluster = Cluster::start().await;
    let since = version(&cluster.create("m", json!({})).await);
    let key = "/registry/configmaps/default/m";
    let stored = cluster.store.get(key.as_bytes()).await.unwrap().unwrap();
    let mut watch = cluster.watch(&format!("resourceVersion={since}")).await;
    for _ in 0..WRITES {
        let (key, value) = (stored.key.clone(), stored.value.clone());
        cluster.store.put(key, value, None).await.unwrap();
    }
    let (mut seen, mut last, mut cuts) = (0, since, 0);
    while seen < WRITES {
        match watch.next().await {
            Some((type_, object)) => {
                assert_eq!(type_, "MODIFIED", "{object}");
                assert!(version(&object) > last, "out of order");
                last = version(&object);
                seen += 1;
            }
            None => {
                cuts += 1;
                assert_eq!(cuts, 1, "history is read at the reader's own pace");
                watch = cluster.watch(&format!("resourceVersion={last}")).await;
            }
        }
    }
    assert_eq!(cuts, 1, "it was not cut off");
}
