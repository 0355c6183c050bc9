//! InterPodAffinity: pods that want to be near others, or far from them. Source: pkg/scheduler/.../interpodaffinity.

use crate::cache::Cache;
use crate::framework::{MAX_SCORE, Reason, Related, Relation};
use crate::info::{NodeInfo, PodInfo};
use crate::relations::{Affinity, PodTerm};
use smol_str::SmolStr;
use std::collections::HashMap;

/// How much it counts for a pod to be where another pod must have it.
const REQUIRED_WEIGHT: i64 = 1;

pub struct InterPodAffinity;

impl Relation for InterPodAffinity {
    fn begin<'a>(&self, pod: &'a PodInfo, cluster: &'a Cache) -> Option<Box<dyn Related + 'a>> {
        if pod.affinity.is_none() && !cluster.has_affine() {
            return None;
        }
        let mut state = State {
            pod,
            cluster,
            refused_by_others: Counts::default(),
            wanted: Counts::default(),
            refused: Counts::default(),
        };
        let looks_at_all = state.own(|a| &a.required).len() + state.own(|a| &a.required_anti).len() > 0;
        for node in cluster.nodes() {
            let others = if looks_at_all { &node.pods } else { &node.affine };
            others.values().for_each(|other| state.count(other, node, 1));
        }
        Some(Box::new(state))
    }
}

/// How many pods stand in a domain: by the label's key, then its value.
#[derive(Default)]
struct Counts(HashMap<SmolStr, HashMap<SmolStr, i64>>);

impl Counts {
    fn add(&mut self, node: &NodeInfo, key: &SmolStr, by: i64) {
        if let Some(value) = node.labels.get(key) {
            *self
                .0
                .entry(key.clone())
                .or_default()
                .entry(value.clone())
                .or_insert(0) += by;
        }
    }

    fn at(&self, node: &NodeInfo, key: &str) -> i64 {
        let value = node.labels.get(key);
        value.and_then(|v| self.0.get(key)?.get(v)).copied().unwrap_or(0)
    }

    fn is_zero(&self) -> bool {
        self.0.values().flat_map(HashMap::values).all(|count| *count == 0)
    }

    /// The sum over all the domains that a node is in.
    fn sum(&self, node: &NodeInfo) -> i64 {
        self.0.keys().map(|key| self.at(node, key)).sum()
    }
}

struct State<'a> {
    pod: &'a PodInfo,
    cluster: &'a Cache,
    // Domains of pods that do not want this one.
    refused_by_others: Counts,
    // Domains of pods that this one must be near, and must not.
    wanted: Counts,
    refused: Counts,
}

impl State<'_> {
    fn own(&self, terms: fn(&Affinity) -> &Vec<PodTerm>) -> &[PodTerm] {
        self.pod
            .affinity
            .as_ref()
            .map(|a| terms(a).as_slice())
            .unwrap_or_default()
    }

    /// Whether a pod is one that this one must be near, by all the terms.
    fn is_wanted(&self, other: &PodInfo) -> bool {
        let terms = self.own(|a| &a.required);
        !terms.is_empty() && terms.iter().all(|t| t.matches(other, self.cluster))
    }

    fn has_wanted(&self, node: &NodeInfo) -> bool {
        let terms = self.own(|a| &a.required);
        if !terms.iter().all(|t| node.labels.contains_key(&t.topology_key)) {
            return false;
        }
        // The first of a group of pods that want to be near each other has none to be near.
        terms.iter().all(|t| self.wanted.at(node, &t.topology_key) > 0)
            || (self.wanted.is_zero() && self.is_wanted(self.pod))
    }
}

impl Related for State<'_> {
    fn filter(&self, node: &NodeInfo) -> Vec<Reason> {
        let resolvable = |text: &'static str| {
            vec![Reason {
                text: SmolStr::new_static(text),
                resolvable: true,
            }]
        };
        if !self.has_wanted(node) {
            return Reason::fixed("node(s) didn't match pod affinity rules");
        }
        if self
            .own(|a| &a.required_anti)
            .iter()
            .any(|t| self.refused.at(node, &t.topology_key) > 0)
        {
            return resolvable("node(s) didn't match pod anti-affinity rules");
        }
        let refuses = |key: &SmolStr| self.refused_by_others.at(node, key) > 0;
        if self.refused_by_others.0.keys().any(refuses) {
            return resolvable("node(s) didn't satisfy existing pods anti-affinity rules");
        }
        Vec::new()
    }

    fn count(&mut self, other: &PodInfo, node: &NodeInfo, by: i64) {
        for term in other.affinity.iter().flat_map(|a| &a.required_anti) {
            if term.matches(self.pod, self.cluster) {
                self.refused_by_others.add(node, &term.topology_key, by);
            }
        }
        let Some(own) = &self.pod.affinity else { return };
        if self.is_wanted(other) {
            own.required
                .iter()
                .for_each(|t| self.wanted.add(node, &t.topology_key, by));
        }
        for term in own
            .required_anti
            .iter()
            .filter(|t| t.matches(other, self.cluster))
        {
            self.refused.add(node, &term.topology_key, by);
        }
    }

    fn weight(&self) -> i64 {
        2
    }

    fn scores(&self, fitting: &[&NodeInfo]) -> Option<Vec<i64>> {
        let preferred = self
            .pod
            .affinity
            .as_ref()
            .map(|a| a.preferred.as_slice())
            .unwrap_or_default();
        let mut liking = Counts::default();
        for node in self.cluster.nodes() {
            let others = if preferred.is_empty() {
                &node.affine
            } else {
                &node.pods
            };
            for other in others.values() {
                for (weight, term) in preferred.iter().filter(|(_, t)| t.matches(other, self.cluster)) {
                    liking.add(node, &term.topology_key, *weight);
                }
                let Some(theirs) = &other.affinity else { continue };
                for term in theirs
                    .required
                    .iter()
                    .filter(|t| t.matches(self.pod, self.cluster))
                {
                    liking.add(node, &term.topology_key, REQUIRED_WEIGHT);
                }
                for (weight, term) in theirs
                    .preferred
                    .iter()
                    .filter(|(_, t)| t.matches(self.pod, self.cluster))
                {
                    liking.add(node, &term.topology_key, *weight);
                }
            }
        }
        if liking.0.is_empty() {
            return None;
        }
        let mut scores: Vec<i64> = fitting.iter().map(|node| liking.sum(node)).collect();
        let least = scores.iter().copied().min().unwrap_or(0);
        let range = scores.iter().copied().max().unwrap_or(0) - least;
        for score in &mut scores {
            *score = if range > 0 {
                MAX_SCORE * (*score - least) / range
            } else {
                0
            };
        }
        Some(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    /// Two zones of two nodes, with a pod of app `a` on the first node.
    fn cluster(affinity: Value) -> Cache {
        let mut cache = Cache::default();
        for (name, zone) in [("n1", "x"), ("n2", "x"), ("n3", "y"), ("n4", "y")] {
            cache.set_node(&json!({"metadata": {"name": name, "labels": {"zone": zone, "host": name}}}));
        }
        cache.place(Arc::new(pod("1", "a", affinity)), &"n1".into());
        cache
    }

    fn pod(uid: &str, app: &str, affinity: Value) -> PodInfo {
        PodInfo::read(&json!({
            "metadata": {"uid": uid, "namespace": "ns", "labels": {"app": app}}, "spec": {"affinity": affinity},
        }))
    }

    fn term(app: &str, key: &str) -> Value {
        json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key})
    }

    fn required(kind: &str, app: &str, key: &str) -> Value {
        json!({kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term(app, key)]}})
    }

    fn preferred(kind: &str, app: &str, key: &str) -> Value {
        let weighted = json!({"weight": 10, "podAffinityTerm": term(app, key)});
        json!({kind: {"preferredDuringSchedulingIgnoredDuringExecution": [weighted]}})
    }

    #[test]
    fn nodes_are_chosen_by_the_pods_there() {
        let check = |there: Value, own: Value, app: &str, fitting: &[&str], why: &str| {
            let cache = cluster(there);
            let own = pod("2", app, own);
            let state = InterPodAffinity
                .begin(&own, &cache)
                .expect("somebody asks for something");
            let mut fit = Vec::new();
            for node in cache.nodes() {
                match state.filter(node).first() {
                    None => fit.push(node.name.as_str()),
                    Some(reason) => assert_eq!(reason.text, why),
                }
            }
            assert_eq!(fit, fitting, "{why}");
        };
        let (near, far) = ("podAffinity", "podAntiAffinity");
        let why = "node(s) didn't match pod affinity rules";
        check(json!({}), required(near, "a", "zone"), "b", &["n1", "n2"], why);
        check(json!({}), required(near, "a", "host"), "b", &["n1"], why);
        check(json!({}), required(near, "none", "zone"), "b", &[], why);
        check(
            json!({}),
            required(near, "b", "zone"),
            "b",
            &["n1", "n2", "n3", "n4"],
            "the first of its group",
        );
        check(json!({}), required(near, "a", "rack"), "b", &[], why);
        let why = "node(s) didn't match pod anti-affinity rules";
        check(json!({}), required(far, "a", "zone"), "b", &["n3", "n4"], why);
        let why = "node(s) didn't satisfy existing pods anti-affinity rules";
        check(
            required(far, "b", "host"),
            json!({}),
            "b",
            &["n2", "n3", "n4"],
            why,
        );
    }

    #[test]
    fn preferences_score() {
        let check = |there: Value, own: Value, expected: Option<&[i64]>| {
            let cache = cluster(there);
            let own = pod("2", "b", own);
            let nodes: Vec<&NodeInfo> = cache.nodes().collect();
            let scores = InterPodAffinity
                .begin(&own, &cache)
                .and_then(|state| state.scores(&nodes));
            assert_eq!(scores.as_deref(), expected);
        };
        check(json!({}), json!({}), None);
        check(
            json!({}),
            preferred("podAffinity", "a", "zone"),
            Some(&[100, 100, 0, 0]),
        );
        check(
            json!({}),
            preferred("podAntiAffinity", "a", "host"),
            Some(&[0, 100, 100, 100]),
        );
        check(
            preferred("podAffinity", "b", "host"),
            json!({}),
            Some(&[100, 0, 0, 0]),
        );
        check(
            required("podAffinity", "b", "zone"),
            json!({}),
            Some(&[100, 100, 0, 0]),
        );
    }
}
