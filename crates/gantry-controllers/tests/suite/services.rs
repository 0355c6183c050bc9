//! Where services' pods are: EndpointSlices and Endpoints.

use crate::cluster::Cluster;
use gantry_client::PatchType;
use gantry_client::resource::{ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES};
use gantry_controllers::Config;
use serde_json::{Value, json};

fn is_of<'a>(service: &'a str, manager: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |slice| {
        let labels = &slice["metadata"]["labels"];
        labels["kubernetes.io/service-name"] == service
            && labels["endpointslice.kubernetes.io/managed-by"] == format!("{manager}.k8s.io")
    }
}

#[tokio::test]
async fn a_services_pods_are_found() {
    let cluster = Cluster::start(Config::default()).await;
    let zone = json!({"topology.kubernetes.io/zone": "z"});
    cluster
        .create(&NODES, json!({"metadata": {"name": "n", "labels": zone}}))
        .await;
    let metadata = json!({"namespace": "default", "name": "s", "labels": {"team": "blue"}});
    let spec =
        json!({"selector": {"app": "a"}, "ports": [{"name": "web", "port": 80, "targetPort": "http"}]});
    cluster
        .create(&SERVICES, json!({"metadata": metadata, "spec": spec}))
        .await;
    let slice = cluster
        .until_any(&ENDPOINT_SLICES, is_of("s", "endpointslice-controller"))
        .await;
    assert_eq!(slice["metadata"]["labels"]["team"], "blue");
    assert_eq!(
        slice["endpoints"].as_array().map(Vec::len),
        Some(0),
        "an empty service has an empty slice"
    );

    let container = json!({"name": "c", "image": "i", "ports": [{"name": "http", "containerPort": 8080}]});
    let pod = json!({
        "metadata": {"namespace": "default", "name": "p", "labels": {"app": "a"}},
        "spec": {"nodeName": "n", "containers": [container], "hostname": "h", "subdomain": "s"},
    });
    cluster.create(&PODS, pod).await;
    let status = |ready: &str| {
        json!({"status": {
            "phase": "Running", "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}],
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        }})
    };
    let set = async |ready: &str| {
        let at = ("default", "p");
        cluster
            .client
            .patch(&PODS, at, "status", PatchType::Strategic, &status(ready))
            .await
            .unwrap();
    };
    set("False").await;
    let not_ready = |s: &Value| {
        is_of("s", "endpointslice-controller")(s) && s["endpoints"][0]["conditions"]["ready"] == false
    };
    cluster.until_any(&ENDPOINT_SLICES, not_ready).await;
    cluster
        .until(&ENDPOINTS, "default/s", |e| {
            e["subsets"][0]["notReadyAddresses"].is_array()
        })
        .await;
    set("True").await;
    let ready = |s: &Value| {
        is_of("s", "endpointslice-controller")(s) && s["endpoints"][0]["conditions"]["ready"] == true
    };
    let slice = cluster.until_any(&ENDPOINT_SLICES, ready).await;
    let endpoint = &slice["endpoints"][0];
    for (field, expected) in [("nodeName", "n"), ("zone", "z"), ("hostname", "h")] {
        assert_eq!(endpoint[field], expected, "{endpoint}");
    }
    assert_eq!(
        slice["ports"],
        json!([{"name": "web", "port": 8080, "protocol": "TCP"}])
    );
    let endpoints = cluster
        .until(&ENDPOINTS, "default/s", |e| {
            e["subsets"][0]["addresses"].is_array()
        })
        .await;
    assert_eq!(
        endpoints["subsets"][0]["ports"],
        json!([{"name": "web", "port": 8080, "protocol": "TCP"}])
    );

    cluster
        .client
        .delete(&SERVICES, "default", "s", &Value::Null)
        .await
        .unwrap();
    cluster.until(&ENDPOINTS, "default/s", Value::is_null).await;
    let name = slice["metadata"]["name"].as_str().unwrap();
    cluster
        .until(&ENDPOINT_SLICES, &format!("default/{name}"), Value::is_null)
        .await;
}

#[tokio::test]
async fn endpoints_of_people_are_mirrored() {
    let cluster = Cluster::start(Config::default()).await;
    let metadata = json!({"namespace": "default", "name": "own"});
    cluster
        .create(
            &SERVICES,
            json!({"metadata": metadata, "spec": {"ports": [{"port": 80}]}}),
        )
        .await;
    let subset = json!({"addresses": [{"ip": "10.9.0.1"}], "ports": [{"port": 8080}]});
    cluster
        .create(&ENDPOINTS, json!({"metadata": metadata, "subsets": [subset]}))
        .await;
    let mirror = is_of("own", "endpointslicemirroring-controller");
    let slice = cluster.until_any(&ENDPOINT_SLICES, &mirror).await;
    assert_eq!(
        slice["endpoints"],
        json!([{"addresses": ["10.9.0.1"], "conditions": {"ready": true}}])
    );
    let patch = json!({"subsets": [{"addresses": [{"ip": "10.9.0.2"}], "ports": [{"port": 8080}]}]});
    cluster
        .client
        .patch(&ENDPOINTS, ("default", "own"), "", PatchType::Merge, &patch)
        .await
        .unwrap();
    let moved = |s: &Value| mirror(s) && s["endpoints"][0]["addresses"] == json!(["10.9.0.2"]);
    let slice = cluster.until_any(&ENDPOINT_SLICES, moved).await;
    cluster
        .client
        .delete(&ENDPOINTS, "default", "own", &Value::Null)
        .await
        .unwrap();
    let name = slice["metadata"]["name"].as_str().unwrap();
    cluster
        .until(&ENDPOINT_SLICES, &format!("default/{name}"), Value::is_null)
        .await;
    // The API server's own are not.
    let own = cluster
        .until(&ENDPOINTS, "default/kubernetes", |e| !e.is_null())
        .await;
    assert_eq!(
        own["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"],
        "true"
    );
}
