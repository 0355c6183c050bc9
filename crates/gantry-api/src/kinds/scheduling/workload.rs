//! Workload

use crate::features::Feature;
use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, format, required_format};
use crate::kinds::devices::{fits, name};
use crate::kinds::pod_groups::{changed, drop_disabled, group, unique};
use crate::kinds::usual;
use crate::kinds::values::{given, list, list_mut, same, text};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        version: "v1alpha2".into(),
        feature: Some(Feature::GenericWorkload),
        hooks: Box::new(WorkloadHooks),
        ..usual("scheduling.k8s.io", "Workload", "workloads", Scope::Namespaced)
    }
}

const MOST_TEMPLATES: usize = 8;

struct WorkloadHooks;

impl Hooks for WorkloadHooks {
    fn prepare_create(&self, object: &mut Value) {
        for template in list_mut(&mut object["spec"], "podGroupTemplates") {
            drop_disabled(template, &Value::Null);
        }
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        let templates = list_mut(&mut object["spec"], "podGroupTemplates");
        for (i, template) in templates.iter_mut().enumerate() {
            drop_disabled(template, &old["spec"]["podGroupTemplates"][i]);
        }
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        if given(&spec["controllerRef"]) {
            controller(&mut errors, &path.child("controllerRef"), &spec["controllerRef"]);
        }
        let (at, templates) = (path.child("podGroupTemplates"), list(&spec["podGroupTemplates"]));
        if number_is_right(&mut errors, &at, templates) {
            unique(&mut errors, &at, templates);
            for (i, template) in templates.iter().enumerate() {
                let at = at.index(i);
                required_format(&mut errors, &at.child("name"), name(template), formats::short_name);
                group(&mut errors, &at, template);
            }
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, new, old) = (Path::new("spec"), &object["spec"], &old["spec"]);
        let differs = |field: &str| !same(&new[field], &old[field]);
        if differs("controllerRef") {
            changed(&mut errors, path.child("controllerRef"));
        }
        let at = path.child("podGroupTemplates");
        if differs("podGroupTemplates") {
            changed(&mut errors, at);
            number_is_right(&mut errors, &at, list(&new["podGroupTemplates"]));
        }
        errors
    }
}

fn number_is_right(errors: &mut Errors, path: &Path, templates: &[Value]) -> bool {
    if templates.is_empty() {
        errors.push(Error::required(path, ""));
    }
    fits(errors, path, templates, MOST_TEMPLATES) && !templates.is_empty()
}

fn controller(errors: &mut Errors, path: &Path, reference: &Value) {
    let group = text(&reference["apiGroup"]);
    if !group.is_empty() {
        format(errors, &path.child("apiGroup"), group, formats::long_name);
    }
    for field in ["kind", "name"] {
        required_format(errors, &path.child(field), text(&reference[field]), formats::path_segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::during;
    use serde_json::json;

    fn workload(templates: Value) -> Value {
        json!({"metadata": {"name": "w", "namespace": "n"}, "spec": {"podGroupTemplates": templates}})
    }

    fn texts(errors: &[Error]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules() {
        let check = |templates: Value, expected: &[&str]| {
            assert_eq!(texts(&WorkloadHooks.validate_create(&workload(templates))), expected);
        };
        let basic = json!({"name": "a", "schedulingPolicy": {"basic": {}}});
        check(json!([basic]), &[]);
        check(json!([]), &["spec.podGroupTemplates: Required value"]);
        check(
            Value::from(vec![json!({}); 9]),
            &["spec.podGroupTemplates: Too many: 9: must have at most 8 items"],
        );
        check(
            json!([{"name": "a", "schedulingPolicy": {"gang": {"minCount": -1}}, "priority": 1_000_000_001}]),
            &[
                "spec.podGroupTemplates[0].schedulingPolicy.gang.minCount: Invalid value: -1: must be greater than or \
                 equal to 1",
                "spec.podGroupTemplates[0].priority: Invalid value: 1000000001: must be less than or equal to 1000000000",
            ],
        );
        check(
            json!([{"schedulingPolicy": {}, "disruptionMode": "Any", "resourceClaims": [{"name": "c"}]}]),
            &[
                "spec.podGroupTemplates[0].name: Required value",
                "spec.podGroupTemplates[0].schedulingPolicy: Invalid value: \"\": must specify one of: `basic`, `gang`",
                "spec.podGroupTemplates[0].resourceClaims[0]: Invalid value: \"\": must specify one of: \
                 `resourceClaimName`, `resourceClaimTemplateName`",
                "spec.podGroupTemplates[0].disruptionMode: Unsupported value: \"Any\": supported values: \"Pod\", \
                 \"PodGroup\"",
            ],
        );
    }

    #[test]
    fn changes() {
        let one = workload(json!([{"name": "a", "schedulingPolicy": {"basic": {}}}]));
        let mut other = one.clone();
        assert_eq!(WorkloadHooks.validate_update(&other, &one), []);
        other["spec"]["podGroupTemplates"][0]["name"] = "b".into();
        let why = "spec.podGroupTemplates: Invalid value: null: field is immutable";
        assert_eq!(texts(&WorkloadHooks.validate_update(&other, &one)), [why]);
    }

    #[test]
    fn features() {
        let new = || workload(json!([{"name": "a", "priority": 1, "schedulingConstraints": {}}]));
        let check = |feature: Feature, on: bool, field: &str, old: &Value, stays: bool| {
            during(feature, on, || {
                let mut new = new();
                WorkloadHooks.prepare_update(&mut new, old);
                assert_eq!(given(&new["spec"]["podGroupTemplates"][0][field]), stays, "{field}");
            });
        };
        check(Feature::WorkloadAwarePreemption, false, "priority", &workload(json!([])), false);
        check(Feature::WorkloadAwarePreemption, true, "priority", &workload(json!([])), true);
        check(Feature::TopologyAwareWorkloadScheduling, false, "schedulingConstraints", &new(), true);
    }
}
