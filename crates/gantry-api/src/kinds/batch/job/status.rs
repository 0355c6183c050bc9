//! The rules for changes of a job's status. Jobs may be managed by others than the built-in controller, so what its
//! clients rely on is checked here: each rule when what it speaks of has changed.
//!
//! Source: validateJobStatus in pkg/apis/batch/validation and getStatusValidationOptions in pkg/registry/batch/job.

use super::indexes;
use crate::field::{Error, Path};
use crate::kinds::checks::{Errors, nonnegative};
use crate::kinds::values::{flag, given, list, number, same, size, text};
use serde_json::Value;

/// Whether a condition has a status.
pub fn is(object: &Value, kind: &str, status: &str) -> bool {
    list(&object["status"]["conditions"]).iter().any(|c| c["type"] == kind && c["status"] == status)
}

fn has(object: &Value, kind: &str) -> bool {
    is(object, kind, "True")
}

fn is_finished(object: &Value) -> bool {
    has(object, "Complete") || has(object, "Failed")
}

/// Counts whose absence means 0. Others that are absent are unknown.
const COUNTS: [&str; 3] = ["active", "succeeded", "failed"];

/// What has changed from the old job to the new.
struct Change<'a> {
    new: &'a Value,
    old: &'a Value,
}

impl Change<'_> {
    /// Whether a condition came or went.
    fn of(&self, kind: &str) -> bool {
        has(self.new, kind) != has(self.old, kind)
    }

    /// Whether a field of the status is another.
    fn in_status(&self, field: &str) -> bool {
        // A count that is 0 is written or not.
        let value = |job: &Value| match &job["status"][field] {
            Value::Number(n) if n.as_i64() == Some(0) && COUNTS.contains(&field) => Value::Null,
            value => value.clone(),
        };
        value(self.new) != value(self.old)
    }
}

/// The rules for a change of the status.
pub fn update(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("status");
    let change = Change { new, old };
    counts(&mut errors, &path, &new["status"]);
    completion(&mut errors, &path, &change);
    finished(&mut errors, &path, &change);
    of_indexes(&mut errors, &path, &change);
    success(&mut errors, &path, &change);
    backwards(&mut errors, &path, &change);
    errors
}

fn counts(errors: &mut Errors, path: &Path, status: &Value) {
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        nonnegative(errors, &path.child(field), &status[field]);
    }
    let path = path.child("uncountedTerminatedPods");
    let mut seen: Vec<&str> = Vec::new();
    for field in ["succeeded", "failed"] {
        let path = path.child(field);
        for (i, uid) in list(&status["uncountedTerminatedPods"][field]).iter().enumerate() {
            let uid = text(uid);
            if uid.is_empty() {
                errors.push(Error::invalid(path.index(i), "", "must not be empty"));
            } else if seen.contains(&uid) {
                errors.push(Error::duplicate(path.index(i), uid));
            } else {
                seen.push(uid);
            }
        }
    }
}

fn completion(errors: &mut Errors, path: &Path, change: &Change) {
    let (new, status) = (change.new, &change.new["status"]);
    let (at, conditions) = (path.child("completionTime"), path.child("conditions"));
    let (complete, failed) = (has(new, "Complete"), has(new, "Failed"));
    let mut together = |changed: bool, other: &str, name: &str| {
        if changed && complete && has(new, other) {
            let detail = format!("cannot set Complete=True and {name}=true conditions");
            errors.push(Error::malformed(conditions, detail));
        }
    };
    let (completed, failing) = (change.of("Complete"), change.of("Failed"));
    together(completed || failing, "Failed", "Failed");
    together(completed || change.of("FailureTarget"), "FailureTarget", "FailureTarget");
    let (ended, begun) = (&status["completionTime"], &status["startTime"]);
    let moved = change.in_status("completionTime");
    if completed || moved {
        if given(ended) && !complete {
            let detail = "cannot set completionTime when there is no Complete=True condition";
            errors.push(Error::invalid(at, ended.clone(), detail));
        }
        if !given(ended) && complete {
            errors.push(Error::required(at, "completionTime is required for Complete jobs"));
        }
    }
    // Times in one zone and of one form compare as texts.
    if (moved || change.in_status("startTime")) && given(begun) && given(ended) && text(ended) < text(begun) {
        errors.push(Error::invalid(at, ended.clone(), "must be equal to or after `startTime`"));
    }
    let mut needs = |changed: bool, set: bool, kind: &str, needed: &str| {
        if changed && set && !has(new, needed) {
            let detail = format!("cannot set {kind}=True condition without the {needed}=true condition");
            errors.push(Error::malformed(conditions, detail));
        }
    };
    needs(failing || change.in_status("failedIndexes"), failed, "Failed", "FailureTarget");
    let changed = completed || change.of("SuccessCriteriaMet");
    needs(changed, complete, "Complete", "SuccessCriteriaMet");
}

fn finished(errors: &mut Errors, path: &Path, change: &Change) {
    let (new, status) = (change.new, &change.new["status"]);
    if !is_finished(new) {
        return;
    }
    let ended = !is_finished(change.old);
    if (ended || change.in_status("active")) && number(&status["active"]) > 0 {
        let detail = "active>0 is invalid for finished job";
        errors.push(Error::invalid(path.child("active"), status["active"].clone(), detail));
    }
    let nothing_to_do = flag(&new["spec"]["suspend"]) && new["spec"]["completions"] == 0;
    if (ended || change.in_status("startTime")) && !nothing_to_do && !given(&status["startTime"]) {
        errors.push(Error::required(path.child("startTime"), "startTime is required for finished job"));
    }
    let uncounted = &status["uncountedTerminatedPods"];
    let left = size(&uncounted["failed"]) + size(&uncounted["succeeded"]);
    if (ended || !same(uncounted, &change.old["status"]["uncountedTerminatedPods"])) && left > 0 {
        let detail = "must be empty for finished job";
        errors.push(Error::invalid(path.child("uncountedTerminatedPods"), uncounted.clone(), detail));
    }
}

fn of_indexes(errors: &mut Errors, path: &Path, change: &Change) {
    let (spec, status) = (&change.new["spec"], &change.new["status"]);
    let (done, failed) = (&status["completedIndexes"], &status["failedIndexes"]);
    let (at_done, at_failed) = (path.child("completedIndexes"), path.child("failedIndexes"));
    let (done_changed, failed_changed) = (change.in_status("completedIndexes"), change.in_status("failedIndexes"));
    let completions = spec["completions"].as_i64();
    let per_index = given(&spec["backoffLimitPerIndex"]);
    let mut readable = |changed: bool, at: &Path, field: &str, value: &Value| {
        if let (true, Some(completions)) = (changed, completions)
            && let Err(problem) = indexes::count(text(value), completions)
        {
            errors.push(Error::invalid(at, value.clone(), format!("error parsing {field}: {problem}")));
        }
    };
    readable(done_changed, &at_done, "completedIndexes", done);
    readable(failed_changed && per_index && given(failed), &at_failed, "failedIndexes", failed);
    if done_changed && !text(done).is_empty() && spec["completionMode"] != "Indexed" {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(Error::invalid(at_done, done.clone(), detail));
    }
    if failed_changed && !per_index && given(failed) {
        let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(Error::invalid(at_failed, failed.clone(), detail));
    }
    if let (true, Some(completions)) = (done_changed || failed_changed, completions)
        && let Some(index) = indexes::common(text(done), text(failed), completions)
    {
        let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
        errors.push(Error::invalid(at_failed, failed.clone(), detail));
    }
}

fn success(errors: &mut Errors, path: &Path, change: &Change) {
    let (new, status) = (change.new, &change.new["status"]);
    let ended = is_finished(new) != is_finished(change.old);
    if (ended || change.in_status("terminating")) && is_finished(new) && number(&status["terminating"]) > 0 {
        let detail = "terminating>0 is invalid for finished job";
        errors.push(Error::invalid(path.child("terminating"), status["terminating"].clone(), detail));
    }
    let more_ready = number(&status["ready"]) > number(&status["active"]);
    if (change.in_status("ready") || change.in_status("active")) && given(&status["ready"]) && more_ready {
        let detail = "cannot set more ready pods than active";
        errors.push(Error::invalid(path.child("ready"), status["ready"].clone(), detail));
    }
    let met = has(new, "SuccessCriteriaMet");
    let mut wrong = |when: bool, detail: &str| {
        if when {
            errors.push(Error::malformed(path.child("conditions"), detail));
        }
    };
    wrong(met && has(new, "Failed"), "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    wrong(met && has(new, "FailureTarget"), "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    wrong(
        given(&new["spec"]["successPolicy"]) && !met && has(new, "Complete"),
        "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
    );
}

/// What was reached is not undone.
fn backwards(errors: &mut Errors, path: &Path, change: &Change) {
    let (new, old) = (change.new, change.old);
    let conditions = path.child("conditions");
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if has(old, kind) && !has(new, kind) {
            let detail = format!("cannot disable the terminal {kind}=True condition");
            errors.push(Error::malformed(conditions, detail));
        }
    }
    let (spec, status, before) = (&new["spec"], &new["status"], &old["status"]);
    let scales = spec["completionMode"] == "Indexed" && spec["completions"] == spec["parallelism"];
    for (field, fixed) in [("failed", true), ("succeeded", !scales)] {
        if fixed && number(&status[field]) < number(&before[field]) {
            let detail = format!("cannot decrease the {field} counter");
            errors.push(Error::invalid(path.child(field), number(&status[field]), detail));
        }
    }
    let (ended, ended_before) = (&status["completionTime"], &before["completionTime"]);
    if given(ended) && given(ended_before) && ended != ended_before {
        errors.push(Error::invalid(path.child("completionTime"), ended.clone(), "field is immutable"));
    }
    let resumes = has(old, "Suspended") && is(new, "Suspended", "False");
    let begun = &status["startTime"];
    if !resumes && given(&before["startTime"]) && *begun != before["startTime"] && !flag(&spec["suspend"]) {
        let detail = "field is immutable for unsuspended job once set";
        errors.push(Error::invalid(path.child("startTime"), begun.clone(), detail));
    }
    let (met, met_before) = (has(new, "SuccessCriteriaMet"), has(old, "SuccessCriteriaMet"));
    if met_before && !met {
        let detail = "cannot disable the SuccessCriteriaMet=True condition";
        errors.push(Error::malformed(conditions, detail));
    }
    if has(old, "Complete") && !met_before && met {
        let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.push(Error::malformed(conditions, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn conditions(kinds: &[&str]) -> Value {
        kinds.iter().map(|kind| json!({"type": kind, "status": "True"})).collect()
    }

    #[test]
    fn rules() {
        let check = |old: Value, new: Value, expected: &[&str]| {
            let job = |status: Value| json!({"spec": {"completions": 5}, "status": status});
            let texts: Vec<String> = update(&job(new), &job(old)).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        let (start, end) = ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z");
        check(json!({}), json!({"active": 1, "ready": 1, "startTime": start}), &[]);
        let complete = json!({
            "startTime": start, "completionTime": end, "succeeded": 5,
            "conditions": conditions(&["SuccessCriteriaMet", "Complete"]),
        });
        check(json!({"startTime": start}), complete.clone(), &[]);
        check(complete.clone(), complete.clone(), &[]);
        check(json!({}), json!({"startTime": start, "completionTime": end, "conditions": conditions(&["Complete"])}), &[
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true \
             condition",
        ]);
        check(json!({}), json!({"startTime": start, "conditions": conditions(&["Failed"])}), &[
            "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
        ]);
        check(json!({"startTime": start}), json!({"startTime": end}), &[
            "status.startTime: Invalid value: \"2026-01-01T00:01:00Z\": field is immutable for unsuspended job once set",
        ]);
        check(json!({"failed": 2}), json!({"failed": 1}), &[
            "status.failed: Invalid value: 1: cannot decrease the failed counter",
        ]);
        check(json!({}), json!({"ready": 2, "active": 1}), &[
            "status.ready: Invalid value: 2: cannot set more ready pods than active",
        ]);
        check(json!({}), json!({"completedIndexes": "1"}), &[
            "status.completedIndexes: Invalid value: \"1\": cannot set non-empty completedIndexes when non-indexed \
             completion mode",
        ]);
        check(json!({}), json!({"uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["a", ""]}}), &[
            "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"",
            "status.uncountedTerminatedPods.failed[1]: Invalid value: \"\": must not be empty",
        ]);
        check(complete, json!({"startTime": start, "completionTime": end, "succeeded": 5}), &[
            "status.completionTime: Invalid value: \"2026-01-01T00:01:00Z\": cannot set completionTime when there is no \
             Complete=True condition",
            "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
            "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
        ]);
    }
}
