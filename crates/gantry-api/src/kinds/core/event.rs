//! Event, as the core group names its fields. The same objects are served by events.k8s.io, whose file converts.

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Column, Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, format};
use crate::kinds::columns::{age, column, wide};
use crate::kinds::{selectable, usual};
use crate::kinds::values::{drop_zero, given, number, text};
use crate::meta;
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["ev".into()],
        selectable_fields: selectable(&[
            ("involvedObject.kind", "involvedObject.kind"),
            ("involvedObject.namespace", "involvedObject.namespace"),
            ("involvedObject.name", "involvedObject.name"),
            ("involvedObject.uid", "involvedObject.uid"),
            ("involvedObject.apiVersion", "involvedObject.apiVersion"),
            ("involvedObject.resourceVersion", "involvedObject.resourceVersion"),
            ("involvedObject.fieldPath", "involvedObject.fieldPath"),
            ("reason", "reason"),
            ("reportingComponent", "reportingComponent"),
            ("source", "source.component|reportingComponent"),
            ("type", "type"),
        ]),
        columns: columns(),
        hooks: Box::new(EventHooks),
        ..usual("", "Event", "events", Scope::Namespaced)
    }
}

fn columns() -> Vec<Column> {
    vec![
        column("Last Seen", "string", |o, now| last_seen(o, now).into()),
        column("Type", "string", |o, _| text(&o["type"]).into()),
        column("Reason", "string", |o, _| text(&o["reason"]).into()),
        column("Object", "string", |o, _| object_of(&o["involvedObject"]).into()),
        wide("Subobject", "string", |o, _| text(&o["involvedObject"]["fieldPath"]).into()),
        wide("Source", "string", |o, _| source(o).into()),
        column("Message", "string", |o, _| text(&o["message"]).trim().into()),
        wide("First Seen", "string", |o, now| first_seen(o, now).into()),
        wide("Count", "string", |o, _| count(o).into()),
        Column {
            format: "name".into(),
            ..wide("Name", "string", |o, _| meta::name(o).into())
        },
    ]
}

/// How long ago it was first seen.
fn first_seen(event: &Value, now: i64) -> String {
    match text(&event["firstTimestamp"]) {
        "" => age(text(&event["eventTime"]), now),
        first => age(first, now),
    }
}

/// How long ago it was last seen.
fn last_seen(event: &Value, now: i64) -> String {
    if given(&event["series"]) {
        return age(text(&event["series"]["lastObservedTime"]), now);
    }
    match text(&event["lastTimestamp"]) {
        "" => first_seen(event, now),
        last => age(last, now),
    }
}

/// How often it was seen.
fn count(event: &Value) -> i64 {
    match given(&event["series"]) {
        true => number(&event["series"]["count"]),
        false => number(&event["count"]).max(1),
    }
}

/// What it is about.
fn object_of(about: &Value) -> String {
    let kind = text(&about["kind"]).to_lowercase();
    match text(&about["name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

/// Who reported it.
fn source(event: &Value) -> String {
    let or = |a: &Value, b: &Value| if text(a).is_empty() { text(b).to_string() } else { text(a).to_string() };
    let component = or(&event["source"]["component"], &event["reportingComponent"]);
    match or(&event["source"]["host"], &event["reportingInstance"]).as_str() {
        "" => component,
        instance => format!("{component}, {instance}"),
    }
}

struct EventHooks;

impl Hooks for EventHooks {
    /// Upstream has no rule of its own.
    fn validate_name(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn creates_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        drop_zero(object, &["count", "action"]);
    }

    fn prepare_create(&self, _: &mut Value) {}

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate(object, "reportingComponent")
    }
}

/// The rules for every event, in the core group's names but for `reporter`.
pub fn validate(event: &Value, reporter: &str) -> Errors {
    const DEFAULT: &str = "default";
    let mut errors = Vec::new();
    let (namespace, about) = (meta::namespace(event), text(&event["involvedObject"]["namespace"]));
    let mismatch = "does not match event.namespace";
    if text(&event["eventTime"]).is_empty() {
        let fits = match about {
            "" => namespace.is_empty() || namespace == DEFAULT,
            about => about == namespace,
        };
        if !fits {
            errors.push(Error::invalid("involvedObject.namespace", about, mismatch));
        }
        return errors;
    }
    if about.is_empty() && !matches!(namespace, DEFAULT | "kube-system") {
        errors.push(Error::invalid("involvedObject.namespace", about, mismatch));
    }
    let controller = text(&event["reportingComponent"]);
    if controller.is_empty() {
        errors.push(Error::required(reporter, ""));
    }
    format(&mut errors, &Path::new(reporter), controller, formats::qualified_name);
    for (field, most, needed) in [
        ("reportingInstance", 128, true),
        ("action", 128, true),
        ("reason", 128, true),
        ("message", 1024, false),
    ] {
        let value = text(&event[field]);
        if needed && value.is_empty() {
            errors.push(Error::required(field, ""));
        }
        if value.len() > most {
            errors.push(Error::invalid(field, "", format!("can have at most {most} characters")));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |event: Value, expected: &[&str]| {
            let texts: Vec<String> = EventHooks.validate(&event).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        let in_a = json!({"namespace": "a"});
        check(json!({"metadata": in_a, "involvedObject": {"namespace": "a"}}), &[]);
        check(
            json!({"metadata": in_a, "involvedObject": {"namespace": "b"}}),
            &["involvedObject.namespace: Invalid value: \"b\": does not match event.namespace"],
        );
        check(
            json!({
                "metadata": in_a, "involvedObject": {"namespace": "a"}, "eventTime": "2026-01-01T00:00:00.000000Z",
                "reportingComponent": "x", "reportingInstance": "y", "reason": "R",
            }),
            &["action: Required value"],
        );
    }
}
