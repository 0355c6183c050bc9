//! DefaultStorageClass: a claim that names no class gets the cluster's default one.
//!
//! Source: plugin/pkg/admission/storage/storageclass/setdefault.

use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_api::status::Status;
use serde_json::Value;
use std::sync::Arc;

const DEFAULT: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];
/// Where claims named their class once.
pub(super) const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub(super) struct DefaultStorageClass;

#[async_trait]
impl Plugin for DefaultStorageClass {
    fn concerns(&self, request: &Request<'_>) -> bool {
        request.creates("", "persistentvolumeclaims")
    }

    async fn admit(&self, request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
        let named = !object["spec"]["storageClassName"].is_null() || says(object, OLD_CLASS).is_some();
        if named {
            return Ok(());
        }
        if let Some(class) = default_class(request, "storage.k8s.io", "storageclasses", &DEFAULT).await? {
            object["spec"]["storageClassName"] = meta::name(&class).into();
        }
        Ok(())
    }
}

/// An annotation.
pub(super) fn says<'a>(object: &'a Value, annotation: &str) -> Option<&'a str> {
    object["metadata"]["annotations"].get(annotation)?.as_str()
}

/// The class that one of the annotations says is the default; of several the newest.
pub(super) async fn default_class(
    request: &Request<'_>,
    group: &str,
    plural: &str,
    annotations: &[&str],
) -> Result<Option<Arc<Value>>, Status> {
    let Some(kind) = request.api.kinds.get(group, "v1", plural) else {
        return Ok(None);
    };
    let classes = request.api.registry.look_up_all(&kind).await?;
    Ok(newest(classes, annotations))
}

fn newest(classes: Vec<Arc<Value>>, annotations: &[&str]) -> Option<Arc<Value>> {
    let is_default = |class: &Arc<Value>| annotations.iter().any(|a| says(class, a) == Some("true"));
    let created = |class: &Arc<Value>| meta::text(class, "creationTimestamp").to_owned();
    let defaults = classes.into_iter().filter(is_default);
    // Times are written so that they sort as texts.
    defaults.max_by(|a, b| {
        created(a)
            .cmp(&created(b))
            .then_with(|| meta::name(b).cmp(meta::name(a)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_default_counts() {
        let class = |name: &str, created: &str, default: &str| {
            Arc::new(json!({"metadata": {
                "name": name, "creationTimestamp": format!("2026-01-0{created}T00:00:00Z"), "annotations": {"d": default},
            }}))
        };
        let check = |classes: &[Arc<Value>], expected: Option<&str>| {
            let found = newest(classes.to_vec(), &["d"]);
            assert_eq!(found.as_deref().map(meta::name), expected);
        };
        check(&[class("a", "1", "false")], None);
        check(&[class("a", "1", "true"), class("b", "2", "false")], Some("a"));
        check(&[class("a", "1", "true"), class("b", "2", "true")], Some("b"));
        check(&[class("b", "2", "true"), class("a", "2", "true")], Some("a"));
    }
}
