//! A device of a slice.

use super::{capacity, counters};
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{Errors, format, quantity};
use crate::kinds::core::pod::node_selector;
use crate::kinds::devices::{LONGEST_KEY, binding_conditions, each, each_of_set, name, qualified_name, taint};
use crate::kinds::resource_names;
use crate::kinds::values::{default_to, entries, given, list, list_mut, same, size, text};
use crate::meta;
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

const MOST_ENTRIES: usize = 32;
const MOST_VALUES: usize = 48;
const LONGEST_VALUE: usize = 64;
const MOST_TAINTS: usize = 16;
const MOST_COUNTER_SETS: usize = 2;
/// An attribute's fields that hold several values.
pub const LISTS: [&str; 4] = ["bools", "ints", "strings", "versions"];

static SEMVER: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"(0|[1-9]\d*)";
    let before = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)";
    let build = "[0-9a-zA-Z-]+";
    let pattern =
        format!(r"^{number}\.{number}\.{number}(-{before}(\.{before})*)?(\+{build}(\.{build})*)?$").replace(r"\d", "[0-9]");
    Regex::new(&pattern).expect("the pattern is a constant")
});

/// Fills in defaults of a slice's devices.
pub fn default(spec: &mut Value) {
    for device in list_mut(spec, "devices") {
        default_one(device);
    }
}

/// Fills in a device's defaults.
pub fn default_one(device: &mut Value) {
    for taint in list_mut(device, "taints") {
        default_to(taint, "timeAdded", meta::now());
    }
    let mappings = device.get_mut("nodeAllocatableResourceMappings").and_then(Value::as_object_mut);
    for mapping in mappings.into_iter().flat_map(|map| map.values_mut()) {
        default_to(mapping, "allocationMultiplier", "1");
    }
}

/// Whether a device says so much that a slice can hold fewer of them.
pub fn is_detailed(device: &Value) -> bool {
    let has_lists = |(_, attribute): (&String, &Value)| LISTS.iter().any(|field| given(&attribute[*field]));
    size(&device["taints"]) > 0
        || size(&device["consumesCounters"]) > 0
        || entries(&device["attributes"]).any(has_lists)
}

/// The rules for a device; taints that it had in `old` are not looked at again.
pub fn validate(errors: &mut Errors, path: &Path, device: &Value, old: Option<&Value>, selects_nodes: bool) {
    format(errors, &path.child("name"), name(device), formats::dns_label);
    let count = size(&device["attributes"]) + size(&device["capacity"]);
    if count > MOST_ENTRIES {
        let detail = format!("the total number of attributes and capacities must not exceed {MOST_ENTRIES}");
        errors.push(Error::invalid(path, count, detail));
    }
    let values: usize = entries(&device["attributes"]).map(|(_, attribute)| values_of(attribute)).sum();
    if values > MOST_VALUES {
        let detail = format!("the total number of attribute values must not exceed {MOST_VALUES}");
        errors.push(Error::invalid(path, values, detail));
    }
    each_entry(errors, &path.child("attributes"), &device["attributes"], attribute);
    let shared = device["allowMultipleAllocations"] == true;
    each_entry(errors, &path.child("capacity"), &device["capacity"], |errors, path, one| {
        capacity::validate(errors, path, one, shared);
    });
    if !old.is_some_and(|old| same(&old["taints"], &device["taints"])) {
        each(errors, &path.child("taints"), &device["taints"], MOST_TAINTS, |errors, path, one| {
            taint(errors, path, one, None);
        });
    }
    fn set(consumption: &Value) -> &str {
        text(&consumption["counterSet"])
    }
    let (at, sets) = (path.child("consumesCounters"), &device["consumesCounters"]);
    each_of_set(errors, &at, sets, MOST_COUNTER_SETS, set, |errors, path, consumption| {
        counters(errors, path, consumption, "counterSet");
    });
    nodes(errors, path, device, selects_nodes);
    binding_conditions(errors, path, device);
    mappings(errors, &path.child("nodeAllocatableResourceMappings"), device);
}

/// Each entry of a map must have a qualified name and obey a rule.
fn each_entry(errors: &mut Errors, path: &Path, map: &Value, rule: impl Fn(&mut Errors, &Path, &Value)) {
    for (key, value) in entries(map) {
        qualified_name(errors, path, key);
        rule(errors, &path.key(&shortened(key)), value);
    }
}

/// A key that is too long, without its middle.
fn shortened(key: &str) -> String {
    const ELLIPSIS: &str = "...";
    if key.len() <= LONGEST_KEY {
        return key.into();
    }
    let left = LONGEST_KEY - ELLIPSIS.len();
    let (head, tail) = (left.div_ceil(2), key.len() - left / 2);
    format!(
        "{}{ELLIPSIS}{}",
        &key[..key.floor_char_boundary(head)],
        &key[key.ceil_char_boundary(tail)..]
    )
}

/// How many values an attribute has.
fn values_of(attribute: &Value) -> usize {
    let all: usize = LISTS.iter().map(|field| size(&attribute[*field])).sum();
    all.max(1)
}

fn attribute(errors: &mut Errors, path: &Path, attribute: &Value) {
    string(errors, &path.child("string"), &attribute["string"]);
    version(errors, &path.child("version"), &attribute["version"]);
    for field in LISTS {
        let (at, values) = (path.child(field), &attribute[field]);
        for (i, value) in list(values).iter().enumerate() {
            match field {
                "strings" => string(errors, &at.index(i), value),
                "versions" => version(errors, &at.index(i), value),
                _ => {}
            }
        }
    }
    let single = ["bool", "int", "string", "version"];
    let kinds = single.iter().chain(&LISTS).filter(|field| given(&attribute[**field])).count();
    if kinds != 1 {
        let shown = if kinds == 0 { "".into() } else { attribute.clone() };
        errors.push(Error::invalid(path, shown, "exactly one value must be specified"));
    }
}

fn string(errors: &mut Errors, path: &Path, value: &Value) {
    if text(value).len() > LONGEST_VALUE {
        errors.push(Error::too_long(path, LONGEST_VALUE));
    }
}

fn version(errors: &mut Errors, path: &Path, value: &Value) {
    if given(value) && !SEMVER.is_match(text(value)) {
        let detail = "must be a string compatible with semver.org spec 2.0.0";
        errors.push(Error::invalid(path, value.clone(), detail));
    }
    string(errors, path, value);
}

/// Where a device says which nodes reach it, it says so in one way.
fn nodes(errors: &mut Errors, path: &Path, device: &Value, wanted: bool) {
    let fields = ["nodeName", "nodeSelector", "allNodes"];
    if !wanted {
        if fields.iter().any(|field| given(&device[*field])) {
            let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to \
                          true in the ResourceSlice spec";
            errors.push(Error::invalid(path, Value::Null, detail));
        }
        return;
    }
    let mut ways = Vec::new();
    let at = path.child("nodeName");
    match &device["nodeName"] {
        Value::Null => {}
        none if text(none).is_empty() => errors.push(Error::invalid(at, "", "must not be empty")),
        node => {
            ways.push("`nodeName`");
            format(errors, &at, text(node), formats::dns_subdomain);
        }
    }
    if given(&device["nodeSelector"]) {
        ways.push("`nodeSelector`");
        node_selector(errors, &path.child("nodeSelector"), &device["nodeSelector"]);
    }
    match device["allNodes"].as_bool() {
        Some(true) => ways.push("`allNodes`"),
        Some(false) => {
            errors.push(Error::invalid(path.child("allNodes"), false, "must be either unset or set to true"));
        }
        None => {}
    }
    let detail = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set \
                  to true in the ResourceSlice spec";
    match ways.len() {
        0 => errors.push(Error::required(path, detail)),
        1 => {}
        _ => errors.push(Error::invalid(path, format!("{{{}}}", ways.join(", ")), detail)),
    }
}

/// What of a node's own resources a device stands for.
fn mappings(errors: &mut Errors, path: &Path, device: &Value) {
    for (resource, mapping) in entries(&device["nodeAllocatableResourceMappings"]) {
        let path = path.key(resource);
        if !resource_names::is_native(resource) {
            let detail = "must be a node allocatable resource name";
            errors.push(Error::invalid(path, resource.as_str(), detail));
        }
        let (multiplier, key) = (&mapping["allocationMultiplier"], &mapping["capacityKey"]);
        if !given(multiplier) && !given(key) {
            let detail = "at least one of allocationMultiplier or capacityKey must be set";
            errors.push(Error::invalid(path, "", detail));
        }
        if given(multiplier) && quantity(multiplier).sign() <= 0 {
            errors.push(Error::invalid(path.child("allocationMultiplier"), multiplier.clone(), "must be positive"));
        }
        let at = path.child("capacityKey");
        match text(key) {
            "" if given(key) => errors.push(Error::invalid(at, "", "capacityKey must not be an empty string")),
            "" => {}
            key if given(&device["capacity"][key]) => {}
            key => errors.push(Error::not_found(at, key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(device: &Value, old: Option<&Value>, selects_nodes: bool) -> Vec<String> {
        let mut errors = Vec::new();
        validate(&mut errors, &Path::new("d"), device, old, selects_nodes);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn attributes_have_one_value() {
        let check = |attribute: Value, expected: &[&str]| {
            let device = json!({"name": "a", "attributes": {"x": attribute}});
            assert_eq!(texts(&device, None, false), expected);
        };
        check(json!({"int": 1}), &[]);
        check(json!({"version": "1.2.3-rc.1+b"}), &[]);
        check(json!({"strings": ["a"]}), &[]);
        check(json!({}), &["d.attributes[x]: Invalid value: \"\": exactly one value must be specified"]);
        check(
            json!({"version": "1.2"}),
            &["d.attributes[x].version: Invalid value: \"1.2\": must be a string compatible with semver.org spec 2.0.0"],
        );
        check(
            json!({"string": "a".repeat(65)}),
            &["d.attributes[x].string: Too long: may not be more than 64 bytes"],
        );
    }

    #[test]
    fn rules() {
        let check = |device: Value, selects_nodes: bool, fields: &[&str]| {
            let texts = texts(&device, None, selects_nodes);
            let found: Vec<&str> = texts.iter().filter_map(|text| text.split(": ").next()).collect();
            assert_eq!(found, fields, "{texts:?}");
        };
        check(json!({"name": "A"}), false, &["d.name"]);
        check(json!({"name": "a", "nodeName": "n"}), false, &["d"]);
        check(json!({"name": "a", "nodeName": "n"}), true, &[]);
        check(json!({"name": "a", "nodeName": "n", "allNodes": true}), true, &["d"]);
        check(json!({"name": "a", "allNodes": false}), true, &["d.allNodes", "d"]);
        let mappings = json!({"a.b/c": {"allocationMultiplier": "0", "capacityKey": "x"}});
        let at = "d.nodeAllocatableResourceMappings[a.b/c]";
        let fields = [at.to_string(), format!("{at}.allocationMultiplier"), format!("{at}.capacityKey")];
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        check(json!({"name": "a", "nodeAllocatableResourceMappings": mappings}), false, &fields);
        let counters = json!([{"counterSet": "s", "counters": {"c": {}}}, {"counterSet": "s"}]);
        let fields = ["d.consumesCounters[1].counters", "d.consumesCounters[1]"];
        check(json!({"name": "a", "consumesCounters": counters}), false, &fields);
        let many: serde_json::Map<String, Value> = (0..33).map(|i| (format!("a{i}"), json!({"int": i}))).collect();
        check(json!({"name": "a", "attributes": many}), false, &["d"]);
    }

    #[test]
    fn taints_that_stand_are_left() {
        let tainted = json!({"name": "a", "taints": [{"key": "k", "effect": "Later"}]});
        assert_eq!(texts(&tainted, None, false).len(), 1);
        assert_eq!(texts(&tainted, Some(&tainted), false).len(), 0);
        assert_eq!(texts(&tainted, Some(&json!({"name": "a"})), false).len(), 1);
    }

    #[test]
    fn long_keys_lose_their_middle() {
        assert_eq!(shortened("a"), "a");
        let long = shortened(&"é".repeat(60));
        assert!(long.len() <= LONGEST_KEY && long.contains("..."), "{long}");
    }
}
