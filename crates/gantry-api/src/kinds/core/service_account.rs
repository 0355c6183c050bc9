//! ServiceAccount

use crate::kind::{Kind, Scope, Subresource};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["sa".into()],
        returns_deleted: true,
        subresources: vec![Subresource::Token],
        ..usual("", "ServiceAccount", "serviceaccounts", Scope::Namespaced)
    }
}
