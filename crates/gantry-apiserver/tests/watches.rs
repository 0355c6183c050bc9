//! Watches in their two forms: components of the same process are handed objects and are told what anyone reads in lines of
//! JSON; and tables, which tell their columns once.

mod common;

use async_trait::async_trait;
use bytes::Bytes;
use gantry_apiserver::{Body, Local, Server};
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_client::resource::{CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, PODS, SERVICE_ACCOUNTS};
use gantry_client::{
    Begin, Client, Event, EventType, ListOptions, Object, Resource, Transport, TransportError, Watch,
    WatchOptions,
};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::{Memory, Store};
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;

/// Watches get lines, as over a connection.
struct Lines(Local);

#[async_trait]
impl Transport for Lines {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        Transport::send(&self.0, request).await
    }
}

struct Cluster {
    store: Arc<Memory>,
    root: Local,
    shared: Client,
    lines: Client,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
        let store = Arc::new(Memory::new());
        let server = Server::new(store.clone(), common::config(&pki)).await.unwrap();
        let root = server.local(User::new("root", &[MASTERS, AUTHENTICATED]));
        Cluster {
            store,
            shared: root.clone().client("shared"),
            lines: Client::new(Arc::new(Lines(root.clone())), "lines"),
            root,
            _folder: folder,
        }
    }

    fn now(&self) -> Begin {
        Begin::After(self.store.revision().to_string())
    }

    async fn watch(&self, case: &Case, begin: &Begin) -> Pair {
        let options = WatchOptions {
            list: ListOptions {
                labels: case.labels.into(),
                fields: case.fields.into(),
            },
            begin: begin.clone(),
        };
        let open = async |client: &Client| client.watch(&case.resource, case.namespace(), &options).await;
        Pair {
            shared: open(&self.shared).await.unwrap(),
            lines: open(&self.lines).await.unwrap(),
            what: format!("{case:?} {begin:?}"),
        }
    }
}

/// The same watch in both forms.
struct Pair {
    shared: Watch,
    lines: Watch,
    what: String,
}

/// What both forms of an event must agree on: its type, its object, the outline of it.
type Read = (EventType, Value, Value);

fn read(Event { type_, object }: Event) -> Read {
    let copy = match &object {
        Object::Tree(tree) => Object::Tree(tree.clone()),
        Object::Shared(shared) => Object::Shared(shared.clone()),
    };
    (type_, object.into_tree().unwrap().0, copy.outline().unwrap())
}

impl Pair {
    /// The next event, which both must tell alike; an error's text, or nothing at the end.
    async fn next(&mut self) -> Result<Option<(EventType, Value)>, String> {
        let shared = self.shared.next().await;
        if let Ok(Some(event)) = &shared
            && !matches!(event.type_, EventType::Bookmark | EventType::Listed)
        {
            assert!(matches!(event.object, Object::Shared(_)), "{}", self.what);
        }
        let told = |next: Result<Option<Event>, _>| match next {
            Ok(event) => Ok(event.map(read)),
            Err(error) => Err(format!("{error:?}")),
        };
        let (shared, lines) = (told(shared), told(self.lines.next().await));
        assert_eq!(shared, lines, "{}", self.what);
        shared.map(|event| event.map(|(type_, object, _)| (type_, object)))
    }

    /// The next events, by their types and the objects' names.
    async fn expect(&mut self, expected: &[&str]) {
        let mut found = Vec::new();
        for _ in expected {
            let (type_, object) = self.next().await.unwrap().expect("the watch ended");
            let name = object["metadata"]["name"].as_str().unwrap_or("");
            found.push(format!("{type_:?} {name}").trim().to_string());
        }
        assert_eq!(found, expected, "{}", self.what);
    }
}

/// Objects to watch, which are either on or off.
#[derive(Debug)]
struct Case {
    resource: Resource,
    object: fn(&str) -> Value,
    /// Where an object says whether it is on.
    switch: Switch,
    labels: &'static str,
    fields: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Switch {
    Label,
    Spec,
    /// Written through the status.
    Phase,
}

impl Case {
    fn namespace(&self) -> &'static str {
        if self.resource.namespaced { "default" } else { "" }
    }

    fn is_selective(&self) -> bool {
        !(self.labels.is_empty() && self.fields.is_empty())
    }

    async fn create(&self, client: &Client, name: &str, on: bool) {
        let mut object = (self.object)(name);
        object["apiVersion"] = self.resource.api_version().into();
        object["kind"] = self.resource.kind.as_str().into();
        object["metadata"] = json!({"name": name, "annotations": {"text": "é\n\u{1}\"\\"}});
        if self.resource.namespaced {
            object["metadata"]["namespace"] = "default".into();
        }
        if matches!(self.switch, Switch::Label | Switch::Spec) {
            self.turn(&mut object, on);
        }
        client.create(&self.resource, &object).await.unwrap();
        if let Switch::Phase = self.switch {
            self.put(client, name, on).await;
        }
    }

    fn turn(&self, object: &mut Value, on: bool) {
        let yes = if on { "yes" } else { "no" };
        match self.switch {
            Switch::Label => object["metadata"]["labels"] = json!({"on": yes}),
            Switch::Spec => object["spec"] = json!({"on": yes}),
            Switch::Phase => object["status"]["phase"] = if on { "Running" } else { "Pending" }.into(),
        }
    }

    async fn put(&self, client: &Client, name: &str, on: bool) {
        let mut object = client.get(&self.resource, self.namespace(), name).await.unwrap();
        self.turn(&mut object, on);
        let answer = match self.switch {
            Switch::Phase => client.update_status(&self.resource, &object).await,
            _ => client.update(&self.resource, &object).await,
        };
        answer.unwrap();
    }
}

fn definition() -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "on": {"type": "string"}, "size": {"type": "integer", "default": 3},
        }},
    }}});
    let version = |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage, "schema": schema, "selectableFields": [{"jsonPath": ".spec.on"}]});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "boats", "kind": "Boat"},
            "versions": [version("v1", true), version("v2", false)],
        },
    })
}

fn of(group: &str, version: &str, plural: &str, kind: &str, namespaced: bool) -> Resource {
    Resource {
        group: group.into(),
        version: version.into(),
        plural: plural.into(),
        kind: kind.into(),
        namespaced,
    }
}

/// Time stands still until nothing else is to be done, so that bookmarks come when all is told.
#[tokio::test(start_paused = true)]
async fn objects_handed_over_are_what_lines_tell() {
    let cluster = Cluster::start().await;
    let client = &cluster.shared;
    client
        .create(&CUSTOM_RESOURCE_DEFINITIONS, &definition())
        .await
        .unwrap();
    // Pods need it.
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"},
    });
    client.create(&SERVICE_ACCOUNTS, &account).await.unwrap();
    // The versions of these two are not those that are stored.
    let scalers = of(
        "autoscaling",
        "v1",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        true,
    );
    let boats = of("example.com", "v2", "boats", "Boat", false);
    let case = |resource: &Resource, object, switch, labels, fields| Case {
        resource: resource.clone(),
        object,
        switch,
        labels,
        fields,
    };
    let map: fn(&str) -> Value = |name| json!({"data": {"n": name}});
    let scaler: fn(&str) -> Value = |name| json!({"spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}}});
    let pod: fn(&str) -> Value = |_| json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    let boat: fn(&str) -> Value = |_| json!({});
    let cases = [
        case(&CONFIG_MAPS, map, Switch::Label, "", ""),
        case(&CONFIG_MAPS, map, Switch::Label, "on=yes", ""),
        case(
            &CONFIG_MAPS,
            map,
            Switch::Label,
            "on!=no",
            "metadata.namespace=default",
        ),
        case(&scalers, scaler, Switch::Label, "", ""),
        case(&scalers, scaler, Switch::Label, "on in (yes)", ""),
        case(&PODS, pod, Switch::Phase, "", "status.phase=Running"),
        case(&PODS, pod, Switch::Phase, "", "status.phase!=Pending"),
        case(&boats, boat, Switch::Spec, "", ""),
        case(&boats, boat, Switch::Spec, "", "spec.on=yes"),
    ];
    for case in &cases {
        let [old, mine, other] = ["old", "mine", "other"];
        case.create(client, old, true).await;
        let before = cluster.now();
        let mut existing = cluster.watch(case, &Begin::Existing).await;
        let mut live = cluster.watch(case, &before).await;
        case.create(client, mine, true).await;
        case.create(client, other, false).await;
        for on in [true, false, true] {
            case.put(client, other, on).await;
        }
        for name in [mine, other] {
            let now = json!({"gracePeriodSeconds": 0});
            let namespace = case.namespace();
            client
                .delete(&case.resource, namespace, name, &now)
                .await
                .unwrap();
        }
        let mut history = cluster.watch(case, &before).await;
        let changes: &[&str] = match case.is_selective() {
            true => &[
                "Added mine",
                "Added other",
                "Deleted other",
                "Added other",
                "Deleted mine",
                "Deleted other",
            ],
            false => &[
                "Added mine",
                "Added other",
                "Modified other",
                "Modified other",
                "Modified other",
                "Deleted mine",
                "Deleted other",
            ],
        };
        // Other objects may be there: a namespace has a ConfigMap of its own.
        while existing.next().await.unwrap().expect("the watch ended").0 != EventType::Listed {}
        for watch in [&mut existing, &mut live, &mut history] {
            watch.expect(changes).await;
        }
        for watch in [&mut existing, &mut live, &mut history] {
            watch.expect(&["Bookmark"]).await;
        }
        let mut now = cluster.watch(case, &Begin::Existing).await;
        while now.next().await.unwrap().expect("the watch ended").0 != EventType::Listed {}
        client
            .delete(
                &case.resource,
                case.namespace(),
                old,
                &json!({"gracePeriodSeconds": 0}),
            )
            .await
            .unwrap();
        now.expect(&["Deleted old"]).await;
    }

    // A watch of a kind that goes ends; one from too long ago, or from no revision, is refused.
    let last = &cases[cases.len() - 1];
    let mut ends = cluster.watch(last, &cluster.now()).await;
    client
        .delete(
            &CUSTOM_RESOURCE_DEFINITIONS,
            "",
            "boats.example.com",
            &Value::Null,
        )
        .await
        .unwrap();
    assert_eq!(ends.next().await, Ok(None));
    cluster.store.compact(cluster.store.revision()).await.unwrap();
    for (revision, code) in [("2", "410"), ("x", "500")] {
        let options = WatchOptions {
            list: ListOptions::default(),
            begin: Begin::After(revision.into()),
        };
        let mut found = Vec::new();
        for client in [&cluster.shared, &cluster.lines] {
            let error = match client.watch(&CONFIG_MAPS, "default", &options).await {
                Ok(mut watch) => watch.next().await.map(|_| ()),
                Err(error) => Err(error),
            };
            found.push(format!("{:?}", error.expect_err(revision)));
        }
        assert_eq!(found[0], found[1]);
        assert!(
            found[0].contains(&format!("code: {code}")),
            "{revision}: {}",
            found[0]
        );
    }
}

/// Only the first event of a table has columns, and the row of a bookmark shows what the bookmark says.
#[tokio::test(start_paused = true)]
async fn a_watch_of_tables_tells_its_columns_once() {
    const MAPS: &str = "/api/v1/namespaces/default/configmaps";
    const END: &str = "k8s.io/initial-events-end";
    let cluster = Cluster::start().await;
    let create = async |name: &str| {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default", "labels": {"on": "yes"}}, "data": {"a": "1"},
        });
        cluster.lines.create(&CONFIG_MAPS, &map).await.unwrap();
    };
    create("a").await;
    create("b").await;
    for (include, kind, end_kind) in [
        ("", "PartialObjectMetadata", "PartialObjectMetadata"),
        ("None", "", "PartialObjectMetadata"),
        ("Object", "ConfigMap", "ConfigMap"),
    ] {
        let query = format!(
            "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
             &timeoutSeconds=30&labelSelector=on%3Dyes&includeObject={include}"
        );
        let request = Request::builder()
            .uri(format!("{MAPS}?{query}"))
            .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(Bytes::new())
            .unwrap();
        let response = Local::send(&cluster.root, request).await;
        let last = format!("c{}", include.to_lowercase());
        create(&last).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let events: Vec<Value> = body
            .split_inclusive(|b| *b == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let mut types: Vec<_> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
        let there = types.iter().position(|t| *t == "BOOKMARK").unwrap();
        assert_eq!(
            types.split_off(there),
            ["BOOKMARK", "ADDED", "BOOKMARK"],
            "{include}"
        );
        for (at, event) in events.iter().enumerate() {
            let (table, row) = (&event["object"], &event["object"]["rows"][0]);
            assert_eq!(table["kind"], "Table");
            assert_eq!(table["columnDefinitions"].is_null(), at > 0, "{include}: {event}");
            assert!(table.get("columnDefinitions").is_some());
            assert_eq!(row["cells"].as_array().unwrap().len(), 3, "{event}");
            let expected = if at == there { end_kind } else { kind };
            assert_eq!(row["object"]["kind"].as_str().unwrap_or(""), expected, "{event}");
            let metadata = &row["object"]["metadata"];
            assert_eq!(metadata["annotations"][END] == "true", at == there, "{event}");
        }
        assert_eq!(events[there + 1]["object"]["rows"][0]["cells"][0], last.as_str());
    }
}
