//! NodePorts: two pods cannot take the same host port of a node.

use crate::framework::{Plugin, Reason};
use crate::info::{NodeInfo, PodInfo};

pub struct NodePorts;

impl Plugin for NodePorts {
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
        if pod.host_ports.is_empty() {
            return Vec::new();
        }
        let taken = || node.pods.values().flat_map(|p| &p.host_ports);
        if pod
            .host_ports
            .iter()
            .any(|port| taken().any(|other| other.clashes(port)))
        {
            return vec![Reason {
                text: "node(s) didn't have free ports for the requested pod ports".into(),
                resolvable: true,
            }];
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{node, pod, refuses};
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn ports() {
        let with = |ip: &str, protocol: &str| {
            pod(json!({"containers": [{"ports": [{"hostPort": 80, "hostIP": ip, "protocol": protocol}]}]}))
        };
        let mut taken = node(json!({}));
        taken.add(Arc::new(with("127.0.0.1", "TCP")));
        let check = |ip: &str, protocol: &str, clash: bool| {
            assert_eq!(
                refuses(&NodePorts, &with(ip, protocol), &taken).len(),
                usize::from(clash),
                "{ip} {protocol}"
            );
        };
        check("127.0.0.1", "TCP", true);
        check("", "TCP", true);
        check("10.0.0.1", "TCP", false);
        check("127.0.0.1", "UDP", false);
    }
}
