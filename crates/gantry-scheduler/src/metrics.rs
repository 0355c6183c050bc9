//! The scheduler's metrics, under upstream's names, in Prometheus' text format.

use crate::queue::Lengths;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What came of an attempt to schedule a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It was bound to a node.
    Scheduled,
    /// It fits nowhere.
    Unschedulable,
    /// Something went wrong.
    Error,
}

impl Outcome {
    const ALL: [Outcome; 3] = [Outcome::Scheduled, Outcome::Unschedulable, Outcome::Error];

    fn name(self) -> &'static str {
        match self {
            Outcome::Scheduled => "scheduled",
            Outcome::Unschedulable => "unschedulable",
            Outcome::Error => "error",
        }
    }
}

/// Counts values by buckets that double from `first` on.
#[derive(Clone, Debug)]
struct Histogram {
    first: f64,
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    fn new(first: f64, buckets: usize) -> Self {
        Histogram {
            first,
            counts: vec![0; buckets],
            count: 0,
            sum: 0.0,
        }
    }

    fn bounds(&self) -> impl Iterator<Item = f64> {
        std::iter::successors(Some(self.first), |bound| Some(bound * 2.0)).take(self.counts.len())
    }

    fn observe(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        let bounds: Vec<f64> = self.bounds().collect();
        for (count, bound) in self.counts.iter_mut().zip(bounds) {
            *count += u64::from(value <= bound);
        }
    }

    fn write(&self, out: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        for (count, bound) in self.counts.iter().zip(self.bounds()) {
            line(
                out,
                format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}"),
            );
        }
        line(
            out,
            format_args!("{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {}", self.count),
        );
        let braces = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{labels}}}")
        };
        line(out, format_args!("{name}_sum{braces} {}", self.sum));
        line(out, format_args!("{name}_count{braces} {}", self.count));
    }
}

struct State {
    attempts: BTreeMap<Outcome, Histogram>,
    algorithm: Histogram,
    // By how many attempts it took; from 16 on they count together.
    waited: BTreeMap<u32, Histogram>,
    attempts_needed: Histogram,
    preemptions: u64,
    victims: Histogram,
}

/// The metrics.
pub struct Metrics(Mutex<State>);

impl Default for Metrics {
    fn default() -> Self {
        Metrics(Mutex::new(State {
            attempts: Outcome::ALL
                .map(|outcome| (outcome, Histogram::new(0.001, 15)))
                .into(),
            algorithm: Histogram::new(0.001, 15),
            waited: BTreeMap::new(),
            attempts_needed: Histogram::new(1.0, 5),
            preemptions: 0,
            victims: Histogram::new(1.0, 7),
        }))
    }
}

impl Metrics {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt ended after this long.
    pub fn attempted(&self, outcome: Outcome, took: Duration) {
        if let Some(histogram) = self.state().attempts.get_mut(&outcome) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// A node was looked for during this time.
    pub fn decided(&self, took: Duration) {
        self.state().algorithm.observe(took.as_secs_f64());
    }

    /// A pod was bound this long after it came, with so many attempts.
    pub fn bound(&self, waited: Duration, attempts: u32) {
        let mut state = self.state();
        let histogram = state
            .waited
            .entry(attempts.min(16))
            .or_insert_with(|| Histogram::new(0.01, 20));
        histogram.observe(waited.as_secs_f64());
        state.attempts_needed.observe(f64::from(attempts));
    }

    /// Room was sought for a pod; so many others have to leave, none when it was not found.
    pub fn preempted(&self, victims: Option<usize>) {
        let mut state = self.state();
        state.preemptions += 1;
        if let Some(victims) = victims {
            state.victims.observe(victims as f64);
        }
    }

    /// All of them as text.
    pub fn render(&self, profile: &str, pending: &Lengths) -> String {
        let state = self.state();
        let mut out = String::new();
        let head = |out: &mut String, name: &str, type_: &str, help: &str| {
            line(out, format_args!("# HELP {name} {help}\n# TYPE {name} {type_}"));
        };
        let name = "scheduler_schedule_attempts_total";
        let help = "[STABLE] Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not \
                    be scheduled, while 'error' means an internal scheduler problem.";
        head(&mut out, name, "counter", help);
        for (outcome, histogram) in &state.attempts {
            let labels = format!("profile=\"{profile}\",result=\"{}\"", outcome.name());
            line(&mut out, format_args!("{name}{{{labels}}} {}", histogram.count));
        }
        let name = "scheduler_scheduling_attempt_duration_seconds";
        let help = "[STABLE] Scheduling attempt latency in seconds (scheduling algorithm + binding)";
        head(&mut out, name, "histogram", help);
        for (outcome, histogram) in &state.attempts {
            let labels = format!("profile=\"{profile}\",result=\"{}\"", outcome.name());
            histogram.write(&mut out, name, &labels);
        }
        let name = "scheduler_scheduling_algorithm_duration_seconds";
        head(
            &mut out,
            name,
            "histogram",
            "[ALPHA] Scheduling algorithm latency in seconds",
        );
        state.algorithm.write(&mut out, name, "");
        let name = "scheduler_pod_scheduling_sli_duration_seconds";
        let help = "[BETA] E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and \
                    might involve multiple scheduling attempts.";
        head(&mut out, name, "histogram", help);
        for (attempts, histogram) in &state.waited {
            let more = if *attempts >= 16 { "+" } else { "" };
            histogram.write(&mut out, name, &format!("attempts=\"{attempts}{more}\""));
        }
        let name = "scheduler_pod_scheduling_attempts";
        head(
            &mut out,
            name,
            "histogram",
            "[STABLE] Number of attempts to successfully schedule a pod.",
        );
        state.attempts_needed.write(&mut out, name, "");
        let name = "scheduler_preemption_attempts_total";
        head(
            &mut out,
            name,
            "counter",
            "[STABLE] Total preemption attempts in the cluster till now",
        );
        line(&mut out, format_args!("{name} {}", state.preemptions));
        let name = "scheduler_preemption_victims";
        head(
            &mut out,
            name,
            "histogram",
            "[STABLE] Number of selected preemption victims",
        );
        state.victims.write(&mut out, name, "");
        let name = "scheduler_pending_pods";
        let help = "[STABLE] Number of pending pods, by the queue type. 'active' means number of pods in activeQ; \
                    'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in \
                    unschedulablePods that the scheduler attempted to schedule and failed; 'gated' is the number of \
                    unschedulable pods that the scheduler never attempted to schedule because they are gated.";
        head(&mut out, name, "gauge", help);
        for (queue, count) in [
            ("active", pending.active),
            ("backoff", pending.backoff),
            ("unschedulable", pending.unschedulable),
            ("gated", pending.gated),
        ] {
            line(&mut out, format_args!("{name}{{queue=\"{queue}\"}} {count}"));
        }
        out
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A String takes all.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_rendered() {
        let metrics = Metrics::default();
        metrics.attempted(Outcome::Scheduled, Duration::from_millis(3));
        metrics.decided(Duration::from_millis(1));
        metrics.bound(Duration::from_millis(15), 1);
        metrics.bound(Duration::from_secs(1), 20);
        metrics.preempted(Some(2));
        metrics.preempted(None);
        let pending = Lengths {
            active: 1,
            backoff: 2,
            unschedulable: 3,
            gated: 4,
        };
        let text = metrics.render("own", &pending);
        for expected in [
            "scheduler_schedule_attempts_total{profile=\"own\",result=\"scheduled\"} 1",
            "scheduler_schedule_attempts_total{profile=\"own\",result=\"error\"} 0",
            "scheduler_scheduling_attempt_duration_seconds_bucket{profile=\"own\",result=\"scheduled\",le=\"0.002\"} 0",
            "scheduler_scheduling_attempt_duration_seconds_bucket{profile=\"own\",result=\"scheduled\",le=\"0.004\"} 1",
            "scheduler_scheduling_algorithm_duration_seconds_count 1",
            "scheduler_pod_scheduling_sli_duration_seconds_bucket{attempts=\"1\",le=\"0.02\"} 1",
            "scheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"16+\"} 1",
            "scheduler_pod_scheduling_attempts_sum 21",
            "scheduler_preemption_attempts_total 2",
            "scheduler_preemption_victims_bucket{le=\"1\"} 0",
            "scheduler_preemption_victims_bucket{le=\"2\"} 1",
            "scheduler_pending_pods{queue=\"gated\"} 4",
        ] {
            assert!(text.lines().any(|l| l == expected), "{expected} in\n{text}");
        }
    }
}
