//! Garbage collector: what is owned goes when its owners have gone.
//!
//! [`graph`] knows who owns whom, by identities alone; [`monitor`] keeps it up to date over everything served. The
//! graph only says where to look: before anything is deleted, the server is asked whether its owners are really gone.

mod graph;
mod monitor;

use crate::object::{items, text, uid};
use crate::runner::{Context, Controller, Descriptor, Error, Feed, Next, Rule};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_client::{Change, PatchType, Resource};
use graph::{FOREGROUND, Graph, Node, ORPHAN};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{Notify, watch};

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "generic-garbage-collector",
    queue: "garbage_collector_attempt_to_delete",
    workers: 10,
    watches: Vec::new,
    rules: &[
        Rule {
            groups: &["*"],
            resources: &["*"],
            verbs: &["delete", "get", "list", "patch", "update", "watch"],
        },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        Arc::new(GarbageCollector {
            ctx,
            graph: Arc::default(),
            kinds: RwLock::default(),
            complete: watch::Sender::new(false),
            redefined: Arc::default(),
        })
    },
};

struct GarbageCollector {
    ctx: Context,
    graph: Arc<Graph>,
    // What is served, to find an owner by its kind.
    kinds: RwLock<Vec<Resource>>,
    // Whether the graph holds all there was at the start.
    complete: watch::Sender<bool>,
    // Told when CustomResourceDefinitions change: other kinds may be served.
    redefined: Arc<Notify>,
}

#[async_trait]
impl Controller for GarbageCollector {
    /// Keys are uids, and come from the monitors.
    fn keys(&self, _: &Resource, _: Change<'_>) -> Vec<String> {
        Vec::new()
    }

    async fn feed(&self, feed: &Feed) {
        self.watch_all(feed).await;
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        // The sender lives in self, so the wait cannot fail.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
        let Some(node) = self.graph.get(key) else {
            return Ok(Next::Done);
        };
        if node.orphans_dependents() {
            return self.orphan_dependents(key, &node).await;
        }
        if node.deletes_dependents() {
            return self.finish_foreground(key, &node).await;
        }
        if node.deleting || node.owners.is_empty() {
            return Ok(Next::Done);
        }
        self.check_owners(key, &node).await
    }
}

/// A node's owners, as the server knows them now.
#[derive(Default)]
struct Owners {
    /// They are there.
    solid: Vec<Value>,
    /// They are gone.
    dangling: Vec<Value>,
    /// They are being deleted, and wait for their dependents.
    waiting: Vec<Value>,
}

impl GarbageCollector {
    /// The object as it is now; `None` when it is gone, or another has its name.
    async fn live(&self, key: &str, node: &Node) -> Result<Option<Value>, Error> {
        match self.ctx.client.get(&node.resource, &node.namespace, &node.name).await {
            Ok(object) if uid(&object) == key => Ok(Some(object)),
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(None),
        }
    }

    async fn check_owners(&self, key: &str, node: &Node) -> Result<Next, Error> {
        let Some(object) = self.live(key, node).await? else {
            // Its own monitor will say the same.
            return Ok(Next::Done);
        };
        let references: Vec<Value> = items(&object["metadata"]["ownerReferences"]).cloned().collect();
        if references.is_empty() || meta::is_deleting(&object) {
            return Ok(Next::Done);
        }
        for message in node.misplaced_owners(&self.graph) {
            self.ctx.events.event(&object, "Warning", "OwnerRefInvalidNamespace", message);
        }
        let Some(owners) = self.classify(&node.namespace, references).await? else {
            return Ok(Next::Done);
        };
        if !owners.solid.is_empty() {
            if owners.dangling.is_empty() && owners.waiting.is_empty() {
                return Ok(Next::Done);
            }
            let patch = json!({"metadata": {
                "uid": key, "resourceVersion": meta::text(&object, "resourceVersion"), "ownerReferences": owners.solid,
            }});
            return self.patch(node, &patch).await;
        }
        let dependents = self.graph.dependents(key);
        let foreground = !owners.waiting.is_empty() && !dependents.is_empty();
        if foreground && dependents.iter().any(|(_, d)| d.deletes_dependents()) {
            // A circle of owners that wait for each other would never end: let go of the owner.
            let unblocked = items(&object["metadata"]["ownerReferences"]).map(|r| {
                let mut reference = r.clone();
                reference["blockOwnerDeletion"] = false.into();
                reference
            });
            let patch = json!({"metadata": {"uid": key, "ownerReferences": unblocked.collect::<Vec<_>>()}});
            self.patch(node, &patch).await?;
        }
        let has = |finalizer: &str| items(&object["metadata"]["finalizers"]).any(|f| f == finalizer);
        let policy = match () {
            () if foreground => "Foreground",
            () if has(ORPHAN) => "Orphan",
            () if has(FOREGROUND) => "Foreground",
            () => "Background",
        };
        let mut preconditions = json!({"uid": key});
        if !foreground {
            // Its owners must be those that were looked at.
            preconditions["resourceVersion"] = meta::text(&object, "resourceVersion").into();
        }
        let options = json!({"propagationPolicy": policy, "preconditions": preconditions});
        match self.ctx.client.delete(&node.resource, &node.namespace, &node.name, &options).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(Next::Done),
        }
    }

    /// `None` when nothing can be said: what lives outside namespaces cannot be owned from within one, so it stays.
    async fn classify(&self, namespace: &str, references: Vec<Value>) -> Result<Option<Owners>, Error> {
        let mut owners = Owners::default();
        for reference in references {
            let resource = self.resource_of(&reference)?;
            if resource.namespaced && namespace.is_empty() {
                return Ok(None);
            }
            let namespace = if resource.namespaced { namespace } else { "" };
            match self.ctx.client.get(&resource, namespace, text(&reference["name"])).await {
                Ok(owner) if uid(&owner) == text(&reference["uid"]) => {
                    let waits = meta::is_deleting(&owner)
                        && items(&owner["metadata"]["finalizers"]).any(|f| f == FOREGROUND);
                    if waits { owners.waiting.push(reference) } else { owners.solid.push(reference) }
                }
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => owners.dangling.push(reference),
            }
        }
        Ok(Some(owners))
    }

    fn resource_of(&self, reference: &Value) -> Result<Resource, Error> {
        let (api_version, kind) = (text(&reference["apiVersion"]), text(&reference["kind"]));
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = kinds
            .iter()
            .find(|r| r.group == group && r.kind == kind)
            .cloned()
            .ok_or_else(|| Error::NotYet(format!("the owner's kind {kind} of {api_version} is not served")))?;
        found.version = version.into();
        Ok(found)
    }

    async fn patch(&self, node: &Node, patch: &Value) -> Result<Next, Error> {
        let place = (node.namespace.as_str(), node.name.as_str());
        match self.ctx.client.patch(&node.resource, place, "", PatchType::Merge, patch).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(Next::Done),
        }
    }

    /// Lets go of an owner that is being deleted once nothing blocks it. What blocks it is looked at by itself.
    async fn finish_foreground(&self, key: &str, node: &Node) -> Result<Next, Error> {
        let blocking = self.graph.dependents(key).iter().any(|(_, d)| d.blocks(key));
        if blocking {
            return Ok(Next::Done);
        }
        self.remove_finalizer(key, node, FOREGROUND).await
    }

    async fn orphan_dependents(&self, key: &str, node: &Node) -> Result<Next, Error> {
        for (dependent, its) in self.graph.dependents(key) {
            let Some(object) = self.live(&dependent, &its).await? else { continue };
            let rest: Vec<&Value> =
                items(&object["metadata"]["ownerReferences"]).filter(|r| text(&r["uid"]) != key).collect();
            let patch = json!({"metadata": {
                "uid": dependent, "resourceVersion": meta::text(&object, "resourceVersion"), "ownerReferences": or_none(rest),
            }});
            self.patch(&its, &patch).await?;
        }
        self.remove_finalizer(key, node, ORPHAN).await
    }

    async fn remove_finalizer(&self, key: &str, node: &Node, finalizer: &str) -> Result<Next, Error> {
        let Some(object) = self.live(key, node).await? else {
            return Ok(Next::Done);
        };
        let finalizers = &object["metadata"]["finalizers"];
        if !items(finalizers).any(|f| f == finalizer) {
            return Ok(Next::Done);
        }
        let rest: Vec<&Value> = items(finalizers).filter(|f| *f != finalizer).collect();
        let patch = json!({"metadata": {
            "uid": key, "resourceVersion": meta::text(&object, "resourceVersion"), "finalizers": or_none(rest),
        }});
        self.patch(node, &patch).await
    }
}

/// A list as a merge patch has it: an empty one is none.
fn or_none(list: Vec<&Value>) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}
