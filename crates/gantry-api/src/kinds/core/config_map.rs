//! ConfigMap

use crate::kind::{Kind, Scope};
use crate::kinds::{age_column, column, name_column, size, usual};

/// The kind.
pub fn kind() -> Kind {
    Kind { short_names: vec!["cm".into()], columns: vec![name_column(), column("Data", "integer", |o, _| (size(&o["data"]) + size(&o["binaryData"])).into()), age_column()], ..usual("", "ConfigMap", "configmaps", Scope::Namespaced) }
}
