//! A claim's status: the devices it got, who uses them, and how they do.

use super::spec::{default_tolerations, request_reference, request_references};
use crate::features::{Feature, enabled};
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{Errors, format, immutable, one_of};
use crate::kinds::conditions::conditions;
use crate::kinds::core::pod::node_selector;
use crate::kinds::devices::{
    MOST_REQUESTS, binding_conditions, configuration, driver, each, each_of_set, fits, pool, raw,
};
use crate::kinds::values::{given, list, list_mut, map_of, remove, size, text};
use crate::meta;
use serde_json::Value;

const MOST_CONSUMERS: usize = 256;
const MOST_CONDITIONS: usize = 8;
const LONGEST_DATA: usize = 10 << 10;
const MOST_ADDRESSES: usize = 16;

/// Fills in defaults.
pub fn default(claim: &mut Value) {
    results_mut(claim).for_each(default_tolerations);
}

/// Drops fields whose features are off, and what is told of devices that the claim has no more.
pub fn prepare(object: &mut Value, old: &Value) {
    drop_disabled(object, old);
    let known = enabled(Feature::DRAResourceClaimDeviceStatus) || size(&old["status"]["devices"]) > 0;
    if !known {
        return;
    }
    let kept: Vec<[&str; 4]> = results(object).iter().map(device).collect();
    let gone = |told: &Value| {
        let was = results(old).iter().any(|result| device(result) == device(told));
        was && !kept.contains(&device(told))
    };
    let told = list(&object["status"]["devices"]);
    let left: Vec<Value> = told.iter().filter(|told| !gone(told)).cloned().collect();
    if left.len() < told.len() {
        object["status"]["devices"] = left.into();
    }
    if size(&object["status"]["devices"]) == 0 {
        remove(map_of(object, "status"), "devices");
    }
}

fn results(claim: &Value) -> &[Value] {
    list(&claim["status"]["allocation"]["devices"]["results"])
}

fn results_mut(claim: &mut Value) -> impl Iterator<Item = &mut Value> {
    let results = claim.pointer_mut("/status/allocation/devices/results");
    results.and_then(Value::as_array_mut).into_iter().flatten()
}

/// What tells a device, or a share of it, from all others.
fn device(of: &Value) -> [&str; 4] {
    ["driver", "pool", "device", "shareID"].map(|field| text(&of[field]))
}

fn drop_disabled(object: &mut Value, old: &Value) {
    let off = |feature: Feature, fields: &[&str]| {
        let used = results(old).iter().any(|result| fields.iter().any(|field| given(&result[*field])));
        !enabled(feature) && !used
    };
    if !enabled(Feature::DRAResourceClaimDeviceStatus) && size(&old["status"]["devices"]) == 0 {
        remove(map_of(object, "status"), "devices");
    }
    let spec_requests = || list(&old["spec"]["devices"]["requests"]).iter();
    if off(Feature::DRAAdminAccess, &["adminAccess"])
        && !spec_requests().any(|request| given(&request["exactly"]["adminAccess"]))
    {
        drop_from_results(object, &["adminAccess"]);
    }
    let shared = ["shareID", "consumedCapacity"];
    if off(Feature::DRAConsumableCapacity, &shared)
        && !list(&old["status"]["devices"]).iter().any(|told| given(&told["shareID"]))
    {
        drop_from_results(object, &shared);
        for told in list_mut(map_of(object, "status"), "devices") {
            remove(told, "shareID");
        }
    }
    let binding = ["bindingConditions", "bindingFailureConditions"];
    if off(Feature::DRADeviceBindingConditions, &binding) {
        drop_from_results(object, &binding);
    }
}

fn drop_from_results(object: &mut Value, fields: &[&str]) {
    for result in results_mut(object) {
        for field in fields {
            remove(result, field);
        }
    }
}

/// The rules of a changed status.
pub fn validate(object: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let (path, status) = (Path::new("status"), &object["status"]);
    fn uid(consumer: &Value) -> &str {
        text(&consumer["uid"])
    }
    let at = path.child("reservedFor");
    each_of_set(&mut errors, &at, &status["reservedFor"], MOST_CONSUMERS, uid, |errors, path, consumer| {
        for field in ["resource", "name", "uid"] {
            if text(&consumer[field]).is_empty() {
                errors.push(Error::required(path.child(field), ""));
            }
        }
    });
    devices(&mut errors, &path.child("devices"), object);
    let (allocation, before) = (&status["allocation"], &old["status"]["allocation"]);
    let consumers = list(&status["reservedFor"]);
    let new_ones = consumers.iter().any(|consumer| !list(&old["status"]["reservedFor"]).contains(consumer));
    if !consumers.is_empty() && !given(allocation) {
        errors.push(Error::forbidden(at, "may not be specified when `allocated` is not set"));
    } else if meta::is_deleting(object) && new_ones {
        let detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errors.push(Error::forbidden(at, detail));
    }
    match (given(allocation), given(before)) {
        (true, true) => immutable(&mut errors, &path.child("allocation"), allocation, before),
        (true, false) => self::allocation(&mut errors, &path.child("allocation"), object),
        _ => {}
    }
    errors
}

fn allocation(errors: &mut Errors, path: &Path, claim: &Value) {
    let (allocation, spec) = (&claim["status"]["allocation"], &claim["spec"]);
    let (at, devices) = (path.child("devices"), &allocation["devices"]);
    each(errors, &at.child("results"), &devices["results"], MOST_REQUESTS, |errors, path, result| {
        request_reference(errors, &path.child("request"), text(&result["request"]), spec);
        identity(errors, path, result);
        binding_conditions(errors, path, result);
        share(errors, path, result);
    });
    each(errors, &at.child("config"), &devices["config"], 2 * MOST_REQUESTS, |errors, path, config| {
        one_of(errors, &path.child("source"), &config["source"], &["FromClaim", "FromClass"]);
        request_references(errors, &path.child("requests"), &config["requests"], spec);
        configuration(errors, path, config, false);
    });
    if given(&allocation["nodeSelector"]) {
        node_selector(errors, &path.child("nodeSelector"), &allocation["nodeSelector"]);
    }
}

/// Driver, pool and device must be named.
fn identity(errors: &mut Errors, path: &Path, of: &Value) {
    driver(errors, &path.child("driver"), &of["driver"]);
    pool(errors, &path.child("pool"), &of["pool"]);
    format(errors, &path.child("device"), text(&of["device"]), formats::dns_label);
}

fn share(errors: &mut Errors, path: &Path, of: &Value) {
    if given(&of["shareID"]) {
        format(errors, &path.child("shareID"), text(&of["shareID"]), formats::uuid);
    }
}

fn devices(errors: &mut Errors, path: &Path, claim: &Value) {
    let told = list(&claim["status"]["devices"]);
    for (i, one) in told.iter().enumerate() {
        let path = path.index(i);
        identity(errors, &path, one);
        share(errors, &path, one);
        if !results(claim).iter().any(|result| device(result) == device(one)) {
            let error = Error::invalid(path, Value::Null, "must be an allocated device in the claim");
            errors.push(error.showing(shown(one)));
        }
        let at = path.child("conditions");
        fits(errors, &at, list(&one["conditions"]), MOST_CONDITIONS);
        conditions(errors, &at, list(&one["conditions"]));
        if given(&one["data"]) {
            raw(errors, &path.child("data"), &one["data"], LONGEST_DATA);
        }
        network(errors, &path.child("networkData"), &one["networkData"]);
    }
    for (i, one) in told.iter().enumerate() {
        if told[..i].iter().any(|other| device(other) == device(one)) {
            errors.push(Error::duplicate(path.index(i), Value::Null).showing(shown(one)));
        }
    }
}

/// A device's name as errors show it.
fn shown(of: &Value) -> String {
    let [driver, pool, device, share] = device(of).map(Value::from);
    format!(r#"{{"Driver":{driver},"Pool":{pool},"Device":{device},"ShareID":{share}}}"#)
}

fn network(errors: &mut Errors, path: &Path, network: &Value) {
    for (field, longest) in [("interfaceName", 256), ("hardwareAddress", 128)] {
        if text(&network[field]).len() > longest {
            errors.push(Error::too_long(path.child(field), longest));
        }
    }
    each_of_set(errors, &path.child("ips"), &network["ips"], MOST_ADDRESSES, text, |errors, path, address| {
        format(errors, path, text(address), formats::interface_address);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claim(status: Value) -> Value {
        let requests = json!([{"name": "r", "exactly": {"deviceClassName": "c"}}]);
        json!({"metadata": {"name": "c"}, "spec": {"devices": {"requests": requests}}, "status": status})
    }

    fn result() -> Value {
        json!({"request": "r", "driver": "d.io", "pool": "p", "device": "a"})
    }

    fn allocated() -> Value {
        json!({"allocation": {"devices": {"results": [result()]}}})
    }

    #[test]
    fn rules() {
        let check = |new: Value, old: Value, expected: &[&str]| {
            let errors = validate(&claim(new), &claim(old));
            let texts: Vec<String> = errors.iter().map(|e| format!("{}: {}", e.field, e.kind.reason())).collect();
            assert_eq!(texts, expected);
        };
        check(allocated(), json!({}), &[]);
        check(
            json!({"reservedFor": [{"resource": "pods", "name": "p", "uid": "1"}]}),
            json!({}),
            &["status.reservedFor: FieldValueForbidden"],
        );
        check(
            json!({"allocation": {"devices": {"results": [{"request": "s"}]}}}),
            json!({}),
            &[
                "status.allocation.devices.results[0].request: FieldValueInvalid",
                "status.allocation.devices.results[0].driver: FieldValueRequired",
                "status.allocation.devices.results[0].pool: FieldValueRequired",
                "status.allocation.devices.results[0].device: FieldValueInvalid",
            ],
        );
        let mut other = allocated();
        other["allocation"]["devices"]["results"][0]["device"] = "b".into();
        check(other, allocated(), &["status.allocation: FieldValueInvalid"]);
        let told = |change: fn(&mut Value)| {
            let mut status = allocated();
            let mut one = json!({"driver": "d.io", "pool": "p", "device": "a"});
            change(&mut one);
            status["devices"] = json!([one]);
            status
        };
        check(told(|_| {}), allocated(), &[]);
        check(told(|one| one["device"] = "b".into()), allocated(), &["status.devices[0]: FieldValueInvalid"]);
        check(
            told(|one| one["networkData"] = json!({"ips": ["10.0.0.1/24", "10.0.0.01/8"]})),
            allocated(),
            &["status.devices[0].networkData.ips[1]: FieldValueInvalid"],
        );
        check(told(|one| one["data"] = json!([])), allocated(), &["status.devices[0].data: FieldValueInvalid"]);
    }

    #[test]
    fn what_is_told_of_devices_goes_with_them() {
        let told = json!([{"driver": "d.io", "pool": "p", "device": "a"}]);
        let mut old = claim(allocated());
        old["status"]["devices"] = told.clone();
        let check = |new: Value, expected: Value| {
            let mut new = claim(new);
            prepare(&mut new, &old);
            assert_eq!(new["status"], expected);
        };
        check(json!({"devices": told}), json!({}));
        let mut kept = allocated();
        kept["devices"] = told.clone();
        check(kept.clone(), kept);
    }
}
