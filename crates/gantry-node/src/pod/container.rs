//! A container's configuration, as CRI takes it.

use crate::cri::v1;
use crate::pod::state::{
    CONTAINER_NAME, GRACE, HASH, MESSAGE_PATH, MESSAGE_POLICY, POD_NAME, POD_NAMESPACE, POD_UID,
    RESTART_COUNT,
};
use crate::pod::{mounts, resources, security, spec};
use gantry_api::meta;
use serde_json::Value;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// Why a container cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The spec, or what it refers to, does not allow it.
    #[error("{0}")]
    Config(String),
    /// A file could not be made.
    #[error("{0} cannot be used: {1}")]
    File(String, #[source] io::Error),
}

/// What a configuration is made from.
pub struct Input<'a> {
    /// The pod.
    pub pod: &'a Value,
    /// The container of its spec.
    pub container: &'a Value,
    /// The image that was found for it.
    pub image: &'a v1::Image,
    /// How often it was started before.
    pub attempt: u32,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// What its mounts are made from.
    pub mounts: mounts::Input<'a>,
    /// The node's memory, in bytes.
    pub memory: i64,
    /// The id of the container whose processes it is to see.
    pub target: Option<String>,
}

/// Makes the configuration.
pub fn config(input: Input<'_>) -> Result<v1::ContainerConfig, ConfigError> {
    let (pod, container) = (input.pod, input.container);
    let name = spec::text(container, "name");
    let mounts = mounts::make(&input.mounts, container, input.attempt)?;
    let mut security = security::container(pod, container, input.image).map_err(ConfigError::Config)?;
    if let (Some(target), Some(options)) = (input.target, &mut security.namespace_options) {
        options.pid = v1::NamespaceMode::Target.into();
        options.target_id = target;
    }
    let expanded = |field: &str| -> Vec<String> {
        let list = spec::list(container, field).iter().filter_map(Value::as_str);
        list.map(|text| (input.mounts.expand)(text)).collect()
    };
    let labels = HashMap::from([
        (POD_NAME.to_string(), meta::name(pod).to_string()),
        (POD_NAMESPACE.to_string(), meta::namespace(pod).to_string()),
        (POD_UID.to_string(), meta::text(pod, "uid").to_string()),
        (CONTAINER_NAME.to_string(), name.to_string()),
    ]);
    let annotations = HashMap::from([
        (HASH.to_string(), spec::hash(container)),
        (RESTART_COUNT.to_string(), input.attempt.to_string()),
        (
            MESSAGE_PATH.to_string(),
            spec::text(container, "terminationMessagePath").to_string(),
        ),
        (
            MESSAGE_POLICY.to_string(),
            spec::text(container, "terminationMessagePolicy").to_string(),
        ),
        (GRACE.to_string(), spec::grace(pod).to_string()),
    ]);
    Ok(v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata {
            name: name.to_string(),
            attempt: input.attempt,
        }),
        image: Some(v1::ImageSpec {
            image: input.image.id.clone(),
            user_specified_image: spec::text(container, "image").to_string(),
            ..Default::default()
        }),
        command: expanded("command"),
        args: expanded("args"),
        working_dir: spec::text(container, "workingDir").to_string(),
        envs: input
            .env
            .into_iter()
            .map(|(key, value)| v1::KeyValue {
                key,
                value: value.into(),
            })
            .collect(),
        mounts,
        labels,
        annotations,
        log_path: format!("{name}/{}.log", input.attempt),
        stdin: spec::flag(container, "stdin"),
        stdin_once: spec::flag(container, "stdinOnce"),
        tty: spec::flag(container, "tty"),
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(resources::container(pod, container, input.memory)),
            security_context: Some(security),
        }),
        ..Default::default()
    })
}

/// The directory of a pod's logs.
pub fn log_dir(base: &Path, pod: &Value) -> PathBuf {
    base.join("pods").join(format!(
        "{}_{}_{}",
        meta::namespace(pod),
        meta::name(pod),
        meta::text(pod, "uid")
    ))
}

/// The link by which log collectors find a container's log.
pub fn log_link(base: &Path, pod: &Value, container: &str, id: &str) -> PathBuf {
    let (name, namespace) = (meta::name(pod), meta::namespace(pod));
    base.join("containers")
        .join(format!("{name}_{namespace}_{container}-{id}.log"))
}

/// Removes the logs of a pod that is gone, the links to those of its containers (names and ids), and its directory.
pub fn remove_files(log_dir: &Path, pod: &Value, containers: &[(String, String)], pod_dir: &Path) {
    for (name, id) in containers {
        remove(std::fs::remove_file, log_link(log_dir, pod, name, id));
    }
    remove(std::fs::remove_dir_all, self::log_dir(log_dir, pod));
    remove(std::fs::remove_dir_all, pod_dir.to_path_buf());
}

fn remove(how: fn(PathBuf) -> io::Result<()>, path: PathBuf) {
    if let Err(error) = how(path.clone())
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("{} cannot be removed: {error}", path.display());
    }
}
