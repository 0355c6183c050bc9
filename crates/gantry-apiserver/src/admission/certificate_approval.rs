//! CertificateApproval: who approves a request must be allowed to for its signer.
//! Source: plugin/pkg/admission/certificates/approval.

use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::status::Status;
use serde_json::Value;

pub struct CertificateApproval;

#[async_trait]
impl Plugin for CertificateApproval {
    fn concerns(&self, request: &Request<'_>) -> bool {
        request.subresource == "approval" && request.kind.plural == "certificatesigningrequests"
    }

    async fn validate(&self, request: &Request<'_>, _: &Value) -> Result<(), Status> {
        may(request, "approve", "approve")
    }
}

/// Whether the user may do something for the signer of the request that stands: for it alone or all of its domain.
pub fn may(request: &Request<'_>, verb: &str, what: &str) -> Result<(), Status> {
    let Some(old) = request.old else {
        return Ok(());
    };
    let signer = old["spec"]["signerName"].as_str().unwrap_or_default();
    if request.api.authorizer.may_for_signer(request.user, verb, signer) {
        return Ok(());
    }
    let why = format!("user not permitted to {what} requests with signerName {signer:?}");
    Err(request.forbidden(gantry_api::meta::name(old), &why))
}
