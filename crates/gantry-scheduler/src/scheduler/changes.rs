//! What the informers tell: nodes, pods, and what relates them.

use super::Shared;
use crate::info::{PodInfo, labels};
use crate::selector::LabelSelector;
use gantry_api::meta;
use gantry_client::{Change, key_of};
use serde_json::Value;
use std::sync::Arc;

impl Shared {
    pub(super) fn namespace_changed(&self, change: Change<'_>) {
        let own = |ns: &Value| labels(&ns["metadata"]["labels"]);
        self.cache()
            .set_namespace(meta::name(change.object()), change.new.map(|ns| own(ns)));
        if matches!((change.old, change.new), (Some(old), Some(new)) if own(old) != own(new)) {
            self.queue.changed_for(|pod| pod.affinity.is_some());
        }
    }

    pub(super) fn service_changed(&self, change: Change<'_>) {
        let selector = change.new.map(|service| labels(&service["spec"]["selector"]));
        let service = change.object();
        self.cache()
            .set_service(meta::namespace(service), meta::name(service), selector);
    }

    pub(super) fn replica_set_changed(&self, change: Change<'_>) {
        // Its selector never changes.
        if change.old.is_none() || change.new.is_none() {
            let selector = change
                .new
                .map(|set| LabelSelector::read(&set["spec"]["selector"]));
            self.cache().set_replica_set(key_of(change.object()), selector);
        }
    }

    pub(super) fn node_changed(&self, change: Change<'_>) {
        match change.new {
            Some(node) => {
                self.cache().set_node(node);
                // Heartbeats help nobody.
                let part = |n: &Value| {
                    (
                        n["spec"].clone(),
                        n["status"]["allocatable"].clone(),
                        n["metadata"]["labels"].clone(),
                    )
                };
                if change.old.is_none_or(|old| part(old) != part(node)) {
                    self.queue.changed();
                }
            }
            None => self.cache().remove_node(meta::name(change.object())),
        }
    }

    pub(super) fn pod_changed(&self, change: Change<'_>) {
        let pod = change.object();
        let uid = meta::text(pod, "uid");
        // Another pod under the same name: the old one went unseen.
        if let Some(old) = change.old.filter(|old| meta::text(old, "uid") != uid) {
            self.forget(meta::text(old, "uid"));
        }
        let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        if change.new.is_none() || ended {
            return self.forget(uid);
        }
        let node = pod["spec"]["nodeName"].as_str().unwrap_or("");
        if !node.is_empty() {
            self.queue.remove(uid);
            let unchanged = PARTS.iter().all(|part| same(change, *part));
            if self.cache().place_of(uid).is_some_and(|at| at == node) && unchanged {
                return;
            }
            self.cache().place(Arc::new(PodInfo::read(pod)), &node.into());
            // Others may have waited for it to be there.
            self.queue
                .changed_for(|waiting| waiting.affinity.is_some() || !waiting.spread.is_empty());
            return;
        }
        let scheduler = pod["spec"]["schedulerName"].as_str().unwrap_or("");
        if scheduler != self.name || meta::is_deleting(pod) {
            self.cache().drop_nomination(uid);
            self.queue.remove(uid);
            return;
        }
        // The scheduler's own writes to the status are no reason to try again.
        let unchanged = same(change, |p| &p["spec"]) && self.queue.contains(uid);
        if unchanged || self.cache().place_of(uid).is_some() {
            return;
        }
        let info = Arc::new(PodInfo::read(pod));
        if !info.nominated.is_empty() {
            let node = info.nominated.clone();
            self.cache().nominate(info.clone(), &node);
        }
        match info.gates.is_empty() {
            true => self.queue.add(info),
            false => self.queue.add_gated(&info.uid),
        }
    }

    fn forget(&self, uid: &str) {
        self.queue.remove(uid);
        let placed = {
            let mut cache = self.cache();
            let placed = cache.place_of(uid).is_some();
            cache.displace(uid);
            cache.drop_nomination(uid);
            placed
        };
        if placed {
            self.queue.changed();
        }
    }
}

/// What decisions are made of, of a pod that has its node.
const PARTS: [fn(&Value) -> &Value; 4] = [
    |p| &p["spec"],
    |p| &p["metadata"]["labels"],
    |p| &p["metadata"]["deletionTimestamp"],
    |p| &p["status"]["startTime"],
];

fn same(change: Change<'_>, part: fn(&Value) -> &Value) -> bool {
    matches!((change.old, change.new), (Some(old), Some(new)) if part(old) == part(new))
}
