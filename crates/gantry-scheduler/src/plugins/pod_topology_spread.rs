//! PodTopologySpread: pods spread evenly over zones, nodes and the like. Source: pkg/scheduler/.../podtopologyspread.

use crate::cache::Cache;
use crate::framework::{MAX_SCORE, Reason, Related, Relation};
use crate::info::{NodeInfo, PodInfo};
use crate::relations::Constraint;
use smol_str::SmolStr;
use std::collections::HashMap;

/// Domains of this label are single nodes.
const HOSTNAME: &str = "kubernetes.io/hostname";

pub struct PodTopologySpread;

impl Relation for PodTopologySpread {
    fn begin<'a>(&self, pod: &'a PodInfo, cluster: &'a Cache) -> Option<Box<dyn Related + 'a>> {
        let usual = if pod.spread.is_empty() {
            cluster.peers_of(pod)
        } else {
            None
        };
        if pod.spread.is_empty() && usual.is_none() {
            return None;
        }
        let counter = |constraint: Constraint| Counter::new(constraint, pod, cluster);
        let soft: Vec<Counter> = match &usual {
            Some(peers) => Constraint::usual(peers).map(counter).into(),
            None => pod
                .spread
                .iter()
                .filter(|c| !c.required)
                .cloned()
                .map(counter)
                .collect(),
        };
        let required = pod.spread.iter().filter(|c| c.required).cloned();
        let required = required.map(|constraint| Domains {
            counter: counter(constraint),
            counts: HashMap::new(),
            least: 0,
        });
        let mut state = State {
            pod,
            cluster,
            required: required.collect(),
            soft,
            needs_keys: usual.is_none(),
        };
        if !state.required.is_empty() {
            for node in cluster.nodes() {
                if state.is_in_all(node) {
                    state.required.iter_mut().for_each(|domains| domains.add(node));
                }
            }
            state.required.iter_mut().for_each(Domains::find_least);
        }
        Some(Box::new(state))
    }
}

/// Counts the pods that a constraint is about.
struct Counter<'a> {
    constraint: Constraint,
    pod: &'a PodInfo,
    // The groups of pods that count; most often one, the pod's own.
    chosen: Vec<u64>,
}

impl<'a> Counter<'a> {
    fn new(constraint: Constraint, pod: &'a PodInfo, cluster: &Cache) -> Self {
        let chosen = match constraint.selector.is_empty() {
            true => Vec::new(),
            false => cluster.groups_of(|other| constraint.counts(pod, other)),
        };
        Counter {
            constraint,
            pod,
            chosen,
        }
    }

    fn on(&self, node: &NodeInfo) -> i64 {
        self.chosen
            .iter()
            .filter_map(|group| node.groups.get(group))
            .map(|(count, _)| count)
            .sum()
    }

    /// The value of the constraint's label on a node.
    fn domain<'n>(&self, node: &'n NodeInfo) -> Option<&'n SmolStr> {
        node.labels.get(&self.constraint.topology_key)
    }
}

/// How many pods there are in each domain of a constraint.
struct Domains<'a> {
    counter: Counter<'a>,
    counts: HashMap<SmolStr, i64>,
    least: i64,
}

impl Domains<'_> {
    fn add(&mut self, node: &NodeInfo) {
        if let Some(domain) = self.counter.domain(node)
            && self.counter.constraint.includes(self.counter.pod, node)
        {
            *self.counts.entry(domain.clone()).or_insert(0) += self.counter.on(node);
        }
    }

    fn find_least(&mut self) {
        self.least = match self.counts.len() < self.counter.constraint.min_domains {
            true => 0,
            // Without any domain no node can fit anyway.
            false => self.counts.values().copied().min().unwrap_or(0),
        };
    }
}

struct State<'a> {
    pod: &'a PodInfo,
    cluster: &'a Cache,
    required: Vec<Domains<'a>>,
    soft: Vec<Counter<'a>>,
    // Whether nodes outside of the soft constraints' domains do not count; not so for those that nobody asked for.
    needs_keys: bool,
}

impl State<'_> {
    /// Whether a node is in a domain of each required constraint.
    fn is_in_all(&self, node: &NodeInfo) -> bool {
        self.required.iter().all(|d| d.counter.domain(node).is_some())
    }

    /// Whether a node is scored.
    fn is_scored(&self, node: &NodeInfo) -> bool {
        !self.needs_keys || self.soft.iter().all(|c| c.domain(node).is_some())
    }

    /// The pods in each domain that one of the fitting nodes is in. Those of single nodes are counted where needed.
    fn counts_of<'n>(&'n self, counter: &Counter, fitting: &[&'n NodeInfo]) -> HashMap<&'n SmolStr, i64> {
        let mut counts = HashMap::new();
        if counter.constraint.topology_key == HOSTNAME {
            return counts;
        }
        for node in fitting.iter().filter(|n| self.is_scored(n)) {
            counts.extend(counter.domain(node).map(|domain| (domain, 0)));
        }
        if counts.is_empty() {
            return counts;
        }
        for node in self.cluster.nodes().filter(|n| self.is_scored(n)) {
            if let Some(count) = counter.domain(node).and_then(|domain| counts.get_mut(domain))
                && counter.constraint.includes(self.pod, node)
            {
                *count += counter.on(node);
            }
        }
        counts
    }
}

impl Related for State<'_> {
    fn filter(&self, node: &NodeInfo) -> Vec<Reason> {
        for domains in &self.required {
            let constraint = &domains.counter.constraint;
            let Some(domain) = domains.counter.domain(node) else {
                return Reason::fixed(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                );
            };
            let own = i64::from(constraint.selector.matches(&self.pod.labels));
            let there = domains.counts.get(domain).copied().unwrap_or(0);
            if there + own - domains.least > constraint.max_skew {
                let text = SmolStr::new_static("node(s) didn't match pod topology spread constraints");
                return vec![Reason {
                    text,
                    resolvable: true,
                }];
            }
        }
        Vec::new()
    }

    fn count(&mut self, other: &PodInfo, node: &NodeInfo, by: i64) {
        if !self.is_in_all(node) {
            return;
        }
        for domains in &mut self.required {
            let constraint = &domains.counter.constraint;
            if let Some(domain) = domains.counter.domain(node)
                && constraint.includes(self.pod, node)
                && constraint.counts(self.pod, other)
            {
                *domains.counts.entry(domain.clone()).or_insert(0) += by;
                domains.find_least();
            }
        }
    }

    fn weight(&self) -> i64 {
        2
    }

    fn scores(&self, fitting: &[&NodeInfo]) -> Option<Vec<i64>> {
        if self.soft.is_empty() {
            return None;
        }
        let size = fitting.iter().filter(|n| self.is_scored(n)).count();
        let mut sums = vec![0.0; fitting.len()];
        for counter in &self.soft {
            let single = counter.constraint.topology_key == HOSTNAME;
            let counts = self.counts_of(counter, fitting);
            let domains = if single { size } else { counts.len() };
            // Lest a domain of few values be drowned by one of many.
            let weight = ((domains + 2) as f64).ln();
            for (sum, node) in sums.iter_mut().zip(fitting).filter(|(_, n)| self.is_scored(n)) {
                let Some(domain) = counter.domain(node) else {
                    continue;
                };
                let there = if single {
                    counter.on(node)
                } else {
                    counts.get(domain).copied().unwrap_or(0)
                };
                *sum += there as f64 * weight + (counter.constraint.max_skew - 1) as f64;
            }
        }
        let round = |(sum, node): (&f64, &&NodeInfo)| self.is_scored(node).then(|| sum.round() as i64);
        let rounded: Vec<Option<i64>> = sums.iter().zip(fitting).map(round).collect();
        let most = rounded.iter().flatten().copied().max().unwrap_or(0);
        let least = rounded.iter().flatten().copied().min().unwrap_or(0);
        let normal = |score: Option<i64>| match score {
            None => 0,
            Some(_) if most == 0 => MAX_SCORE,
            Some(score) => MAX_SCORE * (most + least - score) / most,
        };
        Some(rounded.into_iter().map(normal).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn pod(uid: usize, constraints: Value) -> PodInfo {
        PodInfo::read(&json!({
            "metadata": {"uid": uid.to_string(), "namespace": "ns", "labels": {"app": "a"}},
            "spec": {"topologySpreadConstraints": constraints},
        }))
    }

    /// Zone x has `n1` and `n2`, zone y has `n3`; `n4` is in none. `counts` says how many pods each has.
    fn cluster(counts: [usize; 4]) -> Cache {
        let mut cache = Cache::default();
        let mut uid = 100;
        for ((name, labels), count) in [
            ("n1", json!({"zone": "x", HOSTNAME: "n1"})),
            ("n2", json!({"zone": "x", HOSTNAME: "n2"})),
            ("n3", json!({"zone": "y", HOSTNAME: "n3"})),
            ("n4", json!({HOSTNAME: "n4"})),
        ]
        .into_iter()
        .zip(counts)
        {
            cache.set_node(&json!({"metadata": {"name": name, "labels": labels}}));
            for _ in 0..count {
                uid += 1;
                cache.place(Arc::new(pod(uid, json!([]))), &name.into());
            }
        }
        cache
    }

    fn constraint(key: &str, change: Value) -> Value {
        let base = json!({
            "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "a"}},
        });
        gantry_api::patch::merge(base, &change)
    }

    #[test]
    fn domains_must_not_become_too_full() {
        let check = |counts: [usize; 4], constraints: Value, fitting: &[&str]| {
            let cache = cluster(counts);
            let own = pod(1, constraints.clone());
            let state = PodTopologySpread.begin(&own, &cache).unwrap();
            let fit: Vec<&str> = cache
                .nodes()
                .filter(|n| state.filter(n).is_empty())
                .map(|n| n.name.as_str())
                .collect();
            assert_eq!(fit, fitting, "{counts:?} {constraints}");
        };
        let zone = |change: Value| json!([constraint("zone", change)]);
        check([0, 0, 0, 0], zone(json!({})), &["n1", "n2", "n3"]);
        check([1, 0, 0, 0], zone(json!({})), &["n3"]);
        check([1, 0, 1, 0], zone(json!({})), &["n1", "n2", "n3"]);
        check([1, 1, 1, 0], zone(json!({})), &["n3"]);
        check([1, 0, 0, 0], zone(json!({"maxSkew": 2})), &["n1", "n2", "n3"]);
        check([1, 0, 1, 0], zone(json!({"minDomains": 3})), &[]);
        check(
            [1, 0, 0, 0],
            zone(json!({"labelSelector": {"matchLabels": {"app": "b"}}})),
            &["n1", "n2", "n3"],
        );
        check(
            [1, 0, 1, 0],
            json!([constraint(HOSTNAME, json!({}))]),
            &["n2", "n4"],
        );
        check(
            [1, 0, 1, 0],
            json!([constraint("zone", json!({})), constraint(HOSTNAME, json!({}))]),
            &["n2"],
        );
    }

    #[test]
    fn reasons() {
        let cache = cluster([1, 0, 0, 0]);
        let own = pod(1, json!([constraint("zone", json!({}))]));
        let state = PodTopologySpread.begin(&own, &cache).unwrap();
        let why = |name: &str| state.filter(cache.node(name).unwrap()).remove(0);
        assert_eq!(
            why("n1").text,
            "node(s) didn't match pod topology spread constraints"
        );
        assert!(why("n1").resolvable);
        assert_eq!(
            why("n4").text,
            "node(s) didn't match pod topology spread constraints (missing required label)"
        );
        assert!(!why("n4").resolvable);
    }

    #[test]
    fn emptier_domains_score_higher() {
        let check = |counts: [usize; 4], key: &str, expected: &[i64]| {
            let cache = cluster(counts);
            let own = pod(
                1,
                json!([constraint(key, json!({"whenUnsatisfiable": "ScheduleAnyway"}))]),
            );
            let state = PodTopologySpread.begin(&own, &cache).unwrap();
            let nodes: Vec<&NodeInfo> = cache.nodes().collect();
            assert_eq!(state.scores(&nodes).unwrap(), expected, "{counts:?} {key}");
        };
        check([0, 0, 0, 0], "zone", &[100, 100, 100, 0]);
        check([2, 0, 0, 0], "zone", &[0, 0, 100, 0]);
        check([2, 0, 1, 0], "zone", &[33, 33, 100, 0]);
        check([2, 0, 1, 0], HOSTNAME, &[0, 100, 50, 100]);
    }

    #[test]
    fn pods_that_do_not_say_are_spread_with_their_peers() {
        let mut cache = cluster([2, 0, 1, 0]);
        let own = pod(1, json!([]));
        assert!(PodTopologySpread.begin(&own, &cache).is_none(), "it has no peers");
        cache.set_service("ns", "s", Some([("app".into(), "a".into())].into()));
        let state = PodTopologySpread.begin(&own, &cache).unwrap();
        assert!(cache.nodes().all(|n| state.filter(n).is_empty()));
        let nodes: Vec<&NodeInfo> = cache.nodes().collect();
        assert_eq!(
            state.scores(&nodes).unwrap(),
            [33, 100, 66, 100],
            "over nodes; they have no zones"
        );
        drop(state);
        let mut owned = pod(1, json!([]));
        owned.replica_set = "r".into();
        cache.set_service("ns", "s", None);
        assert!(
            PodTopologySpread.begin(&owned, &cache).is_none(),
            "its ReplicaSet is unknown"
        );
        let selector = crate::selector::LabelSelector::read(&json!({"matchLabels": {"app": "a"}}));
        cache.set_replica_set("ns/r".into(), Some(selector));
        assert!(PodTopologySpread.begin(&owned, &cache).is_some());
    }
}
