//! A queue of keys to look at: each key once, never by two workers at a time, again after a pause that grows.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The pauses of a key that keeps failing, as upstream's workqueue has them.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1000);

/// A queue of keys. Cheap to clone; clones share the queue. It holds each key at most once, so that it is bounded by
/// the number of objects.
pub struct Queue<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Queue {
            shared: self.shared.clone(),
        }
    }
}

struct Shared<K> {
    state: Mutex<State<K>>,
    ready: Notify,
}

struct State<K> {
    waiting: VecDeque<K>,
    // Waiting, or to be looked at again once its worker is done.
    dirty: HashSet<K>,
    working: HashSet<K>,
    failures: HashMap<K, u32>,
    closed: bool,
}

impl<K: Clone + Eq + Hash + Send + 'static> Default for Queue<K> {
    fn default() -> Self {
        Queue::new()
    }
}

impl<K: Clone + Eq + Hash + Send + 'static> Queue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        let state = State {
            waiting: VecDeque::new(),
            dirty: HashSet::new(),
            working: HashSet::new(),
            failures: HashMap::new(),
            closed: false,
        };
        Queue {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                ready: Notify::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a key. One that waits already is not added again; one that is being worked on comes again after that.
    pub fn add(&self, key: K) {
        let mut state = self.state();
        if state.closed || !state.dirty.insert(key.clone()) {
            return;
        }
        if !state.working.contains(&key) {
            state.waiting.push_back(key);
            drop(state);
            self.shared.ready.notify_one();
        }
    }

    /// Adds a key after a pause.
    pub fn add_after(&self, key: K, pause: Duration) {
        if pause.is_zero() {
            return self.add(key);
        }
        let weak = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            if let Some(shared) = weak.upgrade() {
                Queue { shared }.add(key);
            }
        });
    }

    /// Adds a key that failed, after a pause that doubles with each failure until [`Queue::forget`].
    pub fn add_failed(&self, key: K) {
        let failures = {
            let mut state = self.state();
            let failures = state.failures.entry(key.clone()).or_insert(0);
            *failures = failures.saturating_add(1);
            *failures
        };
        let pause = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(20));
        self.add_after(key, pause.min(LONGEST_PAUSE));
    }

    /// How often a key has failed since it was last forgotten.
    pub fn failures(&self, key: &K) -> u32 {
        self.state().failures.get(key).copied().unwrap_or(0)
    }

    /// Ends a key's growing pauses.
    pub fn forget(&self, key: &K) {
        self.state().failures.remove(key);
    }

    /// Takes the next key, waiting for one; `None` once the queue is closed and empty. [`Queue::done`] must follow.
    pub async fn next(&self) -> Option<K> {
        loop {
            let ready = self.shared.ready.notified();
            {
                let mut state = self.state();
                if let Some(key) = state.waiting.pop_front() {
                    state.dirty.remove(&key);
                    state.working.insert(key.clone());
                    if !state.waiting.is_empty() {
                        self.shared.ready.notify_one();
                    }
                    return Some(key);
                }
                if state.closed {
                    self.shared.ready.notify_one();
                    return None;
                }
            }
            ready.await;
        }
    }

    /// Ends the work on a key.
    pub fn done(&self, key: &K) {
        let mut state = self.state();
        state.working.remove(key);
        if state.dirty.contains(key) {
            state.waiting.push_back(key.clone());
            drop(state);
            self.shared.ready.notify_one();
        }
    }

    /// How many keys wait.
    pub fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Whether no key waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes no more keys, and lets workers end.
    pub fn close(&self) {
        self.state().closed = true;
        self.shared.ready.notify_waiters();
        self.shared.ready.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_waits_once_and_is_worked_on_once() {
        let queue = Queue::new();
        queue.add("a");
        queue.add("b");
        queue.add("a");
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.next().await, Some("a"));
        queue.add("a");
        assert_eq!(queue.len(), 1, "a is being worked on and must wait");
        assert_eq!(queue.next().await, Some("b"));
        queue.done(&"b");
        queue.done(&"a");
        assert_eq!(queue.next().await, Some("a"));
        queue.done(&"a");
        queue.close();
        assert_eq!(queue.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_forgotten() {
        let queue = Queue::new();
        let check = async |expected: u64| {
            let start = tokio::time::Instant::now();
            queue.add_failed("a");
            assert_eq!(queue.next().await, Some("a"));
            queue.done(&"a");
            assert_eq!(start.elapsed().as_millis() as u64, expected);
        };
        check(5).await;
        check(10).await;
        check(20).await;
        queue.forget(&"a");
        check(5).await;
    }
}
