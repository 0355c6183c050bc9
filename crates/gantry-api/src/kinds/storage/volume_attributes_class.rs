//! VolumeAttributesClass

use super::storage_class::{driver, parameters};
use crate::field::{Error, Path};
use crate::kind::{Deprecation, Hooks, Kind, Scope};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::usual;
use crate::kinds::values::{same, size, text};
use crate::version::Version;
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        other_versions: vec![Version::same("v1beta1").deprecated(Deprecation::Since {
            version: 34,
            removed: Some(37),
            replacement: "storage.k8s.io/v1 VolumeAttributesClass",
        })],
        short_names: vec!["vac".into()],
        returns_deleted: true,
        columns: vec![
            name_column(),
            column("DriverName", "string", |o, _| text(&o["driverName"]).into()),
            age_column(),
        ],
        hooks: Box::new(ClassHooks),
        ..usual("storage.k8s.io", "VolumeAttributesClass", "volumeattributesclasses", Scope::Cluster)
    }
}

struct ClassHooks;

impl Hooks for ClassHooks {
    fn prepare_create(&self, _: &mut Value) {}

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        driver(&mut errors, &Path::new("driverName"), text(&object["driverName"]));
        parameters(&mut errors, &Path::new("parameters"), &object["parameters"]);
        if size(&object["parameters"]) == 0 {
            errors.push(Error::required("parameters", "must contain at least one key/value pair"));
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let changed = ["driverName", "parameters"].into_iter().filter(|f| !same(&object[*f], &old[*f]));
        changed.map(|field| Error::forbidden(field, format!("updates to {field} are forbidden."))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let class = json!({"driverName": "d.io", "parameters": {"iops": "1"}});
        assert_eq!(ClassHooks.validate(&class), []);
        let check = |new: Value, rules: &[&str], changes: &[&str]| {
            let texts = |errors: Vec<Error>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(texts(ClassHooks.validate(&new)), rules, "{new}");
            assert_eq!(texts(ClassHooks.validate_update(&new, &class)), changes, "{new}");
        };
        check(
            json!({"driverName": "d.io"}),
            &["parameters: Required value: must contain at least one key/value pair"],
            &["parameters: Forbidden: updates to parameters are forbidden."],
        );
        check(
            json!({"parameters": {"iops": "1"}}),
            &["driverName: Required value"],
            &["driverName: Forbidden: updates to driverName are forbidden."],
        );
    }
}
