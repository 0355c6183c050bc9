//! Waiting until the copy of etcd's state has come to a revision.

use crate::Revision;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Each waiter is woken once, when its revision is there.
pub(super) struct Arrivals(Mutex<Waiting>);

struct Waiting {
    at: Revision,
    waiters: BTreeMap<Revision, Vec<oneshot::Sender<()>>>,
}

impl Arrivals {
    pub(super) fn new(at: Revision) -> Arrivals {
        Arrivals(Mutex::new(Waiting {
            at,
            waiters: BTreeMap::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The copy is at this revision now.
    pub(super) fn arrived(&self, at: Revision) {
        let mut waiting = self.lock();
        waiting.at = at;
        while let Some(first) = waiting.waiters.first_entry()
            && *first.key() <= at
        {
            for waiter in first.remove() {
                // Whoever gave up waiting need not be told.
                let _ = waiter.send(());
            }
        }
    }

    /// Returns when the copy has come to a revision. Give it a limit: the revision may never come.
    pub(super) async fn reach(&self, revision: Revision) {
        let wait = {
            let mut waiting = self.lock();
            if waiting.at >= revision {
                return;
            }
            let (sender, receiver) = oneshot::channel();
            let same = waiting.waiters.entry(revision).or_default();
            same.retain(|waiter| !waiter.is_closed());
            same.push(sender);
            receiver
        };
        // The sender is only dropped with the store.
        let _ = wait.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn each_waits_for_its_own_revision() {
        let arrivals = Arrivals::new(5);
        arrivals.reach(5).await;
        let (mut six, mut nine) = (Box::pin(arrivals.reach(6)), Box::pin(arrivals.reach(9)));
        assert!((&mut six).now_or_never().is_none());
        assert!((&mut nine).now_or_never().is_none());
        arrivals.arrived(8);
        six.await;
        assert!((&mut nine).now_or_never().is_none());
        arrivals.arrived(9);
        nine.await;
        assert!(arrivals.lock().waiters.is_empty());
    }
}
