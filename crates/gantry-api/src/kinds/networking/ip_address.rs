//! IPAddress

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{format, immutable, required_format};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::usual;
use crate::kinds::values::{drop_zero, field_mut, given, map_of, text};
use crate::version::Version;
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["ip".into()],
        other_versions: vec![Version::same("v1beta1").deprecated_since(34)],
        columns: vec![
            name_column(),
            column("ParentRef", "string", |o, _| parent(&o["spec"]["parentRef"]).into()),
            age_column(),
        ],
        hooks: Box::new(IpAddressHooks),
        ..usual("networking.k8s.io", "IPAddress", "ipaddresses", Scope::Cluster)
    }
}

fn parent(parent: &Value) -> String {
    if !given(parent) {
        return "<none>".into();
    }
    let mut shown = text(&parent["resource"]).to_lowercase();
    for (separator, field) in [(".", "group"), ("/", "namespace"), ("/", "name")] {
        let part = text(&parent[field]);
        if !part.is_empty() {
            shown.push_str(separator);
            shown.push_str(part);
        }
    }
    shown
}

struct IpAddressHooks;

impl Hooks for IpAddressHooks {
    fn default(&self, object: &mut Value) {
        if let Some(parent) = field_mut(map_of(object, "spec"), "parentRef") {
            drop_zero(parent, &["group", "namespace", "name", "resource"]);
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, parent) = (Path::new("spec"), &object["spec"]["parentRef"]);
        let path = path.child("parentRef");
        if !given(parent) {
            return vec![Error::required(path, "")];
        }
        let group = text(&parent["group"]);
        if !group.is_empty() {
            format(&mut errors, &path.child("group"), group, formats::dns_subdomain);
        }
        for field in ["resource", "name"] {
            required_format(&mut errors, &path.child(field), text(&parent[field]), formats::path_segment);
        }
        let namespace = text(&parent["namespace"]);
        format(&mut errors, &path.child("namespace"), namespace, formats::path_segment);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (new, old) = (&object["spec"]["parentRef"], &old["spec"]["parentRef"]);
        immutable(&mut errors, &Path::new("spec").child("parentRef"), new, old);
        errors
    }

    fn validate_name(&self, name: &str) -> Result<(), String> {
        formats::canonical_ip(name).into_iter().next().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |spec: Value, expected: &[&str]| {
            let mut object = json!({"metadata": {"name": "10.0.0.1"}, "spec": spec});
            IpAddressHooks.default(&mut object);
            let errors = IpAddressHooks.validate(&object);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        let service = json!({"resource": "services", "namespace": "default", "name": "a"});
        check(json!({"parentRef": service}), &[]);
        check(json!({}), &["spec.parentRef: Required value"]);
        check(
            json!({"parentRef": {"group": "", "namespace": "a/b"}}),
            &[
                "spec.parentRef.resource: Required value",
                "spec.parentRef.name: Required value",
                "spec.parentRef.namespace: Invalid value: \"a/b\": may not contain '/'",
            ],
        );
        assert_eq!(parent(&service), "services/default/a");
        assert_eq!(
            IpAddressHooks.validate_name("FD00::1").unwrap_err(),
            "must be in canonical form (\"fd00::1\")"
        );
    }
}
