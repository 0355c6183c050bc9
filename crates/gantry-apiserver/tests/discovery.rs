//! What is served, compared with upstream's answers where they are at hand.

use gantry_apiserver::services::Range;
use gantry_apiserver::{Config, Local, Server, TlsFiles};
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
    let identity = pki.server();
    let config = Config {
        tls: TlsFiles {
            certificate: &identity.certificate_pem,
            key: &identity.key_pem,
            client_ca: pki.ca_pem(),
        },
        service_account_key: pki.service_account_key_pem(),
        service_range: Range::parse("10.43.0.0/16").unwrap(),
        advertise: ([127, 0, 0, 1].into(), 6443),
        cluster_domain: "cluster.local",
        external_address: "127.0.0.1:6443".into(),
        join_token: None,
        kubelet_client: None,
    };
    let server = Server::new(Arc::new(Memory::new()), config).await.unwrap();
    server.local(User::new("root", &[MASTERS, AUTHENTICATED]))
}

async fn get(root: &Local, path: &str, accept: &str) -> Value {
    let request = Request::builder().uri(path).header("accept", accept);
    let response = root.send(request.body(bytes::Bytes::new()).unwrap()).await;
    assert_eq!(response.status(), 200, "{path}");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// Entries of a list by one of their fields.
fn by<'a>(list: &'a Value, field: &str) -> BTreeMap<&'a str, &'a Value> {
    let entries = list.as_array().into_iter().flatten();
    entries.map(|e| (e[field].as_str().unwrap(), e)).collect()
}

/// Notes what differs between two lists of entries. What only upstream has is told, but for what is known to be missing.
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

#[tokio::test]
async fn what_is_served_is_what_upstream_serves() {
    let Some(groups) = upstream("apis.json") else {
        println!("skipped: no ../shared/upstream");
        return;
    };
    let root = server().await;
    let ours = get(&root, "/apis", "application/json").await;
    let names = |list: &Value| -> Vec<String> {
        let groups = list["groups"].as_array().unwrap().iter();
        groups.map(|g| g["name"].as_str().unwrap().to_string()).collect()
    };
    let served = names(&ours);
    let mut expected = names(&groups);
    expected.retain(|name| served.contains(name));
    assert_eq!(served, expected, "groups in order");

    let mut found = Vec::new();
    let mut versions = vec![("".to_string(), "v1".to_string())];
    for group in ours["groups"].as_array().unwrap() {
        let name = group["name"].as_str().unwrap();
        let theirs = by(&groups["groups"], "name")[name].clone();
        let stable = |list: &Value| -> Vec<Value> {
            let versions = list["versions"].as_array().unwrap().iter();
            versions
                .filter(|v| !off_by_default(v["version"].as_str().unwrap()))
                .cloned()
                .collect()
        };
        if stable(group) != stable(&theirs) || group["preferredVersion"] != theirs["preferredVersion"] {
            found.push(format!("{name} has other versions: {group}"));
        }
        versions.extend(
            stable(group)
                .iter()
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
            get(&root, &path, "application/json").await,
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
    let ours = get(&root, "/apis", accept).await;
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
