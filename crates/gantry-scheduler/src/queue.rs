//! Pods that wait for a node: those to try now, those that pause after a failure, and those that wait for a change.

use crate::info::PodInfo;
use smol_str::SmolStr;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The pauses of a pod that keeps failing, as upstream's.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A pod that waits for a change is tried again after this long even without one.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The queue. It holds a pod at most once, so that it is bounded by the number of pods.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Default)]
struct State {
    pods: HashMap<SmolStr, Waiting>,
    // Highest priority first, then first come first served.
    active: BTreeSet<(Reverse<i64>, u64, SmolStr)>,
    later: BTreeSet<(Instant, SmolStr)>,
    // Those that wait for a change.
    for_change: BTreeSet<SmolStr>,
    // Those that may not be tried yet.
    gated: BTreeSet<SmolStr>,
    arrivals: u64,
    // Counts changes that may help waiting pods.
    changes: u64,
}

struct Waiting {
    pod: Arc<PodInfo>,
    arrival: u64,
    since: Instant,
    attempts: u32,
    place: Place,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Active,
    Pausing(Instant),
    // Until a change, or until the moment given; `Instant` is when its pause is over.
    ForChange(Instant, Instant),
    // Taken by the scheduler, at this count of changes.
    Taken(u64),
}

impl State {
    fn leave(&mut self, uid: &str) {
        let Some(waiting) = self.pods.get(uid) else { return };
        match waiting.place {
            Place::Active => {
                self.active
                    .remove(&(Reverse(waiting.pod.priority), waiting.arrival, uid.into()));
            }
            Place::Pausing(until) | Place::ForChange(until, _) => {
                self.later.remove(&(until, uid.into()));
                self.for_change.remove(uid);
            }
            Place::Taken(_) => {}
        }
    }

    fn enter(&mut self, uid: &SmolStr, place: Place) {
        let Some(waiting) = self.pods.get_mut(uid) else {
            return;
        };
        waiting.place = place;
        match place {
            Place::Active => {
                self.active
                    .insert((Reverse(waiting.pod.priority), waiting.arrival, uid.clone()));
            }
            Place::Pausing(until) => {
                self.later.insert((until, uid.clone()));
            }
            Place::ForChange(until, _) => {
                self.later.insert((until, uid.clone()));
                self.for_change.insert(uid.clone());
            }
            Place::Taken(_) => {}
        }
    }

    fn wake(&mut self, now: Instant) {
        while let Some((until, uid)) = self.later.first().cloned() {
            if until > now {
                return;
            }
            self.leave(&uid);
            self.enter(&uid, Place::Active);
        }
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a pod, or takes over its new form. A new form of one that waits is tried at once, as it may fit now.
    pub fn add(&self, pod: Arc<PodInfo>) {
        let mut state = self.state();
        let uid = pod.uid.clone();
        state.gated.remove(&uid);
        if let Some(waiting) = state.pods.get(&uid) {
            if matches!(waiting.place, Place::Taken(_)) {
                // The change makes the attempt that is running a stale one.
                state.changes += 1;
            } else {
                state.leave(&uid);
            }
        }
        state.arrivals += 1;
        let arrival = state.arrivals;
        let waiting = state
            .pods
            .entry(uid.clone())
            .and_modify(|w| w.pod = pod.clone())
            .or_insert(Waiting {
                pod,
                arrival,
                since: Instant::now(),
                attempts: 0,
                place: Place::Active,
            });
        if !matches!(waiting.place, Place::Taken(_)) {
            state.enter(&uid, Place::Active);
            drop(state);
            self.ready.notify_one();
        }
    }

    /// Whether a pod waits or is being tried.
    pub fn contains(&self, uid: &str) -> bool {
        self.state().pods.contains_key(uid)
    }

    /// Counts a pod that may not be tried yet.
    pub fn add_gated(&self, uid: &SmolStr) {
        self.state().gated.insert(uid.clone());
    }

    /// Forgets a pod: it is bound, or gone.
    pub fn remove(&self, uid: &str) {
        let mut state = self.state();
        state.leave(uid);
        state.gated.remove(uid);
        state.pods.remove(uid);
    }

    /// Since when a pod is here, and how often it has been tried.
    pub fn history(&self, uid: &str) -> Option<(Instant, u32)> {
        let state = self.state();
        state
            .pods
            .get(uid)
            .map(|waiting| (waiting.since, waiting.attempts))
    }

    /// Takes the next pod. [`Queue::remove`], [`Queue::retry`] or [`Queue::wait_for_change`] must follow.
    pub async fn next(&self) -> Arc<PodInfo> {
        loop {
            let ready = self.ready.notified();
            let pause = {
                let mut state = self.state();
                let now = Instant::now();
                state.wake(now);
                if let Some((_, _, uid)) = state.active.first().cloned() {
                    state.leave(&uid);
                    let changes = state.changes;
                    state.enter(&uid, Place::Taken(changes));
                    if let Some(waiting) = state.pods.get_mut(&uid) {
                        waiting.attempts += 1;
                        return waiting.pod.clone();
                    }
                }
                state.later.first().map(|(until, _)| *until)
            };
            match pause {
                Some(until) => {
                    tokio::select! { () = ready => {} () = tokio::time::sleep_until(until) => {} }
                }
                None => ready.await,
            }
        }
    }

    /// Tries a pod again after a pause: something went wrong.
    pub fn retry(&self, uid: &SmolStr) {
        self.put_back(uid, false);
    }

    /// Lets a pod that fits nowhere wait for a change. If there was one since it was taken it only pauses.
    pub fn wait_for_change(&self, uid: &SmolStr) {
        self.put_back(uid, true);
    }

    fn put_back(&self, uid: &SmolStr, for_change: bool) {
        let mut state = self.state();
        let changes = state.changes;
        let Some(waiting) = state.pods.get(uid) else {
            return;
        };
        let pause = FIRST_PAUSE
            .saturating_mul(1 << (waiting.attempts.max(1) - 1).min(8))
            .min(LONGEST_PAUSE);
        let now = Instant::now();
        let unchanged = matches!(waiting.place, Place::Taken(at) if at == changes);
        state.leave(uid);
        let place = match for_change && unchanged {
            true => Place::ForChange(now + LONGEST_WAIT, now + pause),
            false => Place::Pausing(now + pause),
        };
        state.enter(uid, place);
        drop(state);
        // Its pause may end before the one that is slept for.
        self.ready.notify_one();
    }

    /// Tells that something changed that may let waiting pods fit.
    pub fn changed(&self) {
        self.changed_for(|_| true);
    }

    /// Tells that something changed that may let those of the waiting pods fit that `concerns` says.
    pub fn changed_for(&self, concerns: impl Fn(&PodInfo) -> bool) {
        let mut state = self.state();
        state.changes += 1;
        if state.for_change.is_empty() {
            return;
        }
        let waiting: Vec<(SmolStr, Instant)> = state
            .for_change
            .iter()
            .filter_map(|uid| match state.pods.get(uid)? {
                Waiting {
                    place: Place::ForChange(_, pause_over),
                    pod,
                    ..
                } if concerns(pod) => Some((uid.clone(), *pause_over)),
                _ => None,
            })
            .collect();
        for (uid, pause_over) in waiting {
            state.leave(&uid);
            state.enter(&uid, Place::Pausing(pause_over));
        }
        drop(state);
        self.ready.notify_one();
    }

    /// How many pods wait.
    pub fn lengths(&self) -> Lengths {
        let state = self.state();
        let unschedulable = state.for_change.len();
        Lengths {
            active: state.active.len(),
            backoff: state.later.len() - unschedulable,
            unschedulable,
            gated: state.gated.len(),
        }
    }
}

/// How many pods wait, and what for.
#[derive(Debug, PartialEq, Eq)]
pub struct Lengths {
    /// They are to be tried.
    pub active: usize,
    /// They pause after a failure.
    pub backoff: usize,
    /// They wait for a change.
    pub unschedulable: usize,
    /// They may not be tried yet.
    pub gated: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(uid: &str, priority: i64) -> Arc<PodInfo> {
        Arc::new(PodInfo::read(
            &json!({"metadata": {"uid": uid}, "spec": {"priority": priority}}),
        ))
    }

    #[tokio::test]
    async fn priority_then_arrival() {
        let queue = Queue::default();
        for (uid, priority) in [("a", 0), ("b", 5), ("c", 5), ("d", 1)] {
            queue.add(pod(uid, priority));
        }
        for expected in ["b", "c", "d", "a"] {
            let next = queue.next().await;
            assert_eq!(next.uid, expected);
            queue.remove(&next.uid);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_wakes_after_the_pause() {
        let queue = Queue::default();
        queue.add(pod("a", 0));
        let start = Instant::now();
        let after = |at: u64| assert_eq!(start.elapsed().as_secs(), at);
        let taken = queue.next().await;
        queue.wait_for_change(&taken.uid);
        let lengths = |queue: &Queue| {
            (
                queue.lengths().active,
                queue.lengths().backoff,
                queue.lengths().unschedulable,
            )
        };
        assert_eq!(lengths(&queue), (0, 0, 1));
        queue.changed();
        assert_eq!(lengths(&queue), (0, 1, 0));
        let taken = queue.next().await;
        after(1);
        queue.changed();
        queue.wait_for_change(&taken.uid);
        assert_eq!(
            lengths(&queue),
            (0, 1, 0),
            "a change while it was tried must not be missed"
        );
        let taken = queue.next().await;
        after(3);
        queue.wait_for_change(&taken.uid);
        queue.next().await;
        after(303);
    }
}
