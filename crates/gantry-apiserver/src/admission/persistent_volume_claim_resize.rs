//! PersistentVolumeClaimResize: only bound claims grow, and only where their class lets them.
//!
//! Source: plugin/pkg/admission/storage/persistentvolume/resize.

use super::default_storage_class::{OLD_CLASS, says};
use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_api::quantity::Quantity;
use gantry_api::status::Status;
use serde_json::Value;

pub(super) struct PersistentVolumeClaimResize;

#[async_trait]
impl Plugin for PersistentVolumeClaimResize {
    fn concerns(&self, request: &Request<'_>) -> bool {
        request.old.is_some() && request.is("", "persistentvolumeclaims")
    }

    async fn validate(&self, request: &Request<'_>, object: &Value) -> Result<(), Status> {
        let Some(old) = request.old.filter(|old| grows(object, old)) else {
            return Ok(());
        };
        let refuse = |why: &str| Err(request.forbidden(meta::name(object), why));
        if old["status"]["phase"] != "Bound" {
            return refuse("Only bound persistent volume claims can be expanded");
        }
        let class = class_of(object).filter(|class| class_of(old) == Some(*class));
        let kind = request.api.kinds.get("storage.k8s.io", "v1", "storageclasses");
        let may_grow = match class.zip(kind) {
            Some((class, kind)) => match request.api.registry.look_up(&kind, None, class).await {
                Ok(class) => class["allowVolumeExpansion"] == true,
                Err(status) if status.code == 404 => false,
                Err(status) => return Err(status),
            },
            None => false,
        };
        match may_grow {
            true => Ok(()),
            false => refuse(
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support \
                 resize",
            ),
        }
    }
}

fn grows(new: &Value, old: &Value) -> bool {
    let size = |claim: &Value| Quantity::from_json(&claim["spec"]["resources"]["requests"]["storage"]);
    // What is no amount is the validation's to say.
    matches!((size(new), size(old)), (Ok(new), Ok(old)) if new > old)
}

fn class_of(claim: &Value) -> Option<&str> {
    let class = says(claim, OLD_CLASS).or(claim["spec"]["storageClassName"].as_str());
    class.filter(|class| !class.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_grows() {
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        let check = |new: &str, old: &str, expected: bool| {
            assert_eq!(grows(&claim(new), &claim(old)), expected, "{new} {old}");
        };
        check("2Gi", "1Gi", true);
        check("1Gi", "1024Mi", false);
        check("1Gi", "2Gi", false);
        check("x", "1Gi", false);
    }
}
