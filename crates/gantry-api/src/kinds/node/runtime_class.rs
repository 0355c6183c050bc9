//! RuntimeClass

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, immutable, labels, required_format};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::core::pod;
use crate::kinds::usual;
use crate::kinds::values::{given, list, repeats, text};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        columns: vec![
            name_column(),
            column("Handler", "string", |o, _| text(&o["handler"]).into()),
            age_column(),
        ],
        hooks: Box::new(RuntimeClassHooks),
        ..usual("node.k8s.io", "RuntimeClass", "runtimeclasses", Scope::Cluster)
    }
}

struct RuntimeClassHooks;

impl Hooks for RuntimeClassHooks {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn needs_version(&self) -> bool {
        true
    }

    fn prepare_create(&self, _: &mut Value) {}

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        required_format(&mut errors, &Path::new("handler"), text(&object["handler"]), formats::dns_label);
        if given(&object["overhead"]) {
            pod::validate_overhead(&mut errors, &Path::new("overhead"), &object["overhead"]["podFixed"]);
        }
        if given(&object["scheduling"]) {
            scheduling(&mut errors, &Path::new("scheduling"), &object["scheduling"]);
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        immutable(&mut errors, &Path::new("handler"), &object["handler"], &old["handler"]);
        errors
    }
}

fn scheduling(errors: &mut Errors, path: &Path, scheduling: &Value) {
    labels(errors, &path.child("nodeSelector"), &scheduling["nodeSelector"]);
    let (path, tolerations) = (path.child("tolerations"), list(&scheduling["tolerations"]));
    pod::tolerations(errors, &path, tolerations);
    let repeated = repeats(tolerations, |t| ["key", "operator", "value", "effect"].map(|f| text(&t[f])));
    for (i, toleration) in tolerations.iter().enumerate() {
        if repeated[i] {
            errors.push(Error::duplicate(path.index(i), toleration.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |object: Value, expected: &[&str]| {
            let texts: Vec<String> = RuntimeClassHooks.validate(&object).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{object}");
        };
        check(json!({"handler": "runc", "overhead": {"podFixed": {"cpu": "10m"}}}), &[]);
        check(json!({}), &["handler: Required value"]);
        check(json!({"handler": "runc", "overhead": {"podFixed": {"cpu": "-1"}}}), &[
            "overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
        ]);
        let toleration = json!({"key": "a", "operator": "Exists"});
        check(json!({"handler": "runc", "scheduling": {"tolerations": [toleration, toleration]}}), &[
            "scheduling.tolerations[1]: Duplicate value: {\"key\":\"a\",\"operator\":\"Exists\"}",
        ]);
        assert_eq!(RuntimeClassHooks.validate_update(&json!({"handler": "a"}), &json!({"handler": "b"})).len(), 1);
    }
}
