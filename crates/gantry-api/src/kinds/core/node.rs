//! Node

use crate::kind::{Kind, Scope, Subresource};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    Kind { short_names: vec!["no".into()], storage_prefix: "minions".into(), subresources: vec![Subresource::Proxy, Subresource::Status], selectable_fields: vec![("spec.unschedulable", "spec.unschedulable")], ..usual("", "Node", "nodes", Scope::Cluster) }
}
