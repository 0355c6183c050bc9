//! A pod's volumes: directories below the pod's own, made before its containers start and refreshed while it runs.
//!
//! Source: pkg/volume.

mod payload;
mod writer;

pub use payload::payload;

use crate::env::Ips;
use crate::mount;
use gantry_client::Client;
use payload::Files;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Why a volume is not ready.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume \"{volume}\" : {why}")]
pub struct VolumeError {
    volume: String,
    why: String,
}

/// Prepares volumes.
pub struct Volumes {
    client: Client,
    node_ip: String,
}

impl Volumes {
    /// Volumes of the node at `node_ip`, whose contents come through `client`.
    pub fn new(client: Client, node_ip: String) -> Self {
        Volumes { client, node_ip }
    }

    /// Makes a pod's volumes, or brings their contents up to date; the host's path of each, by name.
    pub async fn prepare(
        &self,
        pod: &Value,
        pod_dir: &Path,
    ) -> Result<BTreeMap<String, PathBuf>, VolumeError> {
        let mut made = BTreeMap::new();
        for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
            let name = volume["name"].as_str().unwrap_or("").to_string();
            let path = self
                .prepare_one(pod, volume, &name, pod_dir)
                .await
                .map_err(|why| VolumeError {
                    volume: name.clone(),
                    why,
                })?;
            made.insert(name, path);
        }
        Ok(made)
    }

    async fn prepare_one(
        &self,
        pod: &Value,
        volume: &Value,
        name: &str,
        dir: &Path,
    ) -> Result<PathBuf, String> {
        if volume["hostPath"].is_object() {
            return host_path(&volume["hostPath"]);
        }
        let group = pod["spec"]["securityContext"]["fsGroup"]
            .as_u64()
            .and_then(|g| u32::try_from(g).ok());
        if volume["emptyDir"].is_object() {
            let path = dir.join("volumes/kubernetes.io~empty-dir").join(name);
            return empty_dir(&volume["emptyDir"], &path, group).map(|()| path);
        }
        let Some((type_, source)) = ["configMap", "secret", "downwardAPI", "projected"]
            .into_iter()
            .find(|t| volume[*t].is_object())
            .map(|t| (t, &volume[t]))
        else {
            return Err("this type of volume is not supported".into());
        };
        let plugin = match type_ {
            "configMap" => "configmap",
            "downwardAPI" => "downward-api",
            other => other,
        };
        let path = dir.join(format!("volumes/kubernetes.io~{plugin}")).join(name);
        let ips = Ips {
            pod: pod["status"]["podIP"]
                .as_str()
                .map(String::from)
                .into_iter()
                .collect(),
            host: vec![self.node_ip.clone()],
        };
        let current = |file: &str| std::fs::read(path.join(file)).ok();
        let files: Files = payload::of(&self.client, pod, type_, source, &ips, &current).await?;
        std::fs::create_dir_all(&path)
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)))
            .map_err(|e| format!("{}: {e}", path.display()))?;
        writer::write(&path, &files, group).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }

    /// Removes a pod's volumes.
    pub async fn teardown(&self, _uid: &str, pod_dir: &Path) -> Result<(), VolumeError> {
        let all = pod_dir.join("volumes");
        let failed = |why: String| VolumeError {
            volume: all.display().to_string(),
            why,
        };
        mount::unmount_below(&all).map_err(|e| failed(e.to_string()))?;
        match std::fs::remove_dir_all(&all) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed(e.to_string())),
            _ => Ok(()),
        }
    }
}

fn host_path(source: &Value) -> Result<PathBuf, String> {
    let path = PathBuf::from(source["path"].as_str().unwrap_or(""));
    let type_ = source["type"].as_str().unwrap_or("");
    match type_ {
        "DirectoryOrCreate" => {
            std::fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?
        }
        "FileOrCreate" if !path.exists() => {
            std::fs::File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        _ => {}
    }
    use std::os::unix::fs::FileTypeExt;
    let found = std::fs::metadata(&path).map(|m| m.file_type());
    let is = |test: fn(&std::fs::FileType) -> bool| found.as_ref().is_ok_and(test);
    let right = match type_ {
        "Directory" | "DirectoryOrCreate" => is(std::fs::FileType::is_dir),
        "File" | "FileOrCreate" => is(std::fs::FileType::is_file),
        "Socket" => is(|t| t.is_socket()),
        "CharDevice" => is(|t| t.is_char_device()),
        "BlockDevice" => is(|t| t.is_block_device()),
        _ => true,
    };
    if right {
        return Ok(path);
    }
    let wanted = match type_ {
        "File" | "FileOrCreate" => "file",
        "Socket" => "socket file",
        "CharDevice" => "character device",
        "BlockDevice" => "block device",
        _ => "directory",
    };
    Err(format!(
        "hostPath type check failed: {} is not a {wanted}",
        path.display()
    ))
}

fn empty_dir(source: &Value, path: &Path, group: Option<u32>) -> Result<(), String> {
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    if path.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(path).map_err(|e| failed(&e))?;
    if source["medium"] == "Memory" {
        let limit = gantry_api::quantity::Quantity::from_json(&source["sizeLimit"])
            .map(|q| q.value())
            .ok();
        mount::tmpfs(path, limit.filter(|l| *l > 0)).map_err(|e| failed(&e))?;
    }
    let mut mode = 0o777;
    if group.is_some() {
        mode |= 0o2000;
        std::os::unix::fs::chown(path, None, group).map_err(|e| failed(&e))?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(|e| failed(&e))
}
