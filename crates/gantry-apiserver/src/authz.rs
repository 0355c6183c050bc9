//! RBAC's objects, kept in memory by watching the store, so that a decision needs no I/O.

use crate::registry::decode;
use gantry_auth::rbac;
use gantry_store::{EventKind, RangeRequest, Store, prefix_end};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

const PREFIXES: [&str; 4] = [
    "/registry/clusterroles/",
    "/registry/clusterrolebindings/",
    "/registry/roles/",
    "/registry/rolebindings/",
];

/// The RBAC objects, by their keys in the store.
#[derive(Default)]
pub struct RbacCache(RwLock<BTreeMap<String, Arc<Value>>>);

impl RbacCache {
    /// Fills a cache and keeps it up to date for as long as it lives.
    pub async fn start(store: Arc<dyn Store>) -> Result<Arc<Self>, gantry_store::ReadError> {
        let cache = Arc::new(RbacCache::default());
        for prefix in PREFIXES {
            let after = cache.load(&*store, prefix).await?;
            tokio::spawn(follow(Arc::downgrade(&cache), store.clone(), prefix, after));
        }
        Ok(cache)
    }

    async fn load(&self, store: &dyn Store, prefix: &'static str) -> Result<u64, gantry_store::ReadError> {
        let request = RangeRequest {
            start: prefix.as_bytes().into(),
            end: prefix_end(prefix.as_bytes()),
            limit: 0,
            revision: None,
        };
        let result = store.range(request).await?;
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.retain(|key, _| !key.starts_with(prefix));
        for entry in &result.entries {
            if let Ok(object) = decode(entry) {
                map.insert(String::from_utf8_lossy(&entry.key).into_owned(), Arc::new(object));
            }
        }
        Ok(result.revision)
    }

    fn under(&self, prefix: &str) -> Vec<Arc<Value>> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.range(prefix.to_string()..)
            .take_while(|(k, _)| k.starts_with(prefix))
            .map(|(_, v)| v.clone())
            .collect()
    }

    fn one(&self, key: &str) -> Option<Arc<Value>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }
}

/// Applies changes as they come. After any error it reads everything again.
async fn follow(
    cache: std::sync::Weak<RbacCache>,
    store: Arc<dyn Store>,
    prefix: &'static str,
    mut after: u64,
) {
    loop {
        if let Ok(mut watch) = store.watch(prefix.as_bytes().into(), after).await {
            while let Ok(Some(events)) = watch.next().await {
                let Some(cache) = cache.upgrade() else { return };
                let mut map = cache.0.write().unwrap_or_else(PoisonError::into_inner);
                for event in events {
                    let key = String::from_utf8_lossy(&event.entry.key).into_owned();
                    match (event.kind, decode(&event.entry)) {
                        (EventKind::Put, Ok(object)) => map.insert(key, Arc::new(object)),
                        // What cannot be read grants nothing.
                        _ => map.remove(&key),
                    };
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let Some(cache) = cache.upgrade() else { return };
        match cache.load(&*store, prefix).await {
            Ok(revision) => after = revision,
            Err(error) => tracing::warn!("RBAC objects under {prefix} cannot be read, trying again: {error}"),
        }
    }
}

impl rbac::Objects for RbacCache {
    fn cluster_role_bindings(&self) -> Vec<Arc<Value>> {
        self.under("/registry/clusterrolebindings/")
    }

    fn role_bindings(&self, namespace: &str) -> Vec<Arc<Value>> {
        self.under(&format!("/registry/rolebindings/{namespace}/"))
    }

    fn cluster_role(&self, name: &str) -> Option<Arc<Value>> {
        self.one(&format!("/registry/clusterroles/{name}"))
    }

    fn role(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.one(&format!("/registry/roles/{namespace}/{name}"))
    }
}
