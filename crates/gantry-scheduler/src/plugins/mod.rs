//! The rules, one file each. To add one: write its file and name it in [`rules`].

mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_balanced_allocation;
mod node_resources_fit;
mod node_unschedulable;
mod pod_topology_spread;
mod taint_toleration;

use crate::framework::Rules;

/// The rules, in the order in which they filter: upstream's default profile.
pub fn rules() -> Rules {
    Rules {
        plugins: vec![
            Box::new(node_unschedulable::NodeUnschedulable),
            Box::new(node_name::NodeName),
            Box::new(taint_toleration::TaintToleration),
            Box::new(node_affinity::NodeAffinity),
            Box::new(node_ports::NodePorts),
            Box::new(node_resources_fit::NodeResourcesFit),
            Box::new(node_resources_balanced_allocation::NodeResourcesBalancedAllocation),
            Box::new(image_locality::ImageLocality),
        ],
        relations: vec![
            Box::new(pod_topology_spread::PodTopologySpread),
            Box::new(inter_pod_affinity::InterPodAffinity),
        ],
    }
}

#[cfg(test)]
pub mod testing {
    use crate::info::{NodeInfo, PodInfo};
    use serde_json::Value;

    pub fn pod(spec: Value) -> PodInfo {
        PodInfo::read(&serde_json::json!({"metadata": {"uid": spec.to_string()}, "spec": spec}))
    }

    pub fn node(object: Value) -> NodeInfo {
        let mut node = NodeInfo::default();
        node.update(&object);
        node
    }

    /// The reasons that a plugin gives, as text.
    pub fn refuses(plugin: &dyn crate::framework::Plugin, pod: &PodInfo, node: &NodeInfo) -> Vec<String> {
        plugin
            .filter(pod, node)
            .into_iter()
            .map(|r| r.text.to_string())
            .collect()
    }
}
