//! What is owned goes when its owners go.

use crate::cluster::Cluster;
use gantry_client::Resource;
use gantry_client::resource::{CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, EVENTS, NAMESPACES, NODES};
use gantry_controllers::Config;
use serde_json::{Value, json};

/// A ConfigMap that names owners.
fn owned(namespace: &str, name: &str, owners: &[&Value]) -> Value {
    let reference = |o: &&Value| {
        json!({
            "apiVersion": o["apiVersion"], "kind": o["kind"], "name": o["metadata"]["name"],
            "uid": o["metadata"]["uid"], "blockOwnerDeletion": true,
        })
    };
    let owners: Vec<Value> = owners.iter().map(reference).collect();
    json!({"metadata": {"namespace": namespace, "name": name, "ownerReferences": owners}})
}

async fn delete(cluster: &Cluster, resource: &Resource, namespace: &str, name: &str, policy: &str) {
    let options = json!({"propagationPolicy": policy});
    cluster
        .client
        .delete(resource, namespace, name, &options)
        .await
        .unwrap();
}

#[tokio::test]
async fn dependents_go_as_the_deletion_says() {
    let cluster = Cluster::start(Config::default()).await;
    let gone = async |key: &str| cluster.until(&CONFIG_MAPS, key, Value::is_null).await;
    let there = async |key: &str| cluster.until(&CONFIG_MAPS, key, |o| !o.is_null()).await;

    let owner = cluster.create(&CONFIG_MAPS, owned("default", "owner", &[])).await;
    let other = cluster.create(&CONFIG_MAPS, owned("default", "other", &[])).await;
    let child = cluster
        .create(&CONFIG_MAPS, owned("default", "child", &[&owner]))
        .await;
    cluster
        .create(&CONFIG_MAPS, owned("default", "grandchild", &[&child]))
        .await;
    cluster
        .create(&CONFIG_MAPS, owned("default", "shared", &[&owner, &other]))
        .await;
    there("default/grandchild").await;
    there("default/shared").await;
    delete(&cluster, &CONFIG_MAPS, "default", "owner", "Background").await;
    gone("default/child").await;
    gone("default/grandchild").await;
    let one = |o: &Value| {
        o["metadata"]["ownerReferences"]
            .as_array()
            .is_some_and(|r| r.len() == 1)
    };
    cluster.until(&CONFIG_MAPS, "default/shared", one).await;

    delete(&cluster, &CONFIG_MAPS, "default", "other", "Orphan").await;
    gone("default/other").await;
    let orphan = there("default/shared").await;
    assert_eq!(orphan["metadata"]["ownerReferences"], Value::Null);

    let owner = cluster.create(&CONFIG_MAPS, owned("default", "owner", &[])).await;
    let mut child = owned("default", "child", &[&owner]);
    child["metadata"]["finalizers"] = json!(["example.com/wait"]);
    cluster.create(&CONFIG_MAPS, child).await;
    there("default/child").await;
    delete(&cluster, &CONFIG_MAPS, "default", "owner", "Foreground").await;
    cluster
        .until(&CONFIG_MAPS, "default/child", |o| {
            o["metadata"]["deletionTimestamp"].is_string()
        })
        .await;
    let waiting = there("default/owner").await;
    assert_eq!(waiting["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let release = json!({"metadata": {"finalizers": null}});
    let at = ("default", "child");
    cluster
        .client
        .patch(&CONFIG_MAPS, at, "", gantry_client::PatchType::Merge, &release)
        .await
        .unwrap();
    gone("default/owner").await;
}

#[tokio::test]
async fn owners_of_other_namespaces_do_not_count() {
    let cluster = Cluster::start(Config::default()).await;
    cluster
        .create(&NAMESPACES, json!({"metadata": {"name": "elsewhere"}}))
        .await;
    let owner = cluster.create(&CONFIG_MAPS, owned("default", "owner", &[])).await;
    cluster
        .until(&CONFIG_MAPS, "default/owner", |o| !o.is_null())
        .await;
    cluster
        .create(&CONFIG_MAPS, owned("elsewhere", "stray", &[&owner]))
        .await;
    cluster
        .until_any(&EVENTS, |e| e["reason"] == "OwnerRefInvalidNamespace")
        .await;
    match cluster.client.get(&CONFIG_MAPS, "elsewhere", "stray").await {
        Err(error) => assert!(error.is_not_found(), "{error}"),
        Ok(_) => drop(
            cluster
                .until(&CONFIG_MAPS, "elsewhere/stray", Value::is_null)
                .await,
        ),
    }
    // What is owned across the cluster goes from every namespace.
    let node = cluster.create(&NODES, json!({"metadata": {"name": "n"}})).await;
    cluster
        .create(&CONFIG_MAPS, owned("elsewhere", "of-node", &[&node]))
        .await;
    cluster
        .until(&CONFIG_MAPS, "elsewhere/of-node", |o| !o.is_null())
        .await;
    delete(&cluster, &NODES, "", "n", "Background").await;
    cluster
        .until(&CONFIG_MAPS, "elsewhere/of-node", Value::is_null)
        .await;
}

#[tokio::test]
async fn a_namespace_goes_when_it_is_empty() {
    let cluster = Cluster::start(Config::default()).await;
    cluster
        .create(&NAMESPACES, json!({"metadata": {"name": "a"}}))
        .await;
    let mut held = owned("a", "held", &[]);
    held["metadata"]["finalizers"] = json!(["example.com/wait"]);
    cluster.create(&CONFIG_MAPS, held).await;
    cluster
        .client
        .delete(&NAMESPACES, "", "a", &Value::Null)
        .await
        .unwrap();
    let message = |namespace: &Value, type_: &str| {
        let mut conditions = namespace["status"]["conditions"].as_array().into_iter().flatten();
        conditions
            .find(|c| c["type"] == type_ && c["status"] == "True")
            .map(|c| c["message"].clone())
    };
    let remains = json!("Some resources are remaining: configmaps. has 1 resource instances");
    let namespace = cluster
        .until(&NAMESPACES, "a", |n| {
            message(n, "NamespaceContentRemaining").as_ref() == Some(&remains)
        })
        .await;
    assert_eq!(
        message(&namespace, "NamespaceFinalizersRemaining"),
        Some(json!(
            "Some content in the namespace has finalizers remaining: example.com/wait in 1 resource instances"
        ))
    );
    let release = json!({"metadata": {"finalizers": null}});
    let at = ("a", "held");
    cluster
        .client
        .patch(&CONFIG_MAPS, at, "", gantry_client::PatchType::Merge, &release)
        .await
        .unwrap();
    cluster.until(&NAMESPACES, "a", Value::is_null).await;
}

/// Defines boats, and returns what they are.
async fn boats(cluster: &Cluster) -> Resource {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let definition = json!({
        "metadata": {"name": "boats.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    cluster.create(&CUSTOM_RESOURCE_DEFINITIONS, definition).await;
    Resource {
        group: "example.com".into(),
        version: "v1".into(),
        plural: "boats".into(),
        kind: "Boat".into(),
        namespaced: true,
    }
}

#[tokio::test]
async fn custom_resources_own_and_are_owned() {
    let cluster = Cluster::start(Config::default()).await;
    let boats = boats(&cluster).await;
    let gone = async |resource: &Resource, key: &str| cluster.until(resource, key, Value::is_null).await;
    let there = async |resource: &Resource, key: &str| cluster.until(resource, key, |o| !o.is_null()).await;
    // A boat owns a boat and a ConfigMap, which owns another boat.
    for policy in ["Background", "Foreground", "Orphan"] {
        let owner = cluster.create(&boats, owned("default", "owner", &[])).await;
        cluster.create(&boats, owned("default", "boat", &[&owner])).await;
        let map = cluster
            .create(&CONFIG_MAPS, owned("default", "map", &[&owner]))
            .await;
        cluster.create(&boats, owned("default", "last", &[&map])).await;
        there(&boats, "default/last").await;
        delete(&cluster, &boats, "default", "owner", policy).await;
        gone(&boats, "default/owner").await;
        if policy == "Orphan" {
            for (resource, key) in [(&boats, "default/boat"), (&CONFIG_MAPS, "default/map")] {
                let orphan = there(resource, key).await;
                assert_eq!(orphan["metadata"]["ownerReferences"], Value::Null, "{key}");
            }
            continue;
        }
        if policy == "Foreground" {
            // They went before it did.
            for (resource, name) in [(&boats, "boat"), (&CONFIG_MAPS, "map")] {
                let found = cluster.client.get(resource, "default", name).await;
                assert!(found.is_err_and(|e| e.is_not_found()), "{name}");
            }
        }
        gone(&boats, "default/boat").await;
        gone(&CONFIG_MAPS, "default/map").await;
        gone(&boats, "default/last").await;
    }
}

#[tokio::test]
async fn a_namespace_waits_for_its_custom_resources() {
    let cluster = Cluster::start(Config::default()).await;
    let boats = boats(&cluster).await;
    cluster
        .create(&NAMESPACES, json!({"metadata": {"name": "a"}}))
        .await;
    let mut held = owned("a", "held", &[]);
    held["metadata"]["finalizers"] = json!(["example.com/wait"]);
    cluster.create(&boats, held).await;
    cluster.create(&boats, owned("a", "free", &[])).await;
    cluster
        .client
        .delete(&NAMESPACES, "", "a", &Value::Null)
        .await
        .unwrap();
    let remains = "Some resources are remaining: boats.example.com has 1 resource instances";
    cluster
        .until(&NAMESPACES, "a", |n| {
            let mut conditions = n["status"]["conditions"].as_array().into_iter().flatten();
            conditions.any(|c| c["type"] == "NamespaceContentRemaining" && c["message"] == remains)
        })
        .await;
    let refused = cluster
        .client
        .create(&boats, &owned("a", "late", &[]))
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("because it is being terminated"),
        "{refused}"
    );
    let release = json!({"metadata": {"finalizers": null}});
    cluster
        .client
        .patch(
            &boats,
            ("a", "held"),
            "",
            gantry_client::PatchType::Merge,
            &release,
        )
        .await
        .unwrap();
    cluster.until(&NAMESPACES, "a", Value::is_null).await;
}
