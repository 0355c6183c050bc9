//! CSIStorageCapacity

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{format, immutable, label_selector, resource_value};
use crate::kinds::columns::{column, name_column};
use crate::kinds::core::persistent_volume::or_unset;
use crate::kinds::usual;
use crate::kinds::values::{given, text};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        columns: vec![
            name_column(),
            column("StorageClassName", "string", |o, _| text(&o["storageClassName"]).into()),
            column("Capacity", "string", |o, _| or_unset(&o["capacity"])),
        ],
        hooks: Box::new(CapacityHooks),
        ..usual("storage.k8s.io", "CSIStorageCapacity", "csistoragecapacities", Scope::Namespaced)
    }
}

struct CapacityHooks;

impl Hooks for CapacityHooks {
    fn needs_version(&self) -> bool {
        true
    }

    fn prepare_create(&self, _: &mut Value) {}

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        label_selector(&mut errors, &Path::new("nodeTopology"), &object["nodeTopology"]);
        let class = text(&object["storageClassName"]);
        format(&mut errors, &Path::new("storageClassName"), class, formats::dns_subdomain);
        if given(&object["capacity"]) {
            resource_value(&mut errors, &Path::new("capacity"), "storage", &object["capacity"]);
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        for field in ["nodeTopology", "storageClassName"] {
            immutable(&mut errors, &Path::new(field), &object[field], &old[field]);
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let old = json!({"storageClassName": "c", "capacity": "1Gi", "nodeTopology": {"matchLabels": {"zone": "a"}}});
        let check = |field: &str, value: Value, rules: &[&str], changes: usize| {
            let mut new = old.clone();
            new[field] = value;
            let fields: Vec<String> = CapacityHooks.validate(&new).iter().map(ToString::to_string).collect();
            assert_eq!(fields, rules, "{new}");
            assert_eq!(CapacityHooks.validate_update(&new, &old).len(), changes, "{new}");
        };
        check("capacity", "2Gi".into(), &[], 0);
        check("capacity", "-1".into(), &["capacity: Invalid value: \"-1\": must be greater than or equal to 0"], 0);
        check("storageClassName", "d".into(), &[], 1);
        check("nodeTopology", json!({"matchLabels": {"zone": "b"}}), &[], 1);
    }
}
