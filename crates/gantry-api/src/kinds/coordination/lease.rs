//! Lease

use crate::kind::{Kind, Scope};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    usual("coordination.k8s.io", "Lease", "leases", Scope::Namespaced)
}
