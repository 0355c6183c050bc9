//! ServiceAccount

use crate::kind::{Kind, Scope};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    Kind { short_names: vec!["sa".into()], ..usual("", "ServiceAccount", "serviceaccounts", Scope::Namespaced) }
}
