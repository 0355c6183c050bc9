//! ServiceCIDRs: ready once they are held, and held as long as Services have addresses of theirs.

use crate::cluster::Cluster;
use gantry_client::resource::{SERVICE_CIDRS, SERVICES};
use gantry_controllers::Config;
use serde_json::{Value, json};

fn is_ready(cidr: &Value, status: &str, message: &str) -> bool {
    let condition = &cidr["status"]["conditions"][0];
    condition["status"] == status && condition["message"] == message
}

#[tokio::test]
async fn a_range_stays_as_long_as_addresses_are_taken() {
    let cluster = Cluster::start(Config::default()).await;
    let ready = |cidr: &Value| {
        cidr["metadata"]["finalizers"] == json!(["networking.k8s.io/service-cidr-finalizer"])
            && is_ready(cidr, "True", "Kubernetes Service CIDR is ready")
    };
    cluster.until(&SERVICE_CIDRS, "kubernetes", ready).await;
    let more = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.44.0.0/24"]}});
    cluster.create(&SERVICE_CIDRS, more).await;
    cluster.until(&SERVICE_CIDRS, "more", ready).await;
    let service = json!({
        "metadata": {"namespace": "default", "name": "a"},
        "spec": {"clusterIP": "10.44.0.9", "ports": [{"port": 80}]},
    });
    cluster.create(&SERVICES, service).await;

    let client = &cluster.client;
    client
        .delete(&SERVICE_CIDRS, "", "more", &Value::Null)
        .await
        .unwrap();
    let why = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
    let held = |cidr: &Value| is_ready(cidr, "False", why);
    cluster.until(&SERVICE_CIDRS, "more", held).await;
    client
        .delete(&SERVICES, "default", "a", &Value::Null)
        .await
        .unwrap();
    cluster.until(&SERVICE_CIDRS, "more", Value::is_null).await;
}
