//! Feeds the node authorizer's graph from the objects that relate others to nodes.

use super::follow::{self, Sink};
use crate::request::Kinds;
use gantry_auth::node::{Graph, Object, References};
use gantry_store::{ReadError, Store};
use serde_json::Value;
use std::sync::{Arc, PoisonError, RwLock};

/// The kinds the graph is made from: group, version, plural, and what they are in it.
const SOURCES: [(&str, &str, &str, Object); 4] = [
    ("", "v1", "pods", Object::Pod),
    ("", "v1", "persistentvolumes", Object::PersistentVolume),
    (
        "storage.k8s.io",
        "v1",
        "volumeattachments",
        Object::VolumeAttachment,
    ),
    ("resource.k8s.io", "v1", "resourceslices", Object::ResourceSlice),
];

/// The graph.
pub struct NodeGraph {
    references: RwLock<References>,
    /// The kinds' prefixes in the store.
    prefixes: Vec<(String, Object)>,
}

impl NodeGraph {
    /// Fills a graph and keeps it up to date for as long as it lives.
    pub async fn start(store: &Arc<dyn Store>, kinds: &Kinds) -> Result<Arc<Self>, ReadError> {
        let served = SOURCES.iter().filter_map(|(group, version, plural, object)| {
            Some((kinds.get(group, version, plural)?.prefix(None), *object))
        });
        let graph = Arc::new(NodeGraph {
            references: RwLock::default(),
            prefixes: served.collect(),
        });
        for (prefix, _) in &graph.prefixes {
            follow::start(&graph, store, prefix.clone()).await?;
        }
        Ok(graph)
    }

    /// Whether an object is related to a node.
    pub fn related(&self, node: &str, object: Object, namespace: &str, name: &str) -> bool {
        let references = self.references.read().unwrap_or_else(PoisonError::into_inner);
        references.related(node, object, namespace, name)
    }
}

impl Sink for NodeGraph {
    fn set(&self, key: &str, value: Option<Value>) {
        let found = self
            .prefixes
            .iter()
            .find_map(|(prefix, object)| Some((key.strip_prefix(prefix.as_str())?, *object)));
        let Some((place, object)) = found else { return };
        let mut references = self.references.write().unwrap_or_else(PoisonError::into_inner);
        match (object, place.split_once('/')) {
            (Object::Pod, Some((namespace, name))) => references.set_pod(namespace, name, value.as_ref()),
            (Object::PersistentVolume, None) => references.set_volume(place, value.as_ref()),
            (_, None) => references.set_bound(object, place, value.as_ref()),
            _ => {}
        }
    }
}
