//! Namespace

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::format;
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::{selectable, usual};
use crate::kinds::values::{default_if_zero, keep, list, map_of, text};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["ns".into()],
        // As upstream: a namespace is deleted by name only.
        verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
        subresources: vec![Subresource::Finalize, Subresource::Status],
        selectable_fields: selectable(&[("status.phase", "status.phase")]),
        columns: vec![
            name_column(),
            column("Status", "string", |o, _| o["status"]["phase"].clone()),
            age_column(),
        ],
        hooks: Box::new(NamespaceHooks),
        ..usual("", "Namespace", "namespaces", Scope::Cluster)
    }
}

struct NamespaceHooks;

impl Hooks for NamespaceHooks {
    fn default(&self, object: &mut Value) {
        let name = crate::meta::name(object).to_string();
        if !name.is_empty() {
            let metadata = map_of(object, "metadata");
            map_of(metadata, "labels")["kubernetes.io/metadata.name"] = name.into();
        }
        default_if_zero(map_of(object, "status"), "phase", "Active");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({"phase": "Active"});
        let spec = map_of(object, "spec");
        let there = list(&spec["finalizers"]).iter().any(|f| f == "kubernetes");
        if !there {
            let mut finalizers = list(&spec["finalizers"]).to_vec();
            finalizers.push("kubernetes".into());
            spec["finalizers"] = finalizers.into();
        }
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        keep(map_of(object, "spec"), &old["spec"], "finalizers");
    }

    fn prepare_subresource(&self, subresource: Subresource, object: &mut Value, old: &Value) {
        if subresource == Subresource::Finalize {
            keep(object, old, "status");
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let path = Path::new("spec");
        let path = path.child("finalizers");
        for finalizer in list(&object["spec"]["finalizers"]) {
            let name = text(finalizer);
            format(&mut errors, &path, name, formats::qualified_name);
            if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
                let detail = "name is neither a standard finalizer name nor is it fully qualified";
                errors.push(Error::invalid(path, name, detail));
            }
        }
        errors
    }

    fn validate_subresource(&self, subresource: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        let phase = &object["status"]["phase"];
        let (expected, detail) = match crate::meta::is_deleting(object) {
            false => ("Active", "may only be 'Active' if `deletionTimestamp` is empty"),
            true => ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty"),
        };
        if subresource == Subresource::Status && phase != expected {
            return vec![Error::invalid("status.Phase", phase.clone(), detail)];
        }
        Vec::new()
    }

    fn validate_name(&self, name: &str) -> Result<(), String> {
        crate::meta::validate_label_name(name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_new_namespace() {
        let hooks = super::kind().hooks;
        let mut namespace = json!({"metadata": {"name": "n"}});
        hooks.default(&mut namespace);
        hooks.prepare_create(&mut namespace);
        let expected = json!({
            "metadata": {"name": "n", "labels": {"kubernetes.io/metadata.name": "n"}},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        });
        assert_eq!(namespace, expected);
        assert!(hooks.validate(&namespace).is_empty());
    }
}
