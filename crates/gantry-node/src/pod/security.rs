//! Security contexts as CRI takes them.

use crate::cri::v1;
use crate::pod::spec;
use serde_json::Value;

/// What the default container may not see or change in /proc and /sys.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Whether a container has all rights.
pub fn privileged(container: &Value) -> bool {
    spec::flag(&container["securityContext"], "privileged")
}

/// Which namespaces the pod shares with the node or between its containers.
pub fn namespaces(pod: &Value) -> v1::NamespaceOption {
    use v1::NamespaceMode::{Container, Node, Pod};
    let spec_ = &pod["spec"];
    let node = |field: &str, otherwise| if spec::flag(spec_, field) { Node } else { otherwise };
    let pid = if spec::flag(spec_, "shareProcessNamespace") {
        Pod
    } else {
        Container
    };
    v1::NamespaceOption {
        network: node("hostNetwork", Pod).into(),
        pid: node("hostPID", pid).into(),
        ipc: node("hostIPC", Pod).into(),
        ..Default::default()
    }
}

/// The sandbox's security context.
pub fn sandbox(pod: &Value) -> v1::LinuxSandboxSecurityContext {
    let context = &pod["spec"]["securityContext"];
    v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod)),
        run_as_user: number(&context["runAsUser"]),
        run_as_group: number(&context["runAsGroup"]),
        supplemental_groups: groups(context),
        supplemental_groups_policy: groups_policy(context),
        privileged: spec::all_containers(pod).any(privileged),
        // The pause program needs nothing that the default profile forbids.
        seccomp: Some(v1::SecurityProfile::default()),
        ..Default::default()
    }
}

/// A container's security context. `image_user` is the image's user, for the check that it is not root.
pub fn container(
    pod: &Value,
    container: &Value,
    image: &v1::Image,
) -> Result<v1::LinuxContainerSecurityContext, String> {
    let (of_pod, own) = (&pod["spec"]["securityContext"], &container["securityContext"]);
    // The container's own word comes before the pod's.
    let either = |field: &str| {
        if own[field].is_null() {
            &of_pod[field]
        } else {
            &own[field]
        }
    };
    let user = number(either("runAsUser"));
    check_not_root(pod, container, either("runAsNonRoot"), user.as_ref(), image)?;
    let privileged = privileged(container);
    let capabilities = |field: &str| -> Vec<String> {
        let list = spec::list(&own["capabilities"], field);
        list.iter().filter_map(|c| c.as_str().map(String::from)).collect()
    };
    let unmasked = spec::text(own, "procMount") == "Unmasked" || privileged;
    let paths = |list: &[&str]| {
        if unmasked {
            Vec::new()
        } else {
            list.iter().map(ToString::to_string).collect()
        }
    };
    let (by_id, by_name) = match user {
        Some(user) => (Some(user), String::new()),
        None => match &image.uid {
            Some(uid) => (Some(*uid), String::new()),
            None => (None, image.username.clone()),
        },
    };
    let seccomp = match privileged {
        true => profile(&Value::Null)?,
        false => profile(either("seccompProfile"))?,
    };
    Ok(v1::LinuxContainerSecurityContext {
        capabilities: Some(v1::Capability {
            add_capabilities: capabilities("add"),
            drop_capabilities: capabilities("drop"),
            ..Default::default()
        }),
        privileged,
        namespace_options: Some(namespaces(pod)),
        run_as_user: by_id,
        run_as_group: number(either("runAsGroup")),
        run_as_username: by_name,
        readonly_rootfs: spec::flag(own, "readOnlyRootFilesystem"),
        supplemental_groups: groups(of_pod),
        supplemental_groups_policy: groups_policy(of_pod),
        no_new_privs: own["allowPrivilegeEscalation"] == false && !privileged,
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READONLY),
        seccomp: Some(seccomp),
        ..Default::default()
    })
}

fn check_not_root(
    pod: &Value,
    container: &Value,
    wanted: &Value,
    user: Option<&v1::Int64Value>,
    image: &v1::Image,
) -> Result<(), String> {
    if *wanted != true {
        return Ok(());
    }
    let of = format!(
        "(pod: {:?}, container: {})",
        spec::format(pod),
        spec::text(container, "name")
    );
    let by_image = image.uid.as_ref().map(|u| u.value);
    match (user.map(|u| u.value), by_image) {
        (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy {of}")),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => Err(format!(
            "container has runAsNonRoot and image will run as root {of}"
        )),
        (None, None) if !image.username.is_empty() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {of}",
            image.username
        )),
        _ if by_image.is_none() => Err(format!(
            "container has runAsNonRoot and image will run as root {of}"
        )),
        _ => Ok(()),
    }
}

fn profile(profile: &Value) -> Result<v1::SecurityProfile, String> {
    use v1::security_profile::ProfileType;
    let type_ = match spec::text(profile, "type") {
        "RuntimeDefault" => ProfileType::RuntimeDefault,
        "Localhost" => {
            let file = spec::text(profile, "localhostProfile");
            if file.is_empty() {
                return Err("localhostProfile must be set if seccompProfile type is Localhost.".into());
            }
            return Ok(v1::SecurityProfile {
                profile_type: ProfileType::Localhost.into(),
                localhost_ref: format!("/var/lib/kubelet/seccomp/{file}"),
            });
        }
        _ => ProfileType::Unconfined,
    };
    Ok(v1::SecurityProfile {
        profile_type: type_.into(),
        localhost_ref: String::new(),
    })
}

fn groups_policy(context: &Value) -> i32 {
    match spec::text(context, "supplementalGroupsPolicy") {
        "Strict" => v1::SupplementalGroupsPolicy::Strict.into(),
        _ => v1::SupplementalGroupsPolicy::Merge.into(),
    }
}

/// The further groups: the pod's list, and the group that owns its volumes.
fn groups(context: &Value) -> Vec<i64> {
    let listed = spec::list(context, "supplementalGroups")
        .iter()
        .filter_map(Value::as_i64);
    context["fsGroup"].as_i64().into_iter().chain(listed).collect()
}

fn number(value: &Value) -> Option<v1::Int64Value> {
    value.as_i64().map(|value| v1::Int64Value { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn root_is_refused_when_asked() {
        let check = |context: Value, uid: Option<i64>, username: &str, expected: Option<&str>| {
            let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
                "spec": {"securityContext": context}});
            let image = v1::Image {
                uid: uid.map(|value| v1::Int64Value { value }),
                username: username.into(),
                ..Default::default()
            };
            let result = container(&pod, &json!({"name": "c"}), &image);
            match expected {
                None => assert!(result.is_ok(), "{result:?}"),
                Some(text) => assert!(result.as_ref().is_err_and(|e| e.starts_with(text)), "{result:?}"),
            }
        };
        check(json!({}), Some(0), "", None);
        check(json!({"runAsNonRoot": true}), Some(1), "", None);
        check(
            json!({"runAsNonRoot": true}),
            Some(0),
            "",
            Some("container has runAsNonRoot and image will run as root"),
        );
        check(
            json!({"runAsNonRoot": true}),
            None,
            "",
            Some("container has runAsNonRoot and image will run as root"),
        );
        check(
            json!({"runAsNonRoot": true}),
            None,
            "www",
            Some("container has runAsNonRoot and image has non-numeric user (www)"),
        );
        check(json!({"runAsNonRoot": true, "runAsUser": 5}), Some(0), "", None);
        check(
            json!({"runAsNonRoot": true, "runAsUser": 0}),
            Some(1),
            "",
            Some("container's runAsUser breaks non-root policy"),
        );
    }

    #[test]
    fn the_containers_word_comes_first() {
        let pod = json!({"spec": {"securityContext": {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4]}}});
        let own =
            json!({"name": "c", "securityContext": {"runAsUser": 9, "capabilities": {"drop": ["ALL"]}}});
        let context = container(&pod, &own, &v1::Image::default()).unwrap();
        assert_eq!(context.run_as_user.unwrap().value, 9);
        assert_eq!(context.run_as_group.unwrap().value, 2);
        assert_eq!(context.supplemental_groups, [3, 4]);
        assert_eq!(context.capabilities.unwrap().drop_capabilities, ["ALL"]);
        assert!(!context.no_new_privs);
    }
}
