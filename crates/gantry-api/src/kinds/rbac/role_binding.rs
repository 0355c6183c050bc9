//! RoleBinding

use crate::kind::{Kind, Scope};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    Kind { hooks: Box::new(super::cluster_role_binding::BindingHooks), ..usual("rbac.authorization.k8s.io", "RoleBinding", "rolebindings", Scope::Namespaced) }
}
