//! Feeds the node authorizer's graph from the objects that relate others to nodes.

use crate::follow::{self, Sink};
use crate::request::Kinds;
use crate::stored::decode;
use gantry_auth::node::{Object, References};
use gantry_store::{Entry, ReadError, Store};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// The kinds the graph is made from: group, version, plural, and what they are in it.
const SOURCES: [(&str, &str, &str, Object); 5] = [
    ("", "v1", "pods", Object::Pod),
    ("", "v1", "persistentvolumes", Object::PersistentVolume),
    (
        "storage.k8s.io",
        "v1",
        "volumeattachments",
        Object::VolumeAttachment,
    ),
    ("resource.k8s.io", "v1", "resourceslices", Object::ResourceSlice),
    (
        "certificates.k8s.io",
        "v1beta1",
        "podcertificaterequests",
        Object::PodCertificateRequest,
    ),
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

    /// The graph, to decide by.
    pub fn references(&self) -> RwLockReadGuard<'_, References> {
        self.references.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a pod may be on a node; one that cannot be need not be read.
fn names_node(entry: &Entry) -> bool {
    std::str::from_utf8(&entry.value).is_ok_and(|json| json.contains("\"nodeName\""))
}

impl Sink for NodeGraph {
    fn set(&self, key: &str, entry: Option<&Entry>) {
        let found = self
            .prefixes
            .iter()
            .find_map(|(prefix, object)| Some((key.strip_prefix(prefix.as_str())?, *object)));
        let Some((place, object)) = found else { return };
        let value = entry
            .filter(|entry| object != Object::Pod || names_node(entry))
            .and_then(|entry| decode(entry).ok());
        let mut references = self.references.write().unwrap_or_else(PoisonError::into_inner);
        match (object, place.split_once('/')) {
            (Object::Pod, Some((namespace, name))) => references.set_pod(namespace, name, value.as_ref()),
            (Object::PersistentVolume, None) => references.set_volume(place, value.as_ref()),
            (Object::PodCertificateRequest, Some(_)) | (_, None) => {
                references.set_bound(object, place, value.as_ref())
            }
            _ => {}
        }
    }
}
