//! PriorityClass

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{immutable, one_of};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::usual;
use crate::kinds::values::{given, default_to, flag, number, text};
use crate::meta;
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["pc".into()],
        columns: vec![
            name_column(),
            column("Value", "integer", |o, _| number(&o["value"]).into()),
            column("Global-Default", "boolean", |o, _| flag(&o["globalDefault"]).into()),
            age_column(),
            column("PreemptionPolicy", "string", |o, _| text(&o["preemptionPolicy"]).into()),
        ],
        hooks: Box::new(PriorityClassHooks),
        ..usual("scheduling.k8s.io", "PriorityClass", "priorityclasses", Scope::Cluster)
    }
}

const HIGHEST_OF_USERS: i64 = 1_000_000_000;
const SYSTEM: [(&str, i64); 2] = [
    ("system-node-critical", 2 * HIGHEST_OF_USERS + 1000),
    ("system-cluster-critical", 2 * HIGHEST_OF_USERS),
];

struct PriorityClassHooks;

impl Hooks for PriorityClassHooks {
    fn default(&self, object: &mut Value) {
        default_to(object, "preemptionPolicy", "PreemptLowerPriority");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["metadata"]["generation"] = 1.into();
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (name, value) = (meta::name(object), number(&object["value"]));
        if name.starts_with("system-") {
            let why = match SYSTEM.iter().find(|(n, _)| *n == name) {
                None => Some(format!("{name} is not a known system priority class")),
                Some((_, known)) if *known != value => Some(format!("value of {name} PriorityClass must be {known}")),
                Some(_) if flag(&object["globalDefault"]) => {
                    Some(format!("globalDefault of {name} PriorityClass must be false"))
                }
                Some(_) => None,
            };
            if let Some(why) = why {
                let detail =
                    format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}");
                errors.push(Error::forbidden("metadata.name", detail));
            }
        } else if value > HIGHEST_OF_USERS {
            let detail = format!("maximum allowed value of a user defined priority is {HIGHEST_OF_USERS}");
            errors.push(Error::forbidden("value", detail));
        }
        let policy = &object["preemptionPolicy"];
        if given(policy) {
            let policies = ["PreemptLowerPriority", "Never"];
            one_of(&mut errors, &Path::new("preemptionPolicy"), policy, &policies);
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        if number(&object["value"]) != number(&old["value"]) {
            errors.push(Error::forbidden("value", "may not be changed in an update."));
        }
        let path = Path::new("preemptionPolicy");
        immutable(&mut errors, &path, &object["preemptionPolicy"], &old["preemptionPolicy"]);
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |name: &str, value: i64, fine: bool| {
            let class = json!({"metadata": {"name": name}, "value": value});
            assert_eq!(PriorityClassHooks.validate(&class).is_empty(), fine, "{name} {value}");
        };
        check("mine", 1_000_000_000, true);
        check("mine", 1_000_000_001, false);
        check("system-node-critical", 2_000_001_000, true);
        check("system-node-critical", 1, false);
        check("system-mine", 1, false);
    }
}
