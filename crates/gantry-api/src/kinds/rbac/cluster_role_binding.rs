//! ClusterRoleBinding

use crate::kind::{Kind, Scope};
use crate::kinds::usual;

/// The kind.
pub fn kind() -> Kind {
    Kind { hooks: Box::new(BindingHooks), ..usual("rbac.authorization.k8s.io", "ClusterRoleBinding", "clusterrolebindings", Scope::Cluster) }
}

/// What bindings of both scopes share.
pub struct BindingHooks;

impl crate::kind::Hooks for BindingHooks {
    fn default(&self, object: &mut serde_json::Value) {
        let group = "rbac.authorization.k8s.io";
        crate::kinds::default_to(&mut object["roleRef"], "apiGroup", group);
        for subject in object["subjects"].as_array_mut().into_iter().flatten() {
            let of = if subject["kind"] == "ServiceAccount" { "" } else { group };
            if !of.is_empty() {
                crate::kinds::default_to(subject, "apiGroup", of);
            }
        }
    }

    fn validate_update(&self, object: &serde_json::Value, old: &serde_json::Value) -> Vec<crate::field::Error> {
        if object["roleRef"] == old["roleRef"] {
            return Vec::new();
        }
        vec![crate::field::Error::invalid("roleRef", object["roleRef"].clone(), "cannot change roleRef")]
    }

    fn validate_name(&self, name: &str) -> Result<(), String> {
        crate::meta::validate_path_segment(name)
    }
}
