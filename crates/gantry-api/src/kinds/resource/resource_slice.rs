//! ResourceSlice

mod capacity;
mod device;
mod disabled;
mod v1beta1;

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, POSITIVE, format, immutable, required_format};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::core::pod::node_selector;
use crate::kinds::devices::{driver, each_of_set, name, pool};
use crate::kinds::values::{entries, given, list, number, same, size, text};
use crate::kinds::{selectable, usual};
use crate::version::Version;
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        other_versions: vec![
            Version::same("v1beta2").deprecated_since(36),
            Version::converted("v1beta1", v1beta1::conversion()).deprecated_since(35),
        ],
        returns_deleted: true,
        selectable_fields: selectable(&[("spec.nodeName", "spec.nodeName"), ("spec.driver", "spec.driver")]),
        columns: vec![
            name_column(),
            column("Node", "string", |o, _| text(&o["spec"]["nodeName"]).into()),
            column("Driver", "string", |o, _| text(&o["spec"]["driver"]).into()),
            column("Pool", "string", |o, _| text(&o["spec"]["pool"]["name"]).into()),
            age_column(),
        ],
        hooks: Box::new(ResourceSliceHooks),
        ..usual("resource.k8s.io", "ResourceSlice", "resourceslices", Scope::Cluster)
    }
}

const MOST_DEVICES: usize = 128;
/// How many there may be once one has taints, counters or lists of values.
const MOST_DEVICES_IN_DETAIL: usize = 64;
const MOST_COUNTER_SETS: usize = 8;
const MOST_COUNTERS: usize = 32;

struct ResourceSliceHooks;

impl Hooks for ResourceSliceHooks {
    fn default(&self, object: &mut Value) {
        device::default(&mut object["spec"]);
    }

    fn prepare_create(&self, object: &mut Value) {
        object["metadata"]["generation"] = 1.into();
        disabled::drop_disabled(&mut object["spec"], None);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        // As upstream: what is dropped afterwards counts as a change, too.
        if !same(&object["spec"], &old["spec"]) {
            object["metadata"]["generation"] = (number(&old["metadata"]["generation"]) + 1).into();
        }
        disabled::drop_disabled(&mut object["spec"], Some(&old["spec"]));
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        whole(&object["spec"], None)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        whole(&object["spec"], Some(&old["spec"]))
    }

    fn warnings(&self, object: &Value, _: Option<&Value>) -> Vec<String> {
        let driver = text(&object["spec"]["driver"]);
        match driver.to_lowercase() == driver {
            true => Vec::new(),
            false => vec![format!(
                "spec.driver: driver names should be lowercase; {driver:?} contains uppercase characters"
            )],
        }
    }
}

fn whole(spec: &Value, old: Option<&Value>) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    driver(&mut errors, &path.child("driver"), &spec["driver"]);
    let at = path.child("pool");
    pool(&mut errors, &at.child("name"), &spec["pool"]["name"]);
    let (count, generation) = (number(&spec["pool"]["resourceSliceCount"]), number(&spec["pool"]["generation"]));
    if count <= 0 {
        errors.push(Error::invalid(at.child("resourceSliceCount"), count, POSITIVE));
    }
    if generation < 0 {
        let detail = "must be greater than or equal to zero";
        errors.push(Error::invalid(at.child("generation"), generation, detail));
    }
    if let Some(old) = old {
        immutable(&mut errors, &at.child("name"), &spec["pool"]["name"], &old["pool"]["name"]);
        for field in ["driver", "nodeName"] {
            immutable(&mut errors, &path.child(field), &spec[field], &old[field]);
        }
    }
    nodes(&mut errors, &path, spec);
    if given(&spec["sharedCounters"]) && given(&spec["devices"]) {
        errors.push(Error::invalid(path, "", "only one of `sharedCounters` or `devices` is allowed"));
    }
    let detailed = list(&spec["devices"]).iter().any(device::is_detailed);
    let most = if detailed { MOST_DEVICES_IN_DETAIL } else { MOST_DEVICES };
    let per_device = spec["perDeviceNodeSelection"] == true;
    each_of_set(&mut errors, &path.child("devices"), &spec["devices"], most, name, |errors, path, one| {
        let before = old.and_then(|old| list(&old["devices"]).iter().find(|d| name(d) == name(one)));
        device::validate(errors, path, one, before, per_device);
    });
    let at = path.child("sharedCounters");
    each_of_set(&mut errors, &at, &spec["sharedCounters"], MOST_COUNTER_SETS, name, |errors, path, set| {
        counters(errors, path, set, "name");
    });
    errors
}

/// The nodes that can reach the devices are said in one way.
fn nodes(errors: &mut Errors, path: &Path, spec: &Value) {
    let mut ways = Vec::new();
    let at = path.child("nodeName");
    match &spec["nodeName"] {
        Value::Null => {}
        none if text(none).is_empty() => {
            errors.push(Error::invalid(at, "", "must be either unset or set to a non-empty string"));
        }
        node => {
            ways.push("`nodeName`");
            format(errors, &at, text(node), formats::dns_subdomain);
        }
    }
    let (at, selector) = (path.child("nodeSelector"), &spec["nodeSelector"]);
    if given(selector) {
        ways.push("`nodeSelector`");
        node_selector(errors, &at, selector);
        let terms = &selector["nodeSelectorTerms"];
        if size(terms) != 1 {
            let detail = "must have exactly one node selector term";
            errors.push(Error::invalid(at.child("nodeSelectorTerms"), terms.clone(), detail));
        }
    }
    for (field, way) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")] {
        match spec[field].as_bool() {
            Some(true) => ways.push(way),
            Some(false) => {
                errors.push(Error::invalid(path.child(field), false, "must be either unset or set to true"));
            }
            None => {}
        }
    }
    let detail = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match ways.len() {
        0 => errors.push(Error::required(path, detail)),
        1 => {}
        _ => {
            let detail = format!("{detail}, but multiple fields are set");
            errors.push(Error::invalid(path, format!("{{{}}}", ways.join(", ")), detail));
        }
    }
}

/// Counters, in a set or as a device takes from one; `set` is the field that names the set.
fn counters(errors: &mut Errors, path: &Path, of: &Value, set: &str) {
    required_format(errors, &path.child(set), text(&of[set]), formats::dns_label);
    let at = path.child("counters");
    match size(&of["counters"]) {
        0 => errors.push(Error::required(at, "")),
        count if count > MOST_COUNTERS => errors.push(Error::too_many(at, count, MOST_COUNTERS)),
        _ => {
            for (name, _) in entries(&of["counters"]) {
                format(errors, &at, name, formats::dns_label);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slice(change: fn(&mut Value)) -> Value {
        let mut spec = json!({
            "driver": "d.io", "pool": {"name": "p", "resourceSliceCount": 1}, "nodeName": "n",
            "devices": [{"name": "a"}],
        });
        change(&mut spec);
        json!({"metadata": {"name": "s", "generation": 1}, "spec": spec})
    }

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let errors = ResourceSliceHooks.validate_create(&slice(change));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(|_| {}, &[]);
        check(
            |s| s["pool"] = json!({"name": "p", "generation": -1}),
            &[
                "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
                "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
            ],
        );
        check(
            |s| s["allNodes"] = true.into(),
            &["spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, \
               `perDeviceNodeSelection` is required, but multiple fields are set"],
        );
        check(
            |s| s["nodeName"] = "".into(),
            &[
                "spec.nodeName: Invalid value: \"\": must be either unset or set to a non-empty string",
                "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
            ],
        );
        check(
            |s| s["sharedCounters"] = json!([{"name": "c", "counters": {"a": {"value": "1"}}}]),
            &["spec: Invalid value: \"\": only one of `sharedCounters` or `devices` is allowed"],
        );
        check(|s| s["devices"] = json!([{"name": "a"}, {"name": "a"}]), &["spec.devices[1]: Duplicate value: \"a\""]);
        check(
            |s| s["devices"] = (0..65).map(|i| json!({"name": format!("d{i}")})).collect(),
            &[],
        );
        check(
            |s| {
                s["devices"] = (0..65).map(|i| json!({"name": format!("d{i}")})).collect();
                s["devices"][0]["taints"] = json!([{}]);
            },
            &["spec.devices: Too many: 65: must have at most 64 items"],
        );
    }

    #[test]
    fn changes() {
        let check = |change: fn(&mut Value), fields: &[&str], generation: i64| {
            let (mut new, old) = (slice(change), slice(|_| {}));
            let errors = ResourceSliceHooks.validate_update(&new, &old);
            let found: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
            assert_eq!(found, fields);
            ResourceSliceHooks.prepare_update(&mut new, &old);
            assert_eq!(new["metadata"]["generation"], generation);
        };
        check(|_| {}, &[], 1);
        check(|s| s["devices"] = json!([]), &[], 2);
        check(|s| s["driver"] = "e.io".into(), &["spec.driver"], 2);
        check(|s| s["pool"]["name"] = "q".into(), &["spec.pool.name"], 2);
        check(|s| s["nodeName"] = "m".into(), &["spec.nodeName"], 2);
    }
}
