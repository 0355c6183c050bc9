//! What a plugin is, and how the plugins' answers become a decision.

use crate::cache::Cache;
use crate::info::{NodeInfo, PodInfo};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The highest score.
pub const MAX_SCORE: i64 = 100;

/// One rule. A plugin filters, scores, or does both.
pub trait Plugin: Send + Sync {
    /// Why the pod cannot run on the node; nothing when it can.
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
        let _ = (pod, node);
        Vec::new()
    }

    /// How much its score counts; 0 for a plugin that does not score.
    fn weight(&self) -> i64 {
        0
    }

    /// How well the node suits the pod, given all nodes that fit.
    fn score(&self, pod: &PodInfo, node: &NodeInfo, nodes: usize) -> i64 {
        let _ = (pod, node, nodes);
        0
    }

    /// Brings the scores of all nodes to 0..=[`MAX_SCORE`].
    fn normalize(&self, scores: &mut [i64]) {
        let _ = scores;
    }
}

/// A rule that looks at the pods of the whole cluster.
pub trait Relation: Send + Sync {
    /// What the rule makes of a pod; `None` when it has nothing to do with it.
    fn begin<'a>(&self, pod: &'a PodInfo, cluster: &'a Cache) -> Option<Box<dyn Related + 'a>>;
}

/// What a [`Relation`] makes of one pod.
pub trait Related {
    /// Why the pod cannot run on the node; nothing when it can.
    fn filter(&self, node: &NodeInfo) -> Vec<Reason>;

    /// Counts another pod in (1) or out (-1), as if it came to the node or left it.
    fn count(&mut self, other: &PodInfo, node: &NodeInfo, by: i64);

    /// How much its scores count.
    fn weight(&self) -> i64;

    /// How well the nodes suit the pod, as 0..=[`MAX_SCORE`]; `None` when it does not care.
    fn scores(&self, fitting: &[&NodeInfo]) -> Option<Vec<i64>>;
}

/// All rules.
pub struct Rules {
    /// Those that look at a node.
    pub plugins: Vec<Box<dyn Plugin>>,
    /// Those that look at all pods.
    pub relations: Vec<Box<dyn Relation>>,
}

/// Why a pod cannot run on a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// What a person reads, such as `node(s) were unschedulable`.
    pub text: SmolStr,
    /// Whether removing other pods from the node could help.
    pub resolvable: bool,
}

impl Reason {
    /// A reason that other pods have nothing to do with.
    pub fn fixed(text: &'static str) -> Vec<Reason> {
        vec![Reason {
            text: SmolStr::new_static(text),
            resolvable: false,
        }]
    }
}

/// Scales scores so that the highest becomes [`MAX_SCORE`]; `reverse` turns them round.
pub fn normalize(scores: &mut [i64], reverse: bool) {
    let highest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        *score = match highest {
            0 if reverse => MAX_SCORE,
            0 => 0,
            _ if reverse => MAX_SCORE - *score * MAX_SCORE / highest,
            _ => *score * MAX_SCORE / highest,
        };
    }
}

/// Why a pod fits nowhere.
#[derive(Debug, Default)]
pub struct Unfit {
    nodes: usize,
    counted: usize,
    reasons: BTreeMap<SmolStr, usize>,
}

impl Unfit {
    /// Of this many nodes none is counted yet.
    pub fn of(nodes: usize) -> Self {
        Unfit {
            nodes,
            ..Unfit::default()
        }
    }

    /// Counts a node's reasons.
    pub fn add(&mut self, reasons: Vec<Reason>) {
        self.counted += 1;
        for reason in reasons {
            *self.reasons.entry(reason.text).or_insert(0) += 1;
        }
    }

    /// Gives the nodes that are not counted yet this reason.
    pub fn fill(&mut self, text: &'static str) {
        if self.counted < self.nodes {
            *self.reasons.entry(SmolStr::new_static(text)).or_insert(0) += self.nodes - self.counted;
            self.counted = self.nodes;
        }
    }

    /// The text of the pod's condition and event, worded as upstream's FitError.
    pub fn message(&self) -> String {
        let nodes = self.nodes;
        if nodes == 0 {
            return "no nodes available to schedule pods".into();
        }
        let mut parts: Vec<String> = self
            .reasons
            .iter()
            .map(|(text, count)| format!("{count} {text}"))
            .collect();
        parts.sort();
        format!("0/{nodes} nodes are available: {}.", parts.join(", "))
    }
}

/// How many nodes that fit are enough to choose from, as upstream has it.
pub fn enough(nodes: usize) -> usize {
    if nodes < 100 {
        return nodes;
    }
    let percentage = (50usize.saturating_sub(nodes / 125)).max(5);
    (nodes * percentage / 100).max(100)
}

/// All rules at work on one pod.
pub struct Cycle<'a> {
    plugins: &'a [Box<dyn Plugin>],
    related: Vec<Box<dyn Related + 'a>>,
    pod: &'a PodInfo,
}

impl<'a> Cycle<'a> {
    /// Begins with a pod.
    pub fn new(rules: &'a Rules, pod: &'a PodInfo, cluster: &'a Cache) -> Self {
        Cycle {
            plugins: &rules.plugins,
            related: rules
                .relations
                .iter()
                .filter_map(|r| r.begin(pod, cluster))
                .collect(),
            pod,
        }
    }

    /// The reasons of the first rule that refuses.
    fn check(&self, node: &NodeInfo) -> Result<(), Vec<Reason>> {
        let refuse = |reasons: Vec<Reason>| if reasons.is_empty() { Ok(()) } else { Err(reasons) };
        for plugin in self.plugins {
            refuse(plugin.filter(self.pod, node))?;
        }
        self.related.iter().try_for_each(|r| refuse(r.filter(node)))
    }

    /// Whether the pod fits on the node: both with the pods that room is kept for there, unless they matter less, and
    /// without them, for they may never come.
    pub fn fits(&mut self, node: &NodeInfo) -> Result<(), Vec<Reason>> {
        let before_it =
            |other: &&Arc<PodInfo>| other.priority >= self.pod.priority && other.uid != self.pod.uid;
        let others: Vec<Arc<PodInfo>> = node.nominated.iter().filter(before_it).cloned().collect();
        if !others.is_empty() {
            let mut with = node.clone();
            others.iter().for_each(|other| self.add(other, &mut with));
            let result = self.check(&with);
            others.iter().for_each(|other| self.count(other, node, -1));
            result?;
        }
        self.check(node)
    }

    fn count(&mut self, other: &PodInfo, node: &NodeInfo, by: i64) {
        self.related.iter_mut().for_each(|r| r.count(other, node, by));
    }

    /// Goes on as if another pod had come to a node.
    pub fn add(&mut self, other: &Arc<PodInfo>, node: &mut NodeInfo) {
        node.add(other.clone());
        self.count(other, node, 1);
    }

    /// Goes on as if another pod had left a node.
    pub fn remove(&mut self, other: &PodInfo, node: &mut NodeInfo) {
        node.remove(&other.uid);
        self.count(other, node, -1);
    }

    /// The weighted sum of all scores, node by node.
    pub fn scores(&self, fitting: &[&NodeInfo], nodes: usize) -> Vec<i64> {
        let mut total = vec![0; fitting.len()];
        let mut add = |scores: Vec<i64>, weight: i64| {
            for (sum, score) in total.iter_mut().zip(scores) {
                *sum += score * weight;
            }
        };
        for plugin in self.plugins.iter().filter(|p| p.weight() > 0) {
            let mut scores: Vec<i64> = fitting.iter().map(|n| plugin.score(self.pod, n, nodes)).collect();
            plugin.normalize(&mut scores);
            add(scores, plugin.weight());
        }
        for related in &self.related {
            if let Some(scores) = related.scores(fitting) {
                add(scores, related.weight());
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let reason = |text: &'static str, resolvable| Reason {
            text: text.into(),
            resolvable,
        };
        let mut unfit = Unfit {
            nodes: 3,
            ..Unfit::default()
        };
        unfit.add(vec![reason("node(s) were unschedulable", false)]);
        unfit.add(vec![
            reason("Insufficient cpu", true),
            reason("Insufficient memory", true),
        ]);
        unfit.add(vec![reason("Insufficient cpu", true)]);
        assert_eq!(
            unfit.message(),
            "0/3 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable, 2 Insufficient cpu."
        );
        let mut rest = Unfit::of(3);
        rest.add(vec![reason("Insufficient cpu", true)]);
        rest.fill("Preemption is not helpful for scheduling");
        assert_eq!(
            rest.message(),
            "0/3 nodes are available: 1 Insufficient cpu, 2 Preemption is not helpful for scheduling."
        );
        assert_eq!(Unfit::default().message(), "no nodes available to schedule pods");
    }

    #[test]
    fn normalized_scores() {
        let check = |mut scores: Vec<i64>, reverse: bool, expected: &[i64]| {
            normalize(&mut scores, reverse);
            assert_eq!(scores, expected);
        };
        check(vec![0, 5, 10], false, &[0, 50, 100]);
        check(vec![0, 5, 10], true, &[100, 50, 0]);
        check(vec![0, 0], false, &[0, 0]);
        check(vec![0, 0], true, &[100, 100]);
    }

    #[test]
    fn enough_nodes() {
        let check = |nodes: usize, expected: usize| assert_eq!(enough(nodes), expected, "{nodes}");
        check(99, 99);
        check(150, 100);
        check(1000, 420);
        check(5000, 500);
    }
}
