//! ClusterRole

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, label_selector};
use crate::kinds::columns::{created_column, name_column};
use crate::kinds::usual;
use crate::kinds::values::{given, list};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        columns: vec![name_column(), created_column()],
        hooks: Box::new(RoleHooks { namespaced: false }),
        ..usual(
            "rbac.authorization.k8s.io",
            "ClusterRole",
            "clusterroles",
            Scope::Cluster,
        )
    }
}

/// What roles of both scopes share.
pub struct RoleHooks {
    /// Whether the role is one of a namespace.
    pub namespaced: bool,
}

impl Hooks for RoleHooks {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let path = Path::new("rules");
        for (i, rule) in list(&object["rules"]).iter().enumerate() {
            self.rule(&mut errors, &path.index(i), rule);
        }
        let aggregation = &object["aggregationRule"];
        if !self.namespaced && given(aggregation) {
            let selectors = list(&aggregation["clusterRoleSelectors"]);
            let path = Path::new("aggregationRule");
            let path = path.child("clusterRoleSelectors");
            if selectors.is_empty() {
                let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
                errors.push(Error::required(path, detail));
            }
            for (i, selector) in selectors.iter().enumerate() {
                let (path, before) = (path.index(i), errors.len());
                label_selector(&mut errors, &path, selector);
                if errors.len() > before {
                    errors.push(Error::invalid(path, Value::Null, "invalid label selector."));
                }
            }
        }
        errors
    }

    // Roles' names may hold colons.
    fn validate_name(&self, name: &str) -> Result<(), String> {
        crate::meta::validate_path_segment(name)
    }
}

impl RoleHooks {
    fn rule(&self, errors: &mut Errors, path: &Path, rule: &Value) {
        let empty = |field: &str| list(&rule[field]).is_empty();
        if empty("verbs") {
            let detail = "verbs must contain at least one value";
            errors.push(Error::required(path.child("verbs"), detail));
        }
        if !empty("nonResourceURLs") {
            let (at, urls) = (path.child("nonResourceURLs"), &rule["nonResourceURLs"]);
            if self.namespaced {
                let detail = "namespaced rules cannot apply to non-resource URLs";
                errors.push(Error::invalid(at, urls.clone(), detail));
            }
            if !empty("apiGroups") || !empty("resources") || !empty("resourceNames") {
                let detail = "rules cannot apply to both regular resources and non-resource URLs";
                errors.push(Error::invalid(at, urls.clone(), detail));
            }
            return;
        }
        if empty("apiGroups") {
            let detail = "resource rules must supply at least one api group";
            errors.push(Error::required(path.child("apiGroups"), detail));
        }
        if empty("resources") {
            let detail = "resource rules must supply at least one resource";
            errors.push(Error::required(path.child("resources"), detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |namespaced: bool, rule: Value, expected: &[&str]| {
            let errors = RoleHooks { namespaced }.validate(&json!({"rules": [rule]}));
            let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
            assert_eq!(fields, expected);
        };
        let fine = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        check(true, fine, &[]);
        let urls = json!({"verbs": ["get"], "nonResourceURLs": ["/x"]});
        check(false, urls.clone(), &[]);
        check(true, urls, &["rules[0].nonResourceURLs"]);
        check(true, json!({}), &["rules[0].verbs", "rules[0].apiGroups", "rules[0].resources"]);
    }
}
