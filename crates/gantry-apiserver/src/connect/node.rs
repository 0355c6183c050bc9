//! The agents of nodes: where they listen, and who the API server is to them.
//!
//! Source: pkg/kubelet/client/kubelet_client.go.

use crate::connect::backend::{AnyCertificate, Backend};
use crate::connect::failed;
use gantry_api::status::Status;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::sync::Arc;

/// Which of a node's addresses is taken: the first kind there is. Names come after addresses, for not every network
/// resolves them.
const ADDRESS_TYPES: [&str; 5] = [
    "InternalIP",
    "InternalDNS",
    "Hostname",
    "ExternalDNS",
    "ExternalIP",
];
/// Where an agent listens that does not say.
const PORT: u16 = 10250;

/// Who the API server is to nodes, and whose serving certificates it believes, all as PEM text.
#[derive(Clone)]
pub struct KubeletIdentity {
    /// Certificate chain; by custom of `CN=kube-apiserver-kubelet-client`.
    pub certificate_pem: String,
    /// Private key.
    pub key_pem: String,
    /// The authority of the nodes' serving certificates.
    pub ca_pem: String,
}

impl std::fmt::Debug for KubeletIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys stay out of logs.
        f.debug_struct("KubeletIdentity")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// The client certificate, its key, or the nodes' authority is unusable.
#[derive(Debug, thiserror::Error)]
#[error("the client certificate for nodes is unusable: {0}; move the pki folder away to have it made anew")]
pub struct KubeletIdentityError(pub String);

/// How nodes are reached.
pub struct Nodes {
    verified: Arc<ClientConfig>,
    unverified: Arc<ClientConfig>,
}

impl Nodes {
    /// Reaches nodes as `identity`.
    pub fn new(identity: &KubeletIdentity) -> Result<Self, KubeletIdentityError> {
        let bad = |e: &dyn std::fmt::Display| KubeletIdentityError(e.to_string());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| bad(&e))?;
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(|e| bad(&e))?;
        let mut roots = RootCertStore::empty();
        for ca in CertificateDer::pem_slice_iter(identity.ca_pem.as_bytes()) {
            roots.add(ca.map_err(|e| bad(&e))?).map_err(|e| bad(&e))?;
        }
        let builder = || {
            ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .map_err(|e| bad(&e))
        };
        let verified = builder()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|e| bad(&e))?;
        let unverified = builder()?
            .dangerous()
            .with_custom_certificate_verifier(AnyCertificate::new(provider.clone()))
            .with_client_auth_cert(chain, key)
            .map_err(|e| bad(&e))?;
        Ok(Nodes {
            verified: Arc::new(verified),
            unverified: Arc::new(unverified),
        })
    }

    /// The agent of a node. Its certificate is checked, unless the user said not to.
    pub fn agent(&self, node: &Value, verify: bool) -> Result<Backend, Status> {
        let config = if verify { &self.verified } else { &self.unverified };
        let (host, port) = location(node)?;
        Ok(Backend {
            host: host.to_owned(),
            port,
            tls: Some(config.clone()),
        })
    }
}

/// Where a node's agent listens.
pub fn location(node: &Value) -> Result<(&str, u16), Status> {
    let addresses = node["status"]["addresses"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let host = ADDRESS_TYPES
        .iter()
        .find_map(|wanted| addresses.iter().find(|a| a["type"] == *wanted))
        .and_then(|a| a["address"].as_str());
    let Some(host) = host else {
        let known: Vec<String> = addresses
            .iter()
            .map(|a| format!("{{{} {}}}", text(&a["type"]), text(&a["address"])))
            .collect();
        let known = known.join(" ");
        return Err(failed(format!(
            "no preferred addresses found; known addresses: [{known}]"
        )));
    };
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let port = port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p > 0);
    Ok((host, port.unwrap_or(PORT)))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn where_agents_listen() {
        let check = |status: Value, expected: Result<(&str, u16), &str>| {
            let node = json!({"status": status});
            let found = location(&node).map_err(|s| s.message);
            assert_eq!(found, expected.map_err(str::to_owned), "{node}");
        };
        check(
            json!({
                "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10255}},
            }),
            Ok(("10.0.0.1", 10255)),
        );
        check(
            json!({"addresses": [{"type": "Hostname", "address": "n"}]}),
            Ok(("n", 10250)),
        );
        check(
            json!({"addresses": [{"type": "Other", "address": "n"}]}),
            Err("no preferred addresses found; known addresses: [{Other n}]"),
        );
    }

    #[test]
    fn an_identity_must_be_one() {
        let identity = KubeletIdentity {
            certificate_pem: "x".into(),
            key_pem: "secret".into(),
            ca_pem: String::new(),
        };
        let error = Nodes::new(&identity)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default();
        assert!(
            error.starts_with("the client certificate for nodes is unusable"),
            "{error}"
        );
        assert!(!format!("{identity:?}").contains("secret"));
    }
}
