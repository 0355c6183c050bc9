//! ClusterRoleBinding

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Column, Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, format, required, required_format};
use crate::kinds::columns::{age_column, column, name_column, wide};
use crate::kinds::usual;
use crate::kinds::values::{default_if_zero, joined, list, list_mut, map_of, same, text};
use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

/// The kind.
pub fn kind() -> Kind {
    Kind {
        columns: columns(),
        hooks: Box::new(BindingHooks { namespaced: false }),
        ..usual(GROUP, "ClusterRoleBinding", "clusterrolebindings", Scope::Cluster)
    }
}

/// The columns of bindings of both scopes.
pub fn columns() -> Vec<Column> {
    fn subjects(object: &Value, kind: &str) -> Value {
        let of_kind = list(&object["subjects"]).iter().filter(|s| s["kind"] == kind);
        let names: Vec<String> = of_kind
            .map(|s| match text(&s["namespace"]) {
                namespace if kind == "ServiceAccount" && !namespace.is_empty() => {
                    format!("{namespace}/{}", text(&s["name"]))
                }
                _ => text(&s["name"]).to_string(),
            })
            .collect();
        joined(names.iter().map(String::as_str), ", ").into()
    }
    vec![
        name_column(),
        column("Role", "string", |o, _| {
            format!("{}/{}", text(&o["roleRef"]["kind"]), text(&o["roleRef"]["name"])).into()
        }),
        age_column(),
        wide("Users", "string", |o, _| subjects(o, "User")),
        wide("Groups", "string", |o, _| subjects(o, "Group")),
        wide("ServiceAccounts", "string", |o, _| subjects(o, "ServiceAccount")),
    ]
}

/// What bindings of both scopes share.
pub struct BindingHooks {
    /// Whether the binding is one of a namespace.
    pub namespaced: bool,
}

impl Hooks for BindingHooks {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        default_if_zero(map_of(object, "roleRef"), "apiGroup", GROUP);
        for subject in list_mut(object, "subjects") {
            if matches!(text(&subject["kind"]), "User" | "Group") {
                default_if_zero(subject, "apiGroup", GROUP);
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, role) = (Path::new("roleRef"), &object["roleRef"]);
        if role["apiGroup"] != GROUP {
            let group = text(&role["apiGroup"]);
            errors.push(Error::not_supported(path.child("apiGroup"), group, &[GROUP]));
        }
        let kinds: &[&str] = match self.namespaced {
            true => &["Role", "ClusterRole"],
            false => &["ClusterRole"],
        };
        if !kinds.contains(&text(&role["kind"])) {
            errors.push(Error::not_supported(path.child("kind"), text(&role["kind"]), kinds));
        }
        let name = text(&role["name"]);
        required_format(&mut errors, &path.child("name"), name, formats::path_segment);
        let path = Path::new("subjects");
        for (i, subject) in list(&object["subjects"]).iter().enumerate() {
            self.subject(&mut errors, &path.index(i), subject);
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        match same(&object["roleRef"], &old["roleRef"]) {
            true => Vec::new(),
            false => vec![Error::invalid("roleRef", object["roleRef"].clone(), "cannot change roleRef")],
        }
    }

    fn validate_name(&self, name: &str) -> Result<(), String> {
        crate::meta::validate_path_segment(name)
    }
}

impl BindingHooks {
    fn subject(&self, errors: &mut Errors, path: &Path, subject: &Value) {
        required(errors, &path.child("name"), &subject["name"]);
        let group = text(&subject["apiGroup"]);
        match text(&subject["kind"]) {
            "ServiceAccount" => {
                let name = text(&subject["name"]);
                if !name.is_empty() {
                    format(errors, &path.child("name"), name, formats::dns_subdomain);
                }
                if !group.is_empty() {
                    errors.push(Error::not_supported(path.child("apiGroup"), group, &[""]));
                }
                if !self.namespaced {
                    required(errors, &path.child("namespace"), &subject["namespace"]);
                }
            }
            "User" | "Group" if group != GROUP => {
                errors.push(Error::not_supported(path.child("apiGroup"), group, &[GROUP]));
            }
            "User" | "Group" => {}
            other => {
                let kinds = ["ServiceAccount", "User", "Group"];
                errors.push(Error::not_supported(path.child("kind"), other, &kinds));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |namespaced: bool, mut binding: Value, expected: &[&str]| {
            let hooks = BindingHooks { namespaced };
            hooks.default(&mut binding);
            let errors = hooks.validate(&binding);
            let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
            assert_eq!(fields, expected);
        };
        let role = json!({"kind": "ClusterRole", "name": "view"});
        let account = json!({"kind": "ServiceAccount", "name": "a"});
        let user = json!({"kind": "User", "name": "u"});
        check(true, json!({"roleRef": role, "subjects": [account, user]}), &[]);
        check(false, json!({"roleRef": role, "subjects": [account, user]}), &["subjects[0].namespace"]);
        check(false, json!({"roleRef": {"kind": "Role", "name": "x"}}), &["roleRef.kind"]);
        check(true, json!({"roleRef": role, "subjects": [{"kind": "Robot"}]}), &["subjects[0].name", "subjects[0].kind"]);
    }
}
