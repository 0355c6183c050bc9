//! Reading a pod's spec.

use gantry_api::meta;
use gantry_api::quantity::Quantity;
use serde_json::Value;

/// A list of the spec, or nothing.
pub fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A text of an object, or nothing.
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or("")
}

/// A flag of an object.
pub fn flag(object: &Value, field: &str) -> bool {
    object.get(field).and_then(Value::as_bool).unwrap_or(false)
}

/// Init containers, sidecars included.
pub fn init_containers(pod: &Value) -> &[Value] {
    list(&pod["spec"], "initContainers")
}

/// The app containers.
pub fn containers(pod: &Value) -> &[Value] {
    list(&pod["spec"], "containers")
}

/// Init and app containers.
pub fn all_containers(pod: &Value) -> impl Iterator<Item = &Value> {
    init_containers(pod).iter().chain(containers(pod))
}

/// Containers that people add to a pod that runs, to look into it.
pub fn ephemeral_containers(pod: &Value) -> &[Value] {
    list(&pod["spec"], "ephemeralContainers")
}

/// Whether a container of this name is ephemeral.
pub fn is_ephemeral(pod: &Value, name: &str) -> bool {
    ephemeral_containers(pod).iter().any(|c| text(c, "name") == name)
}

/// A container of any kind by its name.
pub fn container<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    all_containers(pod)
        .chain(ephemeral_containers(pod))
        .find(|c| text(c, "name") == name)
}

/// An init container that runs beside the app containers.
pub fn is_sidecar(container: &Value) -> bool {
    text(container, "restartPolicy") == "Always"
}

/// Whether a container that ended with `exit_code` is to run again.
pub fn restarts(pod: &Value, container: &Value, exit_code: i32) -> bool {
    let policy = match text(container, "restartPolicy") {
        "" => text(&pod["spec"], "restartPolicy"),
        own => own,
    };
    match policy {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ => true,
    }
}

/// Whether the pod uses the node's network.
pub fn host_network(pod: &Value) -> bool {
    flag(&pod["spec"], "hostNetwork")
}

/// The pod's grace period for termination, in seconds.
pub fn grace(pod: &Value) -> i64 {
    let asked = pod["metadata"]["deletionGracePeriodSeconds"].as_i64();
    let usual = pod["spec"]["terminationGracePeriodSeconds"].as_i64();
    asked.or(usual).unwrap_or(30).max(0)
}

/// `name_namespace(uid)`, as upstream's messages name a pod.
pub fn format(pod: &Value) -> String {
    format!(
        "{}_{}({})",
        meta::name(pod),
        meta::namespace(pod),
        meta::text(pod, "uid")
    )
}

/// Where in the pod a container stands, for events.
pub fn field_path(pod: &Value, container: &Value) -> String {
    let name = text(container, "name");
    let kind = if init_containers(pod).iter().any(|c| text(c, "name") == name) {
        "initContainers"
    } else if is_ephemeral(pod, name) {
        "ephemeralContainers"
    } else {
        "containers"
    };
    format!("spec.{kind}{{{name}}}")
}

/// A hash of what makes a running container outdated when it changes: its name and image.
pub fn hash(container: &Value) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in [text(container, "name"), "\0", text(container, "image")]
        .concat()
        .bytes()
    {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    format!("{hash:x}")
}

/// A pod's quality of service class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// Every container has limits, and asks for just those.
    Guaranteed,
    /// Something is asked for.
    Burstable,
    /// Nothing is asked for.
    BestEffort,
}

impl Qos {
    /// As the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }
}

/// A resource of a container's `requests` or `limits`; a request that is missing is the limit.
pub fn resource(container: &Value, kind: &str, name: &str) -> Option<Quantity> {
    let read = |kind: &str| {
        let value = container.get("resources")?.get(kind)?.get(name)?;
        Quantity::from_json(value).ok()
    };
    match kind {
        "requests" => read("requests").or_else(|| read("limits")),
        other => read(other),
    }
}

/// The class: computed as the API server does, for pods that do not carry it in their status.
pub fn qos(pod: &Value) -> Qos {
    let mut any = false;
    let mut guaranteed = true;
    for container in all_containers(pod) {
        for name in ["cpu", "memory"] {
            let request = resource(container, "requests", name).filter(|q| q.sign() > 0);
            let limit = resource(container, "limits", name).filter(|q| q.sign() > 0);
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes() {
        let check = |resources: Value, expected: Qos| {
            let pod = json!({"spec": {"containers": [{"name": "a", "resources": resources}]}});
            assert_eq!(qos(&pod), expected, "{pod}");
        };
        check(json!({}), Qos::BestEffort);
        check(json!({"requests": {"cpu": "0"}}), Qos::BestEffort);
        check(json!({"requests": {"cpu": "1"}}), Qos::Burstable);
        check(json!({"limits": {"cpu": "1", "memory": "1Gi"}}), Qos::Guaranteed);
        check(
            json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}),
            Qos::Burstable,
        );
    }

    #[test]
    fn restart_policies() {
        let check = |policy: &str, exit_code: i32, expected: bool| {
            let pod = json!({"spec": {"restartPolicy": policy}});
            assert_eq!(
                restarts(&pod, &json!({}), exit_code),
                expected,
                "{policy} {exit_code}"
            );
        };
        check("Always", 0, true);
        check("OnFailure", 0, false);
        check("OnFailure", 1, true);
        check("Never", 1, false);
        assert!(restarts(
            &json!({"spec": {"restartPolicy": "Never"}}),
            &json!({"restartPolicy": "Always"}),
            0
        ));
    }
}
