//! What a claim asks for, in a ResourceClaim or its template.

use crate::features::{Feature, enabled};
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{Errors, POSITIVE, format, required_format};
use crate::kinds::devices::{
    MOST_REQUESTS, configuration, each, each_of_set, fully_qualified_name, name, selectors, toleration,
};
use crate::kinds::values::{default_if_zero, field_mut, given, list, list_mut, number, remove, size, text};
use serde_json::Value;

const MOST_ALTERNATIVES: usize = 8;

/// Fills in defaults.
pub fn default(spec: &mut Value) {
    for request in list_mut(&mut spec["devices"], "requests") {
        if let Some(exactly) = field_mut(request, "exactly") {
            default_request(exactly);
        }
        list_mut(request, "firstAvailable").iter_mut().for_each(default_request);
    }
}

/// A request is for one device unless it says otherwise.
pub fn default_request(request: &mut Value) {
    default_if_zero(request, "allocationMode", "ExactCount");
    if request["allocationMode"] == "ExactCount" {
        default_if_zero(request, "count", 1);
    }
    default_tolerations(request);
}

/// A toleration is of one value unless it says otherwise.
pub fn default_tolerations(of: &mut Value) {
    for toleration in list_mut(of, "tolerations") {
        default_if_zero(toleration, "operator", "Equal");
    }
}

/// Drops fields whose features are off, unless the old spec has them.
pub fn drop_disabled(spec: &mut Value, old: Option<&Value>) {
    let old = old.unwrap_or(&Value::Null);
    let off = |feature: Feature, used: fn(&Value) -> bool| !enabled(feature) && !requests(old).any(used);
    if off(Feature::DRAPrioritizedList, |r| size(&r["firstAvailable"]) > 0) {
        drop_from(spec, |request| drop(remove(request, "firstAvailable")));
    }
    if off(Feature::DRADeviceTaints, |r| alternatives(r).any(|a| size(&a["tolerations"]) > 0)) {
        drop_from(spec, |request| of_alternatives(request, "tolerations"));
    }
    if off(Feature::DRAAdminAccess, |r| given(&r["exactly"]["adminAccess"])) {
        drop_from(spec, |request| drop(field_mut(request, "exactly").and_then(|e| remove(e, "adminAccess"))));
    }
    let distinct = list(&old["devices"]["constraints"]).iter().any(|c| given(&c["distinctAttribute"]));
    if !distinct && off(Feature::DRAConsumableCapacity, |r| alternatives(r).any(|a| given(&a["capacity"]))) {
        drop_from(spec, |request| of_alternatives(request, "capacity"));
        for constraint in list_mut(&mut spec["devices"], "constraints") {
            remove(constraint, "distinctAttribute");
        }
    }
}

fn requests(spec: &Value) -> impl Iterator<Item = &Value> {
    list(&spec["devices"]["requests"]).iter()
}

/// What would do for a request: the one thing it asks for, or each of several.
fn alternatives(request: &Value) -> impl Iterator<Item = &Value> {
    std::iter::once(&request["exactly"]).chain(list(&request["firstAvailable"]))
}

fn drop_from(spec: &mut Value, change: fn(&mut Value)) {
    list_mut(&mut spec["devices"], "requests").iter_mut().for_each(change);
}

fn of_alternatives(request: &mut Value, field: &str) {
    if let Some(exactly) = field_mut(request, "exactly") {
        remove(exactly, field);
    }
    for alternative in list_mut(request, "firstAvailable") {
        remove(alternative, field);
    }
}

/// The rules of a new spec.
pub fn validate(errors: &mut Errors, path: &Path, spec: &Value) {
    let (path, devices) = (path.child("devices"), &spec["devices"]);
    each_of_set(errors, &path.child("requests"), &devices["requests"], MOST_REQUESTS, name, request);
    each(errors, &path.child("constraints"), &devices["constraints"], MOST_REQUESTS, |errors, path, item| {
        constraint(errors, path, item, spec);
    });
    each(errors, &path.child("config"), &devices["config"], MOST_REQUESTS, |errors, path, config| {
        request_references(errors, &path.child("requests"), &config["requests"], spec);
        configuration(errors, path, config, false);
    });
}

fn request(errors: &mut Errors, path: &Path, request: &Value) {
    format(errors, &path.child("name"), name(request), formats::dns_label);
    match (size(&request["firstAvailable"]) > 0, given(&request["exactly"])) {
        (false, false) => {
            errors.push(Error::required(path, "exactly one of `exactly` or `firstAvailable` is required"));
        }
        (true, true) => {
            let detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(Error::invalid(path, Value::Null, detail));
        }
        (true, false) => {
            let (path, all) = (path.child("firstAvailable"), &request["firstAvailable"]);
            each_of_set(errors, &path, all, MOST_ALTERNATIVES, name, |errors, path, item| {
                format(errors, &path.child("name"), name(item), formats::dns_label);
                alternative(errors, path, item);
            });
        }
        (false, true) => alternative(errors, &path.child("exactly"), &request["exactly"]),
    }
}

fn alternative(errors: &mut Errors, path: &Path, request: &Value) {
    let class = text(&request["deviceClassName"]);
    required_format(errors, &path.child("deviceClassName"), class, formats::dns_subdomain);
    selectors(errors, &path.child("selectors"), &request["selectors"]);
    let (at, count) = (path.child("count"), number(&request["count"]));
    match text(&request["allocationMode"]) {
        "All" if count != 0 => {
            errors.push(Error::invalid(at, count, "must not be specified when allocationMode is 'All'"));
        }
        "All" => {}
        "ExactCount" if count <= 0 => errors.push(Error::invalid(at, count, POSITIVE)),
        "ExactCount" => {}
        other => {
            let at = path.child("allocationMode");
            errors.push(Error::not_supported(at, other, &["All", "ExactCount"]));
        }
    }
    let at = path.child("tolerations");
    for (i, item) in list(&request["tolerations"]).iter().enumerate() {
        toleration(errors, &at.index(i), item);
    }
}

fn constraint(errors: &mut Errors, path: &Path, constraint: &Value, spec: &Value) {
    request_references(errors, &path.child("requests"), &constraint["requests"], spec);
    let named = ["matchAttribute", "distinctAttribute"].into_iter().find(|field| given(&constraint[*field]));
    match named {
        Some(field) => fully_qualified_name(errors, &path.child(field), text(&constraint[field])),
        None if enabled(Feature::DRAConsumableCapacity) => {
            let detail = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields \
                          are set";
            errors.push(Error::required(path, detail));
        }
        None => errors.push(Error::required(path.child("matchAttribute"), "")),
    }
}

/// Names of a claim's requests.
pub fn request_references(errors: &mut Errors, path: &Path, names: &Value, spec: &Value) {
    each_of_set(errors, path, names, MOST_REQUESTS, text, |errors, path, name| {
        request_reference(errors, path, text(name), spec);
    });
}

/// The name of one of a claim's requests, or of one of its alternatives as `request/alternative`.
pub fn request_reference(errors: &mut Errors, path: &Path, reference: &str, spec: &Value) {
    let detail = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    let parts: Vec<&str> = reference.split('/').collect();
    if parts.len() > 2 {
        errors.push(Error::invalid(path, reference, detail));
        return;
    }
    for part in &parts {
        format(errors, path, part, formats::dns_label);
    }
    let of = requests(spec).find(|request| name(request) == parts[0]);
    let found = of.is_some_and(|request| match parts.get(1) {
        None => true,
        Some(part) => list(&request["firstAvailable"]).iter().any(|a| name(a) == *part),
    });
    if !found {
        errors.push(Error::invalid(path, reference, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::during;
    use serde_json::json;

    fn spec(request: Value) -> Value {
        let mut spec = json!({"devices": {"requests": [request]}});
        default(&mut spec);
        spec
    }

    fn texts(spec: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        validate(&mut errors, &Path::new("spec"), spec);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn requests_have_one_form() {
        let check = |request: Value, expected: &[&str]| assert_eq!(texts(&spec(request)), expected);
        check(json!({"name": "r", "exactly": {"deviceClassName": "c"}}), &[]);
        check(json!({"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "c"}]}), &[]);
        check(
            json!({"name": "r"}),
            &["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"],
        );
        check(
            json!({"name": "r", "exactly": {"deviceClassName": "c"}, "firstAvailable": [{}]}),
            &["spec.devices.requests[0]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, \
               but multiple fields are set"],
        );
        check(
            json!({"name": "r", "exactly": {"allocationMode": "All", "count": 1}}),
            &[
                "spec.devices.requests[0].exactly.deviceClassName: Required value",
                "spec.devices.requests[0].exactly.count: Invalid value: 1: must not be specified when allocationMode is 'All'",
            ],
        );
        check(
            json!({"name": "r", "exactly": {"deviceClassName": "c", "count": -1}}),
            &["spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero"],
        );
    }

    #[test]
    fn references_name_requests() {
        let check = |reference: &str, wrong: usize| {
            let spec = spec(json!({"name": "r", "firstAvailable": [{"name": "a"}]}));
            let mut errors = Vec::new();
            request_reference(&mut errors, &Path::new("request"), reference, &spec);
            assert_eq!(errors.len(), wrong, "{reference}: {errors:?}");
        };
        check("r", 0);
        check("r/a", 0);
        check("r/b", 1);
        check("s", 1);
        check("r/a/b", 1);
        check("R", 2);
    }

    #[test]
    fn constraints_name_an_attribute() {
        let check = |constraint: Value, expected: usize| {
            let mut spec = spec(json!({"name": "r", "exactly": {"deviceClassName": "c"}}));
            spec["devices"]["constraints"] = json!([constraint]);
            assert_eq!(texts(&spec).len(), expected, "{constraint}");
        };
        check(json!({"matchAttribute": "a.b/c"}), 0);
        check(json!({"distinctAttribute": "a.b/c", "requests": ["r"]}), 0);
        check(json!({"matchAttribute": "c"}), 1);
        check(json!({"requests": ["r", "r"], "matchAttribute": "a.b/c"}), 1);
        check(json!({}), 1);
    }

    #[test]
    fn fields_go_with_their_features() {
        let full = json!({"devices": {
            "requests": [
                {"name": "a", "exactly": {"adminAccess": true, "capacity": {}, "tolerations": [{}]}},
                {"name": "b", "firstAvailable": [{"capacity": {}, "tolerations": [{}]}]},
            ],
            "constraints": [{"distinctAttribute": "a.b/c"}],
        }});
        let check = |feature: Feature, gone: &[&str]| {
            let dropped = |old: Option<&Value>| {
                let mut new = full.clone();
                during(feature, false, || drop_disabled(&mut new, old));
                new
            };
            assert_eq!(dropped(Some(&full)), full);
            let mut expected = full.clone();
            for pointer in gone {
                let (parent, field) = pointer.rsplit_once('/').unwrap();
                remove(expected.pointer_mut(parent).unwrap(), field);
            }
            assert_eq!(dropped(None), expected, "{}", feature.name());
        };
        let of = ["/devices/requests/0/exactly", "/devices/requests/1/firstAvailable/0"];
        let both = |field: &str| of.map(|at| format!("{at}/{field}"));
        let tolerations = both("tolerations");
        check(Feature::DRADeviceTaints, &[&tolerations[0], &tolerations[1]]);
        let capacity = both("capacity");
        let constraint = "/devices/constraints/0/distinctAttribute";
        check(Feature::DRAConsumableCapacity, &[&capacity[0], &capacity[1], constraint]);
        check(Feature::DRAPrioritizedList, &["/devices/requests/1/firstAvailable"]);
        check(Feature::DRAAdminAccess, &["/devices/requests/0/exactly/adminAccess"]);
    }
}
