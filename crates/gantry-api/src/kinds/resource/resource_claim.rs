//! ResourceClaim

pub mod spec;
mod status;
pub mod v1beta1;

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::immutable;
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::values::{given, size};
use crate::kinds::usual;
use crate::meta;
use crate::version::Version;
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        other_versions: vec![
            Version::same("v1beta2").deprecated_since(36),
            Version::converted("v1beta1", v1beta1::claim()).deprecated_since(35),
        ],
        returns_deleted: true,
        subresources: vec![Subresource::Status],
        status_alone: true,
        columns: vec![name_column(), column("State", "string", |o, _| state(o).into()), age_column()],
        hooks: Box::new(ResourceClaimHooks),
        ..usual("resource.k8s.io", "ResourceClaim", "resourceclaims", Scope::Namespaced)
    }
}

fn state(claim: &Value) -> String {
    let allocated = given(&claim["status"]["allocation"]);
    let states = [
        (meta::is_deleting(claim), "deleted"),
        (!allocated && !meta::is_deleting(claim), "pending"),
        (allocated, "allocated"),
        (allocated && size(&claim["status"]["reservedFor"]) > 0, "reserved"),
    ];
    let states: Vec<&str> = states.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
    states.join(",")
}

struct ResourceClaimHooks;

impl Hooks for ResourceClaimHooks {
    fn default(&self, object: &mut Value) {
        spec::default(&mut object["spec"]);
        status::default(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
        spec::drop_disabled(&mut object["spec"], None);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        spec::drop_disabled(&mut object["spec"], Some(&old["spec"]));
    }

    fn prepare_subresource(&self, _: Subresource, object: &mut Value, old: &Value) {
        status::prepare(object, old);
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        spec::validate(&mut errors, &Path::new("spec"), &object["spec"]);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        immutable(&mut errors, &Path::new("spec"), &object["spec"], &old["spec"]);
        errors
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        status::validate(object, old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states() {
        let check = |object: Value, expected: &str| assert_eq!(state(&object), expected);
        check(json!({}), "pending");
        check(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), "deleted");
        check(json!({"status": {"allocation": {}}}), "allocated");
        check(json!({"status": {"allocation": {}, "reservedFor": [{}]}}), "allocated,reserved");
    }
}
