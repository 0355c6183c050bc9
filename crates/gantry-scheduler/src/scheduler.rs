//! The loop: take a pod, choose a node, count it there, bind it.

use crate::cache::Cache;
use crate::framework::{Cycle, Rules, Unfit, enough};
use crate::info::{NodeInfo, PREEMPTED, PodInfo, labels};
use crate::plugins;
use crate::preemption::{self, Plan};
use crate::queue::Queue;
use gantry_api::meta;
use gantry_client::resource::{NAMESPACES, NODES, PODS};
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
    rules: Rules,
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
            rules: plugins::rules(),
            writes: Arc::new(Semaphore::new(config.writes)),
            start: AtomicUsize::new(0),
            scheduled: AtomicU64::new(0),
            unschedulable: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        });
        let (nodes, namespaces) = (informers.of(&NODES), informers.of(&NAMESPACES));
        let task = tokio::spawn(run(shared.clone(), nodes, namespaces));
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

async fn run(shared: Arc<Shared>, nodes: Arc<Informer>, namespaces: Arc<Informer>) {
    nodes.synced().await;
    namespaces.synced().await;
    shared.pods.synced().await;
    let of = shared.clone();
    namespaces.on_change(move |change| of.namespace_changed(change));
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
            Err(failure) => {
                shared.unschedulable.fetch_add(1, Ordering::Relaxed);
                let nominated = failure.plan.as_ref().map(|plan| plan.node.as_str());
                let nominated = nominated.or(failure.hopeless.then_some(""));
                shared
                    .report(&pod, "Unschedulable", &failure.message, nominated)
                    .await;
                if let Some(plan) = &failure.plan {
                    shared.make_room(&pod, plan).await;
                }
                shared.queue.wait_for_change(&pod.uid);
            }
        }
        drop(permit);
    });
}

/// Why a pod got no node.
struct Failure {
    message: String,
    /// Who has to leave so that it gets one.
    plan: Option<Plan>,
    /// Whether nobody's leaving would help, so that no room is kept for it.
    hopeless: bool,
}

impl Shared {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn namespace_changed(&self, change: Change<'_>) {
        let own = |ns: &Value| labels(&ns["metadata"]["labels"]);
        self.cache()
            .set_namespace(meta::name(change.object()), change.new.map(|ns| own(ns)));
        if matches!((change.old, change.new), (Some(old), Some(new)) if own(old) != own(new)) {
            self.queue.changed_for(|pod| pod.affinity.is_some());
        }
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
            return self.queue.remove(uid);
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
        if info.gates.is_empty() {
            self.queue.add(info);
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

    /// Chooses the best node and counts the pod there.
    fn choose(&self, pod: &Arc<PodInfo>) -> Result<SmolStr, Failure> {
        let mut cache = self.cache();
        match self.find_node(pod, &cache) {
            Ok(best) => {
                cache.place(pod.clone(), &best);
                Ok(best)
            }
            Err(failure) => {
                match &failure.plan {
                    Some(plan) => cache.nominate(pod.clone(), &plan.node),
                    None if failure.hopeless => cache.drop_nomination(&pod.uid),
                    None => {}
                }
                Err(failure)
            }
        }
    }

    fn find_node(&self, pod: &PodInfo, cache: &Cache) -> Result<SmolStr, Failure> {
        let mut cycle = Cycle::new(&self.rules, pod, cache);
        // Others left that node for it.
        if let Some(node) = cache.nomination(&pod.uid).and_then(|name| cache.node(name))
            && cycle.fits(node).is_ok()
        {
            return Ok(node.name.clone());
        }
        let places = cache.places();
        let nodes = cache.nodes().count();
        let mut unfit = Unfit::of(nodes);
        let mut helped: Vec<&NodeInfo> = Vec::new();
        let enough = enough(nodes);
        let mut fitting = Vec::new();
        let start = self.start.load(Ordering::Relaxed) % places.len().max(1);
        let mut seen = 0;
        for node in places.iter().cycle().skip(start).take(places.len()) {
            seen += 1;
            if !node.exists {
                continue;
            }
            match cycle.fits(node) {
                Ok(()) => fitting.push(node),
                Err(reasons) => {
                    if reasons.iter().all(|r| r.resolvable) {
                        helped.push(node);
                    }
                    unfit.add(reasons);
                }
            }
            if fitting.len() >= enough {
                break;
            }
        }
        self.start
            .store((start + seen) % places.len().max(1), Ordering::Relaxed);
        match fitting.as_slice() {
            [] => Err(self.failure(&mut cycle, pod, cache, unfit, &helped)),
            [one] => Ok(one.name.clone()),
            many => {
                let scores = cycle.scores(many, nodes);
                let highest = scores.iter().copied().max().unwrap_or(0);
                let best: Vec<usize> = (0..many.len()).filter(|i| scores[*i] == highest).collect();
                Ok(many[best[rand::rng().random_range(0..best.len())]].name.clone())
            }
        }
    }

    fn failure(
        &self,
        cycle: &mut Cycle,
        pod: &PodInfo,
        cache: &Cache,
        unfit: Unfit,
        helped: &[&NodeInfo],
    ) -> Failure {
        let message = unfit.message();
        if cache.nodes().next().is_none() {
            return Failure {
                message,
                plan: None,
                hopeless: false,
            };
        }
        match preemption::find(cycle, pod, cache, helped) {
            Ok(plan) => Failure {
                message,
                plan: Some(plan),
                hopeless: false,
            },
            Err(refusal) => Failure {
                message: format!("{message} preemption: {}", refusal.message),
                plan: None,
                hopeless: refusal.hopeless,
            },
        }
    }

    /// Makes pods leave for another one.
    async fn make_room(&self, pod: &PodInfo, plan: &Plan) {
        for victim in plan.victims.iter().filter(|v| !v.leaving.0) {
            if let Err(error) = self.evict(victim, pod, &plan.node).await
                && !error.is_not_found()
            {
                tracing::warn!(
                    "{} could not be made to leave for {}: {error}",
                    victim.key,
                    pod.key
                );
            }
        }
        for less in &plan.outranked {
            self.cache().drop_nomination(&less.uid);
            let patch = json!({"metadata": {"uid": less.uid}, "status": {"nominatedNodeName": null}});
            self.write_status(less, &patch).await;
            self.queue.changed_for(|waiting| waiting.uid == less.uid);
        }
    }

    async fn evict(&self, victim: &PodInfo, pod: &PodInfo, node: &str) -> Result<(), Error> {
        let (namespace, name) = victim.place();
        let message = format!("{}: preempting to accommodate a higher priority pod", self.name);
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": PREEMPTED, "message": message,
            "lastTransitionTime": now(), "lastProbeTime": null,
        });
        let patch = json!({"metadata": {"uid": victim.uid}, "status": {"conditions": [condition]}});
        self.client
            .patch(&PODS, (namespace, name), "status", PatchType::Strategic, &patch)
            .await?;
        let options = json!({"preconditions": {"uid": victim.uid}});
        self.client.delete(&PODS, namespace, name, &options).await?;
        if let Some(object) = self.pods.get(namespace, name) {
            let message = format!("Preempted by pod {} on node {node}", pod.uid);
            self.recorder.event(&object, "Normal", "Preempted", message);
        }
        Ok(())
    }

    async fn bind(&self, pod: &PodInfo, node: &SmolStr) {
        let (namespace, name) = pod.place();
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
        self.report(pod, "SchedulerError", &format!("binding rejected: {error}"), None)
            .await;
        self.queue.retry(&pod.uid);
    }

    /// Tells why a pod has no node: as an event and in its PodScheduled condition. `nominated` is the node that others
    /// leave for it; empty when room is kept no longer.
    async fn report(&self, pod: &PodInfo, reason: &str, message: &str, nominated: Option<&str>) {
        let (namespace, name) = pod.place();
        let Some(object) = self
            .pods
            .get(namespace, name)
            .filter(|o| meta::text(o, "uid") == pod.uid)
        else {
            return;
        };
        self.recorder
            .event(&object, "Warning", "FailedScheduling", cut(message));
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        let old = conditions
            .into_iter()
            .find(|c| c["type"] == "PodScheduled")
            .unwrap_or(&Value::Null);
        let mut status = json!({});
        if !(old["status"] == "False" && old["reason"] == reason && old["message"] == message) {
            let since = match old["lastTransitionTime"]
                .as_str()
                .filter(|_| old["status"] == "False")
            {
                Some(since) => since.to_string(),
                None => now(),
            };
            let mut condition = json!({
                "type": "PodScheduled", "status": "False", "reason": reason, "message": message,
                "lastTransitionTime": since, "lastProbeTime": null,
            });
            if let Some(generation) = object["metadata"]["generation"].as_i64() {
                condition["observedGeneration"] = generation.into();
            }
            status["conditions"] = json!([condition]);
        }
        let known = object["status"]["nominatedNodeName"].as_str().unwrap_or("");
        if let Some(node) = nominated.filter(|node| *node != known) {
            status["nominatedNodeName"] = if node.is_empty() { Value::Null } else { node.into() };
        }
        if status != json!({}) {
            self.write_status(pod, &json!({"metadata": {"uid": pod.uid}, "status": status}))
                .await;
        }
    }

    async fn write_status(&self, pod: &PodInfo, patch: &Value) {
        match self
            .client
            .patch(&PODS, pod.place(), "status", PatchType::Strategic, patch)
            .await
        {
            Ok(_) => {}
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => tracing::warn!("the status of {} could not be written: {error}", pod.key),
        }
    }
}

fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0)
        .unwrap_or(now)
        .format(&Rfc3339)
        .unwrap_or_default()
}

/// As much of a message as an event holds.
fn cut(message: &str) -> String {
    const LIMIT: usize = 1024;
    const MORE: &str = " ...";
    if message.len() <= LIMIT {
        return message.into();
    }
    let end = (0..=LIMIT - MORE.len())
        .rev()
        .find(|at| message.is_char_boundary(*at))
        .unwrap_or(0);
    format!("{}{MORE}", &message[..end])
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
