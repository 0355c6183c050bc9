//! ControllerRevision

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{immutable, nonnegative};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::usual;
use crate::kinds::values::{list, number, text};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        columns: vec![
            name_column(),
            column("Controller", "string", |o, _| controller(o).into()),
            column("Revision", "string", |o, _| number(&o["revision"]).into()),
            age_column(),
        ],
        hooks: Box::new(ControllerRevisionHooks),
        ..usual("apps", "ControllerRevision", "controllerrevisions", Scope::Namespaced)
    }
}

fn controller(object: &Value) -> String {
    let owner = list(&object["metadata"]["ownerReferences"]).iter().find(|o| o["controller"] == true);
    let Some(owner) = owner else {
        return "<none>".into();
    };
    let kind = text(&owner["kind"]).to_lowercase();
    match text(&owner["apiVersion"]).split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", text(&owner["name"])),
        None => format!("{kind}/{}", text(&owner["name"])),
    }
}

struct ControllerRevisionHooks;

impl Hooks for ControllerRevisionHooks {
    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        nonnegative(&mut errors, &Path::new("revision"), &object["revision"]);
        errors
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        match &object["data"] {
            Value::Object(_) => Vec::new(),
            Value::Null => vec![Error::required("data", "data is mandatory")],
            _ => vec![Error::required("data", "data must be a valid JSON object")],
        }
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        immutable(&mut errors, &Path::new("data"), &object["data"], &old["data"]);
        errors
    }
}
