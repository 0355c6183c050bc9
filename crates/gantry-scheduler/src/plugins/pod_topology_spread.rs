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
        if pod.spread.is_empty() {
            return None;
        }
        let required = pod
            .spread
            .iter()
            .filter(|c| c.required)
            .map(|constraint| Domains {
                constraint,
                counts: HashMap::new(),
                least: 0,
            });
        let mut state = State {
            pod,
            cluster,
            required: required.collect(),
        };
        for node in cluster.nodes().filter(|n| has_all_keys(n, pod, true)) {
            for domains in &mut state.required {
                if domains.constraint.includes(pod, node) {
                    let found = domains.constraint.count(pod, node);
                    *domains
                        .counts
                        .entry(node.labels[&domains.constraint.topology_key].clone())
                        .or_insert(0) += found;
                }
            }
        }
        state.required.iter_mut().for_each(Domains::find_least);
        Some(Box::new(state))
    }
}

/// Whether a node is in a domain of each constraint.
fn has_all_keys(node: &NodeInfo, pod: &PodInfo, required: bool) -> bool {
    pod.spread
        .iter()
        .filter(|c| c.required == required)
        .all(|c| node.labels.contains_key(&c.topology_key))
}

/// How many pods there are in each domain of a constraint.
struct Domains<'a> {
    constraint: &'a Constraint,
    counts: HashMap<SmolStr, i64>,
    least: i64,
}

impl Domains<'_> {
    fn find_least(&mut self) {
        self.least = match self.counts.len() < self.constraint.min_domains {
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
}

impl Related for State<'_> {
    fn filter(&self, node: &NodeInfo) -> Vec<Reason> {
        for domains in &self.required {
            let Some(value) = node.labels.get(&domains.constraint.topology_key) else {
                return Reason::fixed(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                );
            };
            let own = i64::from(domains.constraint.selector.matches(&self.pod.labels));
            let there = domains.counts.get(value).copied().unwrap_or(0);
            if there + own - domains.least > domains.constraint.max_skew {
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
        if !has_all_keys(node, self.pod, true) {
            return;
        }
        for domains in &mut self.required {
            let constraint = domains.constraint;
            if constraint.includes(self.pod, node) && constraint.counts(self.pod, other) {
                *domains
                    .counts
                    .entry(node.labels[&constraint.topology_key].clone())
                    .or_insert(0) += by;
                domains.find_least();
            }
        }
    }

    fn weight(&self) -> i64 {
        2
    }

    fn scores(&self, fitting: &[&NodeInfo]) -> Option<Vec<i64>> {
        let soft: Vec<&Constraint> = self.pod.spread.iter().filter(|c| !c.required).collect();
        if soft.is_empty() {
            return None;
        }
        let scored = |node: &NodeInfo| has_all_keys(node, self.pod, false);
        let size = fitting.iter().filter(|n| scored(n)).count();
        let mut sums = vec![0.0; fitting.len()];
        for constraint in soft {
            let counts = self.counts_of(constraint, fitting);
            let domains = if constraint.topology_key == HOSTNAME {
                size
            } else {
                counts.len()
            };
            // Lest a domain of few values be drowned by one of many.
            let weight = ((domains + 2) as f64).ln();
            for (sum, node) in sums.iter_mut().zip(fitting).filter(|(_, n)| scored(n)) {
                let there = match constraint.topology_key == HOSTNAME {
                    true => constraint.count(self.pod, node),
                    false => counts
                        .get(&node.labels[&constraint.topology_key])
                        .copied()
                        .unwrap_or(0),
                };
                *sum += there as f64 * weight + (constraint.max_skew - 1) as f64;
            }
        }
        let rounded: Vec<Option<i64>> = sums
            .iter()
            .zip(fitting)
            .map(|(sum, node)| scored(node).then(|| sum.round() as i64))
            .collect();
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

impl State<'_> {
    /// The pods in each domain that one of the fitting nodes is in. Those of single nodes are counted where needed.
    fn counts_of(&self, constraint: &Constraint, fitting: &[&NodeInfo]) -> HashMap<SmolStr, i64> {
        let mut counts = HashMap::new();
        if constraint.topology_key == HOSTNAME {
            return counts;
        }
        for node in fitting.iter().filter(|n| has_all_keys(n, self.pod, false)) {
            counts.insert(node.labels[&constraint.topology_key].clone(), 0);
        }
        for node in self.cluster.nodes().filter(|n| has_all_keys(n, self.pod, false)) {
            if constraint.includes(self.pod, node)
                && let Some(count) = counts.get_mut(&node.labels[&constraint.topology_key])
            {
                *count += constraint.count(self.pod, node);
            }
        }
        counts
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
        gantry_api::patch::merge(base, &change).unwrap()
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
}
