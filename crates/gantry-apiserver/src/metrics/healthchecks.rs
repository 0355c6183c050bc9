//! `/metrics/slis`: how the health checks went, for whoever asked for all of a group.
//!
//! Source: k8s.io/component-base/metrics/prometheus/slis.

use super::text::Text;
use super::{TYPE, process};
use crate::respond::{self, Body};
use http::Response;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

const LAST: &str = "kubernetes_healthcheck";
const LAST_HELP: &str = "[STABLE] This metric records the result of a single healthcheck.";
const TOTAL: &str = "kubernetes_healthchecks_total";
const TOTAL_HELP: &str = "[STABLE] This metric records the results of all healthcheck.";

/// How the checks went, by their name and group.
#[derive(Default)]
pub struct Healthchecks(Mutex<BTreeMap<(&'static str, &'static str), Counts>>);

#[derive(Clone, Copy, Default)]
struct Counts {
    failed_last: bool,
    errors: u64,
    successes: u64,
}

impl Healthchecks {
    /// Notes how one went.
    pub fn note(&self, name: &'static str, group: &'static str, failed: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = all.entry((name, group)).or_default();
        counts.failed_last = failed;
        match failed {
            true => counts.errors += 1,
            false => counts.successes += 1,
        }
    }

    /// Answers with all of them.
    pub fn answer(&self) -> Response<Body> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = Text::default();
        text.family(LAST, "gauge", LAST_HELP);
        for ((name, group), counts) in &all {
            let labels = [("name", *name), ("type", *group)];
            text.value(LAST, &labels, f64::from(u8::from(!counts.failed_last)));
        }
        text.family(TOTAL, "counter", TOTAL_HELP);
        for ((name, group), counts) in &all {
            for (status, count) in [("error", counts.errors), ("success", counts.successes)] {
                let labels = [("name", *name), ("status", status), ("type", *group)];
                if count > 0 {
                    text.value(TOTAL, &labels, count as f64);
                }
            }
        }
        process::write_start(&mut text);
        respond::with_type(200, TYPE, text.0)
    }
}
