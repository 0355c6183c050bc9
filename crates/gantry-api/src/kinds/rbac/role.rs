//! Role

use super::cluster_role::RoleHooks;
use crate::kind::{Kind, Scope};
use crate::kinds::columns::{created_column, name_column};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        columns: vec![name_column(), created_column()],
        hooks: Box::new(RoleHooks { namespaced: true }),
        ..usual("rbac.authorization.k8s.io", "Role", "roles", Scope::Namespaced)
    }
}
