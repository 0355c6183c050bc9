//! The cluster's certificate authority.
//!
//! The authority is made once and kept. The server's certificate is issued anew at every start, so that it always
//! covers the names asked for and is never near its end.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::path::Path;
use time::{Duration, OffsetDateTime};

/// A certificate and its key.
pub struct Identity {
    /// Certificate, PEM.
    pub certificate_pem: String,
    /// Private key, PEM.
    pub key_pem: String,
}

/// The certificate authority.
pub struct Pki {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Why certificates could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read or written.
    #[error("{path}: {source}; check the folder's owner and the free space")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The authority's files make no authority, or signing failed.
    #[error("the certificate authority cannot be used: {0}; restore ca.crt and ca.key from a backup")]
    Crypto(#[from] rcgen::Error),
}

impl Pki {
    /// Opens the authority in `dir`, or makes it when neither of its files exists.
    pub fn open(dir: &Path) -> Result<Pki, PkiError> {
        let file = |path: &Path, source| PkiError::File {
            path: path.display().to_string(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(|e| file(dir, e))?;
        let (certificate, key) = (dir.join("ca.crt"), dir.join("ca.key"));
        if !certificate.exists() && !key.exists() {
            let identity = new_authority()?;
            // The key goes first: a certificate without its key would be an authority lost.
            crate::write_private(&key, &identity.key_pem).map_err(|e| file(&key, e))?;
            crate::write_private(&certificate, &identity.certificate_pem)
                .map_err(|e| file(&certificate, e))?;
        }
        let ca_pem = std::fs::read_to_string(&certificate).map_err(|e| file(&certificate, e))?;
        let key_pem = std::fs::read_to_string(&key).map_err(|e| file(&key, e))?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, KeyPair::from_pem(&key_pem)?)?;
        Ok(Pki { ca_pem, issuer })
    }

    /// The authority's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Issues a server certificate for DNS names and addresses, good for a year.
    pub fn issue_server(&self, names: &[String]) -> Result<Identity, PkiError> {
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name.push(DnType::CommonName, "gantry");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    /// Issues a client certificate, good for a year: the user's name and one group.
    pub fn issue_client(&self, common_name: &str, organization: &str) -> Result<Identity, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    fn issue(&self, mut params: CertificateParams) -> Result<Identity, PkiError> {
        let key = KeyPair::generate()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        valid_for(&mut params, Duration::days(365));
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

fn new_authority() -> Result<Identity, PkiError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "gantry-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, Duration::days(3650));
    Ok(Identity {
        certificate_pem: params.self_signed(&key)?.pem(),
        key_pem: key.serialize_pem(),
    })
}

/// Valid from five minutes ago, because clocks differ.
fn valid_for(params: &mut CertificateParams, span: Duration) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::minutes(5);
    params.not_after = now + span;
}
