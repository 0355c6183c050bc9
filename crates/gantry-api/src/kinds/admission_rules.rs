//! What the kinds of admissionregistration.k8s.io share.
//!
//! Source: pkg/apis/admissionregistration/validation/validation.go.

use super::checks::{Errors, format, label_selector, one_of, optional_one_of, required, required_format};
use super::columns::label_selector as selector_text;
use super::expressions::{Expressions, Names};
use super::values::{
    default_to, drop_zero, field_mut, given, joined, list, list_mut, map_of, repeats, same, size, text,
};
use crate::field::{Error, Path};
use crate::formats;
use gantry_cel::Type;
use serde_json::{Value, json};

pub const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
pub const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];
const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const MUTATING_OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];
const MOST_CONDITIONS: usize = 64;

/// Defaults of what says which requests are meant: webhooks and MatchResources.
pub fn default_match(object: &mut Value, rules: &[&str]) {
    default_to(object, "matchPolicy", "Equivalent");
    default_to(object, "namespaceSelector", json!({}));
    default_to(object, "objectSelector", json!({}));
    for field in rules {
        for rule in list_mut(object, field) {
            default_to(rule, "scope", "*");
        }
    }
}

/// Defaults of a MatchResources that is there.
pub fn default_match_resources(spec: &mut Value, field: &str) {
    if let Some(resources) = field_mut(spec, field) {
        default_match(resources, &["resourceRules", "excludeResourceRules"]);
    }
}

/// Defaults of a policy.
pub fn default_policy(object: &mut Value) {
    let spec = map_of(object, "spec");
    default_to(spec, "failurePolicy", "Fail");
    default_match_resources(spec, "matchConstraints");
}

/// Defaults of a policy's binding.
pub fn default_binding(object: &mut Value) {
    let spec = map_of(object, "spec");
    default_match_resources(spec, "matchResources");
    if let Some(reference) = field_mut(spec, "paramRef") {
        drop_zero(reference, &["name", "namespace"]);
    }
}

fn has_wildcard(values: &[Value]) -> bool {
    values.iter().any(|v| v == "*")
}

fn alone(errors: &mut Errors, path: &Path, values: &[Value], others: &str) {
    if values.len() > 1 && has_wildcard(values) {
        let detail = format!("if '*' is present, must not specify other {others}");
        errors.push(Error::invalid(path, values.to_vec(), detail));
    }
}

/// The rules of a webhook.
pub fn rules(errors: &mut Errors, path: &Path, rules: &Value) {
    for (i, entry) in list(rules).iter().enumerate() {
        rule(errors, &path.index(i), entry);
    }
}

fn rule(errors: &mut Errors, path: &Path, rule: &Value) {
    let list_of = |errors: &mut Errors, field: &str, others: &str| {
        if size(&rule[field]) == 0 {
            errors.push(Error::required(path.child(field), ""));
        }
        alone(errors, &path.child(field), list(&rule[field]), others);
    };
    list_of(errors, "operations", "operations");
    let at = path.child("operations");
    for (i, operation) in list(&rule["operations"]).iter().enumerate() {
        optional_one_of(errors, &at.index(i), operation, &OPERATIONS);
    }
    list_of(errors, "apiGroups", "API groups");
    list_of(errors, "apiVersions", "API versions");
    let at = path.child("apiVersions");
    for (i, version) in list(&rule["apiVersions"]).iter().enumerate() {
        required(errors, &at.index(i), version);
    }
    resources(errors, &path.child("resources"), list(&rule["resources"]));
    optional_one_of(
        errors,
        &path.child("scope"),
        &rule["scope"],
        &["*", "Cluster", "Namespaced"],
    );
}

fn resources(errors: &mut Errors, path: &Path, resources: &[Value]) {
    if resources.is_empty() {
        errors.push(Error::required(path, ""));
    }
    let mut plain = false;
    let before = |i: usize, wanted: &str| resources[..i].iter().any(|r| text(r) == wanted);
    for (i, entry) in resources.iter().map(text).enumerate() {
        let Some((resource, subresource)) = entry.split_once('/') else {
            match entry {
                "" => errors.push(Error::required(path.index(i), "")),
                entry => plain = entry != "*",
            }
            continue;
        };
        for wide in [format!("{resource}/*"), format!("*/{subresource}")] {
            if before(i, &wide) {
                let detail = format!("if '{wide}' is present, must not specify {entry}");
                errors.push(Error::invalid(path.index(i), entry, detail));
            }
        }
    }
    let has = |wanted: &str| before(resources.len(), wanted);
    if resources.len() > 1 && has("*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(Error::invalid(path, resources.to_vec(), detail));
    }
    if has("*") && plain {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(Error::invalid(path, resources.to_vec(), detail));
    }
}

/// Conditions have names, each its own, and expressions, which can name a policy's parameters.
pub fn match_conditions(errors: &mut Errors, path: &Path, conditions: &Value, params: bool) {
    let conditions = list(conditions);
    if conditions.len() > MOST_CONDITIONS {
        errors.push(Error::too_many(path, conditions.len(), MOST_CONDITIONS));
    }
    let repeated = repeats(conditions, |c| &c["name"]);
    for (i, condition) in conditions.iter().enumerate() {
        let at = path.index(i);
        let (at_expression, expression) = (at.child("expression"), text(&condition["expression"]).trim());
        if expression.is_empty() {
            errors.push(Error::required(at_expression, ""));
        } else {
            let names = Names {
                params,
                authorizer: true,
                mutation: false,
            };
            Expressions::default().check(errors, &at_expression, expression, names, &[Type::Bool]);
        }
        let name = text(&condition["name"]);
        required_format(errors, &at.child("name"), name, formats::qualified_name);
        if !name.is_empty() && repeated[i] {
            errors.push(Error::duplicate(at.child("name"), name));
        }
    }
}

/// A MatchResources that is there.
pub fn match_resources(errors: &mut Errors, path: &Path, resources: &Value) {
    optional_one_of(
        errors,
        &path.child("matchPolicy"),
        &resources["matchPolicy"],
        &MATCH_POLICIES,
    );
    for field in ["namespaceSelector", "objectSelector"] {
        label_selector(errors, &path.child(field), &resources[field]);
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        let at = path.child(field);
        for (i, entry) in list(&resources[field]).iter().enumerate() {
            let at = at.index(i);
            let (at_names, names) = (at.child("resourceNames"), list(&entry["resourceNames"]));
            let repeated = repeats(names, |name| name);
            for (i, name) in names.iter().enumerate() {
                format(errors, &at_names.index(i), text(name), formats::path_segment);
                if repeated[i] {
                    errors.push(Error::duplicate(at_names.index(i), name.clone()));
                }
            }
            rule(errors, &at, entry);
        }
    }
}

/// What a mutating policy matches is created, updated or connected to.
pub fn only_mutating_operations(errors: &mut Errors, path: &Path, resources: &Value) {
    let operations = list(&resources["resourceRules"])
        .iter()
        .flat_map(|rule| list(&rule["operations"]));
    for operation in operations {
        let at = path.child("resourceRules");
        optional_one_of(errors, &at.child("operations"), operation, &MUTATING_OPERATIONS);
    }
}

/// What a policy's expressions can name.
pub fn names_of(spec: &Value) -> Names {
    Names {
        params: given(&spec["paramKind"]),
        authorizer: true,
        mutation: false,
    }
}

/// What both sorts of policies have before their validations or mutations. What comes after it can name its variables.
pub fn policy(
    errors: &mut Errors,
    path: &Path,
    spec: &Value,
    old: Option<&Value>,
    mutating: bool,
) -> Expressions {
    let failure = &spec["failurePolicy"];
    optional_one_of(errors, &path.child("failurePolicy"), failure, &FAILURE_POLICIES);
    if given(&spec["paramKind"]) {
        param_kind(errors, &path.child("paramKind"), &spec["paramKind"]);
    }
    let (at, constraints) = (path.child("matchConstraints"), &spec["matchConstraints"]);
    if given(constraints) {
        match_resources(errors, &at, constraints);
        if size(&constraints["resourceRules"]) == 0 {
            errors.push(Error::required(at.child("resourceRules"), ""));
        }
        if mutating {
            only_mutating_operations(errors, &at, constraints);
        }
    } else {
        errors.push(Error::required(at, ""));
    }
    let stays = |field: &str| old.is_some_and(|old| same(&spec[field], &old[field]));
    if !(stays("paramKind") && stays("matchConditions")) {
        let at = path.child("matchConditions");
        match_conditions(errors, &at, &spec["matchConditions"], given(&spec["paramKind"]));
    }
    let at = path.child("variables");
    // What mutates can name its variables even if it has none.
    let mut expressions = match mutating || size(&spec["variables"]) > 0 {
        true => Expressions::with_variables(),
        false => Expressions::default(),
    };
    for (i, variable) in list(&spec["variables"]).iter().enumerate() {
        let (at, name) = (at.index(i), text(&variable["name"]));
        if name.trim().is_empty() {
            errors.push(Error::required(at.child("name"), "name is not specified"));
        } else if !gantry_cel::is_identifier(name) {
            errors.push(Error::invalid(
                at.child("name"),
                name,
                "must be a valid CEL identifier",
            ));
        }
        let (at, expression) = (at.child("expression"), text(&variable["expression"]));
        if expression.trim().is_empty() {
            errors.push(Error::required(at, "expression is not specified"));
        } else {
            expressions.add_variable(errors, &at, name, expression, names_of(spec));
        }
    }
    expressions
}

fn param_kind(errors: &mut Errors, path: &Path, kind: &Value) {
    let (at, api_version) = (path.child("apiVersion"), text(&kind["apiVersion"]));
    let mut parts = api_version.split('/');
    let parts = (parts.next(), parts.next(), parts.next());
    let mut group_version = |group: &str, version: &str| {
        let joined_problems = |problems: Vec<String>| joined(problems.iter().map(String::as_str), ",");
        let problems = formats::dns_subdomain(group);
        if !group.is_empty() && !problems.is_empty() {
            errors.push(Error::invalid(at, group, joined_problems(problems)));
        }
        let problems = formats::dns1035_label(version);
        if version.is_empty() {
            errors.push(Error::invalid(at, api_version, "version must be specified"));
        } else if !problems.is_empty() {
            errors.push(Error::invalid(at, version, joined_problems(problems)));
        }
    };
    match parts {
        _ if api_version.is_empty() => errors.push(Error::required(at, "")),
        (Some(version), None, _) => group_version("", version),
        (Some(group), Some(version), None) => group_version(group, version),
        _ => {
            let detail = format!("unexpected GroupVersion string: {api_version}");
            errors.push(Error::invalid(at, api_version, detail));
        }
    }
    let (at, name) = (path.child("kind"), text(&kind["kind"]));
    let problems = formats::dns1035_label(&name.to_lowercase());
    if name.is_empty() {
        errors.push(Error::required(at, ""));
    } else if !problems.is_empty() {
        let problems = joined(problems.iter().map(String::as_str), ",");
        let detail = format!("may have mixed case, but should otherwise match: {problems}");
        errors.push(Error::invalid(at, name, detail));
    }
}

/// What both sorts of bindings have.
pub fn binding(errors: &mut Errors, path: &Path, spec: &Value) {
    let policy = text(&spec["policyName"]);
    required_format(errors, &path.child("policyName"), policy, formats::dns_subdomain);
    if given(&spec["paramRef"]) {
        param_ref(errors, &path.child("paramRef"), &spec["paramRef"]);
    }
    if given(&spec["matchResources"]) {
        match_resources(errors, &path.child("matchResources"), &spec["matchResources"]);
    }
}

fn param_ref(errors: &mut Errors, path: &Path, reference: &Value) {
    let (name, selector) = (text(&reference["name"]), &reference["selector"]);
    let exclusive = "name and selector are mutually exclusive";
    let both = !name.is_empty() && given(selector);
    if !name.is_empty() {
        format(errors, &path.child("name"), name, formats::path_segment);
    }
    if both {
        errors.push(Error::forbidden(path.child("name"), exclusive));
    }
    if given(selector) {
        label_selector(errors, &path.child("selector"), selector);
    }
    if both {
        errors.push(Error::forbidden(path.child("selector"), exclusive));
    }
    if name.is_empty() && !given(selector) {
        errors.push(Error::required(path, "one of name or selector must be specified"));
    }
    let action = &reference["parameterNotFoundAction"];
    one_of(
        errors,
        &path.child("parameterNotFoundAction"),
        action,
        &["Deny", "Allow"],
    );
}

/// A policy's kind of parameters, for its table.
pub fn shown_param_kind(policy: &Value) -> String {
    match &policy["spec"]["paramKind"] {
        Value::Null => "<unset>".into(),
        kind => format!("{}/{}", text(&kind["apiVersion"]), text(&kind["kind"])),
    }
}

/// A binding's parameters, for its table.
pub fn shown_param_ref(binding: &Value) -> String {
    let reference = &binding["spec"]["paramRef"];
    match (text(&reference["namespace"]), text(&reference["name"])) {
        (_, "") if given(&reference["selector"]) => selector_text(&reference["selector"]),
        (_, "") => "<unset>".into(),
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_of_a_rule() {
        let check = |resources_: Value, expected: &[&str]| {
            let mut errors = Vec::new();
            resources(&mut errors, &Path::new("r"), list(&resources_));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(json!(["pods", "pods/status"]), &[]);
        check(json!([]), &["r: Required value"]);
        check(json!([""]), &["r[0]: Required value"]);
        check(
            json!(["pods/*", "pods/status"]),
            &["r[1]: Invalid value: \"pods/status\": if 'pods/*' is present, must not specify pods/status"],
        );
        check(
            json!(["*", "pods"]),
            &[
                "r: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources without \
               subresources",
            ],
        );
    }
}
