//! NodeName: a pod that names its node goes nowhere else.

use crate::framework::{Plugin, Reason};
use crate::info::{NodeInfo, PodInfo};

pub struct NodeName;

impl Plugin for NodeName {
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
        if pod.node.is_empty() || pod.node == node.name {
            return Vec::new();
        }
        Reason::fixed("node(s) didn't match the requested node name")
    }
}
