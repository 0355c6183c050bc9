//! CertificateSubjectRestriction: no client certificate makes its owner a master.
//! Source: plugin/pkg/admission/certificates/subjectrestriction.

use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use base64::Engine;
use gantry_api::meta;
use gantry_api::status::Status;
use gantry_api::x509;
use serde_json::Value;

const SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub struct CertificateSubjectRestriction;

#[async_trait]
impl Plugin for CertificateSubjectRestriction {
    fn concerns(&self, request: &Request<'_>) -> bool {
        request.creates("certificates.k8s.io", "certificatesigningrequests")
    }

    async fn validate(&self, request: &Request<'_>, object: &Value) -> Result<(), Status> {
        let spec = &object["spec"];
        if spec["signerName"] != SIGNER {
            return Ok(());
        }
        let name = meta::name(object);
        let pem = base64::engine::general_purpose::STANDARD
            .decode(spec["request"].as_str().unwrap_or_default())
            .unwrap_or_default();
        let parsed = x509::Request::parse(&pem)
            .map_err(|why| request.forbidden(name, &format!("failed to parse CSR: {why}")))?;
        if parsed.organizations.iter().any(|o| o == "system:masters") {
            let why = format!("use of {SIGNER} signer with system:masters group is not allowed");
            return Err(request.forbidden(name, &why));
        }
        Ok(())
    }
}
