//! ServiceAccount

use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::usual;
use crate::kinds::values::list_mut;
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["sa".into()],
        returns_deleted: true,
        subresources: vec![Subresource::Token],
        hooks: Box::new(ServiceAccountHooks),
        ..usual("", "ServiceAccount", "serviceaccounts", Scope::Namespaced)
    }
}

struct ServiceAccountHooks;

impl Hooks for ServiceAccountHooks {
    fn prepare_create(&self, object: &mut Value) {
        names_alone(object);
    }

    fn prepare_update(&self, object: &mut Value, _: &Value) {
        names_alone(object);
    }
}

/// Of a secret nothing but its name matters: it is in the same namespace.
fn names_alone(object: &mut Value) {
    for secret in list_mut(object, "secrets") {
        if let Some(fields) = secret.as_object_mut() {
            fields.retain(|field, _| field == "name");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_names() {
        let mut object = json!({"secrets": [{"name": "a", "namespace": "n", "kind": "Secret"}, {}]});
        ServiceAccountHooks.prepare_create(&mut object);
        assert_eq!(object, json!({"secrets": [{"name": "a"}, {}]}));
    }
}
