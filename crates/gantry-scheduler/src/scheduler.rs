//! The loop: take a pod, choose a node, count it there, bind it.

mod changes;
mod writes;

use crate::cache::Cache;
use crate::framework::{Cycle, Rules, Unfit, enough};
use crate::info::{NodeInfo, PodInfo};
use crate::metrics::{Metrics, Outcome};
use crate::plugins;
use crate::preemption::{self, Plan};
use crate::queue::Queue;
use gantry_client::resource::{NAMESPACES, NODES, PODS, REPLICA_SETS, SERVICES};
use gantry_client::{Change, Client, Informer, Informers, Recorder, Resource};
use rand::Rng;
use smol_str::SmolStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
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
    metrics: Metrics,
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
            metrics: Metrics::default(),
        });
        let task = tokio::spawn(run(shared.clone(), informers.clone()));
        Scheduler { shared, task }
    }

    /// Its metrics, in Prometheus' text format, named as upstream's.
    pub fn metrics(&self) -> String {
        self.shared
            .metrics
            .render(&self.shared.name, &self.shared.queue.lengths())
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes in a change of what decisions depend on.
type Handler = fn(&Shared, Change<'_>);

async fn run(shared: Arc<Shared>, informers: Informers) {
    let sources: [(Resource, Handler); 4] = [
        (NAMESPACES, Shared::namespace_changed),
        (SERVICES, Shared::service_changed),
        (REPLICA_SETS, Shared::replica_set_changed),
        (NODES, Shared::node_changed),
    ];
    for (resource, changed) in sources {
        let informer = informers.of(&resource);
        informer.synced().await;
        let of = shared.clone();
        informer.on_change(move |change| changed(&of, change));
    }
    shared.pods.synced().await;
    let of = shared.clone();
    shared.pods.on_change(move |change| of.pod_changed(change));
    loop {
        let pod = shared.queue.next().await;
        schedule(&shared, pod).await;
    }
}

async fn schedule(shared: &Arc<Shared>, pod: Arc<PodInfo>) {
    let attempt = Attempt {
        start: Instant::now(),
        history: shared.queue.history(&pod.uid),
    };
    let choice = shared.choose(&pod);
    shared.metrics.decided(attempt.start.elapsed());
    let Ok(permit) = shared.writes.clone().acquire_owned().await else {
        return;
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        match choice {
            Ok(node) => shared.bind(&pod, &node, attempt).await,
            Err(failure) => {
                shared
                    .metrics
                    .attempted(Outcome::Unschedulable, attempt.start.elapsed());
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

/// An attempt to schedule a pod.
struct Attempt {
    start: Instant,
    /// Since when the pod waits, and the how manieth attempt it is.
    history: Option<(tokio::time::Instant, u32)>,
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
        let found = preemption::find(cycle, pod, cache, helped);
        self.metrics
            .preempted(found.as_ref().ok().map(|plan| plan.victims.len()));
        match found {
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
}
