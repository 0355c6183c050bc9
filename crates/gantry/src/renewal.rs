//! Keeps the server's certificate and the administrator's kubeconfig from running out while the server runs.

use gantry_apiserver::{Certificate, TlsError};
use gantry_auth::MASTERS;
use gantry_cluster::kubeconfig::{self, KubeconfigError};
use gantry_cluster::pki::{Pki, PkiError, ServerNames};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Certificates are renewed 30 days before their end: a failed try is repeated often enough.
const PAUSE: Duration = Duration::from_secs(12 * 3600);

/// What is kept fresh.
pub struct Renewal {
    /// The folder of the certificates.
    pub folder: PathBuf,
    /// The names the server answers to.
    pub names: ServerNames,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The server's URL in it.
    pub url: String,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
}

impl Renewal {
    /// Writes the administrator's kubeconfig, unless the one that is there still serves.
    pub fn write_kubeconfig(&self, pki: &Pki) -> Result<(), KubeconfigError> {
        let admin = kubeconfig::Client {
            common_name: "system:admin",
            organizations: &[MASTERS],
        };
        kubeconfig::ensure(&self.kubeconfig, &self.url, pki, &admin)
    }

    /// Renews what comes near its end, for as long as the process lives.
    pub async fn run(self, shown: Arc<Certificate>) {
        loop {
            tokio::time::sleep(PAUSE).await;
            if let Err(error) = self.renew(&shown) {
                tracing::error!("the certificates cannot be renewed, trying again later: {error}");
            }
        }
    }

    fn renew(&self, shown: &Certificate) -> Result<(), Error> {
        let pki = Pki::open(&self.folder, &self.names)?;
        let identity = pki.server();
        shown.replace(&identity.certificate_pem, &identity.key_pem)?;
        self.write_kubeconfig(&pki)?;
        Ok(())
    }
}
