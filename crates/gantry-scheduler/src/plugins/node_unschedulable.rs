//! NodeUnschedulable: a cordoned node takes only pods that tolerate it.

use crate::framework::{Plugin, Reason};
use crate::info::{NodeInfo, PodInfo, Taint};

pub struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
        let taint = Taint {
            key: "node.kubernetes.io/unschedulable".into(),
            value: "".into(),
            effect: "NoSchedule".into(),
        };
        if !node.unschedulable || pod.tolerations.iter().any(|t| t.tolerates(&taint)) {
            return Vec::new();
        }
        Reason::fixed("node(s) were unschedulable")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{node, pod, refuses};
    use serde_json::json;

    #[test]
    fn cordoned() {
        let cordoned = node(json!({"spec": {"unschedulable": true}}));
        let tolerant = pod(json!({"tolerations": [{"operator": "Exists"}]}));
        assert_eq!(
            refuses(&NodeUnschedulable, &pod(json!({})), &cordoned),
            ["node(s) were unschedulable"]
        );
        assert!(refuses(&NodeUnschedulable, &tolerant, &cordoned).is_empty());
        assert!(refuses(&NodeUnschedulable, &pod(json!({})), &node(json!({}))).is_empty());
    }
}
