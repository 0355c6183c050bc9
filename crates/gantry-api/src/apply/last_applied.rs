//! The way from client-side to server-side apply: the annotation that kubectl keeps on an object says which fields
//! were its own. Only the manager `kubectl` is treated so; others opt out by their name.

use super::set::Set;
use super::{Writer, compare, walk};
use serde_json::Value;

/// kubectl's name in server-side apply.
pub const MANAGER: &str = "kubectl";

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Annotations may be this large together.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

fn annotation(object: &Value) -> Option<&str> {
    let text = object["metadata"]["annotations"][ANNOTATION].as_str()?;
    Some(text).filter(|t| !t.is_empty())
}

/// The fields that client-side apply set and that are still as it set them.
pub fn owned(writer: &Writer, live: &Value) -> Option<Set> {
    let last: Value = serde_json::from_str(annotation(live)?).ok()?;
    if last["apiVersion"].as_str() != Some(writer.api_version) {
        return None;
    }
    let shape = writer.shape();
    let changes = compare::compare(shape, &last, live).ok()?;
    let own = walk::extract(shape, &last);
    Some(
        own.difference(&changes.modified)
            .difference(&changes.added)
            .difference(&changes.removed),
    )
}

/// Brings the annotation, where there is one, up to date with what was applied.
pub fn refresh(object: &mut Value, patch: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut patch = patch.clone();
    if let Some(own) = patch
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        own.remove(ANNOTATION);
    }
    let Some(annotations) = object
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    annotations.insert(ANNOTATION.into(), format!("{patch}\n").into());
    let size: usize = annotations
        .iter()
        .map(|(k, v)| k.len() + v.as_str().map_or(0, str::len))
        .sum();
    if size > ANNOTATIONS_LIMIT {
        annotations.remove(ANNOTATION);
    }
}
