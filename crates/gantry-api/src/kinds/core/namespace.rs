//! Namespace

use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::{age_column, column, name_column, usual};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["ns".into()],
        // As upstream: a namespace is deleted by name only.
        verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
        subresources: vec![Subresource::Finalize, Subresource::Status],
        selectable_fields: vec![("status.phase", "status.phase")],
        columns: vec![name_column(), column("Status", "string", |o, _| o["status"]["phase"].clone()), age_column()],
        hooks: Box::new(NamespaceHooks),
        ..usual("", "Namespace", "namespaces", Scope::Cluster)
    }
}

struct NamespaceHooks;

impl Hooks for NamespaceHooks {
    fn default(&self, object: &mut Value) {
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = crate::meta::name(object).into();
    }

    fn prepare_create(&self, object: &mut Value) {
        object["spec"]["finalizers"] = json!(["kubernetes"]);
        object["status"] = json!({"phase": "Active"});
    }

    fn validate_name(&self, name: &str) -> Result<(), String> {
        crate::meta::validate_label_name(name)
    }
}
