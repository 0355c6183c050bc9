//! The cgroups of pods: `/kubepods/{burstable,besteffort}/pod<uid>`, on cgroup v1 and v2.

use crate::pod::resources::{self, PodLimits};
use crate::pod::spec::{self, Qos};
use gantry_api::meta;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

/// Where cgroups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// Why a cgroup could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the cgroup file {0} cannot be written: {1}")]
pub struct CgroupError(String, #[source] io::Error);

/// How cgroups are mounted here.
#[derive(Clone, Debug)]
enum Layout {
    /// Where controllers are mounted, and their own directories.
    V1(PathBuf, Vec<PathBuf>),
    V2(PathBuf),
}

/// Makes and removes the cgroups of pods.
#[derive(Clone, Debug)]
pub struct Cgroups {
    layout: Layout,
}

/// The path of a pod's cgroup below the root, as CRI takes it.
pub fn path(pod: &Value) -> String {
    let uid = meta::text(pod, "uid");
    match spec::qos(pod) {
        Qos::Guaranteed => format!("/kubepods/pod{uid}"),
        Qos::Burstable => format!("/kubepods/burstable/pod{uid}"),
        Qos::BestEffort => format!("/kubepods/besteffort/pod{uid}"),
    }
}

impl Cgroups {
    /// Looks how cgroups are mounted.
    pub fn detect() -> Self {
        Cgroups::at(Path::new(MOUNT))
    }

    /// Looks below `root`.
    pub fn at(root: &Path) -> Self {
        let root = root.to_path_buf();
        if root.join("cgroup.controllers").exists() {
            return Cgroups {
                layout: Layout::V2(root),
            };
        }
        let controllers = [
            "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd",
        ];
        let mut dirs: Vec<PathBuf> = Vec::new();
        for name in controllers {
            // Controllers may be mounted together, with links from their names.
            if let Ok(dir) = std::fs::canonicalize(root.join(name))
                && !dirs.contains(&dir)
            {
                dirs.push(dir);
            }
        }
        Cgroups {
            layout: Layout::V1(root, dirs),
        }
    }

    /// Whether all controllers are in one tree.
    pub fn is_v2(&self) -> bool {
        matches!(self.layout, Layout::V2(_))
    }

    /// The text of a cgroup's file; `None` if there is none. Version 2 has no directories of controllers.
    pub fn read(&self, controller: &str, path: &str, file: &str) -> Option<String> {
        let dir = match &self.layout {
            Layout::V1(root, _) => root.join(controller),
            Layout::V2(root) => root.clone(),
        };
        std::fs::read_to_string(dir.join(path.trim_start_matches('/')).join(file)).ok()
    }

    /// Makes a pod's cgroup with its limits; again if it is there.
    pub fn ensure(&self, pod: &Value) -> Result<(), CgroupError> {
        let (path, limits) = (path(pod), resources::pod(pod));
        match &self.layout {
            Layout::V1(_, dirs) => dirs.iter().try_for_each(|dir| ensure_v1(dir, &path, limits)),
            Layout::V2(root) => ensure_v2(root, &path, limits),
        }
    }

    /// Removes a pod's cgroup with what is left below it; nothing runs in it any more.
    pub fn remove(&self, path: &str) {
        for dir in self.roots() {
            remove_tree(&dir.join(path.trim_start_matches('/')));
        }
    }

    /// The paths of all pods' cgroups, with the pods' uids.
    pub fn pods(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for class in ["/kubepods", "/kubepods/burstable", "/kubepods/besteffort"] {
            for root in self.roots() {
                let Ok(entries) = std::fs::read_dir(root.join(class.trim_start_matches('/'))) else {
                    continue;
                };
                for entry in entries.flatten() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    let Some(uid) = name.strip_prefix("pod") else {
                        continue;
                    };
                    let item = (format!("{class}/{name}"), uid.to_string());
                    if !found.contains(&item) {
                        found.push(item);
                    }
                }
            }
        }
        found
    }

    /// Removes what is left of all pods' cgroups.
    pub fn remove_all(&self) {
        for dir in self.roots() {
            remove_tree(&dir.join("kubepods"));
        }
    }

    fn roots(&self) -> &[PathBuf] {
        match &self.layout {
            Layout::V1(_, dirs) => dirs,
            Layout::V2(root) => std::slice::from_ref(root),
        }
    }
}

fn write(file: &Path, text: &str) -> Result<(), CgroupError> {
    std::fs::write(file, text).map_err(|e| CgroupError(file.display().to_string(), e))
}

fn make(dir: &Path) -> Result<(), CgroupError> {
    std::fs::create_dir_all(dir).map_err(|e| CgroupError(dir.display().to_string(), e))
}

fn ensure_v1(controller: &Path, path: &str, limits: PodLimits) -> Result<(), CgroupError> {
    let mut dir = controller.to_path_buf();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        let parent = dir.clone();
        dir.push(part);
        make(&dir)?;
        // A new cpuset is empty and would take no process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(old) = std::fs::read_to_string(dir.join(file))
                && old.trim().is_empty()
                && let Ok(inherited) = std::fs::read_to_string(parent.join(file))
            {
                write(&dir.join(file), inherited.trim())?;
            }
        }
    }
    let settings = [
        ("cpu.shares", limits.shares),
        ("cpu.cfs_period_us", limits.period),
        (
            "cpu.cfs_quota_us",
            if limits.quota == 0 { -1 } else { limits.quota },
        ),
        (
            "memory.limit_in_bytes",
            if limits.memory == 0 { -1 } else { limits.memory },
        ),
    ];
    for (file, value) in settings {
        let file = dir.join(file);
        if file.exists() {
            write(&file, &value.to_string())?;
        }
    }
    Ok(())
}

fn ensure_v2(root: &Path, path: &str, limits: PodLimits) -> Result<(), CgroupError> {
    let mut dir = root.to_path_buf();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        let available = std::fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
        for name in ["cpu", "cpuset", "memory", "io", "pids"] {
            if available.split_whitespace().any(|a| a == name) {
                write(&dir.join("cgroup.subtree_control"), &format!("+{name}"))?;
            }
        }
        dir.push(part);
        make(&dir)?;
    }
    let max = |value: i64| {
        if value == 0 {
            "max".to_string()
        } else {
            value.to_string()
        }
    };
    let settings = [
        ("cpu.weight", resources::weight(limits.shares).to_string()),
        ("cpu.max", format!("{} {}", max(limits.quota), limits.period)),
        ("memory.max", max(limits.memory)),
    ];
    for (file, value) in settings {
        let file = dir.join(file);
        if file.exists() {
            write(&file, &value)?;
        }
    }
    Ok(())
}

/// Removes a cgroup and those below it. One that still has processes stays; it is tried again later.
fn remove_tree(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    if let Err(error) = std::fs::remove_dir(dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!("the cgroup {} stays for now: {error}", dir.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths() {
        let check = |resources: Value, expected: &str| {
            let pod = json!({"metadata": {"uid": "u"}, "spec": {"containers": [{"resources": resources}]}});
            assert_eq!(path(&pod), expected);
        };
        check(json!({}), "/kubepods/besteffort/podu");
        check(json!({"requests": {"cpu": "1"}}), "/kubepods/burstable/podu");
        check(json!({"limits": {"cpu": "1", "memory": "1"}}), "/kubepods/podu");
    }
}
