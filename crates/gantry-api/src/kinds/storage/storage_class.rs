//! StorageClass

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Cell, Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, format, immutable, optional_one_of};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::usual;
use crate::kinds::values::{default_to, entries, flag, list, size, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The kind.
pub fn kind() -> Kind {
    let name = crate::kind::Column {
        cell: Cell::Made(|o, _| match is_default(o) {
            true => format!("{} (default)", crate::meta::name(o)).into(),
            false => crate::meta::name(o).into(),
        }),
        ..name_column()
    };
    Kind {
        short_names: vec!["sc".into()],
        returns_deleted: true,
        columns: vec![
            name,
            column("Provisioner", "string", |o, _| text(&o["provisioner"]).into()),
            column("ReclaimPolicy", "string", |o, _| text(&o["reclaimPolicy"]).into()),
            column("VolumeBindingMode", "string", |o, _| text(&o["volumeBindingMode"]).into()),
            column("AllowVolumeExpansion", "string", |o, _| flag(&o["allowVolumeExpansion"]).into()),
            age_column(),
        ],
        hooks: Box::new(StorageClassHooks),
        ..usual("storage.k8s.io", "StorageClass", "storageclasses", Scope::Cluster)
    }
}

/// Whether claims that name no class get this one.
fn is_default(object: &Value) -> bool {
    let annotations = &object["metadata"]["annotations"];
    let marks = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    marks.iter().any(|mark| annotations[*mark] == "true")
}

struct StorageClassHooks;

impl Hooks for StorageClassHooks {
    fn default(&self, object: &mut Value) {
        default_to(object, "reclaimPolicy", "Delete");
        default_to(object, "volumeBindingMode", "Immediate");
    }

    fn prepare_create(&self, _: &mut Value) {}

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        driver(&mut errors, &Path::new("provisioner"), text(&object["provisioner"]));
        parameters(&mut errors, &Path::new("parameters"), &object["parameters"]);
        let policy = &object["reclaimPolicy"];
        if !text(policy).is_empty() {
            optional_one_of(&mut errors, &Path::new("reclaimPolicy"), policy, &["Delete", "Retain"]);
        }
        let modes = ["Immediate", "WaitForFirstConsumer"];
        optional_one_of(&mut errors, &Path::new("volumeBindingMode"), &object["volumeBindingMode"], &modes);
        topologies(&mut errors, &Path::new("allowedTopologies"), list(&object["allowedTopologies"]));
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            immutable(&mut errors, &Path::new(field), &object[field], &old[field]);
        }
        errors
    }
}

/// The name of a provisioner or driver.
pub fn driver(errors: &mut Errors, path: &Path, name: &str) {
    match name {
        "" => errors.push(Error::required(path, "")),
        name => format(errors, path, &name.to_lowercase(), formats::qualified_name),
    }
}

/// What a driver is told; 512 parameters and 256 KiB at most.
pub fn parameters(errors: &mut Errors, path: &Path, parameters: &Value) {
    const MOST: usize = 512;
    const LIMIT: usize = 256 << 10;
    if size(parameters) > MOST {
        errors.push(Error::too_long(path, MOST));
        return;
    }
    let mut length = 0;
    for (key, value) in entries(parameters) {
        if key.is_empty() {
            errors.push(Error::invalid(path, "", "field can not be empty."));
        }
        length += key.len() + text(value).len();
    }
    if length > LIMIT {
        errors.push(Error::too_long(path, LIMIT));
    }
}

fn topologies(errors: &mut Errors, path: &Path, terms: &[Value]) {
    // Upstream begins with as many empty terms as there are terms, so an empty one is always one too many.
    let mut seen: Vec<BTreeMap<&str, BTreeSet<&str>>> = vec![BTreeMap::new(); terms.len()];
    for (i, term) in terms.iter().enumerate() {
        let path = path.index(i);
        let path = path.child("matchLabelExpressions");
        let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (i, expression) in list(&term["matchLabelExpressions"]).iter().enumerate() {
            let path = path.index(i);
            let at_values = path.child("values");
            let values = list(&expression["values"]);
            if values.is_empty() {
                errors.push(Error::required(at_values, ""));
            }
            let mut set = BTreeSet::new();
            for (i, value) in values.iter().enumerate() {
                if !set.insert(text(value)) {
                    errors.push(Error::duplicate(at_values.index(i), value.clone()));
                }
            }
            let key = text(&expression["key"]);
            format(errors, &path.child("key"), key, formats::qualified_name);
            if keys.insert(key, set).is_some() {
                errors.push(Error::duplicate(path.child("key"), key));
            }
        }
        for _ in seen.iter().filter(|other| **other == keys) {
            errors.push(Error::duplicate(path, ""));
        }
        seen.push(keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn class(change: impl Fn(&mut Value)) -> Value {
        let mut object = json!({"metadata": {"name": "c"}, "provisioner": "Example.com/disk"});
        change(&mut object);
        StorageClassHooks.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let errors = StorageClassHooks.validate(&class(change));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(|_| {}, &[]);
        check(|o| o["provisioner"] = "".into(), &["provisioner: Required value"]);
        check(|o| o["parameters"] = json!({"": "a"}), &["parameters: Invalid value: \"\": field can not be empty."]);
        check(|o| o["reclaimPolicy"] = "Recycle".into(), &[
            "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\"",
        ]);
        let zones = |o: &mut Value| {
            let term = json!({"matchLabelExpressions": [{"key": "zone", "values": ["a", "b", "a"]}]});
            o["allowedTopologies"] = json!([term, term]);
        };
        check(zones, &[
            "allowedTopologies[0].matchLabelExpressions[0].values[2]: Duplicate value: \"a\"",
            "allowedTopologies[1].matchLabelExpressions[0].values[2]: Duplicate value: \"a\"",
            "allowedTopologies[1].matchLabelExpressions: Duplicate value: \"\"",
        ]);
        check(|o| o["allowedTopologies"] = json!([{}]), &[
            "allowedTopologies[0].matchLabelExpressions: Duplicate value: \"\"",
        ]);
    }

    #[test]
    fn what_provisions_stays() {
        let old = class(|_| {});
        let check = |change: fn(&mut Value), fine: bool| {
            assert_eq!(StorageClassHooks.validate_update(&class(change), &old).is_empty(), fine);
        };
        check(|o| o["allowVolumeExpansion"] = true.into(), true);
        check(|o| o["parameters"] = json!({"a": "b"}), false);
        check(|o| o["reclaimPolicy"] = "Retain".into(), false);
    }
}
