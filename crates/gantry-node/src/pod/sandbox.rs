//! A sandbox's configuration, as CRI takes it.

use crate::config::Config;
use crate::cri::v1;
use crate::pod::state::{POD_NAME, POD_NAMESPACE, POD_UID};
use crate::pod::{cgroup, container, dns, hosts, resources, security, spec};
use gantry_api::meta;
use serde_json::Value;
use std::collections::HashMap;

/// The node's resolv.conf; where systemd-resolved runs, the usual one names an address of the node alone.
const RESOLV_CONF: [&str; 2] = ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"];

/// Makes the configuration of a pod's sandbox.
pub fn config(config: &Config, pod: &Value, attempt: u32) -> v1::PodSandboxConfig {
    let text_map = |field: &str| -> HashMap<String, String> {
        let map = pod["metadata"][field].as_object().into_iter().flatten();
        map.map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_string()))
            .collect()
    };
    let (name, namespace, uid) = (meta::name(pod), meta::namespace(pod), meta::text(pod, "uid"));
    let mut labels = text_map("labels");
    for (label, value) in [(POD_NAME, name), (POD_NAMESPACE, namespace), (POD_UID, uid)] {
        labels.insert(label.to_string(), value.to_string());
    }
    let resolv_conf = RESOLV_CONF
        .iter()
        .find_map(|f| std::fs::read_to_string(f).ok())
        .unwrap_or_default();
    let sysctls = spec::list(&pod["spec"]["securityContext"], "sysctls").iter();
    let limits = resources::pod(pod);
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: name.into(),
            uid: uid.into(),
            namespace: namespace.into(),
            attempt,
        }),
        hostname: hosts::sandbox_name(pod, &config.cluster_domain),
        log_directory: container::log_dir(&config.log_dir, pod)
            .to_string_lossy()
            .into_owned(),
        dns_config: Some(dns::config(
            pod,
            config.cluster_dns,
            &config.cluster_domain,
            &resolv_conf,
        )),
        port_mappings: port_mappings(pod),
        labels,
        annotations: text_map("annotations"),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: cgroup::path(pod),
            security_context: Some(security::sandbox(pod)),
            sysctls: sysctls
                .map(|s| {
                    (
                        spec::text(s, "name").to_string(),
                        spec::text(s, "value").to_string(),
                    )
                })
                .collect(),
            resources: Some(v1::LinuxContainerResources {
                cpu_period: limits.period,
                cpu_quota: limits.quota,
                cpu_shares: limits.shares,
                memory_limit_in_bytes: limits.memory,
                ..Default::default()
            }),
            ..Default::default()
        }),
    }
}

/// Ports of the node that lead into the pod; in the node's network there is nothing to lead.
fn port_mappings(pod: &Value) -> Vec<v1::PortMapping> {
    if spec::host_network(pod) {
        return Vec::new();
    }
    let ports = spec::all_containers(pod).flat_map(|c| spec::list(c, "ports"));
    let mappings = ports.filter_map(|port| {
        let number = |field: &str| {
            port[field]
                .as_i64()
                .and_then(|n| i32::try_from(n).ok())
                .filter(|n| *n > 0)
        };
        let protocol = match spec::text(port, "protocol") {
            "UDP" => v1::Protocol::Udp,
            "SCTP" => v1::Protocol::Sctp,
            _ => v1::Protocol::Tcp,
        };
        Some(v1::PortMapping {
            protocol: protocol.into(),
            container_port: number("containerPort")?,
            host_port: number("hostPort")?,
            host_ip: spec::text(port, "hostIP").to_string(),
        })
    });
    mappings.collect()
}
