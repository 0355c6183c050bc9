//! Fields of features that are off: they are dropped unless the old slice has them.

use super::device::LISTS;
use crate::features::{Feature, enabled};
use crate::kinds::values::{entries, given, list, list_mut, remove, size};
use serde_json::Value;

const NODES: [&str; 3] = ["nodeName", "nodeSelector", "allNodes"];
const BINDING: [&str; 2] = ["bindingConditions", "bindingFailureConditions"];

/// Drops such fields of a spec.
pub fn drop_disabled(spec: &mut Value, old: Option<&Value>) {
    let old = old.unwrap_or(&Value::Null);
    let off = |features: &[Feature], used: fn(&Value) -> bool| {
        !features.iter().all(|feature| enabled(*feature)) && !list(&old["devices"]).iter().any(used)
    };
    if off(&[Feature::DRADeviceTaints], |d| size(&d["taints"]) > 0) {
        drop_from(spec, &["taints"]);
    }
    let partitions = |d: &Value| size(&d["consumesCounters"]) > 0 || NODES.iter().any(|field| given(&d[*field]));
    let had_partitions = size(&old["sharedCounters"]) > 0 || given(&old["perDeviceNodeSelection"]);
    if off(&[Feature::DRAPartitionableDevices], partitions) && !had_partitions {
        remove(spec, "sharedCounters");
        remove(spec, "perDeviceNodeSelection");
        drop_from(spec, &["consumesCounters"]);
        drop_from(spec, &NODES);
    }
    let binding = |d: &Value| given(&d["bindsToNode"]) || BINDING.iter().any(|field| size(&d[*field]) > 0);
    if off(&[Feature::DRADeviceBindingConditions, Feature::DRAResourceClaimDeviceStatus], binding) {
        drop_from(spec, &BINDING);
        drop_from(spec, &["bindsToNode"]);
    }
    let shared = |d: &Value| {
        given(&d["allowMultipleAllocations"]) || entries(&d["capacity"]).any(|(_, c)| given(&c["requestPolicy"]))
    };
    if off(&[Feature::DRAConsumableCapacity], shared) {
        drop_from(spec, &["allowMultipleAllocations"]);
        drop_from_entries(spec, "capacity", &["requestPolicy"]);
    }
    if off(&[Feature::DRANodeAllocatableResources], |d| size(&d["nodeAllocatableResourceMappings"]) > 0) {
        drop_from(spec, &["nodeAllocatableResourceMappings"]);
    }
    let lists = |d: &Value| entries(&d["attributes"]).any(|(_, a)| LISTS.iter().any(|field| given(&a[*field])));
    if off(&[Feature::DRAListTypeAttributes], lists) {
        drop_from_entries(spec, "attributes", &LISTS);
    }
}

fn drop_from(spec: &mut Value, fields: &[&str]) {
    for device in list_mut(spec, "devices") {
        for field in fields {
            remove(device, field);
        }
    }
}

fn drop_from_entries(spec: &mut Value, map: &str, fields: &[&str]) {
    for device in list_mut(spec, "devices") {
        let entries = device.get_mut(map).and_then(Value::as_object_mut);
        for entry in entries.into_iter().flat_map(|entries| entries.values_mut()) {
            for field in fields {
                remove(entry, field);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::during;
    use serde_json::json;

    #[test]
    fn fields_go_with_their_features() {
        let plain = json!({"name": "a", "attributes": {"x": {}}, "capacity": {"y": {"value": "1"}}});
        let mut full = plain.clone();
        let more = json!({
            "attributes": {"x": {"ints": [1]}}, "capacity": {"y": {"value": "1", "requestPolicy": {}}},
            "allowMultipleAllocations": true, "bindsToNode": true, "bindingConditions": ["b"],
            "bindingFailureConditions": ["c"], "consumesCounters": [{}], "nodeName": "n", "taints": [{}],
            "nodeAllocatableResourceMappings": {"cpu": {}},
        });
        full.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let full = json!({"perDeviceNodeSelection": true, "sharedCounters": [{}], "devices": [full]});
        let features = [
            Feature::DRADeviceTaints,
            Feature::DRAPartitionableDevices,
            Feature::DRADeviceBindingConditions,
            Feature::DRAConsumableCapacity,
            Feature::DRANodeAllocatableResources,
            Feature::DRAListTypeAttributes,
        ];
        fn with(features: &[Feature], on: bool, run: &mut dyn FnMut()) {
            match features {
                [] => run(),
                [first, rest @ ..] => during(*first, on, || with(rest, on, run)),
            }
        }
        let check = |on: bool, old: Option<&Value>, expected: &Value| {
            let mut new = full.clone();
            with(&features, on, &mut || drop_disabled(&mut new, old));
            assert_eq!(new, *expected);
        };
        check(true, None, &full);
        check(false, None, &json!({"devices": [plain]}));
        check(false, Some(&json!({"devices": [plain]})), &json!({"devices": [plain]}));
        check(false, Some(&full), &full);
    }
}
