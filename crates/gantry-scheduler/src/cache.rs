//! Nodes and the pods on them, assumed ones included.

use crate::info::{NodeInfo, PodInfo};
use gantry_api::meta;
use serde_json::Value;
use smol_str::SmolStr;
use std::collections::HashMap;
use std::sync::Arc;

/// All nodes. A pod counts on its node from the moment the scheduler decides, not only once the API tells so.
#[derive(Default)]
pub struct Cache {
    nodes: Vec<NodeInfo>,
    by_name: HashMap<SmolStr, usize>,
    // Where each pod counts, by uid.
    placed: HashMap<SmolStr, SmolStr>,
}

impl Cache {
    /// All nodes whose objects are there.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.iter().filter(|n| n.exists)
    }

    /// All places of nodes, those without an object too; see [`NodeInfo::exists`].
    pub fn places(&self) -> &[NodeInfo] {
        &self.nodes
    }

    fn entry(&mut self, name: &SmolStr) -> &mut NodeInfo {
        let index = *self.by_name.entry(name.clone()).or_insert_with(|| {
            self.nodes.push(NodeInfo {
                name: name.clone(),
                ..NodeInfo::default()
            });
            self.nodes.len() - 1
        });
        &mut self.nodes[index]
    }

    /// Takes over a Node object.
    pub fn set_node(&mut self, node: &Value) {
        self.entry(&meta::name(node).into()).update(node);
    }

    /// Forgets a Node object. Its pods stay counted until they are gone.
    pub fn remove_node(&mut self, name: &str) {
        let Some(&index) = self.by_name.get(name) else {
            return;
        };
        self.nodes[index].exists = false;
        self.drop_if_unused(index);
    }

    fn drop_if_unused(&mut self, index: usize) {
        if self.nodes[index].exists || !self.nodes[index].pods.is_empty() {
            return;
        }
        let gone = self.nodes.swap_remove(index);
        self.by_name.remove(&gone.name);
        if let Some(moved) = self.nodes.get(index) {
            self.by_name.insert(moved.name.clone(), index);
        }
    }

    /// Counts a pod on a node: a bound one, or one about to be.
    pub fn place(&mut self, pod: Arc<PodInfo>, node: &SmolStr) {
        if let Some(old) = self.placed.insert(pod.uid.clone(), node.clone())
            && old != *node
        {
            self.uncount(&pod.uid, &old);
        }
        self.entry(node).add(pod);
    }

    /// Counts a pod no longer.
    pub fn displace(&mut self, uid: &str) {
        if let Some(node) = self.placed.remove(uid) {
            self.uncount(uid, &node);
        }
    }

    fn uncount(&mut self, uid: &str, node: &str) {
        if let Some(&index) = self.by_name.get(node) {
            self.nodes[index].remove(uid);
            self.drop_if_unused(index);
        }
    }

    /// Where a pod counts.
    pub fn place_of(&self, uid: &str) -> Option<&SmolStr> {
        self.placed.get(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_count_once_and_nodes_go_with_their_last_pod() {
        let pod = || {
            let object = json!({"metadata": {"uid": "1"}, "spec": {"containers": [
                {"resources": {"requests": {"cpu": "1"}}}]}});
            Arc::new(PodInfo::read(&object))
        };
        let mut cache = Cache::default();
        cache.set_node(&json!({"metadata": {"name": "a"}}));
        cache.set_node(&json!({"metadata": {"name": "b"}}));
        cache.place(pod(), &"a".into());
        cache.place(pod(), &"a".into());
        assert_eq!(
            cache.nodes().map(|n| n.requested.cpu).collect::<Vec<_>>(),
            [1000, 0]
        );
        cache.place(pod(), &"b".into());
        assert_eq!(
            cache.nodes().map(|n| n.requested.cpu).collect::<Vec<_>>(),
            [0, 1000]
        );
        cache.remove_node("b");
        assert_eq!((cache.nodes().count(), cache.places().len()), (1, 2));
        cache.displace("1");
        assert_eq!(cache.places().len(), 1);
    }
}
