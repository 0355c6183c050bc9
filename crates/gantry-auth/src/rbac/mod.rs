//! Role-based access control, with upstream's semantics.

mod aggregation;
mod bootstrap;
mod controllers;
mod escalation;
mod gated;
mod namespaced;
mod policy;
mod roles;

pub use aggregation::aggregated_rules;
pub(crate) use bootstrap::rules_of;
pub use bootstrap::{
    bootstrap_cluster_role_bindings, bootstrap_cluster_roles, bootstrap_role_bindings, bootstrap_roles,
    reconciled,
};
pub use escalation::{Grant, Refusal, may_grant, only_collected};
pub use policy::{Part, Policy};

use crate::authorizer::{Decision, Rules};
use crate::{Attributes, User};
use serde_json::Value;
use std::sync::Arc;

/// The API group of roles and bindings.
pub const API_GROUP: &str = "rbac.authorization.k8s.io";

/// The binding through which some rule allows the request; otherwise what could not be looked at, for a person.
///
/// A binding whose role does not exist grants nothing, and is named in the refusal's reason.
pub fn granted(attributes: &Attributes, policy: &Policy) -> Result<Arc<Value>, String> {
    let mut missing = Vec::new();
    let binding = visit(attributes.user, attributes.namespace, policy, |found| {
        match found {
            Ok((binding, rule)) if rule_allows(rule, attributes) => return Some(binding.clone()),
            Ok(_) => {}
            Err(error) => missing.push(error),
        }
        None
    });
    binding.ok_or_else(|| match missing.as_slice() {
        [] => String::new(),
        [one] => format!("RBAC: {one}"),
        many => format!("RBAC: [{}]", many.join(", ")),
    })
}

/// Decides over a request, and says through which binding it is allowed.
pub fn decide(attributes: &Attributes, policy: &Policy) -> Decision {
    match granted(attributes, policy) {
        Ok(binding) => Decision::allow(format!(
            "RBAC: allowed by {}",
            describe(&binding, attributes.user)
        )),
        Err(reason) => Decision::no_opinion(reason),
    }
}

/// Adds the rules bound to `user` in `namespace`.
pub fn collect_rules(user: &User, namespace: &str, policy: &Policy, rules: &mut Rules) {
    visit(user, namespace, policy, |found| {
        match found {
            Ok((_, rule)) => {
                let part = |fields: &[&str]| {
                    let kept = fields
                        .iter()
                        .filter(|f| !list(rule, f).is_empty())
                        .map(|f| ((*f).to_owned(), rule[*f].clone()));
                    Value::Object(kept.collect())
                };
                if !list(rule, "resources").is_empty() {
                    let fields = ["verbs", "apiGroups", "resources", "resourceNames"];
                    rules.resources.push(part(&fields));
                }
                if !list(rule, "nonResourceURLs").is_empty() {
                    rules.paths.push(part(&["verbs", "nonResourceURLs"]));
                }
            }
            Err(error) => rules.errors.push(error),
        }
        None::<()>
    });
}

/// Goes through every rule bound to `user`, cluster-wide and in `namespace`, and every binding whose role is
/// missing, until `visitor` answers.
fn visit<T>(
    user: &User,
    namespace: &str,
    policy: &Policy,
    mut visitor: impl FnMut(Result<(&Arc<Value>, &Value), String>) -> Option<T>,
) -> Option<T> {
    let mut scope = |namespace: &str| {
        policy
            .bindings_of(user, namespace)
            .find_map(|binding| match policy.role_of(binding, namespace) {
                Ok(role) => list(role, "rules")
                    .iter()
                    .find_map(|rule| visitor(Ok((binding, rule)))),
                Err(error) => visitor(Err(error)),
            })
    };
    let cluster_wide = scope("");
    if cluster_wide.is_some() || namespace.is_empty() {
        return cluster_wide;
    }
    scope(namespace)
}

/// Names a binding, its role and the subject through which it reaches the user.
fn describe(binding: &Value, user: &User) -> String {
    let own = field(&binding["metadata"], "namespace");
    let (kind, name) = match own {
        "" => (
            "ClusterRoleBinding",
            field(&binding["metadata"], "name").to_owned(),
        ),
        namespace => (
            "RoleBinding",
            format!("{}/{namespace}", field(&binding["metadata"], "name")),
        ),
    };
    let through = list(binding, "subjects").iter().find(|s| reaches(s, user, own));
    let subject = through.map(|subject| {
        let name = match (field(subject, "kind"), field(subject, "namespace")) {
            ("ServiceAccount", "") => format!("{}/{own}", field(subject, "name")),
            ("ServiceAccount", namespace) => format!("{}/{namespace}", field(subject, "name")),
            _ => field(subject, "name").to_owned(),
        };
        format!("{} {}", field(subject, "kind"), quoted(&name))
    });
    let role = &binding["roleRef"];
    format!(
        "{kind} {} of {} {} to {}",
        quoted(&name),
        field(role, "kind"),
        quoted(field(role, "name")),
        subject.unwrap_or_default()
    )
}

/// Upstream's words for a refusal.
pub fn denial(attributes: &Attributes) -> String {
    let user = quoted(&attributes.user.name);
    let verb = attributes.verb;
    if let Some(path) = attributes.path {
        return format!("User {user} cannot {verb} path {}", quoted(path));
    }
    let resource = quoted(&full_resource(attributes));
    let group = quoted(attributes.group);
    let scope = match attributes.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {}", quoted(namespace)),
    };
    format!("User {user} cannot {verb} resource {resource} in API group {group} {scope}")
}

/// `text` in quotes as Go's `%q` writes it.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            '\u{80}'..='\u{a0}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn full_resource(attributes: &Attributes) -> String {
    match attributes.subresource {
        "" => attributes.resource.to_owned(),
        subresource => format!("{}/{subresource}", attributes.resource),
    }
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn strings<'a>(rule: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    list(rule, field).iter().filter_map(Value::as_str)
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Whether a binding's subject is the user.
fn reaches(subject: &Value, user: &User, namespace: &str) -> bool {
    let name = field(subject, "name");
    match field(subject, "kind") {
        "User" => user.name == name,
        "Group" => user.in_group(name),
        "ServiceAccount" => {
            let namespace = match field(subject, "namespace") {
                "" => namespace,
                own => own,
            };
            !namespace.is_empty() && is_service_account(&user.name, namespace, name)
        }
        _ => false,
    }
}

fn is_service_account(user: &str, namespace: &str, name: &str) -> bool {
    user.strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.strip_prefix(namespace))
        .and_then(|rest| rest.strip_prefix(':'))
        == Some(name)
}

/// Whether one rule allows the request.
pub(crate) fn rule_allows(rule: &Value, attributes: &Attributes) -> bool {
    if !strings(rule, "verbs").any(|verb| verb == "*" || verb == attributes.verb) {
        return false;
    }
    if let Some(path) = attributes.path {
        return strings(rule, "nonResourceURLs").any(|url| url_matches(url, path));
    }
    let full = full_resource(attributes);
    strings(rule, "apiGroups").any(|group| group == "*" || group == attributes.group)
        && strings(rule, "resources")
            .any(|resource| resource_matches(resource, &full, attributes.subresource))
        && (list(rule, "resourceNames").is_empty()
            || strings(rule, "resourceNames").any(|name| name == attributes.name))
}

fn resource_matches(rule: &str, full: &str, subresource: &str) -> bool {
    rule == "*" || rule == full || (!subresource.is_empty() && rule.strip_prefix("*/") == Some(subresource))
}

fn url_matches(rule: &str, path: &str) -> bool {
    rule == "*" || rule == path || (rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*')))
}

#[cfg(test)]
mod tests;
