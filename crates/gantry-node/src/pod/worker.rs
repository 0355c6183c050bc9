//! The work on one pod: again and again, until what runs is what its spec says.

use crate::clock;
use crate::cri::CriError;
use crate::pod::backoff::Backoff;
use crate::pod::plan::{Health, Kill, Plan, Verdict, plan};
use crate::pod::start::Start;
use crate::pod::state::{Container, PodState};
use crate::pod::status::{self, is_our_condition};
use crate::pod::writer::Writer;
use crate::pod::{cgroup, container, garbage, kill, mounts, sandbox, spec};
use crate::probe::Probes;
use crate::shared::Shared;
use gantry_api::meta;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A pod is looked at again after this long, even if nothing happened; its volumes are refreshed then.
const RESYNC: Duration = Duration::from_secs(60);
/// The pauses after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The newest that the API says of a pod.
#[derive(Clone)]
pub struct Update {
    /// The object.
    pub pod: Arc<Value>,
    /// It is gone from the API.
    pub gone: bool,
}

impl Update {
    fn must_end(&self) -> bool {
        self.gone || meta::is_deleting(&self.pod)
    }
}

/// What others may see of a pod's work.
#[derive(Clone, Default)]
pub struct View {
    /// What runs.
    pub state: PodState,
    /// The status that was made last.
    pub status: Option<Value>,
}

/// Why the work on a pod must be tried again.
#[derive(Debug, thiserror::Error)]
enum SyncError {
    #[error(transparent)]
    Cri(#[from] CriError),
    #[error(transparent)]
    Cgroup(#[from] cgroup::CgroupError),
    #[error(transparent)]
    Garbage(#[from] garbage::GarbageError),
    #[error("{0}")]
    Other(String),
}

/// The work on one pod.
pub struct Worker {
    shared: Arc<Shared>,
    uid: String,
    updates: watch::Receiver<Update>,
    changed: Arc<Notify>,
    view: Arc<Mutex<View>>,
    writer: Writer,
    probes: Probes,
    state: PodState,
    /// The status that was made last.
    status: Option<Value>,
    /// By container: why it could not be started.
    reasons: HashMap<String, (String, String)>,
    restarts: Backoff,
    /// Why the pod has failed as a whole.
    verdict: Option<(String, String)>,
    /// When something is to be tried again, in nanoseconds since 1970.
    again: Option<i64>,
}

struct Judge<'a>(&'a Probes);

impl Health for Judge<'_> {
    fn verdict(&self, container: &Container) -> Verdict {
        self.0.verdict(container)
    }

    fn started(&self, container: &Container) -> bool {
        self.0.standing(container).started
    }
}

impl Worker {
    /// A worker that has not looked at its pod yet.
    pub fn new(
        shared: Arc<Shared>,
        updates: watch::Receiver<Update>,
        changed: Arc<Notify>,
        view: Arc<Mutex<View>>,
    ) -> Self {
        let uid = meta::text(&updates.borrow().pod, "uid").to_string();
        Worker {
            uid,
            writer: Writer::new(shared.client.clone()),
            probes: Probes::new(shared.runtime.clone(), shared.recorder.clone(), changed.clone()),
            shared,
            updates,
            changed,
            view,
            state: PodState::default(),
            status: None,
            reasons: HashMap::new(),
            restarts: Backoff::usual(),
            verdict: None,
            again: None,
        }
    }

    /// Works until the pod is gone from the node and the API.
    pub async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let update = self.updates.borrow_and_update().clone();
            if update.must_end() {
                return self.end().await;
            }
            let pod = update.pod;
            let mut updates = self.updates.clone();
            let ends = updates.wait_for(Update::must_end);
            let mut wait = RESYNC;
            let result = tokio::select! {
                result = self.sync(&pod) => result,
                // Whatever goes on, such as a long pull, is given up.
                _ = ends => continue,
            };
            match result {
                Ok(()) => pause = FIRST_PAUSE,
                Err(error) => {
                    tracing::info!("pod {}: {error}", spec::format(&pod));
                    wait = pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            if let Some(again) = self.again {
                let left = u64::try_from(again - clock::now()).unwrap_or(0);
                wait = wait.min(Duration::from_nanos(left));
            }
            tokio::select! {
                changed = self.updates.changed() => {
                    if changed.is_err() {
                        // The node stops; pods stay.
                        return;
                    }
                }
                () = self.changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn pod_dir(&self) -> PathBuf {
        mounts::pod_dir(&self.shared.config.data_dir, &self.uid)
    }

    /// Asks the runtime what runs.
    async fn refresh(&mut self, pod: &Arc<Value>) -> Result<(), CriError> {
        self.state = PodState::read(&self.shared.runtime, &self.uid, &self.state).await?;
        self.probes.update(&self.with_status(pod), &self.state);
        self.view().state = self.state.clone();
        Ok(())
    }

    /// The pod with the status that was made last, which the API may not show yet.
    fn with_status(&self, pod: &Arc<Value>) -> Arc<Value> {
        let Some(last) = &self.status else {
            return pod.clone();
        };
        let mut copy = Value::clone(pod);
        let mut conditions: Vec<Value> = spec::list(&pod["status"], "conditions").to_vec();
        conditions.retain(|c| !is_our_condition(spec::text(c, "type")));
        let ours = spec::list(last, "conditions")
            .iter()
            .filter(|c| is_our_condition(spec::text(c, "type")));
        conditions.extend(ours.cloned());
        let ended = matches!(spec::text(&pod["status"], "phase"), "Failed" | "Succeeded");
        let (phase, reason) = (
            pod["status"]["phase"].clone(),
            pod["status"].get("reason").cloned(),
        );
        copy["status"] = last.clone();
        copy["status"]["conditions"] = conditions.into();
        if ended {
            // Somebody else has ended it, as eviction does.
            copy["status"]["phase"] = phase;
            if let Some(reason) = reason {
                copy["status"]["reason"] = reason;
            }
        }
        Arc::new(copy)
    }

    /// Makes the status and has it written.
    fn publish(&mut self, pod: &Arc<Value>, terminal: bool) {
        let base = self.with_status(pod);
        let probes = &self.probes;
        let host_ip = self.shared.config.ip.to_string();
        let made = status::make(&status::Input {
            pod: &base,
            state: &self.state,
            standing: &|c| probes.standing(c),
            reasons: &self.reasons,
            terminal,
            verdict: self.verdict.as_ref(),
            host_ip: &host_ip,
            now: clock::now(),
        });
        // Who reads it in the API may ask the node about it at once.
        self.view().status = Some(made.clone());
        self.writer.write(pod, made.clone());
        self.status = Some(made);
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self) -> &str {
        self.status.as_ref().map_or("", |s| spec::text(s, "phase"))
    }

    async fn sync(&mut self, pod: &Arc<Value>) -> Result<(), SyncError> {
        self.again = None;
        self.refresh(pod).await?;
        self.check_deadline(pod);
        self.publish(pod, false);
        if matches!(self.phase(), "Failed" | "Succeeded") {
            return self.finish(pod).await;
        }
        let network = self.shared.network.borrow().clone();
        if let Err(why) = network.as_ref()
            && !spec::host_network(pod)
        {
            let text = format!("network is not ready: {why}");
            self.shared
                .recorder
                .event(pod, "Warning", "NetworkNotReady", text.clone());
            return Err(SyncError::Other(text));
        }
        self.shared.cgroups.ensure(pod)?;
        let dir = self.pod_dir();
        std::fs::create_dir_all(&dir).map_err(|e| SyncError::Other(format!("{}: {e}", dir.display())))?;
        let volumes = match self.shared.volumes.prepare(pod, &dir).await {
            Ok(volumes) => volumes,
            Err(error) => {
                self.shared
                    .recorder
                    .event(pod, "Warning", "FailedMount", error.to_string());
                return Err(SyncError::Other(error.to_string()));
            }
        };
        let plan = plan(pod, &self.state, &Judge(&self.probes));
        self.carry_out(pod, plan, &volumes).await?;
        let status = self.status.as_ref().unwrap_or(&pod["status"]);
        Ok(garbage::collect(&self.shared, pod, &self.state, status).await?)
    }

    async fn carry_out(
        &mut self,
        pod: &Arc<Value>,
        plan: Plan,
        volumes: &BTreeMap<String, PathBuf>,
    ) -> Result<(), SyncError> {
        if plan == Plan::default() {
            return Ok(());
        }
        if plan.kill_pod && self.state.is_running() {
            if plan.sandbox.is_some() {
                let text = "Pod sandbox changed, it will be killed and re-created.";
                self.shared.recorder.event(pod, "Normal", "SandboxChanged", text);
            }
            kill::pod(&self.shared, pod, &self.state, grace(pod)).await?;
        }
        let ip = self.ips(pod).first().cloned().unwrap_or_default();
        for kill in &plan.kill {
            kill::container(&self.shared, pod, kill, &ip, self.grace_of(pod, kill)).await?;
        }
        if let Some(attempt) = plan.sandbox {
            self.make_sandbox(pod, attempt).await?;
        }
        self.refresh(pod).await?;
        self.publish(pod, false);
        let Some(newest) = self.state.ready_sandbox().cloned() else {
            return Ok(());
        };
        let sandbox_config = sandbox::config(&self.shared.config, pod, newest.attempt);
        let mut acted = plan.kill_pod || plan.sandbox.is_some() || !plan.kill.is_empty();
        for name in &plan.start {
            let Some(container) = spec::container(pod, name) else {
                continue;
            };
            let (ips, dir) = (self.ips(pod), self.pod_dir());
            let start = Start {
                shared: &self.shared,
                pod,
                state: &self.state,
                volumes,
                pod_dir: &dir,
                sandbox: &newest.id,
                sandbox_config: &sandbox_config,
                ips: &ips,
            };
            match start.run(container, &mut self.restarts).await {
                Ok(()) => {
                    acted = true;
                    self.reasons.remove(name);
                }
                Err(not) => {
                    // What has no time of its own is tried again as after any failure.
                    let again = not.again.unwrap_or_else(|| in_nanos(LONGEST_PAUSE));
                    self.again = Some(self.again.map_or(again, |a| a.min(again)));
                    self.reasons.insert(name.clone(), (not.reason, not.message));
                }
            }
        }
        self.refresh(pod).await?;
        self.publish(pod, false);
        if acted {
            // An init container may have ended already, and what follows it can start. What only waits has its time.
            self.changed.notify_one();
        }
        Ok(())
    }

    async fn make_sandbox(&mut self, pod: &Arc<Value>, attempt: u32) -> Result<(), SyncError> {
        let config = sandbox::config(&self.shared.config, pod, attempt);
        std::fs::create_dir_all(&config.log_directory)
            .map_err(|e| SyncError::Other(format!("{}: {e}", config.log_directory)))?;
        match self.shared.runtime.run_pod_sandbox(config).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let text = format!("Failed to create pod sandbox: {error}");
                self.shared
                    .recorder
                    .event(pod, "Warning", "FailedCreatePodSandBox", text.clone());
                Err(SyncError::Other(text))
            }
        }
    }

    /// The pod's addresses.
    fn ips(&self, pod: &Value) -> Vec<String> {
        if spec::host_network(pod) {
            return vec![self.shared.config.ip.to_string()];
        }
        self.state
            .ready_sandbox()
            .map(|s| s.ips.clone())
            .unwrap_or_default()
    }

    /// A failed probe may have a grace period of its own.
    fn grace_of(&self, pod: &Value, kill: &Kill) -> Duration {
        let found = self.state.containers.iter().find(|c| c.id == kill.id);
        let probe = match found.map(|c| self.probes.verdict(c)) {
            Some(Verdict::NotAlive) => "livenessProbe",
            Some(Verdict::NotStarted) => "startupProbe",
            _ => return grace(pod),
        };
        let own =
            spec::container(pod, &kill.name).and_then(|c| c[probe]["terminationGracePeriodSeconds"].as_u64());
        own.map_or_else(|| grace(pod), Duration::from_secs)
    }

    fn check_deadline(&mut self, pod: &Value) {
        let Some(limit) = pod["spec"]["activeDeadlineSeconds"].as_i64() else {
            return;
        };
        let status = self.status.as_ref().unwrap_or(&pod["status"]);
        let Some(start) = clock::parse(spec::text(status, "startTime")) else {
            self.again = Some(in_nanos(Duration::from_secs(limit.unsigned_abs())));
            return;
        };
        let end = start.saturating_add(limit.saturating_mul(1_000_000_000));
        if clock::now() < end {
            self.again = Some(end);
        } else if !matches!(self.phase(), "Failed" | "Succeeded") {
            let text = "Pod was active on the node longer than the specified deadline";
            self.shared
                .recorder
                .event(pod, "Normal", "DeadlineExceeded", text);
            self.verdict = Some(("DeadlineExceeded".into(), text.into()));
        }
    }

    /// The pod has ended by itself: nothing of it goes on, but it stays on record.
    async fn finish(&mut self, pod: &Arc<Value>) -> Result<(), SyncError> {
        self.probes.stop();
        if self.state.is_running() {
            kill::pod(&self.shared, pod, &self.state, grace(pod)).await?;
            self.refresh(pod).await?;
        }
        self.publish(pod, true);
        let torn = self.shared.volumes.teardown(&self.uid, &self.pod_dir()).await;
        torn.map_err(|e| SyncError::Other(e.to_string()))?;
        self.shared.cgroups.remove(&cgroup::path(pod));
        Ok(())
    }

    /// The pod is deleted: everything of it is ended, and the API is told.
    async fn end(mut self) {
        self.probes.stop();
        let mut pause = FIRST_PAUSE;
        loop {
            let update = self.updates.borrow_and_update().clone();
            match self.end_once(&update).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    let text = format!("error killing pod: {error}");
                    self.shared
                        .recorder
                        .event(&update.pod, "Warning", "FailedKillPod", text);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// True when all is done; false when the grace period got shorter on the way.
    async fn end_once(&mut self, update: &Update) -> Result<bool, SyncError> {
        let pod = &update.pod;
        self.refresh(pod).await?;
        if !update.gone {
            self.publish(pod, false);
        }
        if self.state.is_running() {
            let now = spec::grace(pod);
            let mut updates = self.updates.clone();
            let shorter = updates.wait_for(|u| spec::grace(&u.pod) < now);
            tokio::select! {
                result = kill::pod(&self.shared, pod, &self.state, grace(pod)) => result?,
                Ok(_) = shorter => return Ok(false),
            }
            self.refresh(pod).await?;
            if self.state.is_running() {
                return Err(SyncError::Other(
                    "containers still run after they were stopped".into(),
                ));
            }
        }
        let dir = self.pod_dir();
        let torn = self.shared.volumes.teardown(&self.uid, &dir).await;
        torn.map_err(|e| SyncError::Other(e.to_string()))?;
        self.shared.cgroups.remove(&cgroup::path(pod));
        if !update.gone {
            self.publish(pod, true);
            self.writer.delete().await;
        }
        for sandbox in &self.state.sandboxes {
            self.shared.runtime.remove_pod_sandbox(&sandbox.id).await?;
        }
        let containers = self.state.containers.iter();
        let containers: Vec<_> = containers.map(|c| (c.name.clone(), c.id.clone())).collect();
        container::remove_files(&self.shared.config.log_dir, pod, &containers, &self.pod_dir());
        self.shared.puller.forget(&self.uid);
        Ok(true)
    }
}

fn grace(pod: &Value) -> Duration {
    Duration::from_secs(spec::grace(pod).unsigned_abs())
}

fn in_nanos(pause: Duration) -> i64 {
    clock::now().saturating_add(i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX))
}
