//! How much history is kept: always-on compaction.
//!
//! As upstream's API server does with etcd, every five minutes what is older than the compaction before becomes
//! unreadable, so that history reaches back five to ten minutes. Under heavy writes a bound in events and bytes comes
//! first, and the older half goes. There is no timer: only writes make history, so only writes end it.

use crate::Revision;
use crate::state::State;
use std::time::{Duration, Instant};

/// Bounds on history.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How often what is older than this long is compacted away.
    pub every: Duration,
    /// History holds at most this many changes.
    pub events: usize,
    /// What only history still needs takes at most about this many bytes.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            every: Duration::from_secs(300),
            events: 250_000,
            bytes: 512 << 20,
        }
    }
}

/// Decides when to compact, and up to which revision.
pub(crate) struct Retention {
    limits: Limits,
    last: Instant,
    /// The newest revision when the last period ended.
    mark: Revision,
}

impl Retention {
    pub(crate) fn new(limits: Limits, now: Instant) -> Retention {
        Retention {
            limits,
            last: now,
            mark: 0,
        }
    }

    /// The revision to compact at now, if any.
    pub(crate) fn due(&mut self, now: Instant, state: &State) -> Option<Revision> {
        let mut at = 0;
        if now.duration_since(self.last) >= self.limits.every {
            at = self.mark;
            self.mark = state.revision;
            self.last = now;
        }
        if state.events() > self.limits.events || state.history() > self.limits.bytes || state.is_pressed() {
            // Half of it, so that the next time is not at once.
            at = at.max(state.middle());
        }
        (at > state.compacted).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Op, Plan};

    fn state(writes: usize) -> State {
        let mut state = State::new(1, 0, u64::MAX, true);
        for _ in 0..writes {
            let mut plan = Plan::default();
            let op = Op::Put {
                key: "k".into(),
                value: "v".into(),
                pre: None,
            };
            plan.add(&state, op).unwrap();
            state.apply(&plan.events);
        }
        state
    }

    #[test]
    fn periods_and_bounds() {
        let limits = Limits {
            every: Duration::from_secs(300),
            events: 100,
            bytes: u64::MAX,
        };
        let start = Instant::now();
        let mut retention = Retention::new(limits, start);
        let mut check = |seconds: u64, writes: usize, expected: Option<Revision>| {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(
                retention.due(now, &state(writes)),
                expected,
                "{seconds} s, {writes} writes"
            );
        };
        check(0, 10, None);
        check(299, 10, None);
        check(300, 10, None); // The first period ends; what stood then (11) goes when the next one ends.
        check(599, 20, None);
        check(600, 20, Some(11));
        check(900, 20, Some(21));
        check(901, 100, None);
        check(902, 101, Some(52)); // One too many: the older half goes.
    }
}
