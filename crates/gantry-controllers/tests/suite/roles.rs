//! ClusterRoles that are made of others.

use crate::cluster::Cluster;
use gantry_client::resource::CLUSTER_ROLES;
use gantry_controllers::Config;
use serde_json::json;

#[tokio::test]
async fn roles_are_aggregated_at_run_time() {
    let cluster = Cluster::start(Config::default()).await;
    let rule = |verb: &str| json!({"apiGroups": ["example.com"], "resources": ["things"], "verbs": [verb]});
    let selectors = json!({"clusterRoleSelectors": [{"matchLabels": {"to": "whole"}}]});
    cluster
        .create(
            &CLUSTER_ROLES,
            json!({"metadata": {"name": "whole"}, "aggregationRule": selectors, "rules": []}),
        )
        .await;
    for (name, verb) in [("a", "get"), ("b", "list")] {
        let part = json!({"metadata": {"name": name, "labels": {"to": "whole"}}, "rules": [rule(verb)]});
        cluster.create(&CLUSTER_ROLES, part).await;
    }
    cluster
        .until(&CLUSTER_ROLES, "whole", |r| {
            r["rules"] == json!([rule("get"), rule("list")])
        })
        .await;
    let view = json!({
        "metadata": {"name": "c", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}, "rules": [rule("watch")],
    });
    cluster.create(&CLUSTER_ROLES, view).await;
    for name in ["view", "edit", "admin"] {
        let has = |r: &serde_json::Value| {
            r["rules"]
                .as_array()
                .is_some_and(|rules| rules.contains(&rule("watch")))
        };
        cluster.until(&CLUSTER_ROLES, name, has).await;
    }
    cluster
        .client
        .delete(&CLUSTER_ROLES, "", "a", &json!(null))
        .await
        .unwrap();
    cluster
        .until(&CLUSTER_ROLES, "whole", |r| r["rules"] == json!([rule("list")]))
        .await;
}
