//! A work queue's metrics, under upstream's names.

use crate::runner::since;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Upper bounds of the histograms' buckets, in seconds: powers of ten.
const BUCKETS: [f64; 10] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];

#[derive(Default)]
struct Histogram {
    counts: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        for (count, bound) in self.counts.iter_mut().zip(BUCKETS) {
            *count += u64::from(value <= bound);
        }
    }
}

#[derive(Default)]
struct State {
    adds: u64,
    retries: u64,
    // Both are bounded by the keys that wait or are worked on.
    waiting: HashMap<String, Instant>,
    working: HashMap<String, Instant>,
    queued: Histogram,
    worked: Histogram,
}

/// Counts what happens in one queue.
#[derive(Default)]
pub(crate) struct Metrics(Mutex<State>);

impl Metrics {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key was added.
    pub(crate) fn added(&self, key: &str) {
        let mut state = self.state();
        if !state.waiting.contains_key(key) {
            state.adds += 1;
            state.waiting.insert(key.to_string(), Instant::now());
        }
    }

    /// A worker took a key.
    pub(crate) fn started(&self, key: &str) {
        let mut state = self.state();
        if let Some(at) = state.waiting.remove(key) {
            state.queued.observe(since(at));
        }
        state.working.insert(key.to_string(), Instant::now());
    }

    /// A worker is done with a key.
    pub(crate) fn ended(&self, key: &str) {
        let mut state = self.state();
        if let Some(at) = state.working.remove(key) {
            state.worked.observe(since(at));
        }
    }

    /// A key failed and will come again.
    pub(crate) fn retried(&self) {
        let mut state = self.state();
        state.retries += 1;
        state.adds += 1;
    }

    /// For how long a worker has been at its key, at most.
    pub(crate) fn longest(&self) -> Duration {
        let state = self.state();
        state
            .working
            .values()
            .map(Instant::elapsed)
            .max()
            .unwrap_or_default()
    }
}

/// All queues' metrics: name, depth, counts.
pub(crate) fn render(queues: &[(&str, usize, &Metrics)]) -> String {
    let mut out = String::new();
    let mut one = |name: &str, type_: &str, help: &str, value: &dyn Fn(usize, &State) -> f64| {
        head(&mut out, name, type_, help);
        for (queue, depth, metrics) in queues {
            line(
                &mut out,
                format_args!("{name}{{name=\"{queue}\"}} {}", value(*depth, &metrics.state())),
            );
        }
    };
    one(
        "workqueue_depth",
        "gauge",
        "Current depth of workqueue",
        &|depth, _| depth as f64,
    );
    one(
        "workqueue_adds_total",
        "counter",
        "Total number of adds handled by workqueue",
        &|_, s| s.adds as f64,
    );
    one(
        "workqueue_retries_total",
        "counter",
        "Total number of retries handled by workqueue",
        &|_, s| s.retries as f64,
    );
    one(
        "workqueue_unfinished_work_seconds",
        "gauge",
        "How many seconds of work has done that is in progress and hasn't been observed by work_duration. Large values \
         indicate stuck threads. One can deduce the number of stuck threads by observing the rate at which this increases.",
        &|_, s| s.working.values().map(|at| since(*at)).sum(),
    );
    one(
        "workqueue_longest_running_processor_seconds",
        "gauge",
        "How many seconds has the longest running processor for workqueue been running.",
        &|_, s| s.working.values().map(|at| since(*at)).fold(0.0, f64::max),
    );
    let mut histogram = |name: &str, help: &str, of: &dyn Fn(&State) -> &Histogram| {
        head(&mut out, name, "histogram", help);
        for (queue, _, metrics) in queues {
            let state = metrics.state();
            let h = of(&state);
            for (count, bound) in h.counts.iter().zip(BUCKETS) {
                line(
                    &mut out,
                    format_args!("{name}_bucket{{name=\"{queue}\",le=\"{bound}\"}} {count}"),
                );
            }
            line(
                &mut out,
                format_args!("{name}_bucket{{name=\"{queue}\",le=\"+Inf\"}} {}", h.count),
            );
            line(&mut out, format_args!("{name}_sum{{name=\"{queue}\"}} {}", h.sum));
            line(
                &mut out,
                format_args!("{name}_count{{name=\"{queue}\"}} {}", h.count),
            );
        }
    };
    histogram(
        "workqueue_queue_duration_seconds",
        "How long in seconds an item stays in workqueue before being requested.",
        &|s| &s.queued,
    );
    histogram(
        "workqueue_work_duration_seconds",
        "How long in seconds processing an item from workqueue takes.",
        &|s| &s.worked,
    );
    out
}

fn head(out: &mut String, name: &str, type_: &str, help: &str) {
    line(
        out,
        format_args!("# HELP {name} [BETA] {help}\n# TYPE {name} {type_}"),
    );
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
        metrics.added("a");
        metrics.added("a");
        metrics.started("a");
        metrics.ended("a");
        metrics.retried();
        let text = render(&[("namespace", 3, &metrics)]);
        for expected in [
            "workqueue_depth{name=\"namespace\"} 3",
            "workqueue_adds_total{name=\"namespace\"} 2",
            "workqueue_retries_total{name=\"namespace\"} 1",
            "workqueue_queue_duration_seconds_count{name=\"namespace\"} 1",
            "workqueue_work_duration_seconds_bucket{name=\"namespace\",le=\"+Inf\"} 1",
        ] {
            assert!(text.lines().any(|l| l == expected), "{expected} in\n{text}");
        }
    }
}
