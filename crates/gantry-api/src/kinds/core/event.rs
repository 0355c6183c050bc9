//! Event

use crate::kind::{Kind, Scope};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    Kind { short_names: vec!["ev".into()], ..usual("", "Event", "events", Scope::Namespaced) }
}
