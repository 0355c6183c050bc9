//! ClusterRole

use crate::kind::{Kind, Scope};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    Kind { hooks: Box::new(RoleHooks), ..usual("rbac.authorization.k8s.io", "ClusterRole", "clusterroles", Scope::Cluster) }
}

/// What roles of both scopes share: their names may hold colons.
pub struct RoleHooks;

impl crate::kind::Hooks for RoleHooks {
    fn validate_name(&self, name: &str) -> Result<(), String> {
        crate::meta::validate_path_segment(name)
    }
}
