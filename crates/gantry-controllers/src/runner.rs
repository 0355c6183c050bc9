//! What controllers have in common: a queue of keys, workers, pauses after failures, metrics and health.

use crate::Config;
use crate::metrics::Metrics;
use async_trait::async_trait;
use futures::FutureExt;
use gantry_client::{Change, Client, Informers, Queue, Recorder, Resource};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::{AbortHandle, JoinHandle};
use tracing::Instrument;

/// A worker that has been at one key for this long is stuck.
const STUCK: Duration = Duration::from_secs(300);

/// What a controller may do, as in an RBAC rule; bootstrap roles derive from these.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// API groups.
    pub groups: &'static [&'static str],
    /// Resources, with their subresources.
    pub resources: &'static [&'static str],
    /// Verbs.
    pub verbs: &'static [&'static str],
}

/// What the runner must know of a controller.
pub struct Descriptor {
    /// Upstream's name for it. Its service account in kube-system bears the same.
    pub name: &'static str,
    /// Upstream's name for its queue, which its metrics bear.
    pub queue: &'static str,
    /// Keys worked on at a time.
    pub workers: usize,
    /// What it watches; [`Controller::keys`] is called with every change.
    pub watches: fn() -> Vec<Resource>,
    /// What it may do.
    pub rules: &'static [Rule],
    /// Makes it.
    pub make: fn(Context) -> Arc<dyn Controller>,
}

/// What a controller works with.
#[derive(Clone)]
pub struct Context {
    /// Writes, and reads that must be current.
    pub client: Client,
    /// Reads.
    pub informers: Informers,
    /// Tells people.
    pub events: Recorder,
    /// What controllers are told at start.
    pub config: Arc<Config>,
}

/// A control loop.
#[async_trait]
pub trait Controller: Send + Sync + 'static {
    /// The keys to look at after a change of `resource`. Called in the informer's own task: must be quick.
    fn keys(&self, resource: &Resource, change: Change<'_>) -> Vec<String>;

    /// Brings what `key` names to what it should be. Never runs twice at a time for the same key.
    async fn reconcile(&self, key: &str) -> Result<Next, Error>;

    /// Adds keys for other reasons than watched changes, for as long as the controller runs.
    async fn feed(&self, _add: &Feed) {}
}

/// What follows a reconciliation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing until something changes.
    Done,
    /// Look again after this long, even if nothing changes.
    After(Duration),
}

/// Why a reconciliation failed. It is tried again after a pause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request failed.
    #[error(transparent)]
    Client(#[from] gantry_client::Error),
    /// An object cannot be worked with.
    #[error("{0}")]
    Object(String),
    /// Something has to happen first.
    #[error("{0}")]
    NotYet(String),
}

impl Error {
    /// Whether it is part of normal life: others wrote first, or the cache has yet to catch up.
    fn is_expected(&self) -> bool {
        match self {
            // What was looked at has gone since.
            Error::Client(error) => {
                error.is_conflict() || error.is_not_found() || error.is_namespace_terminating()
            }
            Error::NotYet(_) => true,
            Error::Object(_) => false,
        }
    }
}

/// Adds keys to a controller's queue.
#[derive(Clone)]
pub struct Feed(Arc<Loop>);

impl Feed {
    /// Adds a key.
    pub fn add(&self, key: String) {
        self.0.add(key);
    }
}

struct Loop {
    name: &'static str,
    queue_name: &'static str,
    queue: Queue<String>,
    metrics: Metrics,
    // A key has one timer at most, so that reconciliations do not multiply.
    timers: Mutex<HashMap<String, AbortHandle>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Loop {
    fn add(&self, key: String) {
        self.metrics.added(&key);
        self.queue.add(key);
    }

    fn set_timer(self: &Arc<Self>, key: &str, after: Option<Duration>) {
        let mut timers = lock(&self.timers);
        if let Some(old) = timers.remove(key) {
            old.abort();
        }
        let Some(after) = after else { return };
        let (this, owned) = (Arc::downgrade(self), key.to_string());
        let task = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if let Some(this) = this.upgrade() {
                lock(&this.timers).remove(&owned);
                this.add(owned);
            }
        });
        timers.insert(key.to_string(), task.abort_handle());
    }

    async fn work(self: Arc<Self>, controller: Arc<dyn Controller>) {
        while let Some(key) = self.queue.next().await {
            self.metrics.started(&key);
            let span = tracing::info_span!("reconcile", controller = self.name, key);
            let result = AssertUnwindSafe(controller.reconcile(&key).instrument(span))
                .catch_unwind()
                .await;
            self.metrics.ended(&key);
            self.settle(&key, result);
            self.queue.done(&key);
        }
    }

    fn settle(self: &Arc<Self>, key: &str, result: std::thread::Result<Result<Next, Error>>) {
        let name = self.name;
        match result {
            Ok(Ok(next)) => {
                self.queue.forget(&key.to_string());
                self.set_timer(
                    key,
                    match next {
                        Next::Done => None,
                        Next::After(pause) => Some(pause),
                    },
                );
                return;
            }
            Ok(Err(error)) if error.is_expected() => tracing::debug!("{name}: {key}: {error}"),
            Ok(Err(error)) => tracing::warn!("{name}: {key} will be tried again: {error}"),
            Err(_) => tracing::error!("{name}: {key} made the controller panic; it will be tried again"),
        }
        self.metrics.retried();
        self.queue.add_failed(key.to_string());
    }
}

/// The running controllers.
pub struct Controllers {
    loops: Vec<Arc<Loop>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Controllers {
    /// Metrics in the text format of Prometheus, as they are when it is called.
    pub fn metrics(&self) -> impl Fn() -> String + Send + Sync + 'static {
        let loops = self.loops.clone();
        move || {
            let all = loops.iter().map(|l| (l.queue_name, l.queue.len(), &l.metrics));
            crate::metrics::render(&all.collect::<Vec<_>>())
        }
    }

    /// Whether all controllers get on; the error names those that do not.
    pub fn health(&self) -> Result<(), String> {
        let stuck: Vec<&str> = self
            .loops
            .iter()
            .filter(|l| l.metrics.longest() > STUCK)
            .map(|l| l.name)
            .collect();
        if stuck.is_empty() {
            return Ok(());
        }
        Err(format!(
            "no progress for {} seconds: {}",
            STUCK.as_secs(),
            stuck.join(", ")
        ))
    }

    /// Ends the controllers: nothing is worked on when this returns.
    pub async fn stop(self) {
        for one in &self.loops {
            one.queue.close();
            for (_, timer) in lock(&one.timers).drain() {
                timer.abort();
            }
        }
        for task in self.tasks {
            task.abort();
            // Ended by the abort, as it should.
            let _ = task.await;
        }
    }
}

pub(crate) fn start(
    descriptors: &[&'static Descriptor],
    client: Client,
    informers: Informers,
    config: Config,
) -> Controllers {
    let config = Arc::new(config);
    let mut started = Controllers {
        loops: Vec::new(),
        tasks: Vec::new(),
    };
    for descriptor in descriptors {
        let client = client.named(descriptor.name);
        let context = Context {
            events: Recorder::new(client.clone(), descriptor.name, ""),
            client,
            informers: informers.clone(),
            config: config.clone(),
        };
        let controller = (descriptor.make)(context);
        let one = Arc::new(Loop {
            name: descriptor.name,
            queue_name: descriptor.queue,
            queue: Queue::new(),
            metrics: Metrics::default(),
            timers: Mutex::default(),
        });
        let mut watched = Vec::new();
        for resource in (descriptor.watches)() {
            let informer = informers.of(&resource);
            let (one, controller) = (one.clone(), controller.clone());
            watched.push(informer.clone());
            informer.on_change(move |change| {
                for key in controller.keys(&resource, change) {
                    one.add(key);
                }
            });
        }
        let watched = Arc::new(watched);
        for _ in 0..descriptor.workers * config.worker_factor.max(1) {
            let (one, controller, watched) = (one.clone(), controller.clone(), watched.clone());
            started.tasks.push(tokio::spawn(async move {
                for informer in watched.iter() {
                    informer.synced().await;
                }
                one.work(controller).await;
            }));
        }
        let feed = Feed(one.clone());
        started
            .tasks
            .push(tokio::spawn(async move { controller.feed(&feed).await }));
        started.loops.push(one);
    }
    started
}

/// The time since a point, for metrics.
pub(crate) fn since(at: Instant) -> f64 {
    at.elapsed().as_secs_f64()
}
