//! NodeAffinity: nodeSelector and node affinity, required and preferred.

use crate::framework::{Plugin, Reason, normalize};
use crate::info::{NodeInfo, PodInfo};

pub struct NodeAffinity;

impl Plugin for NodeAffinity {
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
        if pod.selects(node) {
            return Vec::new();
        }
        Reason::fixed("node(s) didn't match Pod's node affinity/selector")
    }

    fn weight(&self) -> i64 {
        2
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, _: usize) -> i64 {
        let terms = pod.preferred_affinity.iter();
        terms
            .filter(|(_, term)| term.matches(&node.name, &node.labels))
            .map(|(weight, _)| weight)
            .sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize(scores, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{node, pod, refuses};
    use serde_json::json;

    #[test]
    fn selectors_and_affinity() {
        let ssd = node(json!({"metadata": {"name": "n", "labels": {"disk": "ssd"}}}));
        let required = |key: &str| {
            let terms = json!([{"matchExpressions": [{"key": key, "operator": "Exists"}]}]);
            let required =
                json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
            pod(json!({"affinity": {"nodeAffinity": required}}))
        };
        let why = ["node(s) didn't match Pod's node affinity/selector"];
        assert!(
            refuses(
                &NodeAffinity,
                &pod(json!({"nodeSelector": {"disk": "ssd"}})),
                &ssd
            )
            .is_empty()
        );
        assert_eq!(
            refuses(
                &NodeAffinity,
                &pod(json!({"nodeSelector": {"disk": "hdd"}})),
                &ssd
            ),
            why
        );
        assert!(refuses(&NodeAffinity, &required("disk"), &ssd).is_empty());
        assert_eq!(refuses(&NodeAffinity, &required("gpu"), &ssd), why);
        let preferred = json!([{"weight": 7, "preference": {"matchExpressions": [
            {"key": "disk", "operator": "In", "values": ["ssd"]}]}}]);
        let preferred = json!({"preferredDuringSchedulingIgnoredDuringExecution": preferred});
        assert_eq!(
            NodeAffinity.score(&pod(json!({"affinity": {"nodeAffinity": preferred}})), &ssd, 1),
            7
        );
    }
}
