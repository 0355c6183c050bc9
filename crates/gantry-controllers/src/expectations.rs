//! What a controller has done that its informer has yet to show.
//!
//! A cache that lags would make a controller create its pods twice. So it notes how many it creates and which it
//! deletes, and does neither again until the informer has shown them all, or too long has passed.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After this long what was expected counts as lost, and the cache is believed again.
const PATIENCE: Duration = Duration::from_secs(300);

struct Expected {
    creations: usize,
    deletions: HashSet<String>,
    since: Instant,
}

/// Expectations by the owner's uid.
#[derive(Default)]
pub(crate) struct Expectations(Mutex<HashMap<String, Expected>>);

impl Expectations {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Expected>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is about to happen, before it does.
    pub(crate) fn expect(&self, owner: &str, creations: usize, deletions: impl Iterator<Item = String>) {
        let expected = Expected {
            creations,
            deletions: deletions.collect(),
            since: Instant::now(),
        };
        self.all().insert(owner.to_string(), expected);
    }

    /// Creations were seen, or will never be.
    pub(crate) fn created(&self, owner: &str, count: usize) {
        if let Some(expected) = self.all().get_mut(owner) {
            expected.creations = expected.creations.saturating_sub(count);
        }
    }

    /// A deletion was seen, or will never be.
    pub(crate) fn deleted(&self, owner: &str, uid: &str) {
        if let Some(expected) = self.all().get_mut(owner) {
            expected.deletions.remove(uid);
        }
    }

    /// Whether the cache shows all that was done.
    pub(crate) fn are_met(&self, owner: &str) -> bool {
        let all = self.all();
        all.get(owner)
            .is_none_or(|e| (e.creations == 0 && e.deletions.is_empty()) || e.since.elapsed() > PATIENCE)
    }

    /// Forgets an owner that is gone.
    pub(crate) fn forget(&self, owner: &str) {
        self.all().remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn met_when_all_is_seen() {
        let expectations = Expectations::default();
        assert!(expectations.are_met("a"));
        expectations.expect("a", 2, ["x".to_string()].into_iter());
        expectations.created("a", 1);
        expectations.deleted("a", "x");
        assert!(!expectations.are_met("a"), "one creation is missing");
        expectations.created("a", 1);
        assert!(expectations.are_met("a"));
        expectations.expect("a", 0, ["x".to_string()].into_iter());
        assert!(!expectations.are_met("a"), "the deletion is missing");
        expectations.forget("a");
        assert!(expectations.are_met("a"));
    }
}
