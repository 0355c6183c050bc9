//! DefaultIngressClass: an Ingress that names no class gets the cluster's default one.
//!
//! Source: plugin/pkg/admission/network/defaultingressclass.

use super::default_storage_class::{default_class, says};
use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_api::status::Status;
use serde_json::Value;

const GROUP: &str = "networking.k8s.io";
const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
/// Where Ingresses named their class once.
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

pub(super) struct DefaultIngressClass;

#[async_trait]
impl Plugin for DefaultIngressClass {
    fn concerns(&self, request: &Request<'_>) -> bool {
        request.creates(GROUP, "ingresses")
    }

    async fn admit(&self, request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
        let named = !object["spec"]["ingressClassName"].is_null() || says(object, OLD_CLASS).is_some();
        if named {
            return Ok(());
        }
        if let Some(class) = default_class(request, GROUP, "ingressclasses", &[DEFAULT]).await? {
            object["spec"]["ingressClassName"] = meta::name(&class).into();
        }
        Ok(())
    }
}
