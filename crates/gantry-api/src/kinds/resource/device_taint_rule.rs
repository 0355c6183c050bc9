//! DeviceTaintRule

use crate::features::Feature;
use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Deprecation, Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, format};
use crate::kinds::columns::{age, age_column, column, name_column};
use crate::kinds::conditions::conditions;
use crate::kinds::devices::{driver, fits, pool, taint};
use crate::kinds::values::{default_to, given, list, map_of, same, text};
use crate::kinds::{count_generation, start_generation, usual};
use crate::meta;
use crate::version::Version;
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        version: "v1alpha3".into(),
        deprecation: Some(Deprecation::unstable_since(36)),
        other_versions: vec![Version::same("v1beta2")],
        feature: Some(Feature::DRADeviceTaintRules),
        returns_deleted: true,
        subresources: vec![Subresource::Status],
        status_alone: true,
        columns: vec![
            name_column(),
            column("Key", "string", |o, _| text(&o["spec"]["taint"]["key"]).into()),
            column("Value", "string", |o, _| text(&o["spec"]["taint"]["value"]).into()),
            column("Effect", "string", |o, _| text(&o["spec"]["taint"]["effect"]).into()),
            column("TimeAdded", "string", |o, now| match text(&o["spec"]["taint"]["timeAdded"]) {
                "" => "".into(),
                time => age(time, now).into(),
            }),
            age_column(),
        ],
        hooks: Box::new(DeviceTaintRuleHooks),
        ..usual("resource.k8s.io", "DeviceTaintRule", "devicetaintrules", Scope::Cluster)
    }
}

const MOST_CONDITIONS: usize = 8;

struct DeviceTaintRuleHooks;

impl Hooks for DeviceTaintRuleHooks {
    fn default(&self, object: &mut Value) {
        default_to(map_of(map_of(object, "spec"), "taint"), "timeAdded", meta::now());
    }

    fn prepare_create(&self, object: &mut Value) {
        start_generation(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        let (new, old_taint) = (&mut object["spec"]["taint"], &old["spec"]["taint"]);
        // The time is that of the effect, unless the client sets it.
        if text(&new["effect"]) != text(&old_taint["effect"]) && same(&new["timeAdded"], &old_taint["timeAdded"]) {
            new["timeAdded"] = meta::now().into();
        }
        count_generation(object, old);
    }

    fn prepare_subresource(&self, _: Subresource, _: &mut Value, _: &Value) {}

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        whole(&object["spec"], None)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        whole(&object["spec"], Some(&old["spec"]))
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, all) = (Path::new("status"), list(&object["status"]["conditions"]));
        let at = path.child("conditions");
        conditions(&mut errors, &at, all);
        fits(&mut errors, &at, all, MOST_CONDITIONS);
        errors
    }
}

fn whole(spec: &Value, old: Option<&Value>) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    let (at, selector) = (path.child("deviceSelector"), &spec["deviceSelector"]);
    if given(&selector["driver"]) {
        driver(&mut errors, &at.child("driver"), &selector["driver"]);
    }
    if given(&selector["pool"]) {
        pool(&mut errors, &at.child("pool"), &selector["pool"]);
    }
    if given(&selector["device"]) {
        format(&mut errors, &at.child("device"), text(&selector["device"]), formats::dns_label);
    }
    taint(&mut errors, &path.child("taint"), &spec["taint"], old.map(|old| &old["taint"]));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(effect: &str) -> Value {
        let taint = json!({"key": "k", "effect": effect, "timeAdded": "2026-01-01T00:00:00Z"});
        json!({"metadata": {"name": "r", "generation": 1}, "spec": {"taint": taint}})
    }

    #[test]
    fn rules() {
        let check = |spec: Value, old: Option<Value>, fields: &[&str]| {
            let errors = whole(&spec, old.as_ref());
            let found: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
            assert_eq!(found, fields);
        };
        let taint = json!({"key": "k", "effect": "NoExecute"});
        check(json!({"taint": taint}), None, &[]);
        check(
            json!({"deviceSelector": {"driver": "", "pool": "", "device": ""}, "taint": taint}),
            None,
            &["spec.deviceSelector.driver", "spec.deviceSelector.pool", "spec.deviceSelector.device"],
        );
        let later = json!({"taint": {"key": "k", "effect": "Later"}});
        check(later.clone(), None, &["spec.taint.effect"]);
        check(later.clone(), Some(later), &[]);
    }

    #[test]
    fn a_new_effect_has_a_new_time() {
        let check = |effect: &str, anew: bool| {
            let (mut new, old) = (rule(effect), rule("NoExecute"));
            DeviceTaintRuleHooks.prepare_update(&mut new, &old);
            assert_eq!(new["spec"]["taint"]["timeAdded"] != "2026-01-01T00:00:00Z", anew);
            assert_eq!(new["metadata"]["generation"], 1 + i64::from(anew));
        };
        check("NoExecute", false);
        check("NoSchedule", true);
    }
}
