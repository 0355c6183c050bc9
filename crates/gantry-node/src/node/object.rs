//! The Node object.

use super::{Health, machine};
use crate::clock;
use crate::config::Config;
use crate::cri::v1;
use crate::pod::spec;
use gantry_api::quantity::Quantity;
use serde_json::{Value, json};

/// What this node says it is.
pub const VERSION: &str = "v1.36.0";
/// The status names at most so many images, the largest, and so many names of each.
const IMAGES: usize = 50;
const NAMES: usize = 5;
/// What must stay free for the node to take work: upstream's hard eviction thresholds.
const LEAST_MEMORY: i64 = 100 << 20;
const LEAST_DISK_PERCENT: i64 = 10;
const LEAST_INODES_PERCENT: i64 = 5;

/// Makes the object, with its status as it is now.
pub fn make(config: &Config, health: &Health, runtime_version: &str, mut images: Vec<v1::Image>) -> Value {
    let arch = machine::architecture();
    let mut labels = json!({
        "kubernetes.io/hostname": config.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": arch,
    });
    for (label, value) in &config.labels {
        labels[label] = value.as_str().into();
    }
    let disk = machine::disk(&config.data_dir).unwrap_or_default();
    let memory = machine::memory();
    let cpus = std::thread::available_parallelism().map_or(1, |n| i64::try_from(n.get()).unwrap_or(1));
    let resources = |memory: i64, storage: Quantity| {
        json!({
            "cpu": Quantity::of(cpus).to_string(), "memory": Quantity::of_bytes(memory).to_string(),
            "ephemeral-storage": storage.to_string(), "pods": config.max_pods.to_string(),
            "hugepages-1Gi": "0", "hugepages-2Mi": "0",
        })
    };
    let identity = machine::identity();
    images.sort_by_key(|i| std::cmp::Reverse(i.size));
    let images: Vec<Value> = images
        .iter()
        .take(IMAGES)
        .map(|i| {
            let names: Vec<&String> = i.repo_digests.iter().chain(&i.repo_tags).take(NAMES).collect();
            json!({"names": names, "sizeBytes": i.size})
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": config.name, "labels": labels},
        "spec": {},
        "status": {
            "capacity": resources(memory, Quantity::of_bytes(disk.size)),
            "allocatable": resources(
                memory.saturating_sub(LEAST_MEMORY),
                Quantity::of(disk.size / 100 * (100 - LEAST_DISK_PERCENT)),
            ),
            "conditions": conditions(health, disk),
            "addresses": [
                {"type": "InternalIP", "address": config.ip.to_string()},
                {"type": "Hostname", "address": config.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
            "nodeInfo": {
                "machineID": identity.machine_id, "systemUUID": identity.system_uuid, "bootID": identity.boot_id,
                "kernelVersion": identity.kernel, "osImage": identity.os_image,
                "containerRuntimeVersion": runtime_version,
                "kubeletVersion": VERSION, "kubeProxyVersion": "",
                "operatingSystem": "linux", "architecture": arch,
            },
            "images": images,
        },
    })
}

fn conditions(health: &Health, disk: machine::Disk) -> Vec<Value> {
    let now = clock::stamp(clock::now());
    let condition = |type_: &str, status: bool, reason: &str, message: &str| {
        json!({"type": type_, "status": if status { "True" } else { "False" }, "reason": reason,
            "message": message, "lastHeartbeatTime": now, "lastTransitionTime": now})
    };
    let pressure = |type_: &str, bad: bool, reasons: [&str; 2], messages: [&str; 2]| {
        let at = usize::from(bad);
        condition(type_, bad, reasons[at], messages[at])
    };
    let (most, processes) = machine::processes();
    let short_of_disk = disk.size > 0
        && (disk.free < disk.size / 100 * LEAST_DISK_PERCENT
            || (disk.inodes > 0 && disk.inodes_free < disk.inodes / 100 * LEAST_INODES_PERCENT));
    let problems: Vec<&str> = [&health.runtime, &health.network]
        .into_iter()
        .filter_map(|r| r.as_ref().err().map(String::as_str))
        .collect();
    let ready = match problems.as_slice() {
        [] => condition("Ready", true, "KubeletReady", "kubelet is posting ready status"),
        [one] => condition("Ready", false, "KubeletNotReady", one),
        many => condition(
            "Ready",
            false,
            "KubeletNotReady",
            &format!("[{}]", many.join(", ")),
        ),
    };
    vec![
        pressure(
            "MemoryPressure",
            machine::memory_available() < LEAST_MEMORY,
            ["KubeletHasSufficientMemory", "KubeletHasInsufficientMemory"],
            [
                "kubelet has sufficient memory available",
                "kubelet has insufficient memory available",
            ],
        ),
        pressure(
            "DiskPressure",
            short_of_disk,
            ["KubeletHasNoDiskPressure", "KubeletHasDiskPressure"],
            ["kubelet has no disk pressure", "kubelet has disk pressure"],
        ),
        pressure(
            "PIDPressure",
            processes >= most,
            ["KubeletHasSufficientPID", "KubeletHasInsufficientPID"],
            [
                "kubelet has sufficient PID available",
                "kubelet has insufficient PID available",
            ],
        ),
        ready,
    ]
}

/// The object without what changes all the time, to see whether anything else did.
pub fn comparable(node: &Value) -> Value {
    let mut copy = node.clone();
    for condition in copy["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if let Some(fields) = condition.as_object_mut() {
            fields.retain(|name, _| !name.ends_with("Time"));
        }
    }
    copy
}

/// The reasons of events for conditions that changed; readiness only from what it was before, as upstream has it.
pub fn changes(old: &Value, new: &Value) -> Vec<&'static str> {
    let before = spec::list(old, "conditions");
    let now = spec::list(new, "conditions").iter();
    now.filter_map(|condition| {
        let type_ = spec::text(condition, "type");
        let is = spec::text(condition, "status");
        let was = before.iter().find(|c| spec::text(c, "type") == type_);
        let was = was.map(|c| spec::text(c, "status"));
        if was == Some(is) {
            return None;
        }
        Some(match (type_, is) {
            ("Ready", _) if was.is_none() => return None,
            ("Ready", "True") => "NodeReady",
            ("Ready", _) => "NodeNotReady",
            ("MemoryPressure", "True") => "NodeHasInsufficientMemory",
            ("MemoryPressure", _) => "NodeHasSufficientMemory",
            ("DiskPressure", "True") => "NodeHasDiskPressure",
            ("DiskPressure", _) => "NodeHasNoDiskPressure",
            ("PIDPressure", "True") => "NodeHasInsufficientPID",
            ("PIDPressure", _) => "NodeHasSufficientPID",
            _ => return None,
        })
    })
    .collect()
}

/// The new status; conditions keep the time of their last transition, and addresses replace the old ones.
pub fn merged(old: &Value, new: &Value) -> Value {
    let mut status = new.clone();
    let before = spec::list(old, "conditions");
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let same = before
            .iter()
            .find(|c| c["type"] == condition["type"] && c["status"] == condition["status"]);
        if let Some(time) = same.and_then(|c| c.get("lastTransitionTime")) {
            condition["lastTransitionTime"] = time.clone();
        }
    }
    if let Some(addresses) = status["addresses"].as_array_mut() {
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_condition_says_why_not() {
        let check = |runtime: Result<(), &str>, network: Result<(), &str>, status: &str, message: &str| {
            let health = Health {
                runtime: runtime.map_err(String::from),
                network: network.map_err(String::from),
            };
            let conditions = conditions(&health, machine::Disk::default());
            let ready = conditions.iter().find(|c| c["type"] == "Ready").unwrap();
            assert_eq!(
                (ready["status"].as_str(), ready["message"].as_str()),
                (Some(status), Some(message))
            );
        };
        check(Ok(()), Ok(()), "True", "kubelet is posting ready status");
        check(Err("a"), Ok(()), "False", "a");
        check(Err("a"), Err("b"), "False", "[a, b]");
    }

    #[test]
    fn changed_conditions_are_told() {
        let status = |conditions: &[(&str, &str)]| {
            let conditions: Vec<Value> = conditions
                .iter()
                .map(|(type_, status)| json!({"type": type_, "status": status}))
                .collect();
            json!({"conditions": conditions})
        };
        let check = |old: &[(&str, &str)], new: &[(&str, &str)], expected: &[&str]| {
            assert_eq!(changes(&status(old), &status(new)), expected);
        };
        let fine = [("MemoryPressure", "False"), ("Ready", "True")];
        check(&[], &fine, &["NodeHasSufficientMemory"]);
        check(&fine, &fine, &[]);
        check(&[("Ready", "False")], &[("Ready", "True")], &["NodeReady"]);
        check(&[("Ready", "True")], &[("Ready", "False")], &["NodeNotReady"]);
        check(
            &[("DiskPressure", "False")],
            &[("DiskPressure", "True")],
            &["NodeHasDiskPressure"],
        );
    }

    #[test]
    fn transitions_keep_their_time() {
        let old = json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "then"}]});
        let check = |status: &str, expected: &str| {
            let new =
                json!({"conditions": [{"type": "Ready", "status": status, "lastTransitionTime": "now"}]});
            assert_eq!(
                merged(&old, &new)["conditions"][0]["lastTransitionTime"],
                expected
            );
        };
        check("True", "then");
        check("False", "now");
    }
}
