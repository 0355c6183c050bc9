//! RoleBinding

use super::cluster_role_binding::{BindingHooks, columns};
use crate::kind::{Kind, Scope};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        columns: columns(),
        hooks: Box::new(BindingHooks { namespaced: true }),
        ..usual(
            "rbac.authorization.k8s.io",
            "RoleBinding",
            "rolebindings",
            Scope::Namespaced,
        )
    }
}
