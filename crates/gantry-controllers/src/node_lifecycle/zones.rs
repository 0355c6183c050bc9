//! How fast nodes are given up, zone by zone: the more of a zone is out, the likelier it is that the fault is elsewhere.

use crate::object::{condition, text};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Nodes given up in a second, as upstream's --node-eviction-rate and --secondary-node-eviction-rate.
const RATE: f64 = 0.1;
const SECONDARY_RATE: f64 = 0.01;
/// From this part of silent nodes on a zone counts as disrupted.
const UNHEALTHY: f64 = 0.55;
/// Smaller disrupted zones give up no nodes at all.
const LARGE: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Initial,
    Normal,
    Partial,
    Full,
}

#[derive(Debug)]
struct Zone {
    state: State,
    rate: f64,
    tokens: f64,
    filled: Instant,
}

impl Zone {
    fn new(now: Instant) -> Self {
        Zone { state: State::Initial, rate: RATE, tokens: 1.0, filled: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(1.0);
        self.filled = now;
        let may = self.rate > 0.0 && self.tokens >= 1.0;
        if may {
            self.tokens -= 1.0;
        }
        may
    }
}

/// What a look at all zones came to.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// Nothing to do.
    Usual,
    /// No node anywhere is ready: more likely it is us. Nodes given up are taken back.
    AllOut,
    /// Nodes are ready again after [`Outcome::AllOut`]: all of them get a new start.
    Back,
}

/// All zones.
#[derive(Default)]
pub(super) struct Zones(Mutex<HashMap<String, Zone>>);

impl Zones {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Zone>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another node of the zone may be given up now.
    pub(super) fn take(&self, node: &Value, now: Instant) -> bool {
        self.all().entry(zone_of(node)).or_insert_with(|| Zone::new(now)).take(now)
    }

    /// Takes in how many nodes are ready.
    pub(super) fn update(&self, nodes: &[Arc<Value>], now: Instant) -> Outcome {
        let mut counts: HashMap<String, (usize, usize)> = HashMap::new();
        let excluded = |n: &Value| n["metadata"]["labels"].get("node.kubernetes.io/exclude-disruption").is_some();
        for node in nodes.iter().filter(|n| !excluded(n)) {
            let count = counts.entry(zone_of(node)).or_default();
            let ready = condition(&node["status"], "Ready").is_some_and(|c| c["status"] == "True");
            if ready { count.0 += 1 } else { count.1 += 1 }
        }
        let there: HashSet<String> = nodes.iter().map(|n| zone_of(n)).collect();
        let mut zones = self.all();
        zones.retain(|name, _| there.contains(name));
        for name in there {
            zones.entry(name).or_insert_with(|| Zone::new(now));
        }
        let is_out = |(ready, out): &(usize, usize)| state(*ready, *out) == State::Full;
        let all_out = counts.values().all(is_out);
        let mut counted = zones.iter().filter(|(name, _)| counts.contains_key(*name));
        let were_all_out = counted.all(|(_, zone)| zone.state == State::Full);
        if all_out && were_all_out {
            return Outcome::Usual;
        }
        for (name, (ready, out)) in counts {
            let Some(zone) = zones.get_mut(&name) else { continue };
            let new = state(ready, out);
            if all_out || zone.state != new || were_all_out {
                zone.state = new;
                zone.rate = if all_out { 0.0 } else { rate(new, ready + out) };
            }
        }
        match (all_out, were_all_out) {
            (true, _) => Outcome::AllOut,
            (_, true) => Outcome::Back,
            _ => Outcome::Usual,
        }
    }
}

fn state(ready: usize, out: usize) -> State {
    match () {
        () if ready == 0 && out > 0 => State::Full,
        () if out > 2 && out as f64 / (out + ready) as f64 >= UNHEALTHY => State::Partial,
        () => State::Normal,
    }
}

fn rate(state: State, size: usize) -> f64 {
    match state {
        State::Partial if size > LARGE => SECONDARY_RATE,
        State::Partial => 0.0,
        _ => RATE,
    }
}

fn zone_of(node: &Value) -> String {
    let label = |name: &str| text(&node["metadata"]["labels"][name]).to_string();
    format!("{}:{}", label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn nodes(zone: &str, ready: usize, out: usize) -> Vec<Arc<Value>> {
        let node = |status: &str| {
            Arc::new(json!({
                "metadata": {"labels": {"topology.kubernetes.io/zone": zone}},
                "status": {"conditions": [{"type": "Ready", "status": status}]},
            }))
        };
        (0..ready).map(|_| node("True")).chain((0..out).map(|_| node("Unknown"))).collect()
    }

    #[test]
    fn zones_give_up_nodes_at_their_rate() {
        let start = Instant::now();
        let check = |ready: usize, out: usize, expected: [bool; 4]| {
            let zones = Zones::default();
            let mut all = nodes("a", ready, out);
            all.extend(nodes("b", 1, 0));
            zones.update(&all, start);
            let found = [0, 1, 10, 110].map(|at| zones.take(&all[0], start + Duration::from_secs(at)));
            assert_eq!(found, expected, "{ready} ready, {out} out");
        };
        check(3, 1, [true, false, true, true]);
        check(0, 1, [true, false, true, true]);
        check(1, 4, [false, false, false, false]);
        check(20, 40, [true, false, false, true]);
    }

    #[test]
    fn when_all_are_out_none_is_given_up() {
        let start = Instant::now();
        let zones = Zones::default();
        let out = nodes("a", 0, 2);
        assert_eq!(zones.update(&nodes("a", 2, 0), start), Outcome::Usual);
        assert_eq!(zones.update(&out, start), Outcome::AllOut);
        assert_eq!(zones.update(&out, start), Outcome::Usual);
        assert!(!zones.take(&out[0], start + Duration::from_secs(1000)));
        assert_eq!(zones.update(&nodes("a", 1, 1), start), Outcome::Back);
        assert!(zones.take(&out[0], start + Duration::from_secs(2000)));
    }
}
