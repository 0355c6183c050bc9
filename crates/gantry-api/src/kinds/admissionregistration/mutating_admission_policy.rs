//! MutatingAdmissionPolicy

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::admission_rules::{REINVOCATION_POLICIES, default_policy, names_of, policy, shown_param_kind};
use crate::kinds::checks::{Errors, one_of};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::expressions::{Expressions, Names};
use crate::kinds::values::{given, list, size, text};
use crate::kinds::{count_generation, usual};
use crate::version::Version;
use gantry_cel::{Made, Type};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        other_versions: vec![Version::same("v1beta1"), Version::same("v1alpha1").deprecated_since(35)],
        categories: vec!["api-extensions".into()],
        columns: vec![
            name_column(),
            column("Mutations", "integer", |o, _| size(&o["spec"]["mutations"]).into()),
            column("ParamKind", "string", |o, _| shown_param_kind(o).into()),
            age_column(),
        ],
        hooks: Box::new(MutatingAdmissionPolicyHooks),
        ..usual(
            "admissionregistration.k8s.io",
            "MutatingAdmissionPolicy",
            "mutatingadmissionpolicies",
            Scope::Cluster,
        )
    }
}

struct MutatingAdmissionPolicyHooks;

impl Hooks for MutatingAdmissionPolicyHooks {
    fn default(&self, object: &mut Value) {
        default_policy(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        object["metadata"]["generation"] = 1.into();
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        count_generation(object, old);
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        whole(&object["spec"], None)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        whole(&object["spec"], Some(&old["spec"]))
    }
}

fn whole(spec: &Value, old: Option<&Value>) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    let expressions = policy(&mut errors, &path, spec, old, true);
    let names = Names {
        mutation: true,
        ..names_of(spec)
    };
    let at = path.child("mutations");
    if size(&spec["mutations"]) == 0 {
        errors.push(Error::required(at, "mutations must contain at least one item"));
    }
    for (i, entry) in list(&spec["mutations"]).iter().enumerate() {
        mutation(&mut errors, &at.index(i), entry, &expressions, names);
    }
    let reinvocation = &spec["reinvocationPolicy"];
    one_of(&mut errors, &path.child("reinvocationPolicy"), reinvocation, &REINVOCATION_POLICIES);
    errors
}

/// A mutation has the part that its type names, and not the other.
fn mutation(errors: &mut Errors, path: &Path, mutation: &Value, expressions: &Expressions, names: Names) {
    let type_ = text(&mutation["patchType"]);
    let types = ["ApplyConfiguration", "JSONPatch"];
    one_of(errors, &path.child("patchType"), &mutation["patchType"], &types);
    let (own, other, output) = match type_ {
        "JSONPatch" => ("jsonPatch", "applyConfiguration", Type::list(Made::patch())),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Made::object()),
        _ => return,
    };
    let at = path.child(own);
    if !given(&mutation[own]) {
        errors.push(Error::required(at, format!("must be specified when patchType is {type_}")));
    } else {
        let (at, expression) = (at.child("expression"), text(&mutation[own]["expression"]).trim());
        match expression {
            "" => errors.push(Error::required(at, "")),
            expression => expressions.check(errors, &at, expression, names, &[output]),
        }
    }
    if given(&mutation[other]) {
        let detail = format!("must not be specified when patchType is {type_}");
        errors.push(Error::invalid(path.child(other), format!("{{{other}}}"), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let rule = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
            let mut object = json!({"metadata": {"name": "p"}, "spec": {
                "matchConstraints": {"resourceRules": [rule]}, "reinvocationPolicy": "Never",
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'remove', path: '/a'}]"}}],
            }});
            change(&mut object["spec"]);
            MutatingAdmissionPolicyHooks.default(&mut object);
            let errors = MutatingAdmissionPolicyHooks.validate_create(&object);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(|_| {}, &[]);
        check(
            |s| s["matchConstraints"]["resourceRules"][0]["operations"] = json!(["DELETE"]),
            &["spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \
               \"CONNECT\", \"CREATE\", \"UPDATE\""],
        );
        check(
            |s| s["mutations"] = json!([]),
            &["spec.mutations: Required value: mutations must contain at least one item"],
        );
        check(
            |s| s["mutations"][0] = json!({"patchType": "JSONPatch", "applyConfiguration": {}}),
            &[
                "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
                "spec.mutations[0].applyConfiguration: Invalid value: \"{applyConfiguration}\": must not be specified \
                 when patchType is JSONPatch",
            ],
        );
        check(|s| s["reinvocationPolicy"] = "".into(), &["spec.reinvocationPolicy: Required value"]);
    }
}
