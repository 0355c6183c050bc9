//! The kubeconfig that lets kubectl in.

use crate::pki::Identity;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::path::Path;

/// The kubeconfig could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be written: {source}; check the folder's owner and the free space")]
pub struct KubeconfigError {
    path: String,
    source: std::io::Error,
}

/// Writes a kubeconfig for one identity, readable by its owner only.
pub fn write(
    path: &Path,
    server_url: &str,
    ca_pem: &str,
    identity: &Identity,
) -> Result<(), KubeconfigError> {
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: default\n  cluster:\n    server: {server_url}\n    \
         certificate-authority-data: {}\nusers:\n- name: default\n  user:\n    client-certificate-data: {}\n    \
         client-key-data: {}\ncontexts:\n- name: default\n  context:\n    cluster: default\n    user: default\n\
         current-context: default\n",
        STANDARD.encode(ca_pem),
        STANDARD.encode(&identity.certificate_pem),
        STANDARD.encode(&identity.key_pem),
    );
    crate::write_private(path, &text).map_err(|source| KubeconfigError {
        path: path.display().to_string(),
        source,
    })
}
