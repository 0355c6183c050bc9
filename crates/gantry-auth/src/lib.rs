//! Who a request is from and whether it may: pure decisions, no I/O.

pub mod rbac;
pub mod x509;

/// A user, as authentication found them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name, such as `system:admin`.
    pub name: String,
    /// Unique id, where the authenticator knows one.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
}

impl User {
    /// Whoever shows nothing.
    pub fn anonymous() -> User {
        User {
            name: "system:anonymous".into(),
            uid: String::new(),
            groups: vec!["system:unauthenticated".into()],
        }
    }

    /// Whether the user is in a group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// What a request wants to do.
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a User,
    /// The verb: `get`, `list`, ...; for other requests the HTTP method in lower case.
    pub verb: &'a str,
    /// API group.
    pub group: &'a str,
    /// Resource in the plural.
    pub resource: &'a str,
    /// Subresource, or nothing.
    pub subresource: &'a str,
    /// Namespace, or nothing.
    pub namespace: &'a str,
    /// Object name, or nothing.
    pub name: &'a str,
    /// The path, for requests that are not about a resource.
    pub path: Option<&'a str>,
}
