//! ValidatingWebhookConfiguration, and the rules for webhooks

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::admission_rules::{self, FAILURE_POLICIES, REINVOCATION_POLICIES};
use crate::kinds::checks::{Errors, label_selector, optional_one_of, required};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::usual;
use crate::kinds::values::{
    default_to, field_mut, given, joined, list, list_mut, map_of, number, repeats, same, size, text,
};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    webhooks_kind("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", false)
}

/// A kind of configurations of webhooks.
pub fn webhooks_kind(kind: &str, plural: &str, mutating: bool) -> Kind {
    Kind {
        categories: vec!["api-extensions".into()],
        columns: vec![
            name_column(),
            column("Webhooks", "integer", |o, _| size(&o["webhooks"]).into()),
            age_column(),
        ],
        hooks: Box::new(WebhooksHooks { mutating }),
        ..usual("admissionregistration.k8s.io", kind, plural, Scope::Cluster)
    }
}

struct WebhooksHooks {
    mutating: bool,
}

const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

impl Hooks for WebhooksHooks {
    fn default(&self, object: &mut Value) {
        for webhook in list_mut(object, "webhooks") {
            default_to(webhook, "failurePolicy", "Fail");
            default_to(webhook, "timeoutSeconds", 10);
            admission_rules::default_match(webhook, &["rules"]);
            if self.mutating {
                default_to(webhook, "reinvocationPolicy", "Never");
            }
            if let Some(service) = field_mut(map_of(webhook, "clientConfig"), "service") {
                default_to(service, "port", 443);
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object["metadata"]["generation"] = 1.into();
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        if !same(&object["webhooks"], &old["webhooks"]) {
            object["metadata"]["generation"] = (number(&old["metadata"]["generation"]) + 1).into();
        }
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        self.all(list(&object["webhooks"]), None)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        self.all(list(&object["webhooks"]), Some(list(&old["webhooks"])))
    }
}

impl WebhooksHooks {
    /// Checks all webhooks. What some of `old` have wrong already is let be.
    fn all(&self, webhooks: &[Value], old: Option<&[Value]>) -> Errors {
        let mut errors = Vec::new();
        let path = Path::new("webhooks");
        let before = old.unwrap_or(&[]);
        let effects: &[&str] = match before.iter().all(|w| NO_SIDE_EFFECTS.contains(&text(&w["sideEffects"]))) {
            true => &NO_SIDE_EFFECTS,
            false => &SIDE_EFFECTS,
        };
        let known = |w: &Value| {
            let versions = list(&w["admissionReviewVersions"]);
            versions.is_empty() || versions.iter().any(|v| REVIEW_VERSIONS.contains(&text(v)))
        };
        let named = |among: &[Value], name: &Value| among.iter().any(|w| w["name"] == *name);
        let strict_versions = before.iter().all(known);
        let strict_names = !(0..before.len()).any(|i| named(&before[..i], &before[i]["name"]));
        let conditions_stay = old.is_some_and(|old| {
            old.len() == webhooks.len()
                && old.iter().zip(webhooks).all(|(a, b)| same(&a["matchConditions"], &b["matchConditions"]))
        });
        for (i, webhook) in webhooks.iter().enumerate() {
            let at = path.index(i);
            self.one(&mut errors, &at, webhook, effects);
            if !conditions_stay {
                let at = at.child("matchConditions");
                admission_rules::match_conditions(&mut errors, &at, &webhook["matchConditions"], false);
            }
            let versions = list(&webhook["admissionReviewVersions"]);
            review_versions(&mut errors, &at.child("admissionReviewVersions"), versions, strict_versions);
            let name = &webhook["name"];
            if strict_names && !text(name).is_empty() && named(&webhooks[..i], name) {
                errors.push(Error::duplicate(at.child("name"), name.clone()));
            }
        }
        errors
    }

    fn one(&self, errors: &mut Errors, path: &Path, webhook: &Value, effects: &[&str]) {
        qualified(errors, &path.child("name"), text(&webhook["name"]));
        admission_rules::rules(errors, &path.child("rules"), &webhook["rules"]);
        let failure = &webhook["failurePolicy"];
        optional_one_of(errors, &path.child("failurePolicy"), failure, &FAILURE_POLICIES);
        let policies = ["Equivalent", "Exact"];
        optional_one_of(errors, &path.child("matchPolicy"), &webhook["matchPolicy"], &policies);
        let (at, side_effects) = (path.child("sideEffects"), &webhook["sideEffects"]);
        if !given(side_effects) {
            errors.push(Error::required(at, format!("must specify one of {}", effects.join(", "))));
        }
        optional_one_of(errors, &at, side_effects, effects);
        let timeout = &webhook["timeoutSeconds"];
        if given(timeout) && !(1..=30).contains(&number(timeout)) {
            let detail = "the timeout value must be between 1 and 30 seconds";
            errors.push(Error::invalid(path.child("timeoutSeconds"), timeout.clone(), detail));
        }
        for field in ["namespaceSelector", "objectSelector"] {
            label_selector(errors, &path.child(field), &webhook[field]);
        }
        if self.mutating {
            let (at, policy) = (path.child("reinvocationPolicy"), &webhook["reinvocationPolicy"]);
            optional_one_of(errors, &at, policy, &REINVOCATION_POLICIES);
        }
        let (at, config) = (path.child("clientConfig"), &webhook["clientConfig"]);
        match (&config["url"], &config["service"]) {
            (Value::String(address), Value::Null) => url(errors, &at.child("url"), address),
            (Value::Null, to) if given(to) => service(errors, &at.child("service"), to),
            _ => errors.push(Error::required(at, "exactly one of url or service is required")),
        }
    }
}

/// A name has at least three parts.
fn qualified(errors: &mut Errors, path: &Path, name: &str) {
    let problems = formats::dns_subdomain(name);
    if name.is_empty() {
        errors.push(Error::required(path, ""));
    } else if !problems.is_empty() {
        errors.push(Error::invalid(path, name, joined(problems.iter().map(String::as_str), ",")));
    } else if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        errors.push(Error::invalid(path, name, detail));
    }
}

fn review_versions(errors: &mut Errors, path: &Path, versions: &[Value], strict: bool) {
    let known = REVIEW_VERSIONS.join(", ");
    if versions.is_empty() {
        errors.push(Error::required(path, format!("must specify one of {known}")));
        return;
    }
    let repeated = repeats(versions, |version| version);
    for (i, version) in versions.iter().enumerate() {
        if repeated[i] {
            errors.push(Error::invalid(path.index(i), version.clone(), "duplicate version"));
            continue;
        }
        crate::kinds::format(errors, &path.index(i), text(version), formats::dns1035_label);
    }
    if strict && !versions.iter().any(|v| REVIEW_VERSIONS.contains(&text(v))) {
        let detail = format!("must include at least one of {known}");
        errors.push(Error::invalid(path, versions.to_vec(), detail));
    }
}

/// Checks a webhook's address. Source: k8s.io/apiserver/pkg/util/webhook/validation.go.
pub fn url(errors: &mut Errors, path: &Path, address: &str) {
    const FORM: &str = "; desired format: https://host[/path]";
    if let Some(why) = unreadable(address) {
        let detail = format!("url must be a valid URL: parse {address:?}: {why}{FORM}");
        errors.push(Error::required(path, detail));
        return;
    }
    let mut wrong = |value: &str, detail: &str| errors.push(Error::invalid(path, value, detail));
    let (address, fragment) = address.split_once('#').unwrap_or((address, ""));
    let (address, query) = address.split_once('?').unwrap_or((address, ""));
    let (scheme, rest) = address.split_once(':').unwrap_or(("", address));
    let authority = rest.strip_prefix("//").and_then(|r| r.split('/').next()).unwrap_or("");
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if scheme != "https" {
        wrong(scheme, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        wrong(host, &format!("host must be specified{FORM}"));
    }
    if !user.is_empty() {
        wrong(user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        wrong(fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        wrong(query, "query parameters are not permitted in the URL");
    }
}

/// Why Go's parser of URLs refuses one.
fn unreadable(address: &str) -> Option<String> {
    if address.contains(|c: char| c.is_ascii_control()) {
        return Some("net/url: invalid control character in URL".into());
    }
    if address.starts_with(':') {
        return Some("missing protocol scheme".into());
    }
    let escaped = address.split('?').next().unwrap_or("");
    let mut escapes = escaped.match_indices('%').map(|(at, _)| &escaped.as_bytes()[at..]);
    let bad = escapes.find(|e| e.len() < 3 || !e[1..3].iter().all(u8::is_ascii_hexdigit))?;
    let shown = String::from_utf8_lossy(&bad[..bad.len().min(3)]);
    Some(format!("invalid URL escape {shown:?}"))
}

/// Checks the Service a webhook is behind.
pub fn service(errors: &mut Errors, path: &Path, service: &Value) {
    // Upstream takes the two for each other: a missing namespace is noted at the name, and the other way round.
    required(errors, &path.child("name"), &service["namespace"]);
    required(errors, &path.child("namespace"), &service["name"]);
    let port = number(&service["port"]);
    let problems = formats::port_number(port);
    if !problems.is_empty() {
        let detail = format!("port is not valid: {}", problems.join(", "));
        errors.push(Error::invalid(path.child("port"), port, detail));
    }
    let whole = text(&service["path"]);
    let mut wrong = |detail: String| errors.push(Error::invalid(path.child("path"), whole, detail));
    match whole {
        "" | "/" => return,
        "//" => return wrong("segment[0] may not be empty".into()),
        _ if !whole.starts_with('/') => wrong("must start with a '/'".into()),
        _ => {}
    }
    // What stands before the first slash has been refused above; the first character goes in any case.
    let mut characters = whole.chars();
    characters.next();
    let rest = characters.as_str();
    for (i, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            wrong(format!("segment[{i}] may not be empty"));
            continue;
        }
        formats::dns_subdomain(step).into_iter().for_each(|p| wrong(format!("segment[{i}]: {p}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn configuration(mutating: bool, change: impl Fn(&mut Value)) -> Value {
        let rule = json!({"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]});
        let mut object = json!({"metadata": {"name": "c"}, "webhooks": [{
            "name": "a.b.c", "rules": [rule], "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": "s", "namespace": "n"}},
        }]});
        change(&mut object["webhooks"][0]);
        WebhooksHooks { mutating }.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            for mutating in [false, true] {
                let errors = WebhooksHooks { mutating }.validate_create(&configuration(mutating, change));
                let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
                assert_eq!(texts, expected);
            }
        };
        check(|_| {}, &[]);
        check(
            |w| w["name"] = "a.b".into(),
            &["webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by \
               dots"],
        );
        check(
            |w| w["sideEffects"] = "Some".into(),
            &["webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\""],
        );
        check(
            |w| w["timeoutSeconds"] = 31.into(),
            &["webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"],
        );
        check(
            |w| w["clientConfig"] = json!({}),
            &["webhooks[0].clientConfig: Required value: exactly one of url or service is required"],
        );
        check(
            |w| w["clientConfig"] = json!({"url": "http://u@a/b?c"}),
            &[
                "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired \
                 format: https://host[/path]",
                "webhooks[0].clientConfig.url: Invalid value: \"u\": user information is not permitted in the URL",
                "webhooks[0].clientConfig.url: Invalid value: \"c\": query parameters are not permitted in the URL",
            ],
        );
        check(
            |w| w["clientConfig"]["service"]["path"] = "a//b".into(),
            &[
                "webhooks[0].clientConfig.service.path: Invalid value: \"a//b\": must start with a '/'",
                "webhooks[0].clientConfig.service.path: Invalid value: \"a//b\": segment[0] may not be empty",
                "webhooks[0].clientConfig.service.path: Invalid value: \"a//b\": segment[1] may not be empty",
            ],
        );
        check(
            |w| w["admissionReviewVersions"] = json!(["v2"]),
            &["webhooks[0].admissionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1"],
        );
        check(
            |w| w["rules"][0]["operations"] = json!(["*", "CREATE"]),
            &["webhooks[0].rules[0].operations: Invalid value: [\"*\",\"CREATE\"]: if '*' is present, must not specify \
               other operations"],
        );
        check(
            |w| w["matchConditions"] = json!([{"name": "", "expression": " "}]),
            &[
                "webhooks[0].matchConditions[0].expression: Required value",
                "webhooks[0].matchConditions[0].name: Required value",
            ],
        );
    }

    #[test]
    fn what_stood_may_stay() {
        let hooks = WebhooksHooks { mutating: false };
        let old = configuration(false, |w| w["sideEffects"] = "Some".into());
        assert_eq!(hooks.validate_update(&old, &old), []);
    }
}
