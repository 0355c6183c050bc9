//! EndpointSlice

use crate::kind::{Kind, Scope};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    usual("discovery.k8s.io", "EndpointSlice", "endpointslices", Scope::Namespaced)
}
