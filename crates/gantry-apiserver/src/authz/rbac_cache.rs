//! Keeps the RBAC policy up to date with the stored roles and bindings.

use crate::follow::{self, Sink};
use crate::request::Kinds;
use crate::stored::decode;
use gantry_auth::rbac::{API_GROUP, Part, Policy};
use gantry_store::{Entry, ReadError, Store};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

const PARTS: [(&str, Part); 4] = [
    ("clusterroles", Part::ClusterRole),
    ("clusterrolebindings", Part::ClusterRoleBinding),
    ("roles", Part::Role),
    ("rolebindings", Part::RoleBinding),
];

/// The policy.
pub struct RbacCache {
    policy: RwLock<Policy>,
    /// The kinds' prefixes in the store.
    prefixes: Vec<(String, Part)>,
}

impl RbacCache {
    /// Fills a cache and keeps it up to date for as long as it lives.
    pub async fn start(store: &Arc<dyn Store>, kinds: &Kinds) -> Result<Arc<Self>, ReadError> {
        let served = PARTS
            .iter()
            .filter_map(|(plural, part)| Some((kinds.get(API_GROUP, "v1", plural)?.prefix(None), *part)));
        let cache = Arc::new(RbacCache {
            policy: RwLock::default(),
            prefixes: served.collect(),
        });
        for (prefix, _) in &cache.prefixes {
            follow::start(&cache, store, prefix.clone()).await?;
        }
        Ok(cache)
    }

    /// The policy, to decide by.
    pub fn policy(&self) -> RwLockReadGuard<'_, Policy> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for RbacCache {
    fn set(&self, key: &str, entry: Option<&Entry>) {
        let found = self
            .prefixes
            .iter()
            .find_map(|(prefix, part)| Some((key.strip_prefix(prefix.as_str())?, *part)));
        let Some((place, part)) = found else { return };
        let (namespace, name) = place.split_once('/').unwrap_or(("", place));
        let object = entry.and_then(|entry| decode(entry).ok());
        let mut policy = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        policy.set(part, namespace, name, object);
    }
}
