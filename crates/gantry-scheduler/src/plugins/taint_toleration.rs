//! TaintToleration: taints keep out pods that do not tolerate them, or make a node less welcome.

use crate::framework::{Plugin, Reason, normalize};
use crate::info::{NodeInfo, PodInfo};

pub struct TaintToleration;

impl Plugin for TaintToleration {
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
        if node.keeps_out(pod) {
            Reason::fixed("node(s) had untolerated taint(s)")
        } else {
            Vec::new()
        }
    }

    fn weight(&self) -> i64 {
        3
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, _: usize) -> i64 {
        let soft = |t: &&crate::info::Toleration| matches!(t.effect(), "" | "PreferNoSchedule");
        let disliked = node.taints.iter().filter(|taint| {
            taint.effect == "PreferNoSchedule"
                && !pod.tolerations.iter().filter(soft).any(|t| t.tolerates(taint))
        });
        disliked.count() as i64
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize(scores, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{node, pod, refuses};
    use serde_json::json;

    #[test]
    fn taints() {
        let tainted =
            |effect: &str| node(json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": effect}]}}));
        let plain = pod(json!({}));
        let tolerant = pod(json!({"tolerations": [{"key": "k", "operator": "Exists"}]}));
        assert_eq!(
            refuses(&TaintToleration, &plain, &tainted("NoSchedule")),
            ["node(s) had untolerated taint(s)"]
        );
        assert_eq!(refuses(&TaintToleration, &plain, &tainted("NoExecute")).len(), 1);
        assert!(refuses(&TaintToleration, &plain, &tainted("PreferNoSchedule")).is_empty());
        assert!(refuses(&TaintToleration, &tolerant, &tainted("NoSchedule")).is_empty());
        assert_eq!(TaintToleration.score(&plain, &tainted("PreferNoSchedule"), 1), 1);
        assert_eq!(
            TaintToleration.score(&tolerant, &tainted("PreferNoSchedule"), 1),
            0
        );
    }
}
