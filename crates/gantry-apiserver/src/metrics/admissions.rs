//! How long admission takes, plugin by plugin.
//!
//! Source of names, labels and buckets: k8s.io/apiserver/pkg/admission/metrics.

use crate::metrics::distribution::Distribution;
use crate::metrics::text::Text;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

const BUCKETS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5];
const PLUGIN: &str = "apiserver_admission_controller_admission_duration_seconds";
const PLUGIN_HELP: &str = "[STABLE] Admission controller latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).";
const STEP: &str = "apiserver_admission_step_admission_duration_seconds";
const STEP_HELP: &str = "[STABLE] Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step type (validate or admit).";

/// What admissions are told apart by. A step has no plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// The plugin's name.
    pub name: &'static str,
    /// `CREATE` or `UPDATE`.
    pub operation: &'static str,
    /// Whether it refused.
    pub rejected: bool,
    /// `admit` or `validate`.
    pub type_: &'static str,
}

/// All admissions.
#[derive(Default)]
pub struct Admissions(RwLock<BTreeMap<Labels, Arc<Distribution>>>);

impl Admissions {
    /// Notes how long one took.
    pub fn note(&self, labels: Labels, took: Duration) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&labels).cloned();
        drop(known);
        let times = found.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Distribution::new(BUCKETS));
            all.entry(labels).or_insert_with(new).clone()
        });
        times.note(took.as_secs_f64());
    }

    /// Writes them.
    pub fn write(&self, text: &mut Text) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        for (family, help, of_plugins) in [(PLUGIN, PLUGIN_HELP, true), (STEP, STEP_HELP, false)] {
            text.family(family, "histogram", help);
            for (labels, times) in known
                .iter()
                .filter(|(labels, _)| labels.name.is_empty() != of_plugins)
            {
                let rejected = if labels.rejected { "true" } else { "false" };
                let mut pairs = vec![
                    ("operation", labels.operation),
                    ("rejected", rejected),
                    ("type", labels.type_),
                ];
                if of_plugins {
                    pairs.insert(0, ("name", labels.name));
                }
                times.write(text, family, &pairs);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_and_steps() {
        let admissions = Admissions::default();
        let labels = |name: &'static str| Labels {
            name,
            operation: "CREATE",
            rejected: false,
            type_: "admit",
        };
        admissions.note(labels("Priority"), Duration::from_millis(1));
        admissions.note(labels(""), Duration::from_millis(30));
        let mut text = Text::default();
        admissions.write(&mut text);
        for line in [
            format!(
                "{PLUGIN}_count{{name=\"Priority\",operation=\"CREATE\",rejected=\"false\",type=\"admit\"}} 1"
            ),
            format!("{STEP}_bucket{{operation=\"CREATE\",rejected=\"false\",type=\"admit\",le=\"0.025\"}} 0"),
            format!("{STEP}_bucket{{operation=\"CREATE\",rejected=\"false\",type=\"admit\",le=\"0.1\"}} 1"),
        ] {
            assert!(text.0.lines().any(|l| l == line), "no {line} in\n{}", text.0);
        }
    }
}
