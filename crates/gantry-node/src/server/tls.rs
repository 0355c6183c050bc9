//! The server's side of TLS: its certificate, and whose clients it believes.

use crate::config::ServerIdentity;
use gantry_auth::{User, x509};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::fmt::Display;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The certificate, key or authority is unusable.
#[derive(Debug, thiserror::Error)]
#[error(
    "the certificate of the node's server is unusable: {0}; move the pki folder away to have it made anew"
)]
pub struct TlsError(String);

/// What takes connections. Clients without a certificate get in, but no further than the health check.
pub fn acceptor(identity: &ServerIdentity) -> Result<TlsAcceptor, TlsError> {
    let bad = |e: &dyn Display| TlsError(e.to_string());
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(identity.client_ca_pem.as_bytes()) {
        roots.add(ca.map_err(|e| bad(&e))?).map_err(|e| bad(&e))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| bad(&e))?;
    let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| bad(&e))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(|e| bad(&e))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(&e))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|e| bad(&e))?;
    // Connections are upgraded, which HTTP/2 does not know.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Who is at the other end, by a certificate that was verified.
pub fn user(stream: &TlsStream<TcpStream>) -> Option<User> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    match x509::user_from_certificate(certificate) {
        Ok(user) => Some(user),
        Err(error) => {
            tracing::warn!("a client certificate names no user: {error}");
            None
        }
    }
}
