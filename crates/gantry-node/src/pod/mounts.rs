//! A container's mounts: its volumes, /etc/hosts and the termination message's file.

use crate::cri::v1;
use crate::pod::{container::ConfigError, spec};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Where a pod's files lie: `<data>/pods/<uid>`.
pub fn pod_dir(data_dir: &Path, uid: &str) -> PathBuf {
    data_dir.join("pods").join(uid)
}

/// What mounts are made from.
pub struct Input<'a> {
    /// The pod's directory.
    pub pod_dir: &'a Path,
    /// The volumes by name.
    pub volumes: &'a BTreeMap<String, PathBuf>,
    /// The content of /etc/hosts.
    pub hosts: &'a str,
    /// Expands `$(NAME)` in `subPathExpr`.
    pub expand: &'a dyn Fn(&str) -> String,
}

/// The mounts of a container that starts for the `attempt`th time.
pub fn make(input: &Input<'_>, container: &Value, attempt: u32) -> Result<Vec<v1::Mount>, ConfigError> {
    let mut mounts = Vec::new();
    for mount in spec::list(container, "volumeMounts") {
        let name = spec::text(mount, "name");
        let Some(volume) = input.volumes.get(name) else {
            return Err(ConfigError::Config(format!(
                "cannot find volume {name:?} to mount into container {:?}",
                spec::text(container, "name")
            )));
        };
        let sub_path = match spec::text(mount, "subPathExpr") {
            "" => spec::text(mount, "subPath").to_string(),
            expression => (input.expand)(expression),
        };
        let host = match sub_path.as_str() {
            "" => volume.clone(),
            sub => sub_path_of(volume, sub)?,
        };
        let propagation = match spec::text(mount, "mountPropagation") {
            "HostToContainer" => v1::MountPropagation::PropagationHostToContainer,
            "Bidirectional" => v1::MountPropagation::PropagationBidirectional,
            _ => v1::MountPropagation::PropagationPrivate,
        };
        let path = spec::text(mount, "mountPath");
        let path = if path.starts_with('/') {
            path.to_string()
        } else {
            format!("/{path}")
        };
        mounts.push(v1::Mount {
            container_path: path,
            host_path: host.to_string_lossy().into_owned(),
            readonly: spec::flag(mount, "readOnly"),
            propagation: propagation.into(),
            ..Default::default()
        });
    }
    let mut own = |container_path: &str, host: &Path| {
        // What the pod mounts there itself comes first.
        if mounts
            .iter()
            .all(|m: &v1::Mount| m.container_path != container_path)
        {
            mounts.push(v1::Mount {
                container_path: container_path.to_string(),
                host_path: host.to_string_lossy().into_owned(),
                ..Default::default()
            });
        }
    };
    let hosts = input.pod_dir.join("etc-hosts");
    write(&hosts, input.hosts, 0o644)?;
    own("/etc/hosts", &hosts);
    let message = spec::text(container, "terminationMessagePath");
    if !message.is_empty() {
        let dir = input
            .pod_dir
            .join("containers")
            .join(spec::text(container, "name"));
        std::fs::create_dir_all(&dir).map_err(|e| ConfigError::File(dir.display().to_string(), e))?;
        let file = dir.join(format!("termination-{attempt}"));
        // Whoever the container runs as must be able to write it.
        write(&file, "", 0o666)?;
        own(message, &file);
    }
    Ok(mounts)
}

/// A path inside a volume. It must not lead out, through `..` or a link; a missing directory is made.
fn sub_path_of(volume: &Path, sub: &str) -> Result<PathBuf, ConfigError> {
    let refused = |why: &str| {
        ConfigError::Config(format!(
            "failed to prepare subPath for volumeMount: {sub:?} {why}"
        ))
    };
    let relative = Path::new(sub);
    if relative.is_absolute() || relative.components().any(|c| matches!(c, Component::ParentDir)) {
        return Err(refused("must be a path inside the volume"));
    }
    let failed = |e: io::Error| ConfigError::File(volume.join(sub).display().to_string(), e);
    let root = std::fs::canonicalize(volume).map_err(failed)?;
    let permissions = std::fs::metadata(&root).map_err(failed)?.permissions();
    // Step by step, so that nothing is made outside through a link on the way.
    let mut at = root.clone();
    for component in relative.components() {
        let Component::Normal(part) = component else {
            continue;
        };
        at.push(part);
        match std::fs::canonicalize(&at) {
            Ok(real) if real.starts_with(&root) => at = real,
            Ok(_) => return Err(refused("leads out of the volume")),
            // Whoever may use the volume may use what is made in it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => std::fs::create_dir(&at)
                .and_then(|()| std::fs::set_permissions(&at, permissions.clone()))
                .map_err(failed)?,
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(at)
}

fn write(file: &Path, text: &str, mode: u32) -> Result<(), ConfigError> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |e| ConfigError::File(file.display().to_string(), e);
    std::fs::write(file, text).map_err(failed)?;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_paths_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("v")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("v/out")).unwrap();
        std::os::unix::fs::symlink("in", dir.path().join("v/link")).unwrap();
        std::fs::create_dir(dir.path().join("v/in")).unwrap();
        let check = |sub: &str, expected: Option<&str>| {
            let volume = dir.path().join("v");
            let found = sub_path_of(&volume, sub).ok();
            let expected = expected.map(|e| std::fs::canonicalize(&volume).unwrap().join(e));
            assert_eq!(found, expected, "{sub}");
        };
        check("a/b", Some("a/b"));
        check("link/c", Some("in/c"));
        check("out/x", None);
        check("../x", None);
        check("/etc", None);
    }
}
