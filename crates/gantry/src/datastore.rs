//! Where `gantry server` keeps the cluster's state: in a file of its own, or in etcd.

use gantry_store::{ConnectError, Embedded, Etcd, EtcdOptions, OpenError, Store, Tls};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file's ceiling, in bytes.
const LIMIT: u64 = 8 << 30;

/// Which store.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Datastore {
    /// Keeps the state in etcd instead of a file: URLs of its members, with commas between them or the option repeated.
    #[arg(long, value_delimiter = ',')]
    pub datastore_endpoint: Vec<String>,
    /// The CA of etcd's certificates, in PEM; https needs it.
    #[arg(long, requires = "datastore_endpoint")]
    pub datastore_cafile: Option<PathBuf>,
    /// The certificate to show etcd, in PEM.
    #[arg(long, requires_all = ["datastore_endpoint", "datastore_keyfile"])]
    pub datastore_certfile: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    #[arg(long, requires = "datastore_certfile")]
    pub datastore_keyfile: Option<PathBuf>,
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DatastoreError {
    /// The file.
    #[error(transparent)]
    Embedded(#[from] OpenError),
    /// etcd.
    #[error("--datastore-endpoint: {0}")]
    Etcd(#[from] ConnectError),
    /// A certificate or key cannot be read.
    #[error("--datastore-{0} {1} cannot be read: {2}")]
    File(&'static str, String, std::io::Error),
}

impl Datastore {
    /// Opens the store that was chosen; its folder is in `data`.
    pub async fn open(&self, data: &Path) -> Result<Arc<dyn Store>, DatastoreError> {
        if self.datastore_endpoint.is_empty() {
            return Ok(Arc::new(Embedded::open(&data.join("store"), LIMIT)?));
        }
        let certificate = read("certfile", self.datastore_certfile.as_deref())?;
        let key = read("keyfile", self.datastore_keyfile.as_deref())?;
        let tls = Tls {
            ca: read("cafile", self.datastore_cafile.as_deref())?,
            identity: certificate.zip(key),
        };
        let options = EtcdOptions::new(self.datastore_endpoint.clone(), tls);
        Ok(Arc::new(Etcd::connect(options).await?))
    }
}

fn read(option: &'static str, path: Option<&Path>) -> Result<Option<Vec<u8>>, DatastoreError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|e| DatastoreError::File(option, path.display().to_string(), e))
    };
    path.map(read).transpose()
}
