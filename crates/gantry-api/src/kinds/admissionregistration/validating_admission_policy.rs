//! ValidatingAdmissionPolicy

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::admission_rules::{default_policy, names_of, policy, shown_param_kind};
use crate::kinds::checks::{Errors, format, optional_one_of, required};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::expressions::{Expressions, Names};
use crate::kinds::values::{list, map_of, repeats, size, text};
use crate::kinds::{count_generation, start_generation, usual};
use crate::meta;
use gantry_cel::Type;
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        categories: vec!["api-extensions".into()],
        subresources: vec![Subresource::Status],
        status_alone: true,
        columns: vec![
            name_column(),
            column("Validations", "integer", |o, _| size(&o["spec"]["validations"]).into()),
            column("ParamKind", "string", |o, _| shown_param_kind(o).into()),
            age_column(),
        ],
        hooks: Box::new(ValidatingAdmissionPolicyHooks),
        ..usual(
            "admissionregistration.k8s.io",
            "ValidatingAdmissionPolicy",
            "validatingadmissionpolicies",
            Scope::Cluster,
        )
    }
}

const MOST_ANNOTATIONS: usize = 20;
const LONGEST_VALUE: usize = 5 * 1024;

struct ValidatingAdmissionPolicyHooks;

impl Hooks for ValidatingAdmissionPolicyHooks {
    fn default(&self, object: &mut Value) {
        default_policy(object);
        map_of(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        start_generation(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        count_generation(object, old);
    }

    fn prepare_subresource(&self, _: Subresource, _: &mut Value, _: &Value) {}

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        whole(object, None)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        whole(object, Some(&old["spec"]))
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let path = Path::new("status");
        let path = path.child("typeChecking");
        let path = path.child("expressionWarnings");
        for (i, warning) in list(&object["status"]["typeChecking"]["expressionWarnings"]).iter().enumerate() {
            let at = path.index(i);
            required(&mut errors, &at.child("warning"), &warning["warning"]);
            if text(&warning["fieldRef"]).trim().is_empty() {
                errors.push(Error::required(at.child("fieldRef"), ""));
            }
        }
        errors
    }
}

fn whole(object: &Value, old: Option<&Value>) -> Errors {
    let mut errors = Vec::new();
    let (path, spec) = (Path::new("spec"), &object["spec"]);
    let expressions = policy(&mut errors, &path, spec, old, false);
    let (validations, annotations) = (list(&spec["validations"]), list(&spec["auditAnnotations"]));
    let (at_validations, at_annotations) = (path.child("validations"), path.child("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.push(Error::required(at_validations, detail));
        errors.push(Error::required(at_annotations, detail));
    }
    for (i, entry) in validations.iter().enumerate() {
        validation(&mut errors, &at_validations.index(i), entry, &expressions, names_of(spec));
    }
    if annotations.len() > MOST_ANNOTATIONS {
        let detail = format!("must not have more than {MOST_ANNOTATIONS} auditAnnotations");
        errors.push(Error::invalid(at_annotations, annotations.to_vec(), detail));
    }
    let repeated = repeats(annotations, |a| text(&a["key"]));
    for (i, annotation) in annotations.iter().enumerate() {
        let (at, key) = (at_annotations.index(i), text(&annotation["key"]));
        let whole = format!("{}/{key}", meta::name(object));
        format(&mut errors, &at.child("key"), &whole, formats::qualified_name);
        let (at_value, value) = (at.child("valueExpression"), text(&annotation["valueExpression"]).trim());
        if value.is_empty() {
            errors.push(Error::required(at_value, "valueExpression is not specified"));
        } else if value.len() > LONGEST_VALUE {
            errors.push(Error::required(at_value, format!("must not exceed {LONGEST_VALUE} bytes in length")));
        } else {
            let output = [Type::String, Type::Null];
            expressions.check(&mut errors, &at_value, value, names_of(spec), &output);
        }
        if repeated[i] {
            errors.push(Error::duplicate(at.child("key"), key));
        }
    }
    errors
}

fn validation(errors: &mut Errors, path: &Path, validation: &Value, expressions: &Expressions, names: Names) {
    let (at, expression) = (path.child("expression"), text(&validation["expression"]));
    if expression.trim().is_empty() {
        errors.push(Error::required(at, "expression is not specified"));
    } else {
        expressions.check(errors, &at, expression, names, &[Type::Bool]);
    }
    for field in ["messageExpression", "message"] {
        let value = text(&validation[field]);
        if !value.is_empty() && value.trim().is_empty() {
            errors.push(Error::invalid(path.child(field), value, "must be non-empty if specified"));
        } else if field == "messageExpression" && !value.is_empty() {
            // Who reads a message is not told what the authorizer says.
            let names = Names {
                authorizer: false,
                ..names
            };
            expressions.check(errors, &path.child(field), value, names, &[Type::String]);
        } else if field == "message" && value.trim().contains(['\n', '\r']) {
            errors.push(Error::invalid(path.child(field), value, "must not contain line breaks"));
        }
    }
    let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
    optional_one_of(errors, &path.child("reason"), &validation["reason"], &reasons);
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
                "matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "true"}],
            }});
            change(&mut object["spec"]);
            ValidatingAdmissionPolicyHooks.default(&mut object);
            let errors = ValidatingAdmissionPolicyHooks.validate_create(&object);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(|_| {}, &[]);
        check(
            |s| s["matchConstraints"] = json!({}),
            &["spec.matchConstraints.resourceRules: Required value"],
        );
        check(
            |s| s["paramKind"] = json!({"apiVersion": "a/b/c", "kind": "-"}),
            &[
                "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                "spec.paramKind.kind: Invalid value: \"-\": may have mixed case, but should otherwise match: a DNS-1035 \
                 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, \
                 and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is \
                 '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ],
        );
        check(
            |s| s["variables"] = json!([{"name": "in", "expression": ""}]),
            &[
                "spec.variables[0].name: Invalid value: \"in\": must be a valid CEL identifier",
                "spec.variables[0].expression: Required value: expression is not specified",
            ],
        );
        check(
            |s| s["validations"] = json!([{"expression": "true", "message": "b\nc", "reason": "Any"}]),
            &[
                "spec.validations[0].message: Invalid value: \"b\\nc\": must not contain line breaks",
                "spec.validations[0].reason: Unsupported value: \"Any\": supported values: \"Forbidden\", \"Invalid\", \
                 \"RequestEntityTooLarge\"",
            ],
        );
        check(
            |s| s["auditAnnotations"] = json!([{"key": "a", "valueExpression": ""}]),
            &["spec.auditAnnotations[0].valueExpression: Required value: valueExpression is not specified"],
        );
    }
}
