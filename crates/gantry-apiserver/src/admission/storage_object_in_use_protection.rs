//! StorageObjectInUseProtection: what is stored on, or says how, gets a finalizer that a controller takes off again once
//! nothing needs it.
//!
//! Source: plugin/pkg/admission/storage/storageobjectinuseprotection.

use super::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::status::Status;
use serde_json::{Value, json};

pub(super) struct StorageObjectInUseProtection;

#[async_trait]
impl Plugin for StorageObjectInUseProtection {
    fn concerns(&self, request: &Request<'_>) -> bool {
        finalizer(request).is_some()
    }

    async fn admit(&self, request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
        if let Some(finalizer) = finalizer(request) {
            hold(object, finalizer);
        }
        Ok(())
    }
}

/// The finalizer of new objects of a kind.
fn finalizer(request: &Request<'_>) -> Option<&'static str> {
    let all = [
        ("", "persistentvolumes", "kubernetes.io/pv-protection"),
        ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
        (
            "storage.k8s.io",
            "volumeattributesclasses",
            "kubernetes.io/vac-protection",
        ),
    ];
    let mut all = all.into_iter();
    all.find_map(|(group, plural, finalizer)| request.creates(group, plural).then_some(finalizer))
}

fn hold(object: &mut Value, finalizer: &str) {
    match &mut object["metadata"]["finalizers"] {
        Value::Array(finalizers) if finalizers.iter().any(|f| f == finalizer) => {}
        Value::Array(finalizers) => finalizers.push(finalizer.into()),
        finalizers => *finalizers = json!([finalizer]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finalizers_are_there_once() {
        let check = |finalizers: Value, expected: &[&str]| {
            let mut object = json!({"metadata": {"finalizers": finalizers}});
            hold(&mut object, "a/b");
            assert_eq!(object["metadata"]["finalizers"], json!(expected));
        };
        check(Value::Null, &["a/b"]);
        check(json!(["c/d"]), &["c/d", "a/b"]);
        check(json!(["a/b", "c/d"]), &["a/b", "c/d"]);
    }
}
