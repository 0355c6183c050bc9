//! NamespaceLifecycle: nothing new goes into a namespace that is not there or is on its way out.
//!
//! Source: k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle.

use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_api::status::Status;
use serde_json::{Value, json};

pub struct NamespaceLifecycle;

#[async_trait]
impl Plugin for NamespaceLifecycle {
    fn concerns(&self, request: &Request<'_>) -> bool {
        !request.namespace.is_empty() && request.old.is_none()
    }

    async fn admit(&self, request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
        let namespace = request.namespace;
        let Some(kind) = request.api.kinds.get("", "v1", "namespaces") else {
            return Ok(());
        };
        let stored = request.api.registry.look_up(&kind, None, namespace).await?;
        if !meta::is_deleting(&stored) {
            return Ok(());
        }
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut status = request.forbidden(meta::name(object), &why);
        if let Some(details) = status.details.as_mut() {
            details["causes"] = json!([{
                "reason": "NamespaceTerminating", "field": "metadata.namespace",
                "message": format!("namespace {namespace} is being terminated"),
            }]);
        }
        Err(status)
    }
}
