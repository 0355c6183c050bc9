//! Nothing new is made of a kind whose definition is being deleted.
//!
//! Source: forbidCreateAdmission in k8s.io/apiextensions-apiserver/pkg/apiserver/customresource_handler.go.

use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_api::status::Status;
use serde_json::Value;

pub struct CustomResourceTerminating;

#[async_trait]
impl Plugin for CustomResourceTerminating {
    fn concerns(&self, request: &Request<'_>) -> bool {
        let custom = request.kind.custom.as_ref();
        request.old.is_none() && custom.is_some_and(|custom| custom.terminating)
    }

    async fn admit(&self, request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
        let why = "create not allowed while custom resource definition is terminating";
        Err(request.forbidden(meta::name(object), why))
    }
}
