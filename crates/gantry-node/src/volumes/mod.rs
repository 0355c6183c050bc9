//! Volumes: emptyDir and hostPath.

use gantry_client::Client;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why volumes are not ready.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct VolumeError(String);

/// Prepares volumes.
pub struct Volumes;

impl Volumes {
    /// Volumes of a node.
    pub fn new(_client: Client, _root: PathBuf, _node: &str) -> Self {
        Volumes
    }

    /// Makes a pod's volumes.
    pub async fn prepare(&self, pod: &Value, pod_dir: &Path) -> Result<BTreeMap<String, PathBuf>, VolumeError> {
        let mut made = BTreeMap::new();
        for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
            let name = volume["name"].as_str().unwrap_or("").to_string();
            let path = match volume["hostPath"]["path"].as_str() {
                Some(path) => PathBuf::from(path),
                None => pod_dir.join("volumes/kubernetes.io~empty-dir").join(&name),
            };
            std::fs::create_dir_all(&path).map_err(|e| VolumeError(format!("{}: {e}", path.display())))?;
            made.insert(name, path);
        }
        Ok(made)
    }

    /// Removes a pod's volumes.
    pub async fn teardown(&self, _uid: &str, pod_dir: &Path) -> Result<(), VolumeError> {
        match std::fs::remove_dir_all(pod_dir.join("volumes")) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(VolumeError(e.to_string())),
            _ => Ok(()),
        }
    }
}
