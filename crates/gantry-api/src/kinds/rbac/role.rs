//! Role

use super::cluster_role::RoleHooks;
use crate::kind::{Kind, Scope};
use crate::kinds::columns::{column, name_column};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    let created = |o: &serde_json::Value, _| crate::meta::text(o, "creationTimestamp").into();
    Kind {
        columns: vec![name_column(), column("Created At", "date", created)],
        hooks: Box::new(RoleHooks { namespaced: true }),
        ..usual("rbac.authorization.k8s.io", "Role", "roles", Scope::Namespaced)
    }
}
