//! Metrics in Prometheus' text format, under upstream's names.

use super::Api;
use super::respond::{self, Body};
use crate::node::machine;
use crate::pod::manager::Known;
use crate::pod::state::{Container, Phase};
use crate::stats::{PodUsage, Usage};
use gantry_api::meta;
use http::{Response, StatusCode};
use std::fmt::Write;

const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics, one family after the other.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Begins a family.
    fn family(&mut self, name: &str, type_: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {type_}");
    }

    /// A value of the family, with its time in milliseconds if it was measured at one.
    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64, at: Option<i64>) {
        let mut text = String::new();
        for (label, value) in labels {
            let comma = if text.is_empty() { "" } else { "," };
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(text, "{comma}{label}=\"{value}\"");
        }
        if !text.is_empty() {
            text = format!("{{{text}}}");
        }
        let _ = write!(self.0, "{name}{text} {value}");
        if let Some(at) = at {
            let _ = write!(self.0, " {at}");
        }
        self.0.push('\n');
    }

    fn response(self) -> Response<Body> {
        respond::typed(StatusCode::OK, TYPE, respond::full(self.0))
    }
}

/// The process, and how many pods and containers there are.
pub fn process(api: &Api) -> Response<Body> {
    let mut text = Text::default();
    let mut one = |name: &str, type_: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            text.family(name, type_, help);
            text.value(name, &[], value, None);
        }
    };
    let process = machine::process();
    one(
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds.",
        process.cpu_seconds,
    );
    one(
        "process_open_fds",
        "gauge",
        "Number of open file descriptors.",
        process.open_files,
    );
    one(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory size in bytes.",
        process.resident_bytes,
    );
    one(
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
        process.start_seconds,
    );
    let pods = api.manager.pods();
    let running = pods.iter().filter(|p| p.state.ready_sandbox().is_some()).count();
    one(
        "kubelet_running_pods",
        "gauge",
        "[ALPHA] Number of pods that have a running pod sandbox",
        Some(count(running)),
    );
    let name = "kubelet_running_containers";
    text.family(name, "gauge", "[ALPHA] Number of containers currently running");
    for (phase, state) in [
        (Phase::Created, "created"),
        (Phase::Exited, "exited"),
        (Phase::Running, "running"),
        (Phase::Unknown, "unknown"),
    ] {
        let containers = pods.iter().flat_map(|p| &p.state.containers);
        let number = containers.filter(|c| c.phase == phase).count();
        text.value(name, &[("container_state", state)], count(number), None);
    }
    let name = "kubelet_node_name";
    text.family(name, "gauge", "[ALPHA] The node's name. The count is always 1.");
    text.value(name, &[("node", &api.shared.config.name)], 1.0, None);
    text.response()
}

/// A quantity that node, pods and containers have.
struct Quantity {
    name: &'static str,
    type_: &'static str,
    help: [&'static str; 2],
    of: fn(&Usage) -> Option<f64>,
}

const QUANTITIES: [Quantity; 2] = [
    Quantity {
        name: "cpu_usage_seconds_total",
        type_: "counter",
        help: ["[STABLE] Cumulative cpu time consumed by the", "in core-seconds"],
        of: |usage| Some(number(usage.cpu?) / 1e9),
    },
    Quantity {
        name: "memory_working_set_bytes",
        type_: "gauge",
        help: ["[STABLE] Current working set of the", "in bytes"],
        of: |usage| Some(number(usage.working_set?)),
    },
];

/// What node, pods and containers use.
pub fn resource(api: &Api) -> Response<Body> {
    let measured = api.stats.measure(&api.manager);
    let at = Some(measured.at / 1_000_000);
    let mut text = Text::default();
    for quantity in QUANTITIES {
        let [before, after] = quantity.help;
        let mut family = |scope: &str, values: Vec<(Labels<'_>, &Usage)>| {
            let name = format!("{scope}_{}", quantity.name);
            text.family(&name, quantity.type_, &format!("{before} {scope} {after}"));
            for (labels, usage) in values {
                if let Some(value) = (quantity.of)(usage) {
                    text.value(&name, &labels, value, at);
                }
            }
        };
        let pods = &measured.pods;
        family(
            "container",
            containers(pods)
                .map(|(labels, _, usage)| (labels, usage))
                .collect(),
        );
        family("node", vec![(Vec::new(), &measured.node)]);
        family(
            "pod",
            pods.iter()
                .map(|p| (labels(&p.known).to_vec(), &p.usage))
                .collect(),
        );
    }
    let name = "container_start_time_seconds";
    text.family(
        name,
        "gauge",
        "[STABLE] Start time of the container since unix epoch in seconds",
    );
    for (labels, container, _) in containers(&measured.pods) {
        let start = number(container.started_at.unsigned_abs()) / 1e9;
        text.value(name, &labels, start, None);
    }
    for name in ["resource_scrape_error", "scrape_error"] {
        text.family(
            name,
            "gauge",
            "1 if there was an error while getting container metrics, 0 otherwise",
        );
        text.value(name, &[], 0.0, None);
    }
    text.response()
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

fn containers(pods: &[PodUsage]) -> impl Iterator<Item = (Labels<'_>, &Container, &Usage)> {
    pods.iter().flat_map(|pod| {
        pod.containers.iter().map(|(container, usage)| {
            let mut all = vec![("container", container.name.as_str())];
            all.extend(labels(&pod.known));
            (all, container, usage)
        })
    })
}

fn labels(known: &Known) -> [(&str, &str); 2] {
    [
        ("pod", meta::name(&known.pod)),
        ("namespace", meta::namespace(&known.pod)),
    ]
}

/// Prometheus has no other numbers.
#[allow(clippy::cast_precision_loss)]
fn number(value: u64) -> f64 {
    value as f64
}

fn count(value: usize) -> f64 {
    number(u64::try_from(value).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_format() {
        let mut text = Text::default();
        text.family("a_total", "counter", "What it is.");
        text.value("a_total", &[], 1.5, None);
        text.value("a_total", &[("x", "a\"b\\"), ("y", "z")], 2e9, Some(7));
        let expected = "# HELP a_total What it is.\n# TYPE a_total counter\na_total 1.5\n\
                        a_total{x=\"a\\\"b\\\\\",y=\"z\"} 2000000000 7\n";
        assert_eq!(text.0, expected);
    }
}
