//! ResourceClaimTemplate

use super::resource_claim::{spec, v1beta1};
use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{immutable, template_metadata};
use crate::kinds::usual;
use crate::version::Version;
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        other_versions: vec![
            Version::same("v1beta2").deprecated_since(36),
            Version::converted("v1beta1", v1beta1::template()).deprecated_since(35),
        ],
        returns_deleted: true,
        hooks: Box::new(ResourceClaimTemplateHooks),
        ..usual("resource.k8s.io", "ResourceClaimTemplate", "resourceclaimtemplates", Scope::Namespaced)
    }
}

struct ResourceClaimTemplateHooks;

impl Hooks for ResourceClaimTemplateHooks {
    fn default(&self, object: &mut Value) {
        spec::default(&mut object["spec"]["spec"]);
    }

    fn prepare_create(&self, object: &mut Value) {
        spec::drop_disabled(&mut object["spec"]["spec"], None);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        spec::drop_disabled(&mut object["spec"]["spec"], Some(&old["spec"]["spec"]));
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let path = Path::new("spec");
        template_metadata(&mut errors, &path.child("metadata"), &object["spec"]["metadata"]);
        spec::validate(&mut errors, &path.child("spec"), &object["spec"]["spec"]);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        immutable(&mut errors, &Path::new("spec"), &object["spec"], &old["spec"]);
        errors
    }
}
