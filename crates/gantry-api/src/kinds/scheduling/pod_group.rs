//! PodGroup

use crate::features::{Feature, enabled};
use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, optional_format, required_format};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::conditions::conditions;
use crate::kinds::devices::{fits, name};
use crate::kinds::pod_groups::{MOST_CLAIMS, drop_disabled, group, in_use, unchanged, union, unique};
use crate::kinds::usual;
use crate::kinds::values::{given, keep, list, map_of, remove, text};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        version: "v1alpha2".into(),
        feature: Some(Feature::GenericWorkload),
        subresources: vec![Subresource::Status],
        status_alone: true,
        columns: vec![
            name_column(),
            column("Policy", "string", |o, _| match given(&o["spec"]["schedulingPolicy"]["gang"]) {
                true => "Gang".into(),
                false => "Basic".into(),
            }),
            column("Workload", "string", |o, _| match &o["spec"]["podGroupTemplateRef"] {
                Value::Null => "<none>".into(),
                reference => text(&reference["workload"]["workloadName"]).into(),
            }),
            column("Status", "string", |o, _| state(&o["status"]).into()),
            age_column(),
        ],
        hooks: Box::new(PodGroupHooks),
        ..usual("scheduling.k8s.io", "PodGroup", "podgroups", Scope::Namespaced)
    }
}

fn state(status: &Value) -> &str {
    let of_type = |type_: &str| list(&status["conditions"]).iter().rfind(|c| c["type"] == type_);
    match (of_type("DisruptionTarget"), of_type("PodGroupScheduled")) {
        (Some(condition), _) => text(&condition["reason"]),
        (None, Some(condition)) if condition["status"] == "True" => "Scheduled",
        (None, Some(_)) => "Unschedulable",
        (None, None) => "Pending",
    }
}

struct PodGroupHooks;

impl Hooks for PodGroupHooks {
    fn default(&self, object: &mut Value) {
        map_of(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
        drop_disabled(&mut object["spec"], &Value::Null);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
        drop_disabled(&mut object["spec"], &old["spec"]);
    }

    fn prepare_subresource(&self, _: Subresource, object: &mut Value, old: &Value) {
        keep(object, old, "spec");
        if !enabled(Feature::DRAWorkloadResourceClaims) && !in_use(&old["spec"]["resourceClaims"]) {
            remove(&mut object["status"], "resourceClaimStatuses");
        }
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        let reference = &spec["podGroupTemplateRef"];
        if given(reference) {
            template(&mut errors, &path.child("podGroupTemplateRef"), reference);
        }
        group(&mut errors, &path, spec);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        unchanged(&mut errors, &Path::new("spec"), &object["spec"], &old["spec"]);
        errors
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, status) = (Path::new("status"), &object["status"]);
        conditions(&mut errors, &path.child("conditions"), list(&status["conditions"]));
        let (at, all) = (path.child("resourceClaimStatuses"), list(&status["resourceClaimStatuses"]));
        for (i, claim) in all.iter().enumerate() {
            if !list(&object["spec"]["resourceClaims"]).iter().any(|own| name(own) == name(claim)) {
                let detail = "must match the name of an entry in `spec.resourceClaims`";
                errors.push(Error::invalid(at.index(i).child("name"), name(claim), detail));
            }
        }
        let before = list(&old["status"]["resourceClaimStatuses"]);
        if all != before && fits(&mut errors, &at, all, MOST_CLAIMS) {
            unique(&mut errors, &at, all);
            for (i, claim) in all.iter().enumerate().filter(|(_, claim)| !before.contains(claim)) {
                let at = at.index(i);
                let field = "resourceClaimName";
                optional_format(&mut errors, &at.child(field), &claim[field], formats::long_name);
            }
        }
        errors
    }
}

fn template(errors: &mut Errors, path: &Path, reference: &Value) {
    union(errors, path, reference, &["workload"]);
    let (at, workload) = (path.child("workload"), &reference["workload"]);
    if given(workload) {
        let of = |field: &str| text(&workload[field]);
        required_format(errors, &at.child("workloadName"), of("workloadName"), formats::long_name);
        let field = "podGroupTemplateName";
        required_format(errors, &at.child(field), of(field), formats::short_name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::during;

    fn of(spec: Value, status: Value) -> Value {
        json!({"metadata": {"name": "g", "namespace": "n"}, "spec": spec, "status": status})
    }

    fn texts(errors: &[Error]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules() {
        let check = |spec: Value, expected: &[&str]| {
            assert_eq!(texts(&PodGroupHooks.validate_create(&of(spec, json!({})))), expected);
        };
        let policy = json!({"gang": {"minCount": 2}});
        check(json!({"schedulingPolicy": policy}), &[]);
        check(
            json!({"schedulingPolicy": {"basic": {}, "gang": {}}, "podGroupTemplateRef": {"workload": {}}}),
            &[
                "spec.podGroupTemplateRef.workload.workloadName: Required value",
                "spec.podGroupTemplateRef.workload.podGroupTemplateName: Required value",
                "spec.schedulingPolicy: Invalid value: \"{basic, gang}\": must specify exactly one of: `basic`, `gang`",
                "spec.schedulingPolicy.gang.minCount: Required value",
            ],
        );
        check(
            json!({"schedulingPolicy": policy, "schedulingConstraints": {"topology": [{}, {}]}}),
            &["spec.schedulingConstraints.topology: Too many: 2: must have at most 1 item"],
        );
    }

    #[test]
    fn changes() {
        let check = |new: Value, old: Value, on: bool, expected: &[&str]| {
            during(Feature::WorkloadAwarePreemption, on, || {
                let errors = PodGroupHooks.validate_update(&of(new, json!({})), &of(old, json!({})));
                assert_eq!(texts(&errors), expected);
            });
        };
        let with = |priority: Value| json!({"schedulingPolicy": {"basic": {}}, "priority": priority});
        check(with(1.into()), with(1.into()), false, &[]);
        check(with(2.into()), with(1.into()), true, &["spec.priority: Invalid value: null: field is immutable"]);
        check(with(2.into()), with(1.into()), false, &["spec.priority: Forbidden"]);
        check(with(Value::Null), with(1.into()), false, &[]);
        check(
            json!({"schedulingPolicy": {"gang": {"minCount": 1}}}),
            with(Value::Null),
            true,
            &["spec.schedulingPolicy: Invalid value: null: field is immutable"],
        );
    }

    #[test]
    fn statuses() {
        let claims = json!({"resourceClaims": [{"name": "c", "resourceClaimName": "x"}]});
        let check = |names: &[&str], expected: &[&str]| {
            let statuses: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            let new = of(claims.clone(), json!({"resourceClaimStatuses": statuses}));
            let errors = PodGroupHooks.validate_subresource(Subresource::Status, &new, &of(claims.clone(), json!({})));
            assert_eq!(texts(&errors), expected);
        };
        check(&["c"], &[]);
        let at = "status.resourceClaimStatuses[0].name: Invalid value: \"d\":";
        check(&["d"], &[&format!("{at} must match the name of an entry in `spec.resourceClaims`")]);
        let condition = |type_: &str, status: &str| json!([{"type": type_, "status": status, "reason": "R"}]);
        let check = |all: Value, expected: &str| assert_eq!(state(&json!({"conditions": all})), expected);
        check(json!([]), "Pending");
        check(condition("PodGroupScheduled", "True"), "Scheduled");
        check(condition("PodGroupScheduled", "False"), "Unschedulable");
        check(condition("DisruptionTarget", "True"), "R");
    }
}
