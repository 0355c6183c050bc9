//! How long admission takes, plugin by plugin.
//!
//! Source of names, labels and buckets: k8s.io/apiserver/pkg/admission/metrics.

use crate::metrics::distribution::Distribution;
use crate::metrics::text::Text;
use std::time::Duration;

const BUCKETS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5];
const PLUGIN: &str = "apiserver_admission_controller_admission_duration_seconds";
const PLUGIN_HELP: &str = "[STABLE] Admission controller latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).";
const STEP: &str = "apiserver_admission_step_admission_duration_seconds";
const STEP_HELP: &str = "[STABLE] Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step type (validate or admit).";

/// What objects are admitted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To be made.
    Create,
    /// To be changed.
    Update,
}

/// All admissions.
pub struct Admissions {
    plugins: Vec<Times>,
    steps: [Times; 2],
}

/// The admissions of one plugin, or of a step, which has no name.
struct Times {
    name: &'static str,
    step: Step,
    /// By the operation, and whether the object was refused.
    times: [[Distribution; 2]; 2],
}

/// What is done to objects in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// They are changed.
    Admit,
    /// They are looked at.
    Validate,
}

impl Step {
    /// Both, in their order.
    pub const ALL: [Step; 2] = [Step::Admit, Step::Validate];

    fn name(self) -> &'static str {
        match self {
            Step::Admit => "admit",
            Step::Validate => "validate",
        }
    }
}

impl Times {
    fn new(name: &'static str, step: Step) -> Self {
        let new = || Distribution::new(BUCKETS);
        Times {
            name,
            step,
            times: [[new(), new()], [new(), new()]],
        }
    }

    fn note(&self, operation: Operation, rejected: bool, took: Duration) {
        self.times[operation as usize][usize::from(rejected)].note(took.as_secs_f64());
    }

    fn write(&self, text: &mut Text, family: &str) {
        for (operation, times) in ["CREATE", "UPDATE"].into_iter().zip(&self.times) {
            for (rejected, times) in ["false", "true"].into_iter().zip(times) {
                let pairs = [
                    ("name", self.name),
                    ("operation", operation),
                    ("rejected", rejected),
                    ("type", self.step.name()),
                ];
                let unnamed = usize::from(self.name.is_empty());
                times.write(text, family, &pairs[unnamed..]);
            }
        }
    }
}

impl Admissions {
    /// For plugins with these names, each of which belongs to a step.
    pub fn new(plugins: impl Iterator<Item = (&'static str, Step)>) -> Self {
        Admissions {
            plugins: plugins.map(|(name, step)| Times::new(name, step)).collect(),
            steps: Step::ALL.map(|step| Times::new("", step)),
        }
    }

    /// Notes how long a plugin took, by its number.
    pub fn note(&self, plugin: usize, operation: Operation, rejected: bool, took: Duration) {
        self.plugins[plugin].note(operation, rejected, took);
    }

    /// Notes how long a whole step took.
    pub fn note_step(&self, step: Step, operation: Operation, rejected: bool, took: Duration) {
        self.steps[step as usize].note(operation, rejected, took);
    }

    /// Writes them, in the order of their names.
    pub fn write(&self, text: &mut Text) {
        text.family(PLUGIN, "histogram", PLUGIN_HELP);
        let mut plugins: Vec<&Times> = self.plugins.iter().collect();
        plugins.sort_by_key(|times| times.name);
        plugins.into_iter().for_each(|times| times.write(text, PLUGIN));
        text.family(STEP, "histogram", STEP_HELP);
        self.steps.iter().for_each(|times| times.write(text, STEP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_and_steps() {
        let plugins = [("Other", Step::Validate), ("Priority", Step::Admit)];
        let admissions = Admissions::new(plugins.into_iter());
        admissions.note(1, Operation::Create, false, Duration::from_millis(1));
        admissions.note_step(Step::Admit, Operation::Create, false, Duration::from_millis(30));
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
