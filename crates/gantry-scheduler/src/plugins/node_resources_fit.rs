//! NodeResourcesFit: a node must have what the pod asks for; emptier nodes score higher (least allocated).

use crate::framework::{MAX_SCORE, Plugin, Reason};
use crate::info::{NodeInfo, PodInfo};

pub struct NodeResourcesFit;

impl Plugin for NodeResourcesFit {
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
        let mut reasons = Vec::new();
        // More than the whole node has will not fit whoever leaves.
        let mut short = |name: &str, wanted: i64, used: i64, total: i64| {
            if wanted > 0 && wanted > total - used {
                let text = format!("Insufficient {name}").into();
                reasons.push(Reason {
                    text,
                    resolvable: wanted <= total,
                });
            }
        };
        let (wanted, used, total) = (&pod.request, &node.requested, &node.allocatable);
        short("cpu", wanted.cpu, used.cpu, total.cpu);
        short("memory", wanted.memory, used.memory, total.memory);
        short(
            "ephemeral-storage",
            wanted.ephemeral_storage,
            used.ephemeral_storage,
            total.ephemeral_storage,
        );
        for (name, wanted) in &wanted.others {
            let of = |r: &crate::resources::Resources| r.others.get(name).copied().unwrap_or(0);
            short(name, *wanted, of(used), of(total));
        }
        if node.pods.len() as i64 + 1 > node.max_pods {
            reasons.insert(
                0,
                Reason {
                    text: "Too many pods".into(),
                    resolvable: true,
                },
            );
        }
        reasons
    }

    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, _: usize) -> i64 {
        let free = |wanted: i64, total: i64| {
            if wanted > total {
                0
            } else {
                (total - wanted) * MAX_SCORE / total
            }
        };
        let parts: Vec<i64> = [
            (node.score_requested.0 + pod.score_request.0, node.allocatable.cpu),
            (
                node.score_requested.1 + pod.score_request.1,
                node.allocatable.memory,
            ),
        ]
        .into_iter()
        .filter(|(_, total)| *total > 0)
        .map(|(wanted, total)| free(wanted, total))
        .collect();
        if parts.is_empty() {
            0
        } else {
            parts.iter().sum::<i64>() / parts.len() as i64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{node, pod, refuses};
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn asking(requests: Value) -> PodInfo {
        pod(json!({"containers": [{"resources": {"requests": requests}}]}))
    }

    #[test]
    fn what_does_not_fit() {
        let allocatable = json!({"cpu": "2", "memory": "1Gi", "pods": "2", "example.com/x": "1"});
        let mut half = node(json!({"status": {"allocatable": allocatable}}));
        half.add(Arc::new(asking(json!({"cpu": "1500m"}))));
        let check = |requests: Value, reasons: &[&str]| {
            assert_eq!(
                refuses(&NodeResourcesFit, &asking(requests.clone()), &half),
                reasons,
                "{requests}"
            );
        };
        check(json!({}), &[]);
        check(json!({"cpu": "500m", "memory": "1Gi", "example.com/x": "1"}), &[]);
        check(
            json!({"cpu": "501m", "memory": "2Gi"}),
            &["Insufficient cpu", "Insufficient memory"],
        );
        check(json!({"example.com/x": "2"}), &["Insufficient example.com/x"]);
        check(json!({"example.com/y": "1"}), &["Insufficient example.com/y"]);
        half.add(Arc::new(asking(json!({"cpu": "1m"}))));
        assert_eq!(
            refuses(&NodeResourcesFit, &asking(json!({})), &half),
            ["Too many pods"]
        );
    }

    #[test]
    fn emptier_is_better() {
        let allocatable = json!({"cpu": "4", "memory": "1000Mi", "pods": "9"});
        let mut one = node(json!({"status": {"allocatable": allocatable}}));
        let wanted = asking(json!({"cpu": "1", "memory": "500Mi"}));
        assert_eq!(NodeResourcesFit.score(&wanted, &one, 1), (75 + 50) / 2);
        one.add(Arc::new(asking(json!({"cpu": "2", "memory": "500Mi"}))));
        assert_eq!(NodeResourcesFit.score(&wanted, &one, 1), 25 / 2);
    }
}
