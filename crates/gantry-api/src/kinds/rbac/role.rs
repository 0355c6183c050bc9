//! Role

use crate::kind::{Kind, Scope};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    Kind { hooks: Box::new(super::cluster_role::RoleHooks), ..usual("rbac.authorization.k8s.io", "Role", "roles", Scope::Namespaced) }
}
