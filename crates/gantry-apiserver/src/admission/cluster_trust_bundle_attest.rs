//! ClusterTrustBundleAttest: who writes a bundle of a signer must be allowed to attest for the signer.
//! Source: plugin/pkg/admission/certificates/ctbattest.

use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_api::status::Status;
use gantry_auth::rbac;
use serde_json::Value;

pub struct ClusterTrustBundleAttest;

#[async_trait]
impl Plugin for ClusterTrustBundleAttest {
    fn concerns(&self, request: &Request<'_>) -> bool {
        request.is("certificates.k8s.io", "clustertrustbundles")
    }

    async fn validate(&self, request: &Request<'_>, object: &Value) -> Result<(), Status> {
        let signer = object["spec"]["signerName"].as_str().unwrap_or_default();
        if signer.is_empty()
            || request.old.is_some_and(|old| rbac::only_collected(object, old))
            || request
                .api
                .authorizer
                .may_for_signer(request.user, "attest", signer)
        {
            return Ok(());
        }
        let why = format!("user not permitted to attest for signerName {signer:?}");
        Err(request.forbidden(meta::name(object), &why))
    }
}
