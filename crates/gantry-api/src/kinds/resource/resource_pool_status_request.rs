//! ResourcePoolStatusRequest

use crate::features::Feature;
use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, immutable, optional_bounds, optional_format, required_format};
use crate::kinds::columns::{age, column, name_column, or_none};
use crate::kinds::conditions::conditions;
use crate::kinds::devices::fits;
use crate::kinds::values::{default_to, given, list, map_of, number, same, size, text};
use crate::kinds::{usual};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        version: "v1alpha3".into(),
        feature: Some(Feature::DRAResourcePoolStatus),
        returns_deleted: true,
        subresources: vec![Subresource::Status],
        status_alone: true,
        columns: vec![
            name_column(),
            column("Driver", "string", |o, _| text(&o["spec"]["driver"]).into()),
            column("Total", "string", |o, _| total(o, "totalDevices")),
            column("Available", "string", |o, _| total(o, "availableDevices")),
            column("Allocated", "string", |o, _| total(o, "allocatedDevices")),
            column("Unavailable", "string", |o, _| total(o, "unavailableDevices")),
            column("Errors", "string", |o, _| sum(o, |pool| given(&pool["validationError"]).into())),
            column("Pools", "integer", |o, _| number(&o["status"]["poolCount"]).into()),
            column("Status", "string", |o, _| state(o).into()),
            column("Completed", "string", |o, now| match outcome(o) {
                Some(("Complete", condition)) => age(text(&condition["lastTransitionTime"]), now).into(),
                _ => or_none(""),
            }),
        ],
        hooks: Box::new(ResourcePoolStatusRequestHooks),
        ..usual(
            "resource.k8s.io",
            "ResourcePoolStatusRequest",
            "resourcepoolstatusrequests",
            Scope::Cluster,
        )
    }
}

/// How a request ended, and the condition that says so.
fn outcome(request: &Value) -> Option<(&'static str, &Value)> {
    list(&request["status"]["conditions"]).iter().filter(|c| c["status"] == "True").find_map(|condition| {
        let name = ["Complete", "Failed"].into_iter().find(|name| condition["type"] == **name)?;
        Some((name, condition))
    })
}

fn state(request: &Value) -> String {
    let (count, told) = (number(&request["status"]["poolCount"]), size(&request["status"]["pools"]));
    match outcome(request) {
        Some(("Complete", _)) if count > told as i64 => format!("Complete ({told}/{count} pools)"),
        Some((name, _)) => name.into(),
        None => "Pending".into(),
    }
}

fn total(request: &Value, field: &str) -> Value {
    sum(request, |pool| number(&pool[field]))
}

fn sum(request: &Value, of: impl Fn(&Value) -> i64) -> Value {
    let failed = outcome(request).is_some_and(|(name, _)| name == "Failed");
    match given(&request["status"]) && !failed {
        true => list(&request["status"]["pools"]).iter().map(of).sum::<i64>().to_string().into(),
        false => "-".into(),
    }
}

const MOST_POOLS: usize = 1000;
const MOST_CONDITIONS: usize = 10;
const LONGEST_ERROR: usize = 256;

struct ResourcePoolStatusRequestHooks;

impl Hooks for ResourcePoolStatusRequestHooks {
    fn default(&self, object: &mut Value) {
        default_to(map_of(object, "spec"), "limit", 100);
    }

    fn prepare_subresource(&self, _: Subresource, _: &mut Value, _: &Value) {}

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        let driver = text(&spec["driver"]);
        required_format(&mut errors, &path.child("driver"), driver, formats::long_name_caseless);
        if given(&spec["poolName"]) {
            pool_name(&mut errors, &path.child("poolName"), text(&spec["poolName"]));
        }
        optional_bounds(&mut errors, &path.child("limit"), &spec["limit"], 1, 1000);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        match same(&object["spec"], &old["spec"]) {
            true => Vec::new(),
            false => vec![Error::invalid("spec", Value::Null, "field is immutable")],
        }
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, new) = (Path::new("status"), &object["status"]);
        // An answer stands.
        if given(&old["status"]) {
            immutable(&mut errors, &path, new, &old["status"]);
        } else if given(new) {
            status(&mut errors, &path, new);
        }
        errors
    }

    fn needs_version(&self) -> bool {
        true
    }
}

fn status(errors: &mut Errors, path: &Path, status: &Value) {
    let (at, all) = (path.child("conditions"), list(&status["conditions"]));
    conditions(errors, &at, all);
    let at_count = path.child("poolCount");
    match &status["poolCount"] {
        Value::Null => errors.push(Error::required(at_count, "")),
        count => optional_bounds(errors, &at_count, count, 0, i64::MAX),
    }
    let (at_pools, pools) = (path.child("pools"), list(&status["pools"]));
    if fits(errors, &at_pools, pools, MOST_POOLS) {
        for (i, pool) in pools.iter().enumerate() {
            self::pool(errors, &at_pools.index(i), pool);
        }
    }
    if fits(errors, &at, all, MOST_CONDITIONS) {
        for (i, condition) in all.iter().enumerate() {
            if all[..i].iter().any(|other| other["type"] == condition["type"]) {
                errors.push(Error::duplicate(at.index(i), condition.clone()));
            }
        }
    }
}

fn pool(errors: &mut Errors, path: &Path, pool: &Value) {
    let driver = text(&pool["driver"]);
    required_format(errors, &path.child("driver"), driver, formats::long_name_caseless);
    match text(&pool["poolName"]) {
        "" => errors.push(Error::required(path.child("poolName"), "")),
        name => pool_name(errors, &path.child("poolName"), name),
    }
    let at = path.child("generation");
    match number(&pool["generation"]) {
        0 => errors.push(Error::required(at, "")),
        _ => optional_bounds(errors, &at, &pool["generation"], 0, i64::MAX),
    }
    optional_bounds(errors, &path.child("resourceSliceCount"), &pool["resourceSliceCount"], 1, i64::MAX);
    for field in ["totalDevices", "allocatedDevices", "availableDevices", "unavailableDevices"] {
        optional_bounds(errors, &path.child(field), &pool[field], 0, i64::MAX);
    }
    optional_format(errors, &path.child("nodeName"), &pool["nodeName"], formats::long_name);
    if text(&pool["validationError"]).len() > LONGEST_ERROR {
        errors.push(Error::too_long(path.child("validationError"), LONGEST_ERROR));
    }
}

/// A pool's name, in the words of upstream's declarative validation.
fn pool_name(errors: &mut Errors, path: &Path, name: &str) {
    const LONGEST: usize = 253;
    if name.len() > LONGEST {
        errors.push(Error::too_long(path, LONGEST));
    }
    for (i, part) in name.split('/').enumerate() {
        if part.is_empty() {
            errors.push(Error::invalid(path, name, format!("segment {i}: must not be empty")));
            continue;
        }
        for problem in formats::long_name(part) {
            errors.push(Error::invalid(path, part, format!("segment {i}: {problem}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HOOKS: ResourcePoolStatusRequestHooks = ResourcePoolStatusRequestHooks;

    #[test]
    fn rules() {
        let check = |spec: Value, expected: &[&str]| {
            let mut request = json!({"spec": spec});
            HOOKS.default(&mut request);
            let texts: Vec<String> = HOOKS.validate_create(&request).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(json!({"driver": "D.io", "poolName": "a/b", "limit": 1000}), &[]);
        check(
            json!({"poolName": "a//b", "limit": 1001}),
            &[
                "spec.driver: Required value",
                "spec.poolName: Invalid value: \"a//b\": segment 1: must not be empty",
                "spec.limit: Invalid value: 1001: must be less than or equal to 1000",
            ],
        );
    }

    #[test]
    fn an_answer_stands() {
        let check = |new: Value, old: Value, fields: &[&str]| {
            let (new, old) = (json!({"status": new}), json!({"status": old}));
            let errors = HOOKS.validate_subresource(Subresource::Status, &new, &old);
            let found: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
            assert_eq!(found, fields);
        };
        let answer = json!({"poolCount": 1, "pools": [{"driver": "d", "poolName": "p", "generation": 1}]});
        check(answer.clone(), Value::Null, &[]);
        check(json!({"poolCount": 2}), answer, &["status"]);
        check(
            json!({"pools": [{"driver": "d", "totalDevices": -1}]}),
            Value::Null,
            &[
                "status.poolCount",
                "status.pools[0].poolName",
                "status.pools[0].generation",
                "status.pools[0].totalDevices",
            ],
        );
    }

    #[test]
    fn states() {
        let check = |status: Value, expected: &str, devices: &str| {
            let request = json!({"status": status});
            assert_eq!(state(&request), expected);
            assert_eq!(total(&request, "totalDevices"), devices);
        };
        let condition = |type_: &str| json!([{"type": type_, "status": "True"}]);
        check(Value::Null, "Pending", "-");
        check(json!({"conditions": condition("Failed")}), "Failed", "-");
        let pools = json!([{"totalDevices": 3}, {"totalDevices": 4}]);
        check(json!({"conditions": condition("Complete"), "pools": pools, "poolCount": 2}), "Complete", "7");
        check(json!({"conditions": condition("Complete"), "pools": pools, "poolCount": 5}), "Complete (2/5 pools)", "7");
    }
}
