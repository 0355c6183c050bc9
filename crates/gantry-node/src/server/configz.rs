//! What the node was told at start, in the shape of upstream's KubeletConfiguration.

use crate::config::Config;
use crate::logs::rotate;
use serde_json::{Value, json};

/// Makes the answer; it has only what this node knows of.
pub fn make(config: &Config) -> Value {
    json!({"kubeletconfig": {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": config.address.to_string(),
        "port": config.port,
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true, "cacheTTL": "2m0s"}},
        "authorization": {"mode": "Webhook"},
        "clusterDomain": config.cluster_domain,
        "clusterDNS": [config.cluster_dns.to_string()],
        "maxPods": config.max_pods,
        "podLogsDir": config.log_dir.join("pods").display().to_string(),
        "containerLogMaxSize": format!("{}Mi", rotate::MOST_BYTES >> 20),
        "containerLogMaxFiles": rotate::MOST_FILES,
        "containerLogMonitorInterval": format!("{}s", rotate::PERIOD.as_secs()),
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": true,
        "failSwapOn": false,
    }})
}
