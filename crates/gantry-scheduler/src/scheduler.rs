//! The loop: take a pod, choose a node, count it there, bind it.

use crate::cache::Cache;
use crate::framework::{Plugin, Unfit, enough, fits, scores};
use crate::info::PodInfo;
use crate::plugins;
use crate::queue::Queue;
use gantry_api::meta;
use gantry_client::resource::{NODES, PODS};
use gantry_client::{Change, Client, Error, Informer, Informers, PatchType, Recorder};
use rand::Rng;
use serde_json::{Value, json};
use smol_str::SmolStr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// How a scheduler is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// It takes pods whose `spec.schedulerName` is this.
    pub name: String,
    /// How many bindings and status writes may be under way.
    pub writes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            name: "default-scheduler".into(),
            writes: 64,
        }
    }
}

/// A running scheduler; it stops when dropped.
pub struct Scheduler {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    name: String,
    client: Client,
    recorder: Recorder,
    pods: Arc<Informer>,
    cache: Mutex<Cache>,
    queue: Queue,
    plugins: Vec<Box<dyn Plugin>>,
    writes: Arc<Semaphore>,
    // Where the search for nodes goes on, so that every node gets its turn.
    start: AtomicUsize,
    scheduled: AtomicU64,
    unschedulable: AtomicU64,
    errors: AtomicU64,
}

impl Scheduler {
    /// Starts a scheduler that reads through `informers` and writes through `client`.
    pub fn start(client: &Client, informers: &Informers, config: Config) -> Self {
        let client = client.named("kube-scheduler");
        let shared = Arc::new(Shared {
            recorder: Recorder::new(client.clone(), &config.name, ""),
            name: config.name,
            client,
            pods: informers.of(&PODS),
            cache: Mutex::default(),
            queue: Queue::default(),
            plugins: plugins::all(),
            writes: Arc::new(Semaphore::new(config.writes)),
            start: AtomicUsize::new(0),
            scheduled: AtomicU64::new(0),
            unschedulable: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        });
        let nodes = informers.of(&NODES);
        let task = tokio::spawn(run(shared.clone(), nodes));
        Scheduler { shared, task }
    }

    /// Its metrics, in Prometheus' text format, named as upstream's.
    pub fn metrics(&self) -> String {
        let shared = &self.shared;
        let (active, backoff, unschedulable) = shared.queue.lengths();
        let mut text = String::from(
            "# HELP scheduler_schedule_attempts_total [STABLE] Number of attempts to schedule pods, by the result.\n\
             # TYPE scheduler_schedule_attempts_total counter\n",
        );
        for (result, count) in [
            ("scheduled", &shared.scheduled),
            ("unschedulable", &shared.unschedulable),
            ("error", &shared.errors),
        ] {
            text += &format!(
                "scheduler_schedule_attempts_total{{profile=\"{}\",result=\"{result}\"}} {}\n",
                shared.name,
                count.load(Ordering::Relaxed)
            );
        }
        text += "# HELP scheduler_pending_pods [STABLE] Number of pending pods, by the queue type.\n\
                 # TYPE scheduler_pending_pods gauge\n";
        for (queue, count) in [
            ("active", active),
            ("backoff", backoff),
            ("unschedulable", unschedulable),
        ] {
            text += &format!("scheduler_pending_pods{{queue=\"{queue}\"}} {count}\n");
        }
        text
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(shared: Arc<Shared>, nodes: Arc<Informer>) {
    nodes.synced().await;
    shared.pods.synced().await;
    let of = shared.clone();
    nodes.on_change(move |change| of.node_changed(change));
    let of = shared.clone();
    shared.pods.on_change(move |change| of.pod_changed(change));
    loop {
        let pod = shared.queue.next().await;
        schedule(&shared, pod).await;
    }
}

async fn schedule(shared: &Arc<Shared>, pod: Arc<PodInfo>) {
    let choice = shared.choose(&pod);
    let Ok(permit) = shared.writes.clone().acquire_owned().await else {
        return;
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        match choice {
            Ok(node) => shared.bind(&pod, &node).await,
            Err(unfit) => {
                shared.unschedulable.fetch_add(1, Ordering::Relaxed);
                shared.report(&pod, "Unschedulable", &unfit.message()).await;
                shared.queue.wait_for_change(&pod.uid);
            }
        }
        drop(permit);
    });
}

impl Shared {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node_changed(&self, change: Change<'_>) {
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

    fn pod_changed(&self, change: Change<'_>) {
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
            if self.cache().place_of(uid).is_some_and(|at| at == node) && same(change, |p| &p["spec"]) {
                return;
            }
            self.cache().place(Arc::new(PodInfo::read(pod)), &node.into());
            return;
        }
        let scheduler = pod["spec"]["schedulerName"].as_str().unwrap_or("");
        if scheduler != self.name || meta::is_deleting(pod) {
            return self.queue.remove(uid);
        }
        // The scheduler's own writes to the status are no reason to try again.
        let unchanged = same(change, |p| &p["spec"]) && self.queue.contains(uid);
        if unchanged || self.cache().place_of(uid).is_some() {
            return;
        }
        let info = PodInfo::read(pod);
        if info.gates.is_empty() {
            self.queue.add(Arc::new(info));
        }
    }

    fn forget(&self, uid: &str) {
        self.queue.remove(uid);
        let placed = {
            let mut cache = self.cache();
            let placed = cache.place_of(uid).is_some();
            cache.displace(uid);
            placed
        };
        if placed {
            self.queue.changed();
        }
    }

    /// Chooses the best node and counts the pod there.
    fn choose(&self, pod: &Arc<PodInfo>) -> Result<SmolStr, Unfit> {
        let mut cache = self.cache();
        let best = {
            let places = cache.places();
            let nodes = cache.nodes().count();
            let mut unfit = Unfit::of(nodes);
            let enough = enough(nodes);
            let mut fitting = Vec::new();
            let start = self.start.load(Ordering::Relaxed) % places.len().max(1);
            let mut seen = 0;
            for node in places.iter().cycle().skip(start).take(places.len()) {
                seen += 1;
                if !node.exists {
                    continue;
                }
                match fits(&self.plugins, pod, node) {
                    Ok(()) => fitting.push(node),
                    Err(reasons) => unfit.add(reasons),
                }
                if fitting.len() >= enough {
                    break;
                }
            }
            self.start
                .store((start + seen) % places.len().max(1), Ordering::Relaxed);
            match fitting.as_slice() {
                [] => return Err(unfit),
                [one] => one.name.clone(),
                many => {
                    let scores = scores(&self.plugins, pod, many, nodes);
                    let highest = scores.iter().copied().max().unwrap_or(0);
                    let best: Vec<usize> = (0..many.len()).filter(|i| scores[*i] == highest).collect();
                    many[best[rand::rng().random_range(0..best.len())]].name.clone()
                }
            }
        };
        cache.place(pod.clone(), &best);
        Ok(best)
    }

    async fn bind(&self, pod: &PodInfo, node: &SmolStr) {
        let (namespace, name) = pod.key.split_once('/').unwrap_or(("", &pod.key));
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"namespace": namespace, "name": name, "uid": pod.uid},
            "target": {"kind": "Node", "name": node},
        });
        match self
            .client
            .create_subresource(&PODS, namespace, name, "binding", &binding)
            .await
        {
            Ok(_) => {
                self.scheduled.fetch_add(1, Ordering::Relaxed);
                self.queue.remove(&pod.uid);
                if let Some(object) = self.pods.get(namespace, name) {
                    let message = format!("Successfully assigned {} to {node}", pod.key);
                    self.recorder.event(&object, "Normal", "Scheduled", message);
                }
            }
            Err(error) => self.not_bound(pod, error).await,
        }
    }

    async fn not_bound(&self, pod: &PodInfo, error: Error) {
        self.cache().displace(&pod.uid);
        if error.is_not_found() {
            return self.queue.remove(&pod.uid);
        }
        self.errors.fetch_add(1, Ordering::Relaxed);
        tracing::warn!("{} could not be bound: {error}", pod.key);
        self.report(pod, "SchedulerError", &format!("binding rejected: {error}"))
            .await;
        self.queue.retry(&pod.uid);
    }

    /// Tells why a pod has no node: as an event and in its PodScheduled condition.
    async fn report(&self, pod: &PodInfo, reason: &str, message: &str) {
        let (namespace, name) = pod.key.split_once('/').unwrap_or(("", &pod.key));
        let Some(object) = self
            .pods
            .get(namespace, name)
            .filter(|o| meta::text(o, "uid") == pod.uid)
        else {
            return;
        };
        self.recorder
            .event(&object, "Warning", "FailedScheduling", message);
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        let old = conditions
            .into_iter()
            .find(|c| c["type"] == "PodScheduled")
            .unwrap_or(&Value::Null);
        if old["status"] == "False" && old["reason"] == reason && old["message"] == message {
            return;
        }
        let since = match old["lastTransitionTime"]
            .as_str()
            .filter(|_| old["status"] == "False")
        {
            Some(since) => since.to_string(),
            None => {
                let now = OffsetDateTime::now_utc();
                now.replace_nanosecond(0)
                    .unwrap_or(now)
                    .format(&Rfc3339)
                    .unwrap_or_default()
            }
        };
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": reason, "message": message,
            "lastTransitionTime": since, "lastProbeTime": null,
        });
        let patch = json!({"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}});
        let at = (namespace, name);
        match self
            .client
            .patch(&PODS, at, "status", PatchType::Strategic, &patch)
            .await
        {
            Ok(_) => {}
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => tracing::warn!("the status of {} could not be written: {error}", pod.key),
        }
    }
}

fn same(change: Change<'_>, part: fn(&Value) -> &Value) -> bool {
    matches!((change.old, change.new), (Some(old), Some(new)) if part(old) == part(new))
}
