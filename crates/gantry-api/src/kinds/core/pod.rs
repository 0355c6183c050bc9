//! Pod

use crate::field::Error;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::{age_column, column, default_to, name_column, number, start_generation, usual};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["po".into()],
        categories: vec!["all".into()],
        subresources: vec![
            Subresource::Attach,
            Subresource::Binding,
            Subresource::EphemeralContainers,
            Subresource::Eviction,
            Subresource::Exec,
            Subresource::Log,
            Subresource::PortForward,
            Subresource::Proxy,
            Subresource::Resize,
            Subresource::Status,
        ],
        selectable_fields: vec![
            ("spec.nodeName", "spec.nodeName"),
            ("spec.restartPolicy", "spec.restartPolicy"),
            ("spec.schedulerName", "spec.schedulerName"),
            ("status.phase", "status.phase"),
            ("status.podIP", "status.podIP"),
        ],
        columns: vec![name_column(), column("Status", "string", |o, _| o["status"]["phase"].clone()), age_column()],
        hooks: Box::new(PodHooks),
        ..usual("", "Pod", "pods", Scope::Namespaced)
    }
}

struct PodHooks;

impl Hooks for PodHooks {
    fn default(&self, object: &mut Value) {
        default_spec(&mut object["spec"]);
    }

    fn prepare_create(&self, object: &mut Value) {
        start_generation(object);
        object["status"] = json!({"phase": "Pending"});
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate_spec(&object["spec"], "spec")
    }

    fn grace_period(&self, object: &Value) -> Option<i64> {
        let unbound = object["spec"]["nodeName"].as_str().unwrap_or("").is_empty();
        let finished = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        Some(if unbound || finished { 0 } else { number(&object["spec"]["terminationGracePeriodSeconds"]) })
    }
}

/// The defaults of a pod's spec, alone or in a template.
pub fn default_spec(spec: &mut Value) {
    default_to(spec, "restartPolicy", "Always");
    default_to(spec, "dnsPolicy", "ClusterFirst");
    default_to(spec, "schedulerName", "default-scheduler");
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_to(spec, "securityContext", json!({}));
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            default_to(container, "terminationMessagePath", "/dev/termination-log");
            default_to(container, "terminationMessagePolicy", "File");
            default_to(container, "resources", json!({}));
            let policy = pull_policy(container["image"].as_str().unwrap_or(""));
            default_to(container, "imagePullPolicy", policy);
            for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                default_to(port, "protocol", "TCP");
            }
        }
    }
}

/// An image without a tag, or tagged latest, is always pulled; one with a digest never needs to be.
fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let last = image.rsplit('/').next().unwrap_or("");
    match last.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// The rules for a pod's spec at `path`.
pub fn validate_spec(spec: &Value, path: &str) -> Vec<Error> {
    let mut errors = Vec::new();
    let containers = spec["containers"].as_array().map(Vec::as_slice).unwrap_or(&[]);
    if containers.is_empty() {
        errors.push(Error::required(format!("{path}.containers"), ""));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (i, container) in containers.iter().enumerate() {
        let at = format!("{path}.containers[{i}]");
        let name = container["name"].as_str().unwrap_or("");
        if name.is_empty() {
            errors.push(Error::required(format!("{at}.name"), ""));
        } else if let Err(why) = crate::meta::validate_label_name(name) {
            errors.push(Error::invalid(format!("{at}.name"), name, why));
        } else if seen.contains(&name) {
            errors.push(Error::duplicate(format!("{at}.name"), name));
        }
        seen.push(name);
        if container["image"].as_str().unwrap_or("").is_empty() {
            errors.push(Error::required(format!("{at}.image"), ""));
        }
    }
    let one_of = |field: &str, supported: &[&str]| {
        let value = spec[field].as_str().unwrap_or("");
        (!supported.contains(&value)).then(|| Error::not_supported(format!("{path}.{field}"), value, supported))
    };
    errors.extend(one_of("restartPolicy", &["Always", "Never", "OnFailure"]));
    errors.extend(one_of("dnsPolicy", &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policies() {
        let check = |image: &str, policy: &str| assert_eq!(pull_policy(image), policy, "{image}");
        check("busybox", "Always");
        check("host:5000/busybox", "Always");
        check("busybox:latest", "Always");
        check("busybox:1.36", "IfNotPresent");
        check("busybox@sha256:00", "IfNotPresent");
    }

    #[test]
    fn a_spec_names_what_is_wrong() {
        let mut spec = json!({"containers": [{"name": "a", "image": "x"}, {"name": "a"}], "restartPolicy": "Sometimes"});
        default_spec(&mut spec);
        let texts: Vec<String> = validate_spec(&spec, "spec").iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "spec.containers[1].name: Duplicate value: \"a\"",
                "spec.containers[1].image: Required value",
                "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\", \"OnFailure\"",
            ]
        );
    }
}
