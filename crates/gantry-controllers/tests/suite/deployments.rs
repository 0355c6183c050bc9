//! Deployments and their ReplicaSets.

use crate::cluster::Cluster;
use gantry_client::resource::{DEPLOYMENTS, EVENTS, PODS, REPLICA_SETS};
use gantry_client::{ListOptions, PatchType};
use gantry_controllers::Config;
use serde_json::{Value, json};

fn deployment(name: &str, spec: Value) -> Value {
    let template = json!({
        "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "v1"}]},
    });
    let base = json!({
        "metadata": {"namespace": "default", "name": name},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}}, "template": template},
    });
    gantry_api::patch::merge(base, &json!({"spec": spec}))
}

/// Whether all of the deployment's replicas are of its template, and available.
fn is_complete(d: &Value) -> bool {
    let wanted = d["spec"]["replicas"].as_i64().unwrap_or(0);
    let count = |field: &str| d["status"][field].as_i64().unwrap_or(0);
    d["status"]["observedGeneration"] == d["metadata"]["generation"]
        && ["replicas", "updatedReplicas", "availableReplicas"]
            .iter()
            .all(|f| count(f) == wanted)
}

fn reason<'a>(d: &'a Value, type_: &str) -> &'a str {
    let mut conditions = d["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .find(|c| c["type"] == type_)
        .and_then(|c| c["reason"].as_str())
        .unwrap_or("")
}

async fn patch(cluster: &Cluster, name: &str, spec: Value) {
    let at = ("default", name);
    cluster
        .client
        .patch(&DEPLOYMENTS, at, "", PatchType::Strategic, &json!({"spec": spec}))
        .await
        .unwrap();
}

fn image(image: &str) -> Value {
    json!({"template": {"spec": {"containers": [{"name": "c", "image": image}]}}})
}

async fn sets(cluster: &Cluster) -> Vec<Value> {
    cluster
        .client
        .list(&REPLICA_SETS, "default", &ListOptions::default())
        .await
        .unwrap()
        .items
}

#[tokio::test]
async fn a_rollout_leaves_a_history() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.run_pods(|_| true);
    cluster
        .create(&DEPLOYMENTS, deployment("d", json!({"revisionHistoryLimit": 1})))
        .await;
    let first = cluster.until(&DEPLOYMENTS, "default/d", is_complete).await;
    assert_eq!(reason(&first, "Available"), "MinimumReplicasAvailable");
    cluster
        .until(&DEPLOYMENTS, "default/d", |d| {
            reason(d, "Progressing") == "NewReplicaSetAvailable"
        })
        .await;
    for (version, revision) in [("v2", "2"), ("v3", "3")] {
        patch(&cluster, "d", image(version)).await;
        let rolled = |d: &Value| {
            is_complete(d)
                && d["spec"]["template"]["spec"]["containers"][0]["image"] == version
                && d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == revision
        };
        cluster.until(&DEPLOYMENTS, "default/d", rolled).await;
    }
    // Of the two old sets the history keeps one.
    let old = sets(&cluster)
        .await
        .into_iter()
        .find(|s| s["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1");
    if let Some(old) = old {
        let key = format!("default/{}", old["metadata"]["name"].as_str().unwrap());
        cluster.until(&REPLICA_SETS, &key, Value::is_null).await;
    }
    assert_eq!(sets(&cluster).await.len(), 2);
    patch(&cluster, "d", json!({"replicas": 5})).await;
    cluster
        .until(&DEPLOYMENTS, "default/d", |d| {
            d["spec"]["replicas"] == 5 && is_complete(d)
        })
        .await;
    cluster
        .until_any(&EVENTS, |e| {
            e["message"].as_str().is_some_and(|m| m.ends_with("from 3 to 5"))
        })
        .await;
}

#[tokio::test]
async fn a_rollout_that_is_stuck_says_so_and_keeps_serving() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.run_pods(|image| image != "broken");
    cluster
        .create(
            &DEPLOYMENTS,
            deployment("d", json!({"progressDeadlineSeconds": 1})),
        )
        .await;
    cluster.until(&DEPLOYMENTS, "default/d", is_complete).await;
    patch(&cluster, "d", image("broken")).await;
    let stuck = cluster
        .until(&DEPLOYMENTS, "default/d", |d| {
            reason(d, "Progressing") == "ProgressDeadlineExceeded"
        })
        .await;
    assert_eq!(stuck["status"]["availableReplicas"], 3, "{stuck}");
    assert_eq!(stuck["status"]["updatedReplicas"], 1, "{stuck}");
    patch(&cluster, "d", image("v1")).await;
    cluster
        .until(&DEPLOYMENTS, "default/d", |d| {
            is_complete(d) && reason(d, "Progressing") == "NewReplicaSetAvailable"
        })
        .await;
}

#[tokio::test]
async fn recreating_never_runs_old_and_new_at_once() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.run_pods(|_| true);
    cluster
        .create(
            &DEPLOYMENTS,
            deployment("d", json!({"strategy": {"type": "Recreate"}})),
        )
        .await;
    cluster.until(&DEPLOYMENTS, "default/d", is_complete).await;
    patch(&cluster, "d", image("v2")).await;
    let new = |p: &Value| p["spec"]["containers"][0]["image"] == "v2";
    cluster.until_any(&PODS, new).await;
    let pods = cluster
        .client
        .list(&PODS, "default", &ListOptions::default())
        .await
        .unwrap()
        .items;
    assert!(
        pods.iter().all(new),
        "old pods were there when the first new one came"
    );
    cluster.until(&DEPLOYMENTS, "default/d", is_complete).await;
}

#[tokio::test]
async fn a_paused_deployment_scales_but_does_not_roll() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.run_pods(|_| true);
    cluster.create(&DEPLOYMENTS, deployment("d", json!({}))).await;
    cluster.until(&DEPLOYMENTS, "default/d", is_complete).await;
    patch(&cluster, "d", json!({"paused": true})).await;
    cluster
        .until(&DEPLOYMENTS, "default/d", |d| {
            reason(d, "Progressing") == "DeploymentPaused"
        })
        .await;
    let mut change = image("v2");
    change["replicas"] = 4.into();
    patch(&cluster, "d", change).await;
    cluster
        .until(&DEPLOYMENTS, "default/d", |d| {
            d["status"]["availableReplicas"] == 4
        })
        .await;
    assert_eq!(sets(&cluster).await.len(), 1);
    patch(&cluster, "d", json!({"paused": false})).await;
    let rolled = |d: &Value| {
        d["spec"]["paused"] != true && is_complete(d) && reason(d, "Progressing") == "NewReplicaSetAvailable"
    };
    cluster.until(&DEPLOYMENTS, "default/d", rolled).await;
    assert_eq!(sets(&cluster).await.len(), 2);
}
