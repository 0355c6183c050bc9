//! ValidatingAdmissionPolicyBinding, and what it shares with MutatingAdmissionPolicyBinding

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::admission_rules::{binding, default_binding, only_mutating_operations, shown_param_ref};
use crate::kinds::checks::{Errors, optional_one_of};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::values::{list, repeats, text};
use crate::kinds::{count_generation, usual};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    binding_kind("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", false)
}

/// A kind of policies' bindings.
pub fn binding_kind(kind: &str, plural: &str, mutating: bool) -> Kind {
    Kind {
        categories: vec!["api-extensions".into()],
        columns: vec![
            name_column(),
            column("PolicyName", "string", |o, _| text(&o["spec"]["policyName"]).into()),
            column("ParamRef", "string", |o, _| shown_param_ref(o).into()),
            age_column(),
        ],
        hooks: Box::new(BindingHooks { mutating }),
        ..usual("admissionregistration.k8s.io", kind, plural, Scope::Cluster)
    }
}

struct BindingHooks {
    mutating: bool,
}

impl Hooks for BindingHooks {
    fn default(&self, object: &mut Value) {
        default_binding(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        object["metadata"]["generation"] = 1.into();
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        count_generation(object, old);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        binding(&mut errors, &path, spec);
        match self.mutating {
            true => only_mutating_operations(&mut errors, &path.child("matchResources"), &spec["matchResources"]),
            false => actions(&mut errors, &path.child("validationActions"), list(&spec["validationActions"])),
        }
        errors
    }
}

fn actions(errors: &mut Errors, path: &Path, actions: &[Value]) {
    let repeated = repeats(actions, |action| action);
    for (i, action) in actions.iter().enumerate() {
        optional_one_of(errors, &path.index(i), action, &["Audit", "Deny", "Warn"]);
        if repeated[i] {
            errors.push(Error::duplicate(path.index(i), action.clone()));
        }
    }
    let has = |wanted: &str| actions.iter().any(|a| a == wanted);
    if has("Deny") && has("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the \
                      API response and headers serves no purpose)";
        errors.push(Error::invalid(path, actions.to_vec(), detail));
    }
    if actions.is_empty() {
        errors.push(Error::required(path, "at least one validation action is required"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |spec: Value, expected: &[&str]| {
            let hooks = BindingHooks { mutating: false };
            let mut object = json!({"metadata": {"name": "b"}, "spec": spec});
            hooks.default(&mut object);
            let texts: Vec<String> = hooks.validate(&object).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(json!({"policyName": "p", "validationActions": ["Deny"]}), &[]);
        check(
            json!({}),
            &[
                "spec.policyName: Required value",
                "spec.validationActions: Required value: at least one validation action is required",
            ],
        );
        check(
            json!({"policyName": "p", "validationActions": ["Audit", "Audit"]}),
            &["spec.validationActions[1]: Duplicate value: \"Audit\""],
        );
        check(
            json!({"policyName": "p", "validationActions": ["Audit"], "paramRef": {"name": "n", "selector": {}}}),
            &[
                "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.parameterNotFoundAction: Required value",
            ],
        );
    }
}
