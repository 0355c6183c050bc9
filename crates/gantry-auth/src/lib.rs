//! Who a request comes from, and whether it may do what it asks: pure decisions, without I/O.

pub mod authorizer;
pub mod impersonation;
pub mod node;
pub mod rbac;
pub mod service_account;
pub mod x509;

use std::collections::BTreeMap;

/// The group every authenticated user is in.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of requests that carried no credentials.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user of requests that carried no credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group that authorization always lets through.
pub const MASTERS: &str = "system:masters";
/// The group of nodes.
pub const NODES: &str = "system:nodes";
/// The group of machines that are about to join.
pub const BOOTSTRAPPERS: &str = "system:bootstrappers";
/// The extra field that says which credential a user showed.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Who makes a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name that bindings refer to.
    pub name: String,
    /// The identifier that outlives the name; empty when the credentials carry none.
    pub uid: String,
    /// The groups the user is in.
    pub groups: Vec<String>,
    /// What else the authenticator knows.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user of this name in these groups.
    pub fn new(name: impl Into<String>, groups: &[&str]) -> User {
        User {
            name: name.into(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            ..User::default()
        }
    }

    /// The user of a request without credentials.
    pub fn anonymous() -> User {
        User::new(ANONYMOUS, &[UNAUTHENTICATED])
    }

    /// Whether the user is in `group`.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// The name of the node this user is, if it is one; empty when the node does not say which.
    pub fn node_name(&self) -> Option<&str> {
        let name = self.name.strip_prefix("system:node:")?;
        self.in_group(NODES).then_some(name)
    }
}

/// What a request asks to do, as authorization sees it.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a User,
    /// The verb: `get`, `list`, `create` and so on; the lower-case HTTP method for a path.
    pub verb: &'a str,
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The resource, in the plural.
    pub resource: &'a str,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// The namespace, or empty at the cluster scope.
    pub namespace: &'a str,
    /// The object's name, or empty.
    pub name: &'a str,
    /// The field selector that narrows a list or watch, or empty.
    pub field_selector: &'a str,
    /// The path of a request that is not about a resource.
    pub path: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    /// A request about nothing yet.
    pub fn of(user: &'a User, verb: &'a str) -> Self {
        Attributes {
            user,
            verb,
            group: "",
            resource: "",
            subresource: "",
            namespace: "",
            name: "",
            field_selector: "",
            path: None,
        }
    }

    /// Whether the field selector lets through only objects whose `field` is `value`.
    pub fn selects(&self, field: &str, value: &str) -> bool {
        exact(self.field_selector, field) == Some(value)
    }
}

/// The value that a field selector demands of `field` with `=` or `==`.
///
/// Values with escapes are not read: who asks for one is treated as having asked for all.
pub fn exact<'a>(selector: &'a str, field: &str) -> Option<&'a str> {
    selector
        .split(',')
        .filter_map(|term| term.trim().split_once('='))
        .find(|(name, _)| *name == field)
        .map(|(_, value)| value.strip_prefix('=').unwrap_or(value))
        .filter(|_| !selector.contains('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_is_only_unauthenticated() {
        let user = User::anonymous();
        assert_eq!(user.name, "system:anonymous");
        assert!(user.in_group(UNAUTHENTICATED));
        assert!(!user.in_group(AUTHENTICATED));
        assert!(!user.in_group(MASTERS));
    }

    #[test]
    fn nodes_need_name_and_group() {
        let check = |name: &str, group: &str, node: Option<&str>| {
            assert_eq!(User::new(name, &[group]).node_name(), node, "{name} {group}");
        };
        check("system:node:n1", NODES, Some("n1"));
        check("system:node:", NODES, Some(""));
        check("system:node:n1", AUTHENTICATED, None);
        check("n1", NODES, None);
    }

    #[test]
    fn field_selectors() {
        let check = |selector: &str, value: Option<&str>| {
            assert_eq!(exact(selector, "spec.nodeName"), value, "{selector}");
        };
        check("spec.nodeName=a", Some("a"));
        check("x=y, spec.nodeName==a", Some("a"));
        check("spec.nodeName!=a", None);
        check("spec.nodeName", None);
        check(r"spec.nodeName=a\,b", None);
        check("", None);
    }
}
