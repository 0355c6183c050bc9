//! The RBAC objects, by their keys in the store.

use super::follow::{self, Sink};
use crate::request::Kinds;
use gantry_auth::rbac::API_GROUP;
use gantry_store::{ReadError, Store};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The cache.
pub struct RbacCache {
    objects: RwLock<BTreeMap<String, Arc<Value>>>,
    cluster_roles: String,
    cluster_role_bindings: String,
    roles: String,
    role_bindings: String,
}

impl RbacCache {
    /// Fills a cache and keeps it up to date for as long as it lives.
    pub async fn start(store: &Arc<dyn Store>, kinds: &Kinds) -> Result<Arc<Self>, ReadError> {
        // A kind that is not served has no objects; nothing lies under an empty place.
        let prefix = |plural| {
            kinds
                .get(API_GROUP, "v1", plural)
                .map_or_else(|| format!("/registry/{plural}/"), |kind| kind.prefix(None))
        };
        let cache = Arc::new(RbacCache {
            objects: RwLock::default(),
            cluster_roles: prefix("clusterroles"),
            cluster_role_bindings: prefix("clusterrolebindings"),
            roles: prefix("roles"),
            role_bindings: prefix("rolebindings"),
        });
        let all = [
            &cache.cluster_roles,
            &cache.cluster_role_bindings,
            &cache.roles,
            &cache.role_bindings,
        ];
        for prefix in all {
            follow::start(&cache, store, prefix.clone()).await?;
        }
        Ok(cache)
    }

    /// Every ClusterRoleBinding.
    pub fn cluster_role_bindings(&self) -> Vec<Arc<Value>> {
        self.under(&self.cluster_role_bindings)
    }

    /// Every RoleBinding in `namespace`.
    pub fn role_bindings(&self, namespace: &str) -> Vec<Arc<Value>> {
        self.under(&format!("{}{namespace}/", self.role_bindings))
    }

    /// The ClusterRole called `name`.
    pub fn cluster_role(&self, name: &str) -> Option<Arc<Value>> {
        self.one(&format!("{}{name}", self.cluster_roles))
    }

    /// The Role called `name` in `namespace`.
    pub fn role(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.one(&format!("{}{namespace}/{name}", self.roles))
    }

    fn under(&self, prefix: &str) -> Vec<Arc<Value>> {
        let map = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        map.range(prefix.to_string()..)
            .take_while(|(k, _)| k.starts_with(prefix))
            .map(|(_, v)| v.clone())
            .collect()
    }

    fn one(&self, key: &str) -> Option<Arc<Value>> {
        let map = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        map.get(key).cloned()
    }
}

impl Sink for RbacCache {
    fn set(&self, key: &str, object: Option<Value>) {
        let mut map = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        match object {
            Some(object) => map.insert(key.to_owned(), Arc::new(object)),
            // What cannot be read grants nothing.
            None => map.remove(key),
        };
    }
}
