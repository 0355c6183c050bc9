//! What a plugin is, and how the plugins' answers become a decision.

use crate::info::{NodeInfo, PodInfo};
use smol_str::SmolStr;
use std::collections::BTreeMap;

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
    reasons: BTreeMap<SmolStr, usize>,
    resolvable: usize,
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
        self.resolvable += usize::from(reasons.iter().all(|r| r.resolvable));
        for reason in reasons {
            *self.reasons.entry(reason.text).or_insert(0) += 1;
        }
    }

    /// The text of the pod's condition and event, worded as upstream's FitError.
    pub fn message(&self) -> String {
        let nodes = self.nodes;
        if nodes == 0 {
            return "no nodes available to schedule pods".into();
        }
        let join = |mut parts: Vec<String>| {
            parts.sort();
            parts.join(", ")
        };
        let reasons = join(
            self.reasons
                .iter()
                .map(|(text, count)| format!("{count} {text}"))
                .collect(),
        );
        let mut preemption = Vec::new();
        if self.resolvable > 0 {
            preemption.push(format!(
                "{} No preemption victims found for incoming pod",
                self.resolvable
            ));
        }
        if self.resolvable < nodes {
            preemption.push(format!(
                "{} Preemption is not helpful for scheduling",
                nodes - self.resolvable
            ));
        }
        format!(
            "0/{nodes} nodes are available: {reasons}. preemption: 0/{nodes} nodes are available: {}.",
            join(preemption)
        )
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

/// Runs the filters of all plugins; the reasons of the first that refuses.
pub fn fits(plugins: &[Box<dyn Plugin>], pod: &PodInfo, node: &NodeInfo) -> Result<(), Vec<Reason>> {
    for plugin in plugins {
        let reasons = plugin.filter(pod, node);
        if !reasons.is_empty() {
            return Err(reasons);
        }
    }
    Ok(())
}

/// The weighted sum of all plugins' scores, node by node.
pub fn scores(plugins: &[Box<dyn Plugin>], pod: &PodInfo, fitting: &[&NodeInfo], nodes: usize) -> Vec<i64> {
    let mut total = vec![0; fitting.len()];
    for plugin in plugins.iter().filter(|p| p.weight() > 0) {
        let mut scores: Vec<i64> = fitting.iter().map(|n| plugin.score(pod, n, nodes)).collect();
        plugin.normalize(&mut scores);
        for (sum, score) in total.iter_mut().zip(scores) {
            *sum += score * plugin.weight();
        }
    }
    total
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
            "0/3 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable, 2 Insufficient cpu. \
             preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, \
             2 No preemption victims found for incoming pod."
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
