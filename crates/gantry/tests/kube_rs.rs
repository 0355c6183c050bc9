//! The server as kube sees it, the client library that operators in Rust are written with.

mod server;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event as FinalizerEvent, finalizer};
use kube::runtime::{Controller, WatchStreamExt, reflector, wait, watcher};
use kube::{Api, Client, Config, Discovery, Resource, ResourceExt};
use serde_json::json;
use server::Server;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// No wait in these tests may take longer.
const PATIENCE: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "kube";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_works() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path(), server::free_port(), &[]);
    let client = client(&server).await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = Namespace {
        metadata: named(NAMESPACE),
        ..Namespace::default()
    };
    let params = PostParams::default();
    namespaces.create(&params, &namespace).await.expect("a namespace");

    discovery(&client).await;
    server_side_apply(&client).await;
    pages(&client).await;
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        reflected(&client, config.labels("reflected=yes")).await;
    }
    controller(&client).await;
}

async fn client(server: &Server) -> Client {
    let file = Kubeconfig::read_from(server.kubeconfig()).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a configuration")).expect("a client")
}

async fn discovery(client: &Client) {
    let version = client.apiserver_version().await.expect("a version");
    assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "36"));
    let found = Discovery::new(client.clone()).run_aggregated().await;
    let found = found.expect("aggregated discovery");
    let group = found.get("apps").expect("the group apps");
    let (resource, capabilities) = group.recommended_kind("Deployment").expect("the kind Deployment");
    assert_eq!(resource.plural, "deployments");
    assert!(
        capabilities.subresources.iter().any(|(r, _)| r.plural == "scale"),
        "{capabilities:?}"
    );
}

async fn server_side_apply(client: &Client) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let apply = async |manager: &str, force: bool, data: serde_json::Value| {
        let mut params = PatchParams::apply(manager);
        params.force = force;
        let metadata = json!({"name": "applied"});
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
        maps.patch("applied", &params, &Patch::Apply(body)).await
    };
    let made = apply("one", false, json!({"a": "1", "b": "1"})).await;
    assert_eq!(
        made.expect("an apply makes").data,
        Some(strings(&[("a", "1"), ("b", "1")]))
    );
    match apply("two", false, json!({"a": "2"})).await {
        Err(kube::Error::Api(status)) => assert!(status.is_conflict(), "{status:?}"),
        other => panic!("a conflict is told: {other:?}"),
    }
    let forced = apply("two", true, json!({"a": "2"})).await;
    assert_eq!(
        forced.expect("force wins").data,
        Some(strings(&[("a", "2"), ("b", "1")]))
    );
    let less = apply("one", false, json!({})).await.expect("an apply takes back");
    assert_eq!(less.data, Some(strings(&[("a", "2")])));

    let merged = json!({"metadata": {"labels": {"merged": "yes"}}});
    let patched = maps
        .patch_metadata("applied", &PatchParams::default(), &Patch::Merge(merged))
        .await;
    assert_eq!(
        patched.expect("metadata alone").labels().get("merged"),
        Some(&"yes".into())
    );
}

async fn pages(client: &Client) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    for i in 0..5 {
        let map = labelled(&format!("page-{i}"), "page");
        maps.create(&PostParams::default(), &map)
            .await
            .expect("an object");
    }
    let mut params = ListParams::default().labels("page=yes").limit(2);
    let mut names = Vec::new();
    loop {
        let page = maps.list(&params).await.expect("a page");
        names.extend(page.items.iter().map(ResourceExt::name_any));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names, (0..5).map(|i| format!("page-{i}")).collect::<Vec<_>>());
    let all = ListParams::default().labels("page=yes");
    maps.delete_collection(&DeleteParams::default(), &all)
        .await
        .expect("they go");
}

/// A reflector's store follows what happens, whichever way the list comes.
async fn reflected(client: &Client, config: watcher::Config) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let params = PostParams::default();
    maps.create(&params, &labelled("before", "reflected"))
        .await
        .expect("an object");
    let (store, writer) = reflector::store();
    let mut events = watcher(maps.clone(), config)
        .reflect(writer)
        .default_backoff()
        .boxed();
    let mut until = async |names: &[&str]| {
        let reached = async {
            loop {
                events.try_next().await.expect("no error").expect("no end");
                let mut found: Vec<String> = store.state().iter().map(|m| m.name_any()).collect();
                found.sort();
                if found == names {
                    break;
                }
            }
        };
        within("the store follows", reached).await;
    };
    until(&["before"]).await;
    maps.create(&params, &labelled("later", "reflected"))
        .await
        .expect("an object");
    until(&["before", "later"]).await;
    // Without its label the object leaves the selection, which is told as a deletion.
    let unlabel = Patch::Merge(json!({"metadata": {"labels": null}}));
    maps.patch("before", &PatchParams::default(), &unlabel)
        .await
        .expect("a patch");
    until(&["later"]).await;
    for name in ["before", "later"] {
        maps.delete(name, &DeleteParams::default())
            .await
            .expect("a deletion");
    }
    until(&[]).await;
}

/// An operator that keeps a Secret beside every ConfigMap with a label, and cleans up through a finalizer.
async fn controller(client: &Client) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let running = Controller::new(maps.clone(), watcher::Config::default().labels("operated=yes"))
        .owns(secrets.clone(), watcher::Config::default())
        .run(reconcile, on_error, Arc::new(client.clone()))
        .for_each(|done| async move {
            if let Err(error) = done {
                // The object may be gone by the time its turn comes.
                println!("the operator said: {error}");
            }
        });
    let running = tokio::spawn(running);

    let map = labelled("main", "operated");
    let params = PostParams::default();
    maps.create(&params, &map).await.expect("an object");
    let has_secret =
        |wanted: &'static str| move |secret: Option<&Secret>| copied(secret) == Some(wanted.into());
    let made = wait::await_condition(secrets.clone(), "main", has_secret(""));
    within("the secret is made", made).await.expect("a watch");

    let data = Patch::Merge(json!({"data": {"a": "1"}}));
    maps.patch("main", &PatchParams::default(), &data)
        .await
        .expect("a patch");
    let changed = wait::await_condition(secrets.clone(), "main", has_secret("1"));
    within("the secret follows", changed).await.expect("a watch");

    let uid = secrets
        .get("main")
        .await
        .expect("the secret")
        .uid()
        .expect("a uid");
    secrets
        .delete("main", &DeleteParams::default())
        .await
        .expect("a deletion");
    let again = wait::await_condition(secrets.clone(), "main", move |secret: Option<&Secret>| {
        secret.is_some_and(|s| s.uid().as_deref() != Some(&uid))
    });
    within("the secret is made again", again).await.expect("a watch");

    let uid = maps.get("main").await.expect("the object").uid().expect("a uid");
    maps.delete("main", &DeleteParams::default())
        .await
        .expect("a deletion");
    let gone = wait::await_condition(maps, "main", wait::conditions::is_deleted(&uid));
    within("the finalizer is taken off", gone).await.expect("a watch");
    let collected = wait::await_condition(secrets, "main", |secret: Option<&Secret>| secret.is_none());
    within("what it owned goes with it", collected)
        .await
        .expect("a watch");
    running.abort();
}

fn copied(secret: Option<&Secret>) -> Option<String> {
    let bytes = secret?.data.as_ref()?.get("copy")?;
    String::from_utf8(bytes.0.clone()).ok()
}

async fn reconcile(
    map: Arc<ConfigMap>,
    client: Arc<Client>,
) -> Result<Action, kube::runtime::finalizer::Error<kube::Error>> {
    let maps: Api<ConfigMap> = Api::namespaced((*client).clone(), NAMESPACE);
    let secrets: Api<Secret> = Api::namespaced((*client).clone(), NAMESPACE);
    finalizer(&maps, "gantry.test/operated", map, async |event| {
        if let FinalizerEvent::Apply(map) = event {
            let data = map.data.as_ref().and_then(|d| d.get("a"));
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": map.name_any(), "ownerReferences": [map.controller_owner_ref(&())]},
                "stringData": {"copy": data.map_or("", String::as_str)},
            });
            let params = PatchParams::apply("operator").force();
            secrets
                .patch(&map.name_any(), &params, &Patch::Apply(secret))
                .await?;
        }
        Ok(Action::await_change())
    })
    .await
}

fn on_error(_: Arc<ConfigMap>, _: &kube::runtime::finalizer::Error<kube::Error>, _: Arc<Client>) -> Action {
    Action::requeue(Duration::from_millis(100))
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("not in {PATIENCE:?}: {what}"))
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        ..ObjectMeta::default()
    }
}

fn labelled(name: &str, label: &str) -> ConfigMap {
    let metadata = ObjectMeta {
        labels: Some(strings(&[(label, "yes")])),
        ..named(name)
    };
    ConfigMap {
        metadata,
        ..ConfigMap::default()
    }
}

fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect()
}
