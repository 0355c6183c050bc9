//! DeviceClass

use crate::features::{Feature, enabled};
use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::devices::{MOST_REQUESTS, configuration, each, selectors};
use crate::kinds::values::{given, remove, same, text};
use crate::kinds::{count_generation, resource_names, usual};
use crate::version::Version;
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        other_versions: vec![
            Version::same("v1beta2").deprecated_since(36),
            Version::same("v1beta1").deprecated_since(35),
        ],
        returns_deleted: true,
        hooks: Box::new(DeviceClassHooks),
        ..usual("resource.k8s.io", "DeviceClass", "deviceclasses", Scope::Cluster)
    }
}

struct DeviceClassHooks;

impl Hooks for DeviceClassHooks {
    fn prepare_create(&self, object: &mut Value) {
        object["metadata"]["generation"] = 1.into();
        drop_disabled(object, None);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        drop_disabled(object, Some(old));
        count_generation(object, old);
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        whole(&object["spec"], None)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        whole(&object["spec"], Some(&old["spec"]))
    }

    fn validate_name(&self, name: &str) -> Result<(), String> {
        crate::meta::validate_long_name(name)
    }

    fn validates_generate_name(&self) -> bool {
        false
    }
}

fn drop_disabled(object: &mut Value, old: Option<&Value>) {
    let had_one = old.is_some_and(|old| given(&old["spec"]["extendedResourceName"]));
    if !enabled(Feature::DRAExtendedResource) && !had_one {
        remove(&mut object["spec"], "extendedResourceName");
    }
}

fn whole(spec: &Value, old: Option<&Value>) -> Vec<Error> {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    selectors(&mut errors, &path.child("selectors"), &spec["selectors"]);
    let stored = old.is_some_and(|old| same(&spec["config"], &old["config"]));
    each(&mut errors, &path.child("config"), &spec["config"], MOST_REQUESTS, |errors, path, config| {
        configuration(errors, path, config, stored);
    });
    let name = &spec["extendedResourceName"];
    if given(name) && !resource_names::is_extended(text(name)) {
        let detail = "must be a valid extended resource name";
        errors.push(Error::invalid(path.child("extendedResourceName"), name.clone(), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::during;
    use serde_json::json;

    fn class(spec: Value) -> Value {
        json!({"metadata": {"name": "c", "generation": 1}, "spec": spec})
    }

    #[test]
    fn rules() {
        let check = |spec: Value, old: Option<Value>, expected: &[&str]| {
            let errors = match old {
                Some(old) => DeviceClassHooks.validate_update(&class(spec), &class(old)),
                None => DeviceClassHooks.validate_create(&class(spec)),
            };
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(json!({"selectors": [{"cel": {"expression": "true"}}], "extendedResourceName": "a.b/c"}), None, &[]);
        let long = json!({"config": [{"opaque": {"driver": "d", "parameters": {"a": "a".repeat(11_000)}}}]});
        check(long.clone(), None, &["spec.config[0].opaque.parameters: Too long: may not be more than 10240 bytes"]);
        check(long.clone(), Some(long.clone()), &[]);
        check(long, Some(json!({})), &["spec.config[0].opaque.parameters: Too long: may not be more than 10240 bytes"]);
        check(
            json!({"extendedResourceName": "cpu"}),
            None,
            &["spec.extendedResourceName: Invalid value: \"cpu\": must be a valid extended resource name"],
        );
    }

    #[test]
    fn a_field_goes_with_its_feature() {
        let named = class(json!({"extendedResourceName": "a.b/c"}));
        let check = |on: bool, old: Option<&Value>, stays: bool| {
            let mut new = named.clone();
            during(Feature::DRAExtendedResource, on, || drop_disabled(&mut new, old));
            assert_eq!(new == named, stays, "{on} {old:?}");
        };
        check(true, None, true);
        check(false, None, false);
        check(false, Some(&class(json!({}))), false);
        check(false, Some(&named), true);
    }
}
