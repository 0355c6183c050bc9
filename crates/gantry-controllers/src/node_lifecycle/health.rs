//! When nodes were last heard of, by this process' own clock: a node must not count as silent because its clock is off,
//! or because the control plane was away.

use crate::object::{condition, created, text};
use serde_json::Value;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::Instant;

/// What is remembered of a node.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) uid: String,
    /// When it was last heard of.
    pub(super) heard: Instant,
    /// Whether its pods have yet to be marked as not ready.
    pub(super) retry: bool,
    renewed: String,
    // When the Ready condition was last posted; empty when it never was.
    beat: String,
}

impl Health {
    /// A node seen for the first time. One that never posted a status has been silent since it was made.
    pub(super) fn new(node: &Value, lease: Option<&Value>, now: Instant) -> Self {
        let beat = beat(node);
        let silent = match created(node) {
            Some(at) if beat.is_empty() => {
                Duration::try_from(OffsetDateTime::now_utc() - at).unwrap_or_default()
            }
            _ => Duration::ZERO,
        };
        Health {
            uid: crate::object::uid(node).to_string(),
            heard: if lease.is_some() { now } else { now.checked_sub(silent).unwrap_or(now) },
            retry: false,
            renewed: renewed(lease),
            beat,
        }
    }

    /// Takes in what is known of the node now.
    pub(super) fn observe(&mut self, node: &Value, lease: Option<&Value>, now: Instant) {
        let (renewed, beat) = (renewed(lease), beat(node));
        if renewed > self.renewed || beat != self.beat {
            self.heard = now;
        }
        self.renewed = renewed;
        self.beat = beat;
    }

    /// Whether the node has been silent for too long.
    pub(super) fn is_silent(&self, grace: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) > grace
    }

    /// Whether the node has ever posted its status.
    pub(super) fn has_started(&self) -> bool {
        !self.beat.is_empty()
    }
}

fn renewed(lease: Option<&Value>) -> String {
    lease.map(|l| text(&l["spec"]["renewTime"])).unwrap_or_default().to_string()
}

fn beat(node: &Value) -> String {
    match condition(&node["status"], "Ready") {
        None => String::new(),
        // A condition without a time was posted all the same.
        Some(ready) => format!("{} {}", text(&ready["lastHeartbeatTime"]), text(&ready["lastTransitionTime"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn silence_counts_from_the_last_change_seen() {
        let node = |beat: &str| {
            json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
                "status": {"conditions": [{"type": "Ready", "lastHeartbeatTime": beat}]}})
        };
        let lease = |at: &str| json!({"spec": {"renewTime": at}});
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let grace = Duration::from_secs(50);
        let mut health = Health::new(&node("1"), Some(&lease("1")), start);
        let mut check = |node: Value, lease: Value, at: u64, silent: bool| {
            health.observe(&node, Some(&lease), after(at));
            assert_eq!(health.is_silent(grace, after(at)), silent, "after {at} seconds");
        };
        check(node("1"), lease("1"), 50, false);
        check(node("1"), lease("1"), 51, true);
        check(node("1"), lease("2"), 52, false);
        check(node("2"), lease("2"), 100, false);
        check(node("2"), lease("2"), 151, true);
    }

    #[test]
    fn a_node_that_never_started_is_silent_since_it_was_made() {
        let node = json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}});
        let now = Instant::now() + Duration::from_secs(1000);
        assert!(Health::new(&node, None, now).heard <= now);
        assert!(!Health::new(&node, None, now).has_started());
        let with_lease = Health::new(&node, Some(&json!({"spec": {"renewTime": "1"}})), now);
        assert_eq!(with_lease.heard, now, "a node that renews its lease is there");
    }
}
