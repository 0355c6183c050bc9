//! What PodGroups share with the templates for them that Workloads have.
//! Source: the validation tags in k8s.io/api/scheduling/v1alpha2, and pkg/registry/scheduling.

use super::checks::{Errors, format, optional_bounds, optional_format, optional_one_of, required_format};
use super::devices::{each, fits, name};
use crate::features::{Feature, enabled};
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::values::{given, list, remove, repeats, text};
use serde_json::Value;

/// The highest priority that is not the system's.
const HIGHEST: i64 = 1_000_000_000;
/// How many claims a group may have.
pub const MOST_CLAIMS: usize = 4;
const MOST_TOPOLOGIES: usize = 1;

/// The fields that come with features.
const GATED: [(&str, Feature); 5] = [
    ("schedulingConstraints", Feature::TopologyAwareWorkloadScheduling),
    ("resourceClaims", Feature::DRAWorkloadResourceClaims),
    ("disruptionMode", Feature::WorkloadAwarePreemption),
    ("priorityClassName", Feature::WorkloadAwarePreemption),
    ("priority", Feature::WorkloadAwarePreemption),
];

/// What is said of a change.
const IMMUTABLE: &str = "field is immutable";

/// Whether a field says something.
pub fn in_use(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        other => given(other),
    }
}

/// Removes fields of features that are off, unless `old` has them.
pub fn drop_disabled(spec: &mut Value, old: &Value) {
    for (field, feature) in GATED {
        if !enabled(feature) && !in_use(&old[field]) {
            remove(spec, field);
        }
    }
}

/// Notes that a field has changed. Upstream does not show what it would be.
pub fn changed(errors: &mut Errors, path: Path) {
    errors.push(Error::invalid(path, Value::Null, IMMUTABLE));
}

/// Checks what a new group, or template, says of how its pods are scheduled.
pub fn group(errors: &mut Errors, path: &Path, group: &Value) {
    policy(
        errors,
        &path.child("schedulingPolicy"),
        &group["schedulingPolicy"],
    );
    let at = path.child("schedulingConstraints");
    each(
        errors,
        &at.child("topology"),
        &group["schedulingConstraints"]["topology"],
        MOST_TOPOLOGIES,
        |errors, path, constraint| {
            required_format(
                errors,
                &path.child("key"),
                text(&constraint["key"]),
                formats::qualified_name,
            );
        },
    );
    claims(errors, &path.child("resourceClaims"), &group["resourceClaims"]);
    let modes = ["Pod", "PodGroup"];
    optional_one_of(
        errors,
        &path.child("disruptionMode"),
        &group["disruptionMode"],
        &modes,
    );
    if in_use(&group["priorityClassName"]) {
        let at = path.child("priorityClassName");
        format(errors, &at, text(&group["priorityClassName"]), formats::long_name);
    }
    optional_bounds(
        errors,
        &path.child("priority"),
        &group["priority"],
        i64::from(i32::MIN),
        HIGHEST,
    );
}

/// Checks the change of a group: nothing of it may, but what features that are off had left can go.
pub fn unchanged(errors: &mut Errors, path: &Path, new: &Value, old: &Value) {
    for field in ["podGroupTemplateRef", "schedulingPolicy"]
        .into_iter()
        .chain(GATED.map(|(field, _)| field))
    {
        if !in_use(&new[field]) && !in_use(&old[field]) || new[field] == old[field] {
            continue;
        }
        let gate = GATED
            .iter()
            .find(|(gated, _)| *gated == field && field != "resourceClaims");
        match gate.is_none_or(|(_, feature)| enabled(*feature)) {
            true => changed(errors, path.child(field)),
            false if in_use(&new[field]) => errors.push(Error::forbidden(path.child(field), "")),
            false => {}
        }
        if field == "resourceClaims" {
            fits(errors, &path.child(field), list(&new[field]), MOST_CLAIMS);
        }
    }
}

/// Of several fields exactly one must be there.
pub fn union(errors: &mut Errors, path: &Path, of: &Value, fields: &[&str]) {
    let quoted: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
    let all = quoted.join(", ");
    let found: Vec<&str> = fields
        .iter()
        .filter(|field| given(&of[**field]))
        .copied()
        .collect();
    match found.len() {
        0 => errors.push(Error::invalid(path, "", format!("must specify one of: {all}"))),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", found.join(", "));
            errors.push(Error::invalid(
                path,
                shown,
                format!("must specify exactly one of: {all}"),
            ));
        }
    }
}

fn policy(errors: &mut Errors, path: &Path, policy: &Value) {
    union(errors, path, policy, &["basic", "gang"]);
    if given(&policy["gang"]) {
        let at = path.child("gang");
        let at = at.child("minCount");
        match &policy["gang"]["minCount"] {
            none if none.as_i64().unwrap_or(0) == 0 => errors.push(Error::required(at, "")),
            count => optional_bounds(errors, &at, count, 1, i64::MAX),
        }
    }
}

fn claims(errors: &mut Errors, path: &Path, claims: &Value) {
    if !fits(errors, path, list(claims), MOST_CLAIMS) {
        return;
    }
    unique(errors, path, list(claims));
    each(errors, path, claims, MOST_CLAIMS, |errors, path, claim| {
        union(
            errors,
            path,
            claim,
            &["resourceClaimName", "resourceClaimTemplateName"],
        );
        required_format(errors, &path.child("name"), name(claim), formats::short_name);
        for field in ["resourceClaimName", "resourceClaimTemplateName"] {
            optional_format(errors, &path.child(field), &claim[field], formats::long_name);
        }
    });
}

/// No two items have the same name. The whole item is shown.
pub fn unique(errors: &mut Errors, path: &Path, items: &[Value]) {
    let repeated = repeats(items, name);
    for (i, item) in items.iter().enumerate() {
        if repeated[i] {
            errors.push(Error::duplicate(path.index(i), item.clone()));
        }
    }
}
