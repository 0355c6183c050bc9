//! FlowSchema

use crate::field::{Error, Path};
use crate::flowcontrol as bootstrap;
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, format, required};
use crate::kinds::columns::{age_column, column, name_column, or_none};
use crate::kinds::values::{
    default_if_zero, drop_zero, flag, given, list, list_mut, map_of, number, repeats, same, size, text,
};
use crate::kinds::{count_generation, start_generation, usual};
use crate::meta;
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        subresources: vec![Subresource::Status],
        columns: vec![
            name_column(),
            column("PriorityLevel", "string", |o, _| o["spec"]["priorityLevelConfiguration"]["name"].clone()),
            column("MatchingPrecedence", "string", |o, _| number(&o["spec"]["matchingPrecedence"]).into()),
            column("DistinguisherMethod", "string", |o, _| {
                or_none(text(&o["spec"]["distinguisherMethod"]["type"]))
            }),
            age_column(),
            column("MissingPL", "string", |o, _| {
                let dangling = list(&o["status"]["conditions"]).iter().find(|c| c["type"] == "Dangling");
                dangling.map_or("?".into(), |c| c["status"].clone())
            }),
        ],
        hooks: Box::new(FlowSchemaHooks),
        ..usual("flowcontrol.apiserver.k8s.io", "FlowSchema", "flowschemas", Scope::Cluster)
    }
}

const HIGHEST_PRECEDENCE: i64 = 10_000;
const DEFAULT_PRECEDENCE: i64 = 1_000;
const VERBS: [&str; 9] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

struct FlowSchemaHooks;

impl Hooks for FlowSchemaHooks {
    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        default_if_zero(spec, "matchingPrecedence", DEFAULT_PRECEDENCE);
        drop_zero(spec, &["rules"]);
        for rule in list_mut(spec, "rules") {
            for resources in list_mut(rule, "resourceRules") {
                drop_zero(resources, &["clusterScope", "namespaces"]);
            }
        }
        map_of(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        start_generation(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        count_generation(object, old);
    }

    fn prepare_subresource(&self, _: Subresource, _: &mut Value, _: &Value) {}

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec, name) = (Path::new("spec"), &object["spec"], meta::name(object));
        let (at, precedence) = (path.child("matchingPrecedence"), number(&spec["matchingPrecedence"]));
        let mut wrong = |detail: String| errors.push(Error::invalid(at, precedence, detail));
        match precedence {
            ..=0 => wrong("must be a positive value".into()),
            1 if name != "exempt" => wrong("only the schema named 'exempt' may have matchingPrecedence 1".into()),
            1..=HIGHEST_PRECEDENCE => {}
            _ => wrong(format!("must not be greater than {HIGHEST_PRECEDENCE}")),
        }
        let method = &spec["distinguisherMethod"];
        if given(method) && !matches!(text(&method["type"]), "ByNamespace" | "ByUser") {
            let at = path.child("distinguisherMethod");
            let methods = ["ByNamespace", "ByUser"];
            // Upstream shows the method by its fields in Go.
            let shown = format!("{{\"Type\":{}}}", Value::from(text(&method["type"])));
            errors.push(Error::not_supported(at.child("type"), method.clone(), &methods).showing(shown));
        }
        let at = path.child("priorityLevelConfiguration");
        match text(&spec["priorityLevelConfiguration"]["name"]) {
            "" => errors.push(Error::required(at.child("name"), "must reference a priority level")),
            level => format(&mut errors, &at.child("name"), level, formats::dns_subdomain),
        }
        let at = path.child("rules");
        for (i, rule) in list(&spec["rules"]).iter().enumerate() {
            rule_with_subjects(&mut errors, &at.index(i), rule);
        }
        if let Some(fixed) = bootstrap::mandatory_flow_schema(name)
            && !same(spec, &fixed["spec"])
        {
            let detail = format!("spec of '{name}' must equal the fixed value");
            errors.push(Error::invalid(path, spec.clone(), detail));
        }
        conditions(&mut errors, object);
        errors
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        conditions(&mut errors, object);
        errors
    }
}

/// Conditions have types, and each type once.
pub fn conditions(errors: &mut Errors, object: &Value) {
    let path = Path::new("status");
    let path = path.child("conditions");
    let conditions = list(&object["status"]["conditions"]);
    let repeated = repeats(conditions, |c| text(&c["type"]));
    for (i, condition) in conditions.iter().enumerate() {
        let (at, type_) = (path.index(i), text(&condition["type"]));
        if repeated[i] {
            errors.push(Error::duplicate(at.child("type"), type_));
        }
        required(errors, &at.child("type"), &condition["type"]);
    }
}

fn rule_with_subjects(errors: &mut Errors, path: &Path, rule: &Value) {
    let at = path.child("subjects");
    if size(&rule["subjects"]) == 0 {
        errors.push(Error::required(at, "subjects must contain at least one value"));
    }
    for (i, entry) in list(&rule["subjects"]).iter().enumerate() {
        subject(errors, &at.index(i), entry);
    }
    if size(&rule["resourceRules"]) == 0 && size(&rule["nonResourceRules"]) == 0 {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(Error::required(path, detail));
    }
    let at = path.child("resourceRules");
    for (i, entry) in list(&rule["resourceRules"]).iter().enumerate() {
        resource_rule(errors, &at.index(i), entry);
    }
    let at = path.child("nonResourceRules");
    for (i, entry) in list(&rule["nonResourceRules"]).iter().enumerate() {
        non_resource_rule(errors, &at.index(i), entry);
    }
}

fn subject(errors: &mut Errors, path: &Path, subject: &Value) {
    const KINDS: [(&str, &str); 3] =
        [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = text(&subject["kind"]);
    let Some((_, field)) = KINDS.into_iter().find(|(of, _)| *of == kind) else {
        let kinds = ["Group", "ServiceAccount", "User"];
        errors.push(Error::not_supported(path.child("kind"), kind, &kinds));
        return;
    };
    let (at, named) = (path.child(field), &subject[field]);
    if !given(named) {
        errors.push(Error::required(at, format!("{field} is required when subject kind is '{kind}'")));
    } else {
        match text(&named["name"]) {
            "" => errors.push(Error::required(at.child("name"), "")),
            "*" => {}
            name if field == "serviceAccount" => {
                format(errors, &at.child("name"), name, formats::dns_subdomain);
            }
            _ => {}
        }
        if field == "serviceAccount" {
            match text(&named["namespace"]) {
                "" => {
                    let detail = "must specify namespace for service account";
                    errors.push(Error::required(at.child("namespace"), detail));
                }
                namespace => format(errors, &at.child("namespace"), namespace, formats::dns_label),
            }
        }
    }
    for (of, other) in KINDS.into_iter().filter(|(of, other)| *of != kind && given(&subject[*other])) {
        let detail = format!("{other} is forbidden when subject kind is not '{of}'");
        errors.push(Error::forbidden(path.child(other), detail));
    }
}

fn has_wildcard(values: &[Value]) -> bool {
    values.iter().any(|v| v == "*")
}

/// A list that is `*` alone, or does not hold it.
fn alone(errors: &mut Errors, path: &Path, values: &[Value], others: &str) {
    if values.len() > 1 && has_wildcard(values) {
        let detail = format!("if '*' is present, must not specify other {others}");
        errors.push(Error::invalid(path, values.to_vec(), detail));
    }
}

fn verbs(errors: &mut Errors, path: &Path, rule: &Value) {
    let (at, verbs) = (path.child("verbs"), list(&rule["verbs"]));
    if verbs.is_empty() {
        errors.push(Error::required(at, "verbs must contain at least one value"));
    } else if has_wildcard(verbs) {
        alone(errors, &at, verbs, "verbs");
    } else if !verbs.iter().all(|verb| VERBS.contains(&text(verb))) {
        errors.push(Error::not_supported(at, verbs.to_vec(), &VERBS));
    }
}

fn resource_rule(errors: &mut Errors, path: &Path, rule: &Value) {
    verbs(errors, path, rule);
    for (field, one, others) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
        let (at, values) = (path.child(field), list(&rule[field]));
        if values.is_empty() {
            errors.push(Error::required(at, format!("resource rules must supply at least one {one}")));
        }
        alone(errors, &at, values, others);
    }
    let (at, namespaces) = (path.child("namespaces"), list(&rule["namespaces"]));
    if namespaces.is_empty() && !flag(&rule["clusterScope"]) {
        let detail = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(Error::required(at, detail));
    } else if has_wildcard(namespaces) {
        alone(errors, &at, namespaces, "namespaces");
    } else {
        for (i, namespace) in namespaces.iter().enumerate() {
            for problem in formats::dns_label(text(namespace)) {
                let detail = format!("each member of this list must be '*' or a DNS-1123 label; {problem}");
                errors.push(Error::invalid(at.index(i), namespace.clone(), detail));
            }
        }
    }
}

fn non_resource_rule(errors: &mut Errors, path: &Path, rule: &Value) {
    verbs(errors, path, rule);
    let (at, urls) = (path.child("nonResourceURLs"), list(&rule["nonResourceURLs"]));
    if urls.is_empty() {
        errors.push(Error::required(at, "nonResourceURLs must contain at least one value"));
    } else if has_wildcard(urls) {
        alone(errors, &at, urls, "non-resource URLs");
    } else {
        for (i, url) in urls.iter().map(text).enumerate() {
            if let Some(detail) = url_problem(url) {
                errors.push(Error::invalid(at.index(i), url, detail));
            }
        }
    }
}

fn url_problem(url: &str) -> Option<&'static str> {
    let stars = url.matches('*').count();
    match url {
        "/" => None,
        "" => Some("must not be empty"),
        _ if !url.starts_with('/') => Some("must start with slash"),
        _ if url.contains(' ') => Some("must not contain white-space"),
        _ if url.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || stars == 1 && !url.ends_with("/*") => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(name: &str, change: impl Fn(&mut Value), expected: &[&str]) {
        let everything =
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true});
        let subjects = json!([{"kind": "Group", "group": {"name": "g"}}]);
        let mut object = json!({"metadata": {"name": name}, "spec": {
            "priorityLevelConfiguration": {"name": "p"},
            "rules": [{"subjects": subjects, "resourceRules": [everything]}],
        }});
        change(&mut object);
        FlowSchemaHooks.default(&mut object);
        let errors = FlowSchemaHooks.validate(&object);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn rules() {
        check("f", |_| {}, &[]);
        check(
            "f",
            |o| o["spec"]["matchingPrecedence"] = 1.into(),
            &["spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"],
        );
        check(
            "f",
            |o| o["spec"]["matchingPrecedence"] = 10_001.into(),
            &["spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000"],
        );
        check(
            "f",
            |o| o["spec"]["priorityLevelConfiguration"] = json!({}),
            &["spec.priorityLevelConfiguration.name: Required value: must reference a priority level"],
        );
        check(
            "f",
            |o| o["spec"]["rules"][0]["subjects"][0]["user"] = json!({"name": "u"}),
            &["spec.rules[0].subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'"],
        );
        check(
            "f",
            |o| o["spec"]["rules"][0]["resourceRules"][0]["verbs"] = json!(["*", "get"]),
            &["spec.rules[0].resourceRules[0].verbs: Invalid value: [\"*\",\"get\"]: if '*' is present, must not specify \
               other verbs"],
        );
        check(
            "f",
            |o| o["spec"]["rules"][0] = json!({}),
            &[
                "spec.rules[0].subjects: Required value: subjects must contain at least one value",
                "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
            ],
        );
    }

    #[test]
    fn urls() {
        let check = |url: &str, fine: bool| assert_eq!(url_problem(url).is_none(), fine, "{url}");
        check("/", true);
        check("/a/*", true);
        check("", false);
        check("a", false);
        check("/a//b", false);
        check("/a*", false);
    }
}
