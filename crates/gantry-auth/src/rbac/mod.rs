//! Role-based access control, with upstream's semantics.

mod bootstrap;
mod roles;

pub use bootstrap::{bootstrap_cluster_role_bindings, bootstrap_cluster_roles};

use crate::{Attributes, MASTERS, User};
use serde_json::Value;
use std::sync::Arc;

/// The roles and bindings a decision is made from.
pub trait Objects {
    /// Every ClusterRoleBinding.
    fn cluster_role_bindings(&self) -> Vec<Arc<Value>>;
    /// Every RoleBinding in `namespace`.
    fn role_bindings(&self, namespace: &str) -> Vec<Arc<Value>>;
    /// The ClusterRole called `name`.
    fn cluster_role(&self, name: &str) -> Option<Arc<Value>>;
    /// The Role called `name` in `namespace`.
    fn role(&self, namespace: &str, name: &str) -> Option<Arc<Value>>;
}

/// Whether some rule bound to the user allows the request.
///
/// A binding whose role does not exist grants nothing; `system:masters` may do anything.
pub fn allows(attributes: &Attributes, objects: &dyn Objects) -> bool {
    if attributes.user.in_group(MASTERS) {
        return true;
    }
    let bound = |binding: &Value, namespace: &str| {
        applies(binding, attributes.user, namespace)
            && role_of(binding, namespace, objects).is_some_and(|role| {
                list(&role, "rules")
                    .iter()
                    .any(|rule| rule_allows(rule, attributes))
            })
    };
    if objects
        .cluster_role_bindings()
        .iter()
        .any(|binding| bound(binding, ""))
    {
        return true;
    }
    // Upstream reads a namespace's bindings for paths too, but those have no namespace.
    let namespace = attributes.namespace;
    !namespace.is_empty()
        && objects
            .role_bindings(namespace)
            .iter()
            .any(|binding| bound(binding, namespace))
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

/// Whether the binding has the user among its subjects.
fn applies(binding: &Value, user: &User, namespace: &str) -> bool {
    list(binding, "subjects").iter().any(|subject| {
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
    })
}

fn is_service_account(user: &str, namespace: &str, name: &str) -> bool {
    user.strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.strip_prefix(namespace))
        .and_then(|rest| rest.strip_prefix(':'))
        == Some(name)
}

/// The role a binding refers to; a Role only from a binding in a namespace.
fn role_of(binding: &Value, namespace: &str, objects: &dyn Objects) -> Option<Arc<Value>> {
    let reference = &binding["roleRef"];
    let name = field(reference, "name");
    match field(reference, "kind") {
        "ClusterRole" => objects.cluster_role(name),
        "Role" if !namespace.is_empty() => objects.role(namespace, name),
        _ => None,
    }
}

fn rule_allows(rule: &Value, attributes: &Attributes) -> bool {
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
