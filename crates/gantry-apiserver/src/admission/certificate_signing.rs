//! CertificateSigning: who puts a certificate or a condition into a request must be allowed to sign for its signer.
//! Source: plugin/pkg/admission/certificates/signing.

use crate::admission::{Plugin, Request, certificate_approval};
use async_trait::async_trait;
use gantry_api::status::Status;
use serde_json::Value;

pub struct CertificateSigning;

#[async_trait]
impl Plugin for CertificateSigning {
    fn concerns(&self, request: &Request<'_>) -> bool {
        request.subresource == "status" && request.kind.plural == "certificatesigningrequests"
    }

    async fn validate(&self, request: &Request<'_>, object: &Value) -> Result<(), Status> {
        let changes = |field: &str| {
            let of = |object: &Value| object["status"].get(field).cloned();
            of(object) != request.old.and_then(of)
        };
        match changes("certificate") || changes("conditions") {
            true => certificate_approval::may(request, "sign", "sign"),
            false => Ok(()),
        }
    }
}
