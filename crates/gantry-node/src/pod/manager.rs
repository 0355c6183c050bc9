//! Gives each pod of the node a worker, and tells workers when something happened in the runtime.

use crate::cri::{CriError, v1};
use crate::pod::state::{GRACE, POD_UID, PodState};
use crate::pod::worker::{Update, View, Worker};
use crate::pod::{container, mounts};
use crate::shared::Shared;
use gantry_api::meta;
use gantry_client::{Change, Informer};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How often the runtime is asked what runs.
const RELIST: Duration = Duration::from_secs(1);

/// What is known of a pod.
#[derive(Clone)]
pub struct Known {
    /// Its API object.
    pub pod: Arc<Value>,
    /// What runs of it.
    pub state: PodState,
    /// Its newest status, which the API may not show yet.
    pub status: Value,
}

impl Known {
    /// The API object with the newest status.
    pub fn object(&self) -> Value {
        let mut pod = Value::clone(&self.pod);
        pod["status"] = self.status.clone();
        pod
    }
}

struct Handle {
    updates: watch::Sender<Update>,
    changed: Arc<Notify>,
    view: Arc<Mutex<View>>,
}

impl Handle {
    fn known(&self) -> Known {
        let pod = self.updates.borrow().pod.clone();
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        Known {
            state: view.state.clone(),
            status: view.status.clone().unwrap_or_else(|| pod["status"].clone()),
            pod,
        }
    }
}

/// The pods of the node.
pub struct Manager {
    shared: Arc<Shared>,
    informer: Arc<Informer>,
    workers: Mutex<HashMap<String, Handle>>,
    relist: Notify,
    orphans: Mutex<HashSet<String>>,
}

impl Manager {
    /// Follows the pods that `informer` shows.
    pub fn start(shared: Arc<Shared>, informer: Arc<Informer>) -> Arc<Self> {
        let manager = Arc::new(Manager {
            shared,
            informer: informer.clone(),
            workers: Mutex::default(),
            relist: Notify::new(),
            orphans: Mutex::default(),
        });
        let weak = Arc::downgrade(&manager);
        informer.on_change(move |change| {
            if let Some(manager) = weak.upgrade() {
                manager.on_change(change);
            }
        });
        manager
    }

    fn workers(&self) -> MutexGuard<'_, HashMap<String, Handle>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_change(self: &Arc<Self>, change: Change<'_>) {
        let uid = |pod: &Arc<Value>| meta::text(pod, "uid").to_string();
        if let Some(old) = change.old
            && change.new.is_none_or(|new| uid(new) != uid(old))
            && let Some(handle) = self.workers().get(&uid(old))
        {
            handle.updates.send_replace(Update {
                pod: old.clone(),
                gone: true,
            });
        }
        let Some(pod) = change.new else { return };
        let update = Update {
            pod: pod.clone(),
            gone: false,
        };
        let mut workers = self.workers();
        if let Some(handle) = workers.get(&uid(pod)) {
            handle.updates.send_replace(update);
            return;
        }
        let (updates, receiver) = watch::channel(update);
        let (changed, view) = (Arc::new(Notify::new()), Arc::default());
        let worker = Worker::new(self.shared.clone(), receiver, changed.clone(), Arc::clone(&view));
        workers.insert(
            uid(pod),
            Handle {
                updates,
                changed,
                view,
            },
        );
        let (manager, uid) = (Arc::downgrade(self), uid(pod));
        tokio::spawn(async move {
            worker.run().await;
            if let Some(manager) = manager.upgrade() {
                manager.workers().remove(&uid);
            }
        });
    }

    /// Something may have happened in the runtime: look at once.
    pub fn look(&self) {
        self.relist.notify_one();
    }

    /// Forgets all workers, and leaves the pods running.
    pub fn stop(&self) {
        self.workers().clear();
    }

    /// The pods that are worked on.
    pub fn pods(&self) -> Vec<Known> {
        self.workers().values().map(Handle::known).collect()
    }

    /// One pod by its name.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Known> {
        let pod = self.informer.get(namespace, name)?;
        self.workers().get(meta::text(&pod, "uid")).map(Handle::known)
    }

    /// Watches the runtime for as long as the node runs.
    pub async fn follow_runtime(self: Arc<Self>) {
        let mut before: HashMap<String, Seen> = HashMap::new();
        loop {
            // Whichever comes first: both lead to a look.
            let _ = tokio::time::timeout(RELIST, self.relist.notified()).await;
            match self.seen().await {
                Ok(now) => {
                    self.compare(&before, &now);
                    before = now;
                }
                Err(error) => tracing::warn!("the container runtime does not tell what runs: {error}"),
            }
        }
    }

    /// What runs, by pod uid.
    async fn seen(&self) -> Result<HashMap<String, Seen>, CriError> {
        let runtime = &self.shared.runtime;
        let sandboxes = runtime.list_pod_sandbox(v1::ListPodSandboxRequest::default());
        let containers = runtime.list_containers(v1::ListContainersRequest::default());
        let (sandboxes, containers) = futures::try_join!(sandboxes, containers)?;
        let mut seen: HashMap<String, Seen> = HashMap::new();
        for item in sandboxes.items {
            let Some(uid) = item.labels.get(POD_UID) else {
                continue;
            };
            let entry = seen.entry(uid.clone()).or_default();
            let metadata = item.metadata.unwrap_or_default();
            entry.pod = json!({"metadata":
                {"namespace": metadata.namespace, "name": metadata.name, "uid": uid}});
            entry.states.push((item.id.clone(), item.state));
            entry.sandboxes.push(item.id);
        }
        for item in containers.containers {
            let Some(uid) = item.labels.get(POD_UID) else {
                continue;
            };
            let entry = seen.entry(uid.clone()).or_default();
            let grace = item
                .annotations
                .get(GRACE)
                .and_then(|g| g.parse().ok())
                .unwrap_or(30);
            entry.grace = entry.grace.max(grace);
            entry.states.push((item.id.clone(), item.state));
            entry
                .containers
                .push((item.metadata.unwrap_or_default().name, item.id));
        }
        for entry in seen.values_mut() {
            entry.states.sort();
        }
        Ok(seen)
    }

    fn compare(self: &Arc<Self>, before: &HashMap<String, Seen>, now: &HashMap<String, Seen>) {
        let workers = self.workers();
        for (uid, handle) in workers.iter() {
            let states = |all: &HashMap<String, Seen>| all.get(uid).map(|s| s.states.clone());
            if states(before) != states(now) {
                handle.changed.notify_one();
            }
        }
        if !self.informer.has_synced() {
            return;
        }
        for (uid, seen) in now.iter().filter(|(uid, _)| !workers.contains_key(*uid)) {
            // Seen twice: a pod's worker may just have ended, after its sandbox was listed.
            if before.contains_key(uid) && self.orphans().insert(uid.clone()) {
                let (manager, uid, seen) = (self.clone(), uid.clone(), seen.clone());
                tokio::spawn(async move {
                    manager.remove_orphan(&uid, &seen).await;
                    manager.orphans().remove(&uid);
                });
            }
        }
    }

    fn orphans(&self) -> MutexGuard<'_, HashSet<String>> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what is left of a pod that was deleted while nobody looked.
    async fn remove_orphan(&self, uid: &str, seen: &Seen) {
        tracing::info!("pod {uid} is gone from the API; removing what is left of it");
        let runtime = &self.shared.runtime;
        let grace = Duration::from_secs(seen.grace);
        let removal = async {
            futures::future::try_join_all(
                seen.containers
                    .iter()
                    .map(|(_, id)| runtime.stop_container(id, grace)),
            )
            .await?;
            for id in &seen.sandboxes {
                runtime.stop_pod_sandbox(id).await?;
                runtime.remove_pod_sandbox(id).await?;
            }
            Ok::<(), CriError>(())
        };
        if let Err(error) = removal.await {
            tracing::warn!("what is left of pod {uid} cannot be removed yet: {error}");
            return;
        }
        let dir = mounts::pod_dir(&self.shared.config.data_dir, uid);
        if let Err(error) = self.shared.volumes.teardown(uid, &dir).await {
            tracing::warn!("the volumes of pod {uid} cannot be removed: {error}");
            return;
        }
        for (path, owner) in self.shared.cgroups.pods() {
            if owner == uid {
                self.shared.cgroups.remove(&path);
            }
        }
        container::remove_files(&self.shared.config.log_dir, &seen.pod, &seen.containers, &dir);
    }
}

#[derive(Clone, Default)]
struct Seen {
    /// As much of the API object as the runtime knows.
    pod: Value,
    states: Vec<(String, i32)>,
    sandboxes: Vec<String>,
    /// Names and ids.
    containers: Vec<(String, String)>,
    grace: u64,
}
