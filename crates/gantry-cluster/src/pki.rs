//! The cluster's certificate authority and the certificates it issues.

use crate::certificate::{self, DAY, Failure, Key, Parsed, Purpose};
use crate::file;
use std::fs::DirBuilder;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const CA_LIFETIME: Duration = Duration::from_secs(3650 * DAY.as_secs());
const LIFETIME: Duration = Duration::from_secs(365 * DAY.as_secs());
const RENEW_BEFORE: Duration = Duration::from_secs(30 * DAY.as_secs());

/// Why the certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The folder could not be made.
    #[error("cannot make the certificate folder {}: {source}; check the path and that you may write there", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}; check that you own the file and may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}; check that you may write to its folder and that the disk is not full", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{} is not usable: {reason}; restore it from a backup, or remove it to have a new one made", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The CA's certificate is there but its key is not.
    #[error("{} is missing, though ca.crt exists; restore the key, or remove ca.crt to start a new CA (every client then needs a new kubeconfig)", path.display())]
    CaKeyMissing {
        /// Where the key should be.
        path: PathBuf,
    },
    /// The CA's certificate and key are not a pair.
    #[error("{} is not a CA certificate of the key in ca.key; restore the pair, or remove both to start a new CA (every client then needs a new kubeconfig)", path.display())]
    CaMismatch {
        /// The certificate.
        path: PathBuf,
    },
    /// The CA has expired.
    #[error("the CA certificate {} has expired; remove ca.crt and ca.key to start a new CA (every client then needs a new kubeconfig)", path.display())]
    CaExpired {
        /// The certificate.
        path: PathBuf,
    },
    /// A certificate could not be made from the names given.
    #[error("cannot issue a certificate for {name:?}: {reason}; check the names it should carry")]
    Issue {
        /// The certificate's common name.
        name: String,
        /// What was wrong.
        reason: String,
    },
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// The key, in PKCS #8.
    pub key_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys stay out of logs.
        f.debug_struct("Identity")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// The names a server answers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames {
    /// Host names.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
}

/// The cluster's CA, with the server's certificate.
pub struct Pki {
    key: Key,
    certificate: Parsed,
    pem: String,
    server: Identity,
    service_account_key: String,
}

impl Pki {
    /// Opens the CA and the server's certificate in `dir`, making what is missing.
    ///
    /// The files are `ca.crt`, `ca.key`, `server.crt`, `server.key` and
    /// `service-account.key`; only their owner may read keys. The server's certificate
    /// is issued anew when it lacks one of `names`, expires within 30 days, or is not
    /// of this CA or its key. A CA that is damaged or expired is an error: a new one would
    /// shut out every client, which is for the user to decide.
    pub fn open(dir: &Path, names: &ServerNames) -> Result<Pki, PkiError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| PkiError::Folder {
                path: dir.to_owned(),
                source,
            })?;
        let (key, certificate, pem) = open_ca(dir)?;
        let server = open_server(dir, names, &key, &certificate)?;
        let (_, service_account_key) = open_key(&dir.join("service-account.key"))?;
        Ok(Pki {
            key,
            certificate,
            pem,
            server,
            service_account_key,
        })
    }

    /// The CA's certificate in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.pem
    }

    /// The CA's certificate in DER.
    pub fn ca_der(&self) -> &[u8] {
        &self.certificate.der
    }

    /// The server's certificate and key.
    pub fn server(&self) -> &Identity {
        &self.server
    }

    /// A client certificate, valid for a year, with a key of its own.
    ///
    /// Each organization becomes a group of the user; repeated ones are kept.
    pub fn issue_client(&self, common_name: &str, organizations: &[&str]) -> Result<Identity, PkiError> {
        self.issue(common_name, organizations, &Purpose::Client)
    }

    /// A server certificate for `names`, valid for a year, with a key of its own.
    pub fn issue_server(
        &self,
        common_name: &str,
        organizations: &[&str],
        names: &ServerNames,
    ) -> Result<Identity, PkiError> {
        self.issue(common_name, organizations, &Purpose::Server(names))
    }

    fn issue(
        &self,
        common_name: &str,
        organizations: &[&str],
        purpose: &Purpose,
    ) -> Result<Identity, PkiError> {
        let issue = || -> Result<Identity, Failure> {
            if common_name.is_empty() {
                return Err("a certificate needs a common name".into());
            }
            let key = Key::generate();
            let certificate_pem = certificate::issue(
                common_name,
                organizations,
                purpose,
                LIFETIME,
                &key,
                &self.key,
                Some(&self.certificate),
            )?;
            Ok(Identity {
                certificate_pem,
                key_pem: key.to_pem()?,
            })
        };
        issue().map_err(|e| not_issued(common_name, &e))
    }

    /// Whether a client's certificate still serves: of this CA, of its key, in that name, and good for 30 more days.
    pub(crate) fn still_serves(
        &self,
        identity: &Identity,
        common_name: &str,
        organizations: &[&str],
    ) -> bool {
        let check = || -> Result<bool, Failure> {
            let certificate = Parsed::from_pem(&identity.certificate_pem)?;
            Ok(certificate.belongs_to(&Key::from_pem(&identity.key_pem)?)?
                && certificate.signed_by(&self.certificate)?
                && certificate.is_of(common_name, organizations)?
                && certificate.lasts(RENEW_BEFORE))
        };
        check().unwrap_or(false)
    }

    /// The private key that signs service accounts' tokens: P-256, PKCS #8, PEM.
    pub fn service_account_key_pem(&self) -> &str {
        &self.service_account_key
    }
}

fn open_ca(dir: &Path) -> Result<(Key, Parsed, String), PkiError> {
    let (certificate_path, key_path) = (dir.join("ca.crt"), dir.join("ca.key"));
    let existing = read(&certificate_path)?;
    if existing.is_some() && read(&key_path)?.is_none() {
        return Err(PkiError::CaKeyMissing { path: key_path });
    }
    // The key is written first, so a key alone is a start that was cut short.
    let (key, _) = open_key(&key_path)?;
    let pem = match existing {
        Some(pem) => pem,
        None => {
            let name = "gantry-ca";
            let pem = certificate::issue(name, &[], &Purpose::Ca, CA_LIFETIME, &key, &key, None)
                .map_err(|e| not_issued(name, &e))?;
            write(&certificate_path, &pem, file::PUBLIC)?;
            pem
        }
    };
    let check = || -> Result<(Parsed, bool), Failure> {
        let certificate = Parsed::from_pem(&pem)?;
        let fits = certificate.belongs_to(&key)? && certificate.is_ca()?;
        Ok((certificate, fits))
    };
    match check() {
        Err(e) => Err(PkiError::Unusable {
            path: certificate_path,
            reason: e.to_string(),
        }),
        Ok((_, false)) => Err(PkiError::CaMismatch {
            path: certificate_path,
        }),
        Ok((certificate, true)) if !certificate.lasts(Duration::ZERO) => Err(PkiError::CaExpired {
            path: certificate_path,
        }),
        Ok((certificate, true)) => Ok((key, certificate, pem)),
    }
}

fn open_server(dir: &Path, names: &ServerNames, ca_key: &Key, ca: &Parsed) -> Result<Identity, PkiError> {
    let path = dir.join("server.crt");
    let (key, key_pem) = open_key(&dir.join("server.key"))?;
    let good = |pem: &str| -> Result<bool, Failure> {
        let certificate = Parsed::from_pem(pem)?;
        Ok(certificate.belongs_to(&key)?
            && certificate.signed_by(ca)?
            && certificate.covers(names)?
            && certificate.lasts(RENEW_BEFORE))
    };
    // A server certificate that cannot be read is replaced: it can always be made anew.
    if let Some(certificate_pem) = read(&path)?.filter(|pem| good(pem).unwrap_or(false)) {
        return Ok(Identity {
            certificate_pem,
            key_pem,
        });
    }
    let name = "gantry-apiserver";
    let certificate_pem = certificate::issue(
        name,
        &[],
        &Purpose::Server(names),
        LIFETIME,
        &key,
        ca_key,
        Some(ca),
    )
    .map_err(|e| not_issued(name, &e))?;
    write(&path, &certificate_pem, file::PUBLIC)?;
    Ok(Identity {
        certificate_pem,
        key_pem,
    })
}

/// The key in a file, made when missing.
fn open_key(path: &Path) -> Result<(Key, String), PkiError> {
    let unusable = |e: Failure| PkiError::Unusable {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    if let Some(pem) = read(path)? {
        return Ok((Key::from_pem(&pem).map_err(unusable)?, pem));
    }
    let key = Key::generate();
    let pem = key.to_pem().map_err(unusable)?;
    write(path, &pem, file::SECRET)?;
    Ok((key, pem))
}

fn read(path: &Path) -> Result<Option<String>, PkiError> {
    file::read(path).map_err(|source| PkiError::Read {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    file::write(path, text.as_bytes(), mode).map_err(|source| PkiError::Write {
        path: path.to_owned(),
        source,
    })
}

fn not_issued(name: &str, error: &Failure) -> PkiError {
    PkiError::Issue {
        name: name.to_owned(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
