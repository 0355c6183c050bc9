//! Conditions as many kinds' status has them. Source: k8s.io/apimachinery/pkg/apis/meta/v1/validation.

use super::checks::{Errors, format};
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::values::{given, number, repeats, text};
use serde_json::Value;

/// A value a condition's status may have.
pub const STATUSES: [&str; 3] = ["False", "True", "Unknown"];

/// Conditions must be well formed, and of different types.
pub fn conditions(errors: &mut Errors, path: &Path, conditions: &[Value]) {
    let repeated = repeats(conditions, |c| text(&c["type"]));
    for (i, condition) in conditions.iter().enumerate() {
        let path = path.index(i);
        let type_ = text(&condition["type"]);
        if repeated[i] {
            errors.push(Error::duplicate(path.child("type"), type_));
        }
        one(errors, &path, condition);
    }
}

fn one(errors: &mut Errors, path: &Path, condition: &Value) {
    const LONGEST_REASON: usize = 1 << 10;
    const LONGEST_MESSAGE: usize = 32 << 10;
    format(
        errors,
        &path.child("type"),
        text(&condition["type"]),
        formats::qualified_name,
    );
    let status = text(&condition["status"]);
    if !STATUSES.contains(&status) {
        errors.push(Error::not_supported(path.child("status"), status, &STATUSES));
    }
    let generation = number(&condition["observedGeneration"]);
    if generation < 0 {
        let detail = "must be greater than or equal to zero";
        errors.push(Error::invalid(
            path.child("observedGeneration"),
            generation,
            detail,
        ));
    }
    if !given(&condition["lastTransitionTime"]) {
        errors.push(Error::required(path.child("lastTransitionTime"), ""));
    }
    let (at, reason) = (path.child("reason"), text(&condition["reason"]));
    if reason.is_empty() {
        errors.push(Error::required(at, ""));
    } else {
        format(errors, &at, reason, formats::condition_reason);
        if reason.len() > LONGEST_REASON {
            errors.push(Error::too_long(at, LONGEST_REASON));
        }
    }
    if text(&condition["message"]).len() > LONGEST_MESSAGE {
        errors.push(Error::too_long(path.child("message"), LONGEST_MESSAGE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let good = json!({
            "type": "Ready", "status": "True", "reason": "Done", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let check = |all: &[Value], expected: &[&str]| {
            let mut errors = Vec::new();
            conditions(&mut errors, &Path::new("conditions"), all);
            let texts: Vec<String> = errors
                .iter()
                .map(|e| format!("{}: {}", e.field, e.kind.reason()))
                .collect();
            assert_eq!(texts, expected);
        };
        check(std::slice::from_ref(&good), &[]);
        check(
            &[good.clone(), good.clone()],
            &["conditions[1].type: FieldValueDuplicate"],
        );
        let with = |field: &str, value: Value| {
            let mut condition = good.clone();
            condition[field] = value;
            [condition]
        };
        check(
            &with("status", "Maybe".into()),
            &["conditions[0].status: FieldValueNotSupported"],
        );
        check(
            &with("observedGeneration", (-1).into()),
            &["conditions[0].observedGeneration: FieldValueInvalid"],
        );
        check(
            &with("lastTransitionTime", Value::Null),
            &["conditions[0].lastTransitionTime: FieldValueRequired"],
        );
        check(
            &with("reason", "".into()),
            &["conditions[0].reason: FieldValueRequired"],
        );
        check(
            &with("reason", "not one".into()),
            &["conditions[0].reason: FieldValueInvalid"],
        );
        check(
            &with("message", "a".repeat(40_000).into()),
            &["conditions[0].message: FieldValueTooLong"],
        );
    }
}
