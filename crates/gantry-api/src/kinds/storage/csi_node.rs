//! CSINode

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, format, immutable, nonnegative};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::core::pod;
use crate::kinds::usual;
use crate::kinds::values::{list, map_of, remove, repeats, size, text};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        returns_deleted: true,
        columns: vec![
            name_column(),
            column("Drivers", "integer", |o, _| size(&o["spec"]["drivers"]).into()),
            age_column(),
        ],
        hooks: Box::new(NodeHooks),
        ..usual("storage.k8s.io", "CSINode", "csinodes", Scope::Cluster)
    }
}

struct NodeHooks;

impl Hooks for NodeHooks {
    fn needs_version(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        map_of(object, "spec");
    }

    fn prepare_create(&self, _: &mut Value) {}

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let path = Path::new("spec");
        let path = path.child("drivers");
        let drivers = list(&object["spec"]["drivers"]);
        let repeated = repeats(drivers, |driver| &driver["name"]);
        for (i, driver) in drivers.iter().enumerate() {
            let path = path.index(i);
            pod::csi_driver_name(&mut errors, &path.child("name"), text(&driver["name"]));
            node_id(&mut errors, &path.child("nodeID"), text(&driver["nodeID"]));
            nonnegative(&mut errors, &path.child("allocatable").child("count"), &driver["allocatable"]["count"]);
            if repeated[i] {
                errors.push(Error::duplicate(path.child("name"), driver["name"].clone()));
            }
            topology_keys(&mut errors, &path, list(&driver["topologyKeys"]));
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        // What a driver can hold may change; what it is may not.
        let fixed = |driver: &Value| {
            let mut driver = driver.clone();
            remove(&mut driver, "allocatable");
            driver
        };
        let new = list(&object["spec"]["drivers"]);
        for before in list(&old["spec"]["drivers"]) {
            for now in new.iter().filter(|d| d["name"] == before["name"] && *d != before) {
                immutable(&mut errors, &Path::new("spec").child("drivers"), &fixed(now), &fixed(before));
            }
        }
        errors
    }
}

fn node_id(errors: &mut Errors, path: &Path, id: &str) {
    const MOST: usize = 256;
    if id.is_empty() {
        errors.push(Error::required(path, ""));
    }
    if id.len() > MOST {
        errors.push(Error::invalid(path, id, format!("must be {MOST} characters or less")));
    }
}

fn topology_keys(errors: &mut Errors, path: &Path, keys: &[Value]) {
    let repeated = repeats(keys, |key| key);
    for (i, key) in keys.iter().enumerate() {
        if text(key).is_empty() {
            errors.push(Error::required(path, ""));
        }
        if repeated[i] {
            errors.push(Error::duplicate(path, key.clone()));
        }
        format(errors, path, text(key), formats::qualified_name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let old = json!({"spec": {"drivers": [{"name": "d.io", "nodeID": "n", "topologyKeys": ["zone"]}]}});
        let check = |drivers: Value, rules: &[&str], changes: usize| {
            let new = json!({"spec": {"drivers": drivers}});
            let texts: Vec<String> = NodeHooks.validate(&new).iter().map(ToString::to_string).collect();
            assert_eq!(texts, rules, "{new}");
            assert_eq!(NodeHooks.validate_update(&new, &old).len(), changes, "{new}");
        };
        check(old["spec"]["drivers"].clone(), &[], 0);
        check(json!([{"name": "d.io", "nodeID": "n", "topologyKeys": ["zone"], "allocatable": {"count": 5}}]), &[], 0);
        check(json!([{"name": "d.io", "nodeID": "m"}]), &[], 1);
        check(json!([{"name": "e.io", "topologyKeys": ["a", "a"], "allocatable": {"count": -1}}]), &[
            "spec.drivers[0].nodeID: Required value",
            "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
            "spec.drivers[0]: Duplicate value: \"a\"",
        ], 0);
        check(json!([{"name": "e.io", "nodeID": "n"}, {"name": "e.io", "nodeID": "n"}]), &[
            "spec.drivers[1].name: Duplicate value: \"e.io\"",
        ], 0);
    }
}
