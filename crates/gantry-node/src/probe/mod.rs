//! Probes of containers: one task for each probe of each running container.

pub mod action;

use crate::clock;
use crate::cri::Runtime;
use crate::pod::plan::Verdict;
use crate::pod::spec;
use crate::pod::state::{Container, Phase, PodState};
use crate::pod::status::Standing;
use action::{Outcome, Target};
use gantry_client::Recorder;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Attempts of a probe that could not even be made, before it is told.
const ATTEMPTS: u32 = 3;

/// The kinds of probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Startup,
    Liveness,
    Readiness,
}

const KINDS: [Kind; 3] = [Kind::Startup, Kind::Liveness, Kind::Readiness];

impl Kind {
    fn field(self) -> &'static str {
        match self {
            Kind::Startup => "startupProbe",
            Kind::Liveness => "livenessProbe",
            Kind::Readiness => "readinessProbe",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }
}

type Key = (String, Kind);

/// What probes have found, by container id; `None` means not decided yet.
#[derive(Default)]
struct Results {
    found: Mutex<HashMap<Key, Option<bool>>>,
}

impl Results {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Option<bool>>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` when there is no such probe.
    fn get(&self, id: &str, kind: Kind) -> Option<Option<bool>> {
        self.lock().get(&(id.to_string(), kind)).copied()
    }

    fn set(&self, key: &Key, result: bool) -> bool {
        let mut found = self.lock();
        let before = found.insert(key.clone(), Some(result));
        before != Some(Some(result))
    }

    fn started(&self, id: &str) -> bool {
        self.get(id, Kind::Startup).is_none_or(|r| r == Some(true))
    }
}

/// The probes of one pod.
pub struct Probes {
    runtime: Runtime,
    recorder: Recorder,
    changed: Arc<Notify>,
    results: Arc<Results>,
    tasks: HashMap<Key, JoinHandle<()>>,
}

impl Probes {
    /// No probes yet. `changed` is told when a result changes.
    pub fn new(runtime: Runtime, recorder: Recorder, changed: Arc<Notify>) -> Self {
        Probes {
            runtime,
            recorder,
            changed,
            results: Arc::default(),
            tasks: HashMap::new(),
        }
    }

    /// Starts the probes of containers that run, and ends those of containers that do not.
    pub fn update(&mut self, pod: &Arc<Value>, state: &PodState) {
        let running = |id: &str| {
            state
                .containers
                .iter()
                .any(|c| c.id == id && c.phase == Phase::Running)
        };
        let results = &self.results;
        self.tasks.retain(|key, task| {
            let keep = running(&key.0);
            if !keep {
                task.abort();
                results.lock().remove(key);
            }
            keep
        });
        for found in state.containers.iter().filter(|c| c.phase == Phase::Running) {
            let Some(container) = spec::container(pod, &found.name) else {
                continue;
            };
            for kind in KINDS {
                let key = (found.id.clone(), kind);
                if container.get(kind.field()).is_some_and(Value::is_object) && !self.tasks.contains_key(&key)
                {
                    self.start(pod, container, found, key);
                }
            }
        }
    }

    fn start(&mut self, pod: &Arc<Value>, container: &Value, found: &Container, key: Key) {
        self.results.lock().insert(key.clone(), known(pod, found, key.1));
        let probe = Probe {
            runtime: self.runtime.clone(),
            recorder: self.recorder.clone(),
            changed: self.changed.clone(),
            results: self.results.clone(),
            pod: pod.clone(),
            pod_ip: pod_ip(pod),
            container: container.clone(),
            started_at: found.started_at,
            key: key.clone(),
        };
        self.tasks.insert(key, tokio::spawn(probe.run()));
    }

    /// Ends liveness and startup probes: the pod is being ended, and must not be restarted for it.
    pub fn stop(&mut self) {
        self.tasks.retain(|key, task| {
            let keep = key.1 == Kind::Readiness;
            if !keep {
                task.abort();
            }
            keep
        });
    }

    /// What the probes say about a running container.
    pub fn standing(&self, container: &Container) -> Standing {
        let started = self.results.started(&container.id);
        let ready = self
            .results
            .get(&container.id, Kind::Readiness)
            .is_none_or(|r| r == Some(true));
        Standing {
            started,
            ready: started && ready,
        }
    }

    /// Whether liveness or startup probes are against a running container.
    pub fn verdict(&self, container: &Container) -> Verdict {
        if self.results.get(&container.id, Kind::Liveness) == Some(Some(false)) {
            return Verdict::NotAlive;
        }
        if self.results.get(&container.id, Kind::Startup) == Some(Some(false)) {
            return Verdict::NotStarted;
        }
        Verdict::Fine
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        for task in self.tasks.values() {
            task.abort();
        }
    }
}

/// After a restart of this process, a container that the API shows as started or ready stays so until probes say
/// otherwise.
fn known(pod: &Value, found: &Container, kind: Kind) -> Option<bool> {
    let lists = ["containerStatuses", "initContainerStatuses"];
    let mut statuses = lists.iter().flat_map(|l| spec::list(&pod["status"], l));
    let id = crate::pod::status::container_id(found);
    let status = statuses.find(|s| s["containerID"] == id.as_str())?;
    let field = match kind {
        Kind::Startup => "started",
        Kind::Readiness => "ready",
        Kind::Liveness => return None,
    };
    (status[field] == true).then_some(true)
}

fn pod_ip(pod: &Value) -> String {
    spec::text(&pod["status"], "podIP").to_string()
}

struct Probe {
    runtime: Runtime,
    recorder: Recorder,
    changed: Arc<Notify>,
    results: Arc<Results>,
    pod: Arc<Value>,
    pod_ip: String,
    container: Value,
    started_at: i64,
    key: Key,
}

impl Probe {
    async fn run(self) {
        let (id, kind) = (&self.key.0, self.key.1);
        let spec = &self.container[kind.field()];
        let number = |field: &str, usual: u64| spec[field].as_u64().filter(|n| *n > 0).unwrap_or(usual);
        let period = Duration::from_secs(number("periodSeconds", 10));
        let limit = Duration::from_secs(number("timeoutSeconds", 1));
        let needed = |result: bool| match result {
            true => number("successThreshold", 1),
            false => number("failureThreshold", 3),
        };
        let age = Duration::from_nanos(u64::try_from(clock::now() - self.started_at).unwrap_or(0));
        let delay = Duration::from_secs(spec["initialDelaySeconds"].as_u64().unwrap_or(0));
        tokio::time::sleep(delay.saturating_sub(age)).await;
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut run: (Option<bool>, u64) = (None, 0);
        loop {
            ticks.tick().await;
            if kind == Kind::Startup && self.results.get(id, kind) == Some(Some(true)) {
                return;
            }
            if kind != Kind::Startup && !self.results.started(id) {
                // Its turn comes when the container has started; a second is soon enough.
                ticks.reset_after(period.min(Duration::from_secs(1)));
                continue;
            }
            let Some(result) = self.attempt(spec, limit).await else {
                continue;
            };
            run = if run.0 == Some(result) {
                (run.0, run.1 + 1)
            } else {
                (Some(result), 1)
            };
            if run.1 < needed(result) {
                continue;
            }
            if self.results.set(&self.key, result) {
                self.changed.notify_one();
            }
            // The container is about to be restarted, or has started: there is no more to find out.
            if kind == Kind::Startup || (kind == Kind::Liveness && !result) {
                return;
            }
        }
    }

    /// One attempt; `None` when it could not even be made.
    async fn attempt(&self, spec: &Value, limit: Duration) -> Option<bool> {
        let target = Target {
            runtime: &self.runtime,
            container: &self.container,
            container_id: &self.key.0,
            pod_ip: &self.pod_ip,
        };
        let tell = |text: String| {
            let at = spec::field_path(&self.pod, &self.container);
            self.recorder
                .event_at(&self.pod, &at, "Warning", "Unhealthy", text);
        };
        let name = self.key.1.name();
        let mut outcome = action::run(&target, spec, limit).await;
        for _ in 1..ATTEMPTS {
            // What could not be found out may be so the next moment.
            if !matches!(outcome, Outcome::Error(_)) {
                break;
            }
            outcome = action::run(&target, spec, limit).await;
        }
        match outcome {
            Outcome::Success => Some(true),
            Outcome::Failure(why) => {
                tell(format!("{name} probe failed: {why}"));
                Some(false)
            }
            Outcome::Error(why) => {
                tell(format!(
                    "{name} probe errored and resulted in unknown state: {why}"
                ));
                None
            }
        }
    }
}
