//! The Service `kube-system/kube-dns`: the name under which clients look for the cluster's DNS.

use gantry_client::resource::SERVICES;
use gantry_client::{Client, Error};
use serde_json::json;
use std::net::Ipv4Addr;

/// Makes the Service at `address`, unless it is there.
///
/// Every node answers at this address itself, so the Service has no selector, and the label tells service proxies to
/// leave the address alone.
pub async fn ensure(client: &Client, address: Ipv4Addr) -> Result<(), Error> {
    let service = json!({
        "metadata": {
            "name": "kube-dns", "namespace": "kube-system",
            "labels": {
                "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
                "service.kubernetes.io/service-proxy-name": "gantry-dns",
            },
        },
        "spec": {
            "clusterIP": address,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
            ],
        },
    });
    // Asked first: creating it again would fail for its address, which it has itself.
    match client.get(&SERVICES, "kube-system", "kube-dns").await {
        Err(error) if error.is_not_found() => {}
        there => return there.map(|_| ()),
    }
    match client.create(&SERVICES, &service).await {
        Err(error) if !error.is_already_exists() => Err(error),
        _ => Ok(()),
    }
}
