//! Endpoints

use crate::kind::{Kind, Scope};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    Kind { short_names: vec!["ep".into()], storage_prefix: "services/endpoints".into(), ..usual("", "Endpoints", "endpoints", Scope::Namespaced) }
}
