//! Volumes, claims and their classes: held by a finalizer for as long as something needs them.

use crate::cluster::Cluster;
use gantry_client::resource::{
    PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, VOLUME_ATTRIBUTES_CLASSES,
};
use gantry_client::{PatchType, Resource};
use gantry_controllers::Config;
use serde_json::{Value, json};
use std::time::Duration;

/// What is held stays this long at least.
const HELD: Duration = Duration::from_millis(300);

async fn delete(cluster: &Cluster, resource: &Resource, namespace: &str, name: &str) {
    let options = json!({"gracePeriodSeconds": 0});
    let deleted = cluster.client.delete(resource, namespace, name, &options).await;
    assert!(deleted.is_ok(), "{deleted:?}");
}

/// Deletes an object, and looks whether it stays.
async fn is_held(cluster: &Cluster, resource: &Resource, namespace: &str, name: &str) {
    delete(cluster, resource, namespace, name).await;
    tokio::time::sleep(HELD).await;
    let object = cluster.client.get(resource, namespace, name).await.unwrap();
    assert!(object["metadata"]["deletionTimestamp"].is_string(), "{object}");
}

fn claim(name: &str, class: Option<&str>) -> Value {
    json!({
        "metadata": {"namespace": "default", "name": name},
        "spec": {
            "storageClassName": "", "volumeAttributesClassName": class, "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    })
}

#[tokio::test]
async fn claims_wait_for_their_pods() {
    let cluster = Cluster::start(Config::default()).await;
    for name in ["used", "unused"] {
        let made = cluster.create(&PERSISTENT_VOLUME_CLAIMS, claim(name, None)).await;
        assert_eq!(
            made["metadata"]["finalizers"],
            json!(["kubernetes.io/pvc-protection"])
        );
    }
    let pod = |name: &str, node: Option<&str>, claim: &str| {
        json!({
            "metadata": {"namespace": "default", "name": name},
            "spec": {
                "nodeName": node, "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}],
            },
        })
    };
    cluster.create(&PODS, pod("runs", Some("n"), "used")).await;
    cluster.create(&PODS, pod("waits", None, "unused")).await;

    delete(&cluster, &PERSISTENT_VOLUME_CLAIMS, "default", "unused").await;
    cluster
        .until(&PERSISTENT_VOLUME_CLAIMS, "default/unused", Value::is_null)
        .await;
    is_held(&cluster, &PERSISTENT_VOLUME_CLAIMS, "default", "used").await;
    delete(&cluster, &PODS, "default", "runs").await;
    cluster
        .until(&PERSISTENT_VOLUME_CLAIMS, "default/used", Value::is_null)
        .await;
}

#[tokio::test]
async fn volumes_wait_for_their_claims() {
    let cluster = Cluster::start(Config::default()).await;
    let volume = json!({
        "metadata": {"name": "v"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"},
            "storageClassName": "none",
        },
    });
    let made = cluster.create(&PERSISTENT_VOLUMES, volume).await;
    assert_eq!(
        made["metadata"]["finalizers"],
        json!(["kubernetes.io/pv-protection"])
    );
    let phase = async |phase: &str| {
        let patch = json!({"status": {"phase": phase}});
        let client = &cluster.client;
        client
            .patch(&PERSISTENT_VOLUMES, ("", "v"), "status", PatchType::Merge, &patch)
            .await
            .unwrap();
    };
    phase("Bound").await;
    let bound = |volume: &Value| volume["status"]["phase"] == "Bound";
    cluster.until(&PERSISTENT_VOLUMES, "v", bound).await;
    is_held(&cluster, &PERSISTENT_VOLUMES, "", "v").await;
    phase("Released").await;
    cluster.until(&PERSISTENT_VOLUMES, "v", Value::is_null).await;
}

#[tokio::test]
async fn classes_wait_for_those_that_name_them() {
    let cluster = Cluster::start(Config::default()).await;
    let class = json!({"metadata": {"name": "fast"}, "driverName": "a.b", "parameters": {"a": "b"}});
    let made = cluster.create(&VOLUME_ATTRIBUTES_CLASSES, class).await;
    assert_eq!(
        made["metadata"]["finalizers"],
        json!(["kubernetes.io/vac-protection"])
    );
    cluster
        .create(&PERSISTENT_VOLUME_CLAIMS, claim("c", Some("fast")))
        .await;
    cluster
        .until(&PERSISTENT_VOLUME_CLAIMS, "default/c", |claim| !claim.is_null())
        .await;
    is_held(&cluster, &VOLUME_ATTRIBUTES_CLASSES, "", "fast").await;
    delete(&cluster, &PERSISTENT_VOLUME_CLAIMS, "default", "c").await;
    cluster
        .until(&VOLUME_ATTRIBUTES_CLASSES, "fast", Value::is_null)
        .await;
}
