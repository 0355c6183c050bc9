//! What is served, compared with upstream's answers where they are at hand; and kinds served in several versions.

mod common;

use gantry_api::features::{self, Gates, Setting};
use gantry_apiserver::{Local, RuntimeConfig, Server};
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

const GATED: [&str; 7] = [
    "ClusterTrustBundle=true",
    "DRADeviceTaintRules=true",
    "DRADeviceTaints=true",
    "DRAResourcePoolStatus=true",
    "GenericWorkload=true",
    "PodCertificateRequest=true",
    "StorageVersionMigrator=true",
];

/// Versions that upstream leaves off by default: those that are not stable.
fn off_by_default(version: &str) -> bool {
    version.contains("beta") || version.contains("alpha")
}

fn upstream(file: &str) -> Option<Value> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file: PathBuf = here
        .ancestors()
        .map(|a| a.join("../shared/upstream/discovery").join(file))
        .find(|p| p.exists())?;
    Some(serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap())
}

async fn server() -> Local {
    serving(&RuntimeConfig::default()).await
}

/// A server whose process has the gates without which upstream leaves versions out. Stable ones need none.
async fn serving(runtime_config: &RuntimeConfig) -> Local {
    static GATES: Once = Once::new();
    GATES.call_once(|| {
        let settings: Vec<Setting> = GATED.iter().map(|text| Setting::parse(text).unwrap()).collect();
        features::set(Gates::new(&settings).unwrap()).unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
    let config = common::config(&pki);
    let server = Server::serving(Arc::new(Memory::new()), config, runtime_config)
        .await
        .unwrap();
    server.local(User::new("root", &[MASTERS, AUTHENTICATED]))
}

async fn get(root: &Local, path: &str, accept: &str) -> Value {
    let request = Request::builder().uri(path).header("accept", accept);
    answer(root, request.body(bytes::Bytes::new()).unwrap()).await
}

async fn send(root: &Local, method: &str, path: &str, body: &Value) -> Value {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("accept", "application/json");
    answer(root, request.body(body.to_string().into()).unwrap()).await
}

async fn answer(root: &Local, request: Request<bytes::Bytes>) -> Value {
    let path = request.uri().to_string();
    let response = root.send(request).await;
    let code = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert!(code.is_success(), "{path}: {body}");
    body
}

/// Entries of a list by one of their fields.
fn by<'a>(list: &'a Value, field: &str) -> BTreeMap<&'a str, &'a Value> {
    let entries = list.as_array().into_iter().flatten();
    entries.map(|e| (e[field].as_str().unwrap(), e)).collect()
}

/// Notes what differs between two lists of entries.
fn compare(place: &str, field: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    let (ours, theirs) = (by(ours, field), by(theirs, field));
    let names: BTreeSet<&str> = ours.keys().chain(theirs.keys()).copied().collect();
    for name in names {
        match (ours.get(name), theirs.get(name)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => found.push(format!("{place} {name}:\n  {a}\n  {b}")),
            (Some(_), None) => found.push(format!("{place} {name} is ours alone")),
            (None, _) => found.push(format!("{place} {name} is not served")),
        }
    }
}

/// Compares what is served with upstream's answers, as far as these are of versions that count.
async fn compare_all(root: &Local, counts: fn(&str) -> bool) {
    let Some(groups) = upstream("apis.json") else {
        println!("skipped: no ../shared/upstream");
        return;
    };
    let ours = get(root, "/apis", "application/json").await;
    let versions_of = |group: &Value| -> Vec<Value> {
        let versions = group["versions"].as_array().unwrap().iter();
        versions
            .filter(|v| counts(v["version"].as_str().unwrap()))
            .cloned()
            .collect()
    };
    let names = |list: &Value| -> Vec<String> {
        let groups = list["groups"].as_array().unwrap().iter();
        groups
            .filter(|g| !versions_of(g).is_empty())
            .map(|g| g["name"].as_str().unwrap().to_string())
            .collect()
    };
    assert_eq!(names(&ours), names(&groups), "groups in order");

    let mut found = Vec::new();
    let mut versions = vec![("".to_string(), "v1".to_string())];
    for group in ours["groups"].as_array().unwrap() {
        let name = group["name"].as_str().unwrap();
        let theirs = by(&groups["groups"], "name")[name].clone();
        let own = versions_of(group);
        if own != versions_of(&theirs) || group["preferredVersion"] != theirs["preferredVersion"] {
            found.push(format!("{name} has other versions: {group}"));
        }
        versions.extend(
            own.iter()
                .map(|v| (name.into(), v["version"].as_str().unwrap().into())),
        );
    }
    for (group, version) in &versions {
        let (path, file) = match group.as_str() {
            "" => (format!("/api/{version}"), format!("api__{version}.json")),
            _ => (
                format!("/apis/{group}/{version}"),
                format!("apis__{group}__{version}.json"),
            ),
        };
        let (ours, theirs) = (
            get(root, &path, "application/json").await,
            upstream(&file).unwrap(),
        );
        assert_eq!(ours["groupVersion"], theirs["groupVersion"]);
        compare(
            &path,
            "name",
            &ours["resources"],
            &theirs["resources"],
            &mut found,
        );
    }

    assert!(versions.len() > 10, "{versions:?}");

    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let ours = get(root, "/apis", accept).await;
    let theirs = upstream("aggregated_v2.json").unwrap();
    for group in ours["items"].as_array().unwrap() {
        let name = &group["metadata"]["name"];
        let other = theirs["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|g| g["metadata"]["name"] == *name)
            .unwrap();
        for (version, entry) in by(&group["versions"], "version") {
            let place = format!("aggregated {name} {version}");
            let other = by(&other["versions"], "version")[version];
            compare(
                &place,
                "resource",
                &entry["resources"],
                &other["resources"],
                &mut found,
            );
        }
    }
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[tokio::test]
async fn what_is_served_is_what_upstream_serves() {
    compare_all(&server().await, |version| !off_by_default(version)).await;
}

/// Nothing that upstream serves when all is turned on is missing, and nothing is served besides.
#[tokio::test]
async fn all_that_can_be_served_is_what_upstream_can_serve() {
    let all = RuntimeConfig::parse("api/all=true").unwrap();
    compare_all(&serving(&all).await, |_| true).await;
}

#[tokio::test]
async fn components_tell_how_they_do() {
    let root = server().await;
    let one = get(&root, "/api/v1/componentstatuses/etcd-0", "application/json").await;
    assert_eq!(
        one["conditions"],
        json!([{"type": "Healthy", "status": "True", "message": "ok"}])
    );
    let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
    let list = get(&root, "/api/v1/componentstatuses", table).await;
    let cells: Vec<&Value> = list["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["cells"])
        .collect();
    let expected =
        ["controller-manager", "etcd-0", "scheduler"].map(|name| json!([name, "Healthy", "ok", ""]));
    assert_eq!(cells, expected.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn one_autoscaler_in_two_versions() {
    let root = server().await;
    let (v1, v2) = (
        "/apis/autoscaling/v1/namespaces/default",
        "/apis/autoscaling/v2/namespaces/default",
    );
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    let memory = json!({"type": "Resource", "resource": {
        "name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"},
    }});
    let body = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
        "spec": {"maxReplicas": 5, "scaleTargetRef": target, "metrics": [memory]},
    });
    send(&root, "POST", &format!("{v2}/horizontalpodautoscalers"), &body).await;

    // What the older version cannot say stands in an annotation, and survives a change made in it.
    let one = format!("{v1}/horizontalpodautoscalers/a");
    let mut older = get(&root, &one, "application/json").await;
    assert_eq!(older["apiVersion"], "autoscaling/v1");
    assert!(older["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"].is_string());
    older["spec"]["maxReplicas"] = 7.into();
    older["spec"]["targetCPUUtilizationPercentage"] = 50.into();
    send(&root, "PUT", &one, &older).await;

    let newer = get(
        &root,
        &format!("{v2}/horizontalpodautoscalers/a"),
        "application/json",
    )
    .await;
    assert_eq!(newer["spec"]["maxReplicas"], 7);
    assert_eq!(newer["spec"]["metrics"][0], memory);
    assert_eq!(
        newer["spec"]["metrics"][1]["resource"]["target"]["averageUtilization"],
        50
    );
    assert_eq!(newer["metadata"].get("annotations"), None);
    assert_eq!(newer["metadata"]["uid"], older["metadata"]["uid"]);

    let list = get(
        &root,
        &format!("{v1}/horizontalpodautoscalers"),
        "application/json",
    )
    .await;
    assert_eq!(list["items"][0]["spec"]["targetCPUUtilizationPercentage"], 50);
    for version in [v1, v2] {
        let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
        let list = get(&root, &format!("{version}/horizontalpodautoscalers"), table).await;
        let cells = &list["rows"][0]["cells"];
        assert_eq!(cells[1], "Deployment/d");
        assert_eq!(cells[2], "memory: <unknown>/1Gi, cpu: <unknown>/50%");
    }
}
