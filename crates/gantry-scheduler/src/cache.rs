//! Nodes and the pods on them, assumed ones included.

use crate::info::{NodeInfo, PodInfo};
use crate::selector::{LabelSelector, Labels};
use gantry_api::meta;
use serde_json::Value;
use smol_str::SmolStr;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All nodes. A pod counts on its node from the moment the scheduler decides, not only once the API tells so.
#[derive(Default)]
pub struct Cache {
    nodes: Vec<NodeInfo>,
    by_name: HashMap<SmolStr, usize>,
    // Where each pod counts, by uid.
    placed: HashMap<SmolStr, SmolStr>,
    // Where room was made for pods, by uid.
    nominated: HashMap<SmolStr, SmolStr>,
    // How many nodes have an image.
    images: HashMap<SmolStr, Arc<AtomicUsize>>,
    namespaces: HashMap<SmolStr, Labels>,
    // Selectors of Services, by namespace and name, and of ReplicaSets, by their key.
    services: HashMap<SmolStr, HashMap<SmolStr, Labels>>,
    replica_sets: HashMap<String, LabelSelector>,
    // All pods that stay, by what selectors see of them: how many, and one of them.
    groups: HashMap<u64, (usize, Arc<PodInfo>)>,
    affine: usize,
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

    /// A node by its name, if its object is there.
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.by_name
            .get(name)
            .map(|index| &self.nodes[*index])
            .filter(|n| n.exists)
    }

    /// Takes over a Node object.
    pub fn set_node(&mut self, node: &Value) {
        let name = meta::name(node).into();
        let mut images = std::mem::take(&mut self.images);
        let entry = self.entry(&name);
        drop_images(entry, &mut images);
        entry.update(node);
        for (name, image) in &mut entry.images {
            image.nodes = images.entry(name.clone()).or_default().clone();
            image.nodes.fetch_add(1, Ordering::Relaxed);
        }
        self.images = images;
    }

    /// Takes over a namespace's labels; `None` forgets it.
    pub fn set_namespace(&mut self, name: &str, labels: Option<Labels>) {
        match labels {
            Some(labels) => self.namespaces.insert(name.into(), labels),
            None => self.namespaces.remove(name),
        };
    }

    /// A namespace's labels.
    pub fn namespace(&self, name: &str) -> Option<&Labels> {
        self.namespaces.get(name)
    }

    /// Takes over a Service's selector; `None` forgets it.
    pub fn set_service(&mut self, namespace: &str, name: &str, selector: Option<Labels>) {
        let of_namespace = self.services.entry(namespace.into()).or_default();
        match selector.filter(|s| !s.is_empty()) {
            Some(selector) => of_namespace.insert(name.into(), selector),
            None => of_namespace.remove(name),
        };
        if of_namespace.is_empty() {
            self.services.remove(namespace);
        }
    }

    /// Takes over a ReplicaSet's selector; `None` forgets it.
    pub fn set_replica_set(&mut self, key: String, selector: Option<LabelSelector>) {
        match selector {
            Some(selector) => self.replica_sets.insert(key, selector),
            None => self.replica_sets.remove(&key),
        };
    }

    /// What chooses the pods that do the same as this one: those of its Services and its ReplicaSet.
    pub fn peers_of(&self, pod: &PodInfo) -> Option<LabelSelector> {
        let services = self
            .services
            .get(&pod.namespace)
            .into_iter()
            .flat_map(HashMap::values);
        let chooses = |s: &&Labels| s.iter().all(|(k, v)| pod.labels.get(k) == Some(v));
        let mut labels = Labels::new();
        for selector in services.filter(chooses) {
            labels.extend(selector.clone());
        }
        let mut peers = LabelSelector::exact(&labels);
        if !pod.replica_set.is_empty()
            && let Some(own) = self
                .replica_sets
                .get(&format!("{}/{}", pod.namespace, pod.replica_set))
        {
            peers.and(own);
        }
        (!peers.is_empty()).then_some(peers)
    }

    /// The groups of pods one of which `chooses` says yes to.
    pub fn groups_of(&self, chooses: impl Fn(&PodInfo) -> bool) -> Vec<u64> {
        self.groups
            .iter()
            .filter(|(_, (_, one))| chooses(one))
            .map(|(group, _)| *group)
            .collect()
    }

    /// Whether any pod asks something of the pods beside it.
    pub fn has_affine(&self) -> bool {
        self.affine > 0
    }

    /// Keeps room on a node for a pod that others leave for.
    pub fn nominate(&mut self, pod: Arc<PodInfo>, node: &SmolStr) {
        self.drop_nomination(&pod.uid);
        self.nominated.insert(pod.uid.clone(), node.clone());
        self.entry(node).nominated.push(pod);
    }

    /// Keeps no more room for a pod.
    pub fn drop_nomination(&mut self, uid: &str) {
        let Some(node) = self.nominated.remove(uid) else {
            return;
        };
        if let Some(&index) = self.by_name.get(&node) {
            self.nodes[index].nominated.retain(|p| p.uid != uid);
            self.drop_if_unused(index);
        }
    }

    /// Where room is kept for a pod.
    pub fn nomination(&self, uid: &str) -> Option<&SmolStr> {
        self.nominated.get(uid)
    }

    /// Forgets a Node object. Its pods stay counted until they are gone.
    pub fn remove_node(&mut self, name: &str) {
        let Some(&index) = self.by_name.get(name) else {
            return;
        };
        self.nodes[index].exists = false;
        drop_images(&mut self.nodes[index], &mut self.images);
        self.drop_if_unused(index);
    }

    fn drop_if_unused(&mut self, index: usize) {
        let node = &self.nodes[index];
        if node.exists || !node.pods.is_empty() || !node.nominated.is_empty() {
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
        self.drop_nomination(&pod.uid);
        if let Some(old) = self.placed.insert(pod.uid.clone(), node.clone()) {
            self.uncount(&pod.uid, &old);
        }
        self.affine += usize::from(pod.affinity.is_some());
        if !pod.leaving.0 {
            self.groups.entry(pod.group).or_insert_with(|| (0, pod.clone())).0 += 1;
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
            if let Some(pod) = self.nodes[index].pods.get(uid) {
                self.affine -= usize::from(pod.affinity.is_some());
                if !pod.leaving.0
                    && let Some(group) = self.groups.get_mut(&pod.group)
                {
                    group.0 -= 1;
                    if group.0 == 0 {
                        self.groups.remove(&pod.group);
                    }
                }
            }
            self.nodes[index].remove(uid);
            self.drop_if_unused(index);
        }
    }

    /// Where a pod counts.
    pub fn place_of(&self, uid: &str) -> Option<&SmolStr> {
        self.placed.get(uid)
    }
}

/// Counts a node's images no more, and forgets those that no node has.
fn drop_images(node: &mut NodeInfo, all: &mut HashMap<SmolStr, Arc<AtomicUsize>>) {
    for (name, image) in std::mem::take(&mut node.images) {
        if image.nodes.fetch_sub(1, Ordering::Relaxed) == 1 {
            all.remove(&name);
        }
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
