//! Who a request comes from, and whether it may do what it asks: pure decisions, without I/O.

pub mod rbac;
pub mod x509;

/// The group every authenticated user is in.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of requests that carried no credentials.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group that authorization always lets through.
pub const MASTERS: &str = "system:masters";

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name that bindings refer to.
    pub name: String,
    /// The identifier that outlives the name; empty when the credentials carry none.
    pub uid: String,
    /// The groups the user is in.
    pub groups: Vec<String>,
}

impl User {
    /// The user of a request without credentials.
    pub fn anonymous() -> User {
        User {
            name: "system:anonymous".to_owned(),
            uid: String::new(),
            groups: vec![UNAUTHENTICATED.to_owned()],
        }
    }

    /// Whether the user is in `group`.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
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
    /// The path of a request that is not about a resource.
    pub path: Option<&'a str>,
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
}
