//! The rules of the fields that field selectors may name.

use crate::field::{Error, Path};
use crate::kinds::checks::Errors;
use crate::kinds::values::{given, list, text};
use crate::structural::{Structural, field_path};
use serde_json::Value;
use std::collections::BTreeSet;

const MOST: usize = 8;

/// Checks a version's selectable fields. `alike` says of schemas and of selectable fields whether they are the same in
/// all versions: upstream then has them in one place for all, and looks for the schema where the fields are.
pub fn validate(errors: &mut Errors, path: &Path, version: &Value, alike: (bool, bool)) {
    let fields = list(&version["selectableFields"]);
    if fields.is_empty() {
        return;
    }
    let root = &version["schema"]["openAPIV3Schema"];
    let detail = match alike {
        (true, true) | (false, false) if given(root) => None,
        (_, true) => Some("may only be set when validations.schema is included"),
        (_, false) => Some("may only be set when `version.schema.openAPIV3Schema` is not included"),
    };
    if let Some(detail) = detail {
        errors.push(Error::invalid(path, "", detail));
        return;
    }
    let schema = Structural::root(root);
    let mut seen = BTreeSet::new();
    for (i, field) in fields.iter().enumerate() {
        let place = path.index(i);
        let (at, json_path) = (place.child("jsonPath"), text(&field["jsonPath"]));
        if json_path.is_empty() {
            errors.push(Error::required(at, ""));
            continue;
        }
        let found = match field_path::find(&schema, json_path, false) {
            Ok((_, found)) => found,
            Err(why) => {
                errors.push(Error::invalid(at, json_path, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if json_path.split('.').nth(1) == Some("metadata") {
            errors.push(Error::invalid(at, json_path, "must not point to fields in metadata"));
        }
        if !found.is_some_and(|s| matches!(s.type_.as_str(), "string" | "boolean" | "integer")) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                          formats are allowed.";
            errors.push(Error::invalid(at, json_path, detail));
        }
        if !seen.insert(json_path) {
            errors.push(Error::duplicate(at, json_path));
        }
    }
    if seen.len() > MOST {
        errors.push(Error::too_many(path, seen.len(), MOST));
    }
}
