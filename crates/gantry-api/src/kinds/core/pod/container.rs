//! The rules for containers: regular, init and ephemeral.

use super::{handlers, mounts, references, security, volume};
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{
    Errors, format, one_of, optional_one_of, port, quantity, required, required_format, resource_value,
};
use crate::kinds::resource_names;
use crate::kinds::values::{entries, flag, given, list, number, repeats, text};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Nobody reads so many errors.
const MANY: usize = 100;

/// The pod around a container.
pub struct Around<'a> {
    spec: &'a Value,
    /// Those that are right themselves, by name.
    volumes: HashMap<&'a str, &'a Value>,
    /// Seconds the pod has to end.
    pub grace: Option<i64>,
    host_users: bool,
}

impl<'a> Around<'a> {
    /// The pod with this spec.
    pub fn of(spec: &'a Value, volumes: Vec<&'a Value>) -> Self {
        Around {
            spec,
            volumes: volumes.into_iter().map(|v| (text(&v["name"]), v)).collect(),
            grace: spec["terminationGracePeriodSeconds"].as_i64(),
            host_users: spec["hostUsers"] != false,
        }
    }

    fn containers(&self, field: &str) -> &'a [Value] {
        list(&self.spec[field])
    }

    /// The volume of a name.
    pub fn volume(&self, name: &str) -> Option<&'a Value> {
        self.volumes.get(name).copied()
    }

    /// The pod's operating system, when it is named.
    pub fn os(&self) -> &'a str {
        text(&self.spec["os"]["name"])
    }
}

/// The rules for regular containers.
pub fn containers(errors: &mut Errors, path: &Path, around: &Around) {
    let containers = around.containers("containers");
    if containers.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    let repeated = repeats(containers, |c| &c["name"]);
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i);
        common(errors, &path, container, around);
        let name = &container["name"];
        if repeated[i] {
            errors.push(Error::duplicate(path.child("name"), name.clone()));
        }
        handlers::lifecycle(errors, &path.child("lifecycle"), &container["lifecycle"], around);
        handlers::probes(errors, &path, container, around);
        restart_policy(errors, &path, container);
    }
    host_ports(errors, path, containers.iter().enumerate());
}

/// The rules for init containers, some of which keep running as sidecars.
pub fn init_containers(errors: &mut Errors, path: &Path, around: &Around) {
    let containers = around.containers("initContainers");
    let mut taken: HashSet<&Value> = around.containers("containers").iter().map(|c| &c["name"]).collect();
    for (i, container) in containers.iter().enumerate() {
        let at = path.index(i);
        common(errors, &at, container, around);
        init_restart_policy(errors, &at, container);
        let name = &container["name"];
        if !taken.insert(name) && !text(name).is_empty() {
            errors.push(Error::duplicate(at.child("name"), name.clone()));
        }
        // One runs after the other, so only one's own ports can collide.
        host_ports(errors, path, std::iter::once((0, container)));
        if container["restartPolicy"] == "Always" {
            handlers::lifecycle(errors, &at.child("lifecycle"), &container["lifecycle"], around);
            handlers::probes(errors, &at, container, around);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if given(&container[field]) {
                let detail = "may not be set for init containers without restartPolicy=Always";
                errors.push(Error::forbidden(at.child(field), detail));
            }
        }
        let policies = at.child("resizePolicy");
        for (j, policy) in list(&container["resizePolicy"]).iter().enumerate() {
            if policy["restartPolicy"] == "RestartContainer" {
                let path = policies.index(j);
                let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                errors.push(Error::invalid(path.child("restartPolicy"), "RestartContainer", detail));
            }
        }
    }
}

/// The rules for ephemeral containers, which are there to look around only.
pub fn ephemeral_containers(errors: &mut Errors, path: &Path, around: &Around) {
    const ALLOWED: [&str; 17] = [
        "name",
        "image",
        "command",
        "args",
        "workingDir",
        "envFrom",
        "env",
        "volumeMounts",
        "volumeDevices",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "imagePullPolicy",
        "securityContext",
        "stdin",
        "stdinOnce",
        "tty",
        "targetContainerName",
    ];
    let containers = around.containers("ephemeralContainers");
    let lasting = around.containers("containers").iter().chain(around.containers("initContainers"));
    let lasting: HashSet<&Value> = lasting.map(|c| &c["name"]).collect();
    let mut taken = lasting.clone();
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i);
        common(errors, &path, container, around);
        image_without_spaces(errors, &path, container);
        let name = &container["name"];
        if !taken.insert(name) {
            errors.push(Error::duplicate(path.child("name"), name.clone()));
        }
        let target = text(&container["targetContainerName"]);
        if !target.is_empty() && !lasting.contains(&container["targetContainerName"]) {
            errors.push(Error::not_found(path.child("targetContainerName"), target));
        }
        for (field, value) in entries(container) {
            // The one struct here that is always there.
            let unset = field == "resources" && value.as_object().is_some_and(|map| map.is_empty());
            if !unset && !ALLOWED.contains(&field.as_str()) {
                let detail = "cannot be set for an Ephemeral Container";
                errors.push(Error::forbidden(path.child(field), detail));
            }
        }
        let mounts = path.child("volumeMounts");
        for (i, mount) in list(&container["volumeMounts"]).iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !text(&mount[field]).is_empty() {
                    let detail = "cannot be set for an Ephemeral Container";
                    errors.push(Error::forbidden(mounts.index(i).child(field), detail));
                }
            }
        }
    }
}

/// An image of a pod, unlike one of a template, has no spaces around it.
pub fn image_without_spaces(errors: &mut Errors, path: &Path, container: &Value) {
    let image = text(&container["image"]);
    if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(Error::invalid(path.child("image"), image, detail));
    }
}

fn common(errors: &mut Errors, path: &Path, container: &Value, around: &Around) {
    required_format(errors, &path.child("name"), text(&container["name"]), formats::dns_label);
    required(errors, &path.child("image"), &container["image"]);
    one_of(
        errors,
        &path.child("terminationMessagePolicy"),
        &container["terminationMessagePolicy"],
        &["File", "FallbackToLogsOnError"],
    );
    ports(errors, &path.child("ports"), list(&container["ports"]));
    env(errors, &path.child("env"), container, around);
    env_from(errors, &path.child("envFrom"), list(&container["envFrom"]));
    mounts::mounts(errors, &path.child("volumeMounts"), container, around);
    mounts::devices(errors, &path.child("volumeDevices"), container, around);
    one_of(
        errors,
        &path.child("imagePullPolicy"),
        &container["imagePullPolicy"],
        &["Always", "IfNotPresent", "Never"],
    );
    resources(errors, &path.child("resources"), &container["resources"], around, false);
    resize_policy(errors, &path.child("resizePolicy"), container, around);
    security::container(
        errors,
        &path.child("securityContext"),
        &container["securityContext"],
        around.host_users,
    );
}

/// The rules for an init container's restarts. Without a policy, upstream does not look at the rules.
fn init_restart_policy(errors: &mut Errors, path: &Path, container: &Value) {
    let rules = list(&container["restartPolicyRules"]);
    if given(&container["restartPolicy"]) {
        restart_policy(errors, path, container);
    } else if !rules.is_empty() {
        errors.push(Error::required(path.child("restartPolicy"), NO_POLICY));
    }
}

const NO_POLICY: &str = "must specify restartPolicy when restart rules are used";

fn restart_policy(errors: &mut Errors, path: &Path, container: &Value) {
    let (policy, rules) = (&container["restartPolicy"], list(&container["restartPolicyRules"]));
    let at = path.child("restartPolicy");
    optional_one_of(errors, &at, policy, &["Always", "Never", "OnFailure"]);
    if !given(policy) && !rules.is_empty() {
        errors.push(Error::required(at, NO_POLICY));
    }
    let at = path.child("restartPolicyRules");
    if rules.len() > 20 {
        errors.push(Error::too_many(at, rules.len(), 20));
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = at.index(i);
        let actions = ["Restart", "RestartAllContainers"];
        if !actions.contains(&text(&rule["action"])) {
            let action = text(&rule["action"]);
            errors.push(Error::not_supported(path.child("action"), action, &actions));
        }
        let codes = path.child("exitCodes");
        if given(&rule["exitCodes"]) {
            let operator = text(&rule["exitCodes"]["operator"]);
            if !["In", "NotIn"].contains(&operator) {
                errors.push(Error::not_supported(codes.child("operator"), operator, &["In", "NotIn"]));
            }
            let count = list(&rule["exitCodes"]["values"]).len();
            if count > 255 {
                errors.push(Error::too_many(codes.child("values"), count, 255));
            }
        } else {
            errors.push(Error::required(codes, "must be specified"));
        }
    }
}

fn ports(errors: &mut Errors, path: &Path, ports: &[Value]) {
    let repeated = repeats(ports, |p| &p["name"]);
    for (i, entry) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = text(&entry["name"]);
        if !name.is_empty() {
            let problems = formats::port_name(name);
            if problems.is_empty() && repeated[i] {
                errors.push(Error::duplicate(path.child("name"), name));
            }
            for problem in problems {
                errors.push(Error::invalid(path.child("name"), name, problem));
            }
        }
        if number(&entry["containerPort"]) == 0 {
            errors.push(Error::required(path.child("containerPort"), ""));
        } else {
            port(errors, &path.child("containerPort"), &entry["containerPort"]);
        }
        if number(&entry["hostPort"]) != 0 {
            port(errors, &path.child("hostPort"), &entry["hostPort"]);
        }
        one_of(
            errors,
            &path.child("protocol"),
            &entry["protocol"],
            &["SCTP", "TCP", "UDP"],
        );
    }
}

/// Ports of the host must not be taken twice.
fn host_ports<'a>(errors: &mut Errors, path: &Path, containers: impl Iterator<Item = (usize, &'a Value)>) {
    let mut taken: HashSet<String> = HashSet::new();
    for (i, container) in containers {
        let path = path.index(i);
        let path = path.child("ports");
        for (i, port) in list(&container["ports"]).iter().enumerate() {
            let host = number(&port["hostPort"]);
            if host == 0 {
                continue;
            }
            let key = format!("{}/{}/{host}", text(&port["protocol"]), text(&port["hostIP"]));
            if taken.contains(&key) {
                errors.push(Error::duplicate(path.index(i).child("hostPort"), key));
            } else {
                taken.insert(key);
            }
        }
    }
}

fn env(errors: &mut Errors, path: &Path, container: &Value, around: &Around) {
    for (i, variable) in list(&container["env"]).iter().enumerate() {
        let path = path.index(i);
        let name = text(&variable["name"]);
        required_format(errors, &path.child("name"), name, formats::env_var_name);
        let from = &variable["valueFrom"];
        if !given(from) {
            continue;
        }
        let path = path.child("valueFrom");
        let mut sources = 0;
        for source in ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"] {
            let reference = &from[source];
            if !given(reference) {
                continue;
            }
            sources += 1;
            let path = path.child(source);
            match source {
                "fieldRef" => references::field_reference(errors, &path, reference, references::ENV_FIELDS),
                "resourceFieldRef" => references::resource_reference(errors, &path, reference, false),
                "fileKeyRef" => file_key(errors, &path, reference, around),
                _ => {
                    format(errors, &path.child("name"), text(&reference["name"]), formats::dns_subdomain);
                    required_format(errors, &path.child("key"), text(&reference["key"]), formats::config_map_key);
                }
            }
        }
        let detail = match sources {
            0 => {
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
            }
            _ if !text(&variable["value"]).is_empty() => "may not be specified when `value` is not empty",
            1 => continue,
            _ => "may not have more than one field specified at a time",
        };
        errors.push(Error::invalid(path, "", detail));
    }
}

fn file_key(errors: &mut Errors, path: &Path, reference: &Value, around: &Around) {
    required_format(errors, &path.child("key"), text(&reference["key"]), formats::env_var_name);
    let name = text(&reference["volumeName"]);
    let at = path.child("volumeName");
    required_format(errors, &at, name, formats::dns_label);
    let file = text(&reference["path"]);
    if file.is_empty() {
        errors.push(Error::required(path.child("path"), ""));
    } else {
        volume::no_backsteps(errors, &path.child("path"), file);
    }
    match around.volume(name) {
        None => errors.push(Error::not_found(at, name)),
        Some(volume) if !given(&volume["emptyDir"]) => {
            errors.push(Error::invalid(at, name, "referenced volume must be of type emptyDir"));
        }
        Some(_) => {}
    }
}

fn env_from(errors: &mut Errors, path: &Path, sources: &[Value]) {
    for (i, source) in sources.iter().enumerate() {
        let at = path.index(i);
        let prefix = text(&source["prefix"]);
        if !prefix.is_empty() {
            format(errors, &at.child("prefix"), prefix, formats::env_var_name);
        }
        let mut count = 0;
        for field in ["configMapRef", "secretRef"] {
            if given(&source[field]) {
                count += 1;
                let path = at.child(field);
                // References were checked as prefixes of names, which may end with a dash.
                required_format(errors, &path.child("name"), text(&source[field]["name"]), formats::dns_subdomain);
            }
        }
        let detail = match count {
            0 => "must specify one of: `configMapRef` or `secretRef`",
            1 => continue,
            _ => "may not have more than one field specified at a time",
        };
        errors.push(Error::invalid(path, "", detail));
    }
}

/// The rules for what a runtime needs for each pod: those of limits.
pub fn overhead(errors: &mut Errors, path: &Path, fixed: &Value) {
    let limits = serde_json::json!({"limits": fixed});
    resources(errors, path, &limits, &Around::of(&Value::Null, Vec::new()), false);
}

/// The rules for requests and limits of a container or, `pod_level`, of the pod.
pub fn resources(errors: &mut Errors, path: &Path, resources: &Value, around: &Around, pod_level: bool) {
    let (limits, requests) = (&resources["limits"], &resources["requests"]);
    let (at_limits, at_requests) = (path.child("limits"), path.child("requests"));
    let (mut compute, mut huge) = (false, false);
    for (amounts, at) in [(limits, &at_limits), (requests, &at_requests)] {
        for (name, amount) in entries(amounts) {
            let path = at.key(name);
            match pod_level {
                true => resource_names::of_pod(errors, &path, name),
                false => resource_names::of_container(errors, &path, name),
            }
            resource_value(errors, &path, name, amount);
            compute |= matches!(name.as_str(), "cpu" | "memory");
            let overcommits = !name.contains('/') && !name.starts_with("hugepages-");
            if std::ptr::eq(amounts, requests) {
                match limits.get(name) {
                    Some(limit) if quantity(amount) != quantity(limit) && !overcommits => {
                        let detail = format!("must be equal to {name} limit of {}", quantity(limit));
                        errors.push(Error::invalid(at, amount.clone(), detail));
                    }
                    Some(limit) if quantity(amount) > quantity(limit) => {
                        let detail = format!("must be less than or equal to {name} limit of {}", quantity(limit));
                        errors.push(Error::invalid(at, amount.clone(), detail));
                    }
                    None if !overcommits => {
                        let detail = "Limit must be set for non overcommitable resources";
                        errors.push(Error::required(at_limits, detail));
                    }
                    _ => {}
                }
            }
            if let Some(size) = name.strip_prefix("hugepages-") {
                huge = true;
                let page = quantity(&size.into()).value();
                if page <= 0 || quantity(amount).value() % page != 0 {
                    let detail = format!("{} is not positive integer multiple of {name}", quantity(amount));
                    errors.push(Error::invalid(path, amount.clone(), detail));
                }
            }
        }
    }
    if huge && !compute {
        errors.push(Error::forbidden(path, "HugePages require cpu or memory"));
    }
    let path = path.child("claims");
    let names: Vec<&str> = around.containers("resourceClaims").iter().map(|c| text(&c["name"])).collect();
    let known: HashSet<&str> = names.iter().copied().collect();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (i, claim) in list(&resources["claims"]).iter().enumerate() {
        let path = path.index(i);
        let (name, request) = (text(&claim["name"]), text(&claim["request"]));
        if name.is_empty() {
            errors.push(Error::required(path, ""));
            continue;
        }
        if errors.len() > MANY {
            // Each names all that there are.
            return;
        }
        // A claim as a whole holds all of its requests.
        if seen.contains(&(name, "")) {
            errors.push(Error::duplicate(path, name));
        } else {
            if !request.is_empty() {
                format(errors, &path.child("request"), request, formats::dns_label);
            }
            if request.is_empty() {
                let parts = seen.iter().filter(|(other, _)| *other == name);
                errors.extend(parts.map(|_| Error::duplicate(path, name)));
            } else if seen.contains(&(name, request)) {
                errors.push(Error::duplicate(path, format!("{name}/{request}")));
            }
            seen.push((name, request));
        }
        if !known.contains(name) {
            let mut error = Error::not_found(path, name);
            error.detail = match names.is_empty() {
                true => "must be one of the names in pod.spec.resourceClaims which is empty".into(),
                false => format!("must be one of the names in pod.spec.resourceClaims: {}", names.join(", ")),
            };
            errors.push(error);
        }
    }
}

fn resize_policy(errors: &mut Errors, path: &Path, container: &Value, around: &Around) {
    let policies = list(&container["resizePolicy"]);
    let repeated = repeats(policies, |p| &p["resourceName"]);
    for (i, policy) in policies.iter().enumerate() {
        let name = &policy["resourceName"];
        if repeated[i] {
            errors.push(Error::duplicate(path.index(i), name.clone()));
        }
        one_of(errors, path, name, &["cpu", "memory"]);
        one_of(errors, path, &policy["restartPolicy"], &["NotRequired", "RestartContainer"]);
        if around.spec["restartPolicy"] == "Never" && policy["restartPolicy"] != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(Error::invalid(path, policy["restartPolicy"].clone(), detail));
        }
    }
}

/// Whether a container is privileged.
pub fn privileged(container: &Value) -> bool {
    flag(&container["securityContext"]["privileged"])
}
