//! What is owned goes when its owners go.

use crate::cluster::Cluster;
use gantry_client::Resource;
use gantry_client::resource::{CONFIG_MAPS, EVENTS, NAMESPACES, NODES};
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
