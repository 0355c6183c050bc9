//! NodeResourcesBalancedAllocation: prefers nodes whose CPU and memory the pod brings into balance.

use crate::framework::{MAX_SCORE, Plugin};
use crate::info::{NodeInfo, PodInfo};

pub struct NodeResourcesBalancedAllocation;

impl Plugin for NodeResourcesBalancedAllocation {
    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, _: usize) -> i64 {
        // A pod that asks for nothing cannot bring anything into balance.
        if pod.request.cpu == 0 && pod.request.memory == 0 {
            return 0;
        }
        let with = balance(node, pod.request.cpu, pod.request.memory);
        let without = balance(node, 0, 0);
        MAX_SCORE / 2 + (MAX_SCORE / 2 + with - without) / 2
    }
}

/// 100 when CPU and memory are used alike, less the further they are apart.
fn balance(node: &NodeInfo, cpu: i64, memory: i64) -> i64 {
    let part = |used: i64, total: i64| (total > 0).then(|| (used as f64 / total as f64).min(1.0));
    let parts = (
        part(node.requested.cpu + cpu, node.allocatable.cpu),
        part(node.requested.memory + memory, node.allocatable.memory),
    );
    let deviation = match parts {
        (Some(cpu), Some(memory)) => (cpu - memory).abs() / 2.0,
        _ => 0.0,
    };
    ((1.0 - deviation) * MAX_SCORE as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{node, pod};
    use serde_json::json;

    #[test]
    fn balance_counts() {
        let empty = node(json!({"status": {"allocatable": {"cpu": "4", "memory": "4000Mi", "pods": "9"}}}));
        let check = |cpu: &str, memory: &str, expected: i64| {
            let requests = json!({"cpu": cpu, "memory": memory});
            let pod = pod(json!({"containers": [{"resources": {"requests": requests}}]}));
            assert_eq!(
                NodeResourcesBalancedAllocation.score(&pod, &empty, 1),
                expected,
                "{cpu} {memory}"
            );
        };
        check("1", "1000Mi", 75);
        check("4", "0", 50);
        check("0", "0", 0);
    }
}
