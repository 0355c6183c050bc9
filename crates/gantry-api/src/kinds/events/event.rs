//! Event, as events.k8s.io names its fields. Stored as the core group's Event.
//!
//! Source: pkg/apis/events/v1/conversion.go and pkg/apis/core/validation/events.go.

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, immutable};
use crate::kinds::core::event as core;
use crate::kinds::values::{given, number, remove, text};
use crate::kinds::{selectable, usual};
use serde_json::Value;
use std::borrow::Cow;

/// The kind.
pub fn kind() -> Kind {
    let stored = core::kind();
    Kind {
        short_names: vec!["ev".into()],
        storage_prefix: stored.storage_prefix,
        selectable_fields: selectable(&[
            ("regarding.kind", "regarding.kind"),
            ("regarding.namespace", "regarding.namespace"),
            ("regarding.name", "regarding.name"),
            ("regarding.uid", "regarding.uid"),
            ("regarding.apiVersion", "regarding.apiVersion"),
            ("regarding.resourceVersion", "regarding.resourceVersion"),
            ("regarding.fieldPath", "regarding.fieldPath"),
            ("reason", "reason"),
            ("reportingController", "reportingController"),
            ("type", "type"),
        ]),
        columns: stored.columns,
        hooks: Box::new(EventHooks),
        ..usual("events.k8s.io", "Event", "events", Scope::Namespaced)
    }
}

/// This group's name of each field, and the core group's.
const NAMES: [(&str, &str); 7] = [
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// Turns an event of this group into one of the core group.
pub fn to_core(event: &mut Value) {
    for (own, core) in NAMES {
        if let Some(value) = remove(event, own) {
            event[core] = value;
        }
    }
    event["apiVersion"] = "v1".into();
}

/// Turns an event of the core group into one of this group.
pub fn from_core(event: &mut Value) {
    for (own, core) in NAMES {
        if let Some(value) = remove(event, core) {
            event[own] = value;
        }
    }
    event["apiVersion"] = "events.k8s.io/v1".into();
}

fn in_core(event: &Value) -> Value {
    let mut event = event.clone();
    to_core(&mut event);
    event
}

struct EventHooks;

impl Hooks for EventHooks {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn prepare_create(&self, _: &mut Value) {}

    fn to_storage<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        Cow::Owned(in_core(object))
    }

    fn printed<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        Cow::Owned(in_core(object))
    }

    fn from_storage(&self, object: &mut Value) {
        from_core(object);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        core::validate(&in_core(object), "reportingController")
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        series(&mut errors, &object["series"]);
        if text(&object["eventTime"]).is_empty() {
            errors.push(Error::required("eventTime", ""));
        }
        let type_ = text(&object["type"]);
        if !matches!(type_, "Normal" | "Warning") {
            errors.push(Error::invalid("type", "", format!("has invalid value: {type_}")));
        }
        let source = &object["deprecatedSource"];
        for (set, field) in [
            (given(&object["deprecatedFirstTimestamp"]), "firstTimestamp"),
            (given(&object["deprecatedLastTimestamp"]), "lastTimestamp"),
            (number(&object["deprecatedCount"]) != 0, "count"),
            (
                !text(&source["component"]).is_empty() || !text(&source["host"]).is_empty(),
                "source",
            ),
        ] {
            if set {
                errors.push(Error::invalid(field, "", "needs to be unset"));
            }
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        if object["series"] != old["series"] {
            series(&mut errors, &object["series"]);
        }
        let (object, old) = (in_core(object), in_core(old));
        for field in [
            "involvedObject",
            "reason",
            "message",
            "source",
            "firstTimestamp",
            "lastTimestamp",
            "count",
            "type",
            "eventTime",
            "action",
            "related",
            "reportingComponent",
            "reportingInstance",
        ] {
            let name = if field == "reportingComponent" { "reportingController" } else { field };
            immutable(&mut errors, &Path::new(name), &object[field], &old[field]);
        }
        errors
    }
}

fn series(errors: &mut Errors, series: &Value) {
    if !given(series) {
        return;
    }
    if number(&series["count"]) < 2 {
        errors.push(Error::invalid("series.count", "", "should be at least 2"));
    }
    if text(&series["lastObservedTime"]).is_empty() {
        errors.push(Error::required("series.lastObservedTime", ""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conversion_is_lossless() {
        let event = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "note": "n", "reason": "r",
            "regarding": {"kind": "Pod", "name": "p"}, "reportingController": "c", "reportingInstance": "i",
            "deprecatedSource": {"component": "s"}, "deprecatedCount": 1, "action": "a",
            "deprecatedFirstTimestamp": "t1", "deprecatedLastTimestamp": "t2", "eventTime": "t3",
        });
        let mut converted = event.clone();
        to_core(&mut converted);
        let expected = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "message": "n", "reason": "r",
            "involvedObject": {"kind": "Pod", "name": "p"}, "reportingComponent": "c", "reportingInstance": "i",
            "source": {"component": "s"}, "count": 1, "action": "a",
            "firstTimestamp": "t1", "lastTimestamp": "t2", "eventTime": "t3",
        });
        assert_eq!(converted, expected);
        from_core(&mut converted);
        assert_eq!(converted, event);
    }
}
