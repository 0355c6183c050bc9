//! The server's side of TLS: its certificate, which can be changed while it serves, and whose clients it believes.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;

/// The server's certificate, its key, and the authority whose client certificates it believes, all as PEM text.
pub struct TlsFiles<'a> {
    /// Certificate chain.
    pub certificate: &'a str,
    /// Private key.
    pub key: &'a str,
    /// Client authority.
    pub client_ca: &'a str,
}

/// The certificate, key or authority is unusable.
#[derive(Debug, thiserror::Error)]
#[error("the server's certificate is unusable: {0}; move the pki folder away to have it made anew")]
pub struct TlsError(String);

/// The certificate that new connections are shown.
#[derive(Debug)]
pub struct Certificate(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    /// Shows another certificate from now on. Connections that stand keep theirs.
    pub fn replace(&self, certificate: &str, key: &str) -> Result<(), TlsError> {
        let new = Arc::new(certified(certificate, key)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// What takes connections, and the certificate it shows them.
pub fn acceptor(tls: &TlsFiles<'_>) -> Result<(TlsAcceptor, Arc<Certificate>), TlsError> {
    let bad = |e: &dyn std::fmt::Display| TlsError(e.to_string());
    let certificate = Arc::new(Certificate(RwLock::new(Arc::new(certified(
        tls.certificate,
        tls.key,
    )?))));
    let mut roots = rustls::RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(tls.client_ca.as_bytes()) {
        roots.add(ca.map_err(|e| bad(&e))?).map_err(|e| bad(&e))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| bad(&e))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(&e))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate.clone());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), certificate))
}

fn certified(certificate: &str, key: &str) -> Result<CertifiedKey, TlsError> {
    let bad = |e: &dyn std::fmt::Display| TlsError(e.to_string());
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| bad(&e))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| bad(&e))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|e| bad(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_cluster::pki::{Pki, ServerNames};

    #[test]
    fn the_certificate_can_be_replaced() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let open = |at: usize| Pki::open(folders[at].path(), &ServerNames::default()).unwrap();
        let (first, second) = (open(0), open(1));
        let files = |pki: &Pki| (pki.server().certificate_pem.clone(), pki.server().key_pem.clone());
        let (certificate, key) = files(&first);
        let tls = TlsFiles {
            certificate: &certificate,
            key: &key,
            client_ca: first.ca_pem(),
        };
        let (_, shown) = acceptor(&tls).unwrap();
        let now = || shown.0.read().unwrap().cert[0].to_vec();
        let before = now();
        let (other, other_key) = files(&second);
        let error = shown.replace(&other, &key).unwrap_err();
        assert!(error.to_string().contains("certificate is unusable"), "{error}");
        assert_eq!(now(), before);
        shown.replace(&other, &other_key).unwrap();
        assert_ne!(now(), before);
    }
}
