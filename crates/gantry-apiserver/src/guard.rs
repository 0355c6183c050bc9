//! What a write must pass beside authorization, because it depends on the object: nodes keep to their own, and
//! nobody hands out rights they do not have.

mod devices;
mod pod_certificates;

use crate::admission::node_restriction::{self, Write};
use crate::call::Call;
use crate::verbs::Api;
use gantry_api::status::Status;
use gantry_auth::rbac;
use serde_json::Value;

impl Api {
    /// Checks a write of `new` (absent on delete) over `old` (absent on create).
    pub async fn guard(
        &self,
        call: &Call,
        verb: &str,
        new: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let kind = &call.target.kind;
        let namespace = call.target.namespace.as_deref().unwrap_or_default();
        let subresource = call.target.subresource.as_deref().unwrap_or_default();
        if kind.group == rbac::API_GROUP
            && let Some(object) = new
        {
            let grant = rbac::Grant {
                user: &call.user,
                resource: &kind.plural,
                namespace,
                name: call.target.name.as_deref().unwrap_or_default(),
                object,
                old,
            };
            self.authorizer.may_grant(&grant)?;
        }
        if kind.group == "resource.k8s.io"
            && matches!(kind.plural.as_str(), "resourceclaims" | "resourceclaimtemplates")
            && let Some(new) = new
        {
            let write = devices::Write {
                api: self,
                call,
                new,
                old,
            };
            write.check().await?;
        }
        if kind.group == "certificates.k8s.io" && kind.plural == "podcertificaterequests" {
            pod_certificates::check(self, call, verb, new, old).await?;
        }
        if call.user.node_name().is_none() {
            return Ok(());
        }
        let own_name = new.or(old).map(gantry_api::meta::name).unwrap_or_default();
        let mut write = Write {
            user: &call.user,
            verb,
            kind,
            subresource,
            name: call.target.name.as_deref().unwrap_or(own_name),
            namespace,
            new,
            old,
            related: None,
        };
        let mut related = None;
        if let Some((resource, namespace, name)) = node_restriction::leans_on(&write)
            && let Some(kind) = self.kinds.get("", "v1", resource)
        {
            related = Some(self.registry.get(&kind, namespace.as_deref(), &name).await?);
        }
        write.related = related.as_ref();
        node_restriction::check(&write)
    }
}
