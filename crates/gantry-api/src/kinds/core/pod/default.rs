//! Defaults of pods and pod templates. Source: pkg/apis/core/v1/defaults.go and conversion.go.

use super::{resources, sources};
use crate::kinds::values::{
    default_if_zero, default_to, drop_zero, entries, field_mut, flag, given, keep, list_mut, map_of, text,
};
use serde_json::{Value, json};

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// The defaults of a pod: those of its spec, and some that templates do not get.
pub fn pod(object: &mut Value) {
    let spec = map_of(object, "spec");
    self::spec(spec);
    for list in ["initContainers", "containers"] {
        for container in list_mut(spec, list) {
            requests_from_limits(map_of(container, "resources"));
        }
    }
    resources::default_pod_level(spec);
    default_to(spec, "enableServiceLinks", true);
    if flag(&spec["hostNetwork"]) {
        for list in ["initContainers", "containers"] {
            for port in list_mut(spec, list).iter_mut().flat_map(|c| list_mut(c, "ports")) {
                let same = port["containerPort"].clone();
                default_if_zero(port, "hostPort", same);
            }
        }
    }
    if let Some(status) = field_mut(object, "status") {
        let ip = status["podIP"].clone();
        if !text(&ip).is_empty() && status["podIPs"][0]["ip"] != ip {
            status["podIPs"] = json!([{"ip": ip}]);
        }
    }
}

/// The defaults of a template in `object[field]`.
pub fn template(object: &mut Value, field: &str) {
    let template = map_of(object, field);
    map_of(template, "metadata");
    spec(map_of(template, "spec"));
}

/// The defaults of a pod's spec, alone or in a template.
fn spec(spec: &mut Value) {
    drop_zero(
        spec,
        &[
            "hostNetwork",
            "hostPID",
            "hostIPC",
            "nodeName",
            "hostname",
            "subdomain",
            "priorityClassName",
            "serviceAccountName",
            "serviceAccount",
        ],
    );
    // The two names of one field: the newer wins.
    if !given(&spec["serviceAccountName"]) {
        let older = spec["serviceAccount"].clone();
        if given(&older) {
            spec["serviceAccountName"] = older;
        }
    }
    if given(&spec["serviceAccountName"]) {
        spec["serviceAccount"] = spec["serviceAccountName"].clone();
    }
    default_if_zero(spec, "restartPolicy", "Always");
    default_if_zero(spec, "dnsPolicy", "ClusterFirst");
    default_if_zero(spec, "schedulerName", "default-scheduler");
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_to(spec, "securityContext", json!({}));
    for list in CONTAINERS {
        list_mut(spec, list).iter_mut().for_each(container);
    }
    list_mut(spec, "volumes").iter_mut().for_each(volume);
}

fn container(container: &mut Value) {
    drop_zero(container, &["stdin", "stdinOnce", "tty", "workingDir"]);
    default_if_zero(container, "terminationMessagePath", "/dev/termination-log");
    default_if_zero(container, "terminationMessagePolicy", "File");
    default_to(container, "resources", json!({}));
    let policy = pull_policy(container.get("image").map_or("", text));
    default_if_zero(container, "imagePullPolicy", policy);
    for port in list_mut(container, "ports") {
        drop_zero(port, &["hostPort", "hostIP", "name"]);
        default_if_zero(port, "protocol", "TCP");
    }
    for variable in list_mut(container, "env") {
        drop_zero(variable, &["value"]);
        if let Some(from) = field_mut(variable, "valueFrom") {
            field_reference(from);
        }
    }
    for mount in list_mut(container, "volumeMounts") {
        drop_zero(mount, &["readOnly", "subPath", "subPathExpr"]);
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = field_mut(container, probe) {
            drop_zero(probe, &["initialDelaySeconds"]);
            default_if_zero(probe, "timeoutSeconds", 1);
            default_if_zero(probe, "periodSeconds", 10);
            default_if_zero(probe, "successThreshold", 1);
            default_if_zero(probe, "failureThreshold", 3);
            handler(probe);
        }
    }
    if let Some(lifecycle) = field_mut(container, "lifecycle") {
        for moment in ["postStart", "preStop"] {
            if let Some(moment) = field_mut(lifecycle, moment) {
                handler(moment);
            }
        }
    }
}

fn handler(handler: &mut Value) {
    if let Some(get) = field_mut(handler, "httpGet") {
        default_if_zero(get, "path", "/");
        default_if_zero(get, "scheme", "HTTP");
    }
    if let Some(grpc) = field_mut(handler, "grpc") {
        default_to(grpc, "service", "");
    }
}

fn field_reference(holder: &mut Value) {
    if let Some(reference) = field_mut(holder, "fieldRef") {
        default_if_zero(reference, "apiVersion", "v1");
    }
    if let Some(reference) = field_mut(holder, "resourceFieldRef") {
        default_to(reference, "divisor", "0");
    }
}

fn volume(volume: &mut Value) {
    if volume.as_object().is_some_and(|v| v.keys().all(|k| k == "name")) {
        volume["emptyDir"] = json!({});
    }
    for (source, mode) in [("secret", 0o644), ("configMap", 0o644), ("downwardAPI", 0o644), ("projected", 0o644)] {
        if let Some(source) = field_mut(volume, source) {
            default_to(source, "defaultMode", mode);
        }
    }
    if let Some(downward) = field_mut(volume, "downwardAPI") {
        list_mut(downward, "items").iter_mut().for_each(field_reference);
    }
    if let Some(projected) = field_mut(volume, "projected") {
        for source in list_mut(projected, "sources") {
            if let Some(token) = field_mut(source, "serviceAccountToken") {
                default_to(token, "expirationSeconds", 3600);
            }
            if let Some(downward) = field_mut(source, "downwardAPI") {
                list_mut(downward, "items").iter_mut().for_each(field_reference);
            }
        }
    }
    if let Some(claim) = field_mut(volume, "ephemeral").and_then(|e| field_mut(e, "volumeClaimTemplate")) {
        default_to(map_of(claim, "spec"), "volumeMode", "Filesystem");
    }
    if let Some(image) = field_mut(volume, "image") {
        let policy = pull_policy(image.get("reference").map_or("", text));
        default_if_zero(image, "pullPolicy", policy);
    }
    sources::default(volume);
}

/// Requests that are not given are the limits.
fn requests_from_limits(resources: &mut Value) {
    let Some(limits) = resources.get("limits").cloned() else {
        return;
    };
    let requests = map_of(resources, "requests");
    for (name, _) in entries(&limits) {
        if requests.get(name).is_none() {
            keep(requests, &limits, name);
        }
    }
}

/// Images tagged latest, by name or by omission, are always pulled.
fn pull_policy(image: &str) -> &'static str {
    // What is no image's name has no tag either.
    if image.contains(|c: char| !(c.is_ascii_alphanumeric() || "._-/:@+".contains(c))) {
        return "IfNotPresent";
    }
    let (name, digest) = image.split_once('@').unwrap_or((image, ""));
    let tag = match name.rsplit('/').next().and_then(|last| last.split_once(':')) {
        Some((_, tag)) => tag,
        None if digest.is_empty() && !name.is_empty() => "latest",
        None => "",
    };
    if tag == "latest" { "Always" } else { "IfNotPresent" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policies() {
        let check = |image: &str, policy: &str| assert_eq!(pull_policy(image), policy, "{image}");
        check("busybox", "Always");
        check("host:5000/busybox", "Always");
        check("host:5000/busybox:1", "IfNotPresent");
        check("busybox:latest", "Always");
        check("busybox:1.36", "IfNotPresent");
        check("busybox@sha256:00", "IfNotPresent");
        check("busybox:latest@sha256:00", "Always");
        check("", "IfNotPresent");
    }

    #[test]
    fn a_pod_is_filled_in() {
        let mut object = json!({"spec": {
            "hostNetwork": true,
            "serviceAccount": "robot",
            "hostPID": false,
            "containers": [{
                "name": "a", "image": "x:1", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}},
                "livenessProbe": {"httpGet": {"port": 80}, "timeoutSeconds": 0},
                "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            }],
            "volumes": [
                {"name": "e"},
                {"name": "c", "configMap": {"name": "c"}},
                {"name": "h", "hostPath": {"path": "/"}},
                {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            ],
        }});
        pod(&mut object);
        let expected = json!({"spec": {
            "hostNetwork": true,
            "serviceAccount": "robot", "serviceAccountName": "robot",
            "containers": [{
                "name": "a", "image": "x:1", "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}],
                "resources": {
                    "limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"},
                },
                "livenessProbe": {
                    "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
                    "successThreshold": 1, "failureThreshold": 3,
                },
                "env": [{"name": "N", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
                "imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }],
            "volumes": [
                {"name": "e", "emptyDir": {}},
                {"name": "c", "configMap": {"name": "c", "defaultMode": 420}},
                {"name": "h", "hostPath": {"path": "/", "type": ""}},
                {"name": "p", "projected": {
                    "defaultMode": 420, "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                }},
            ],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30,
        }});
        assert_eq!(object, expected);
        let once = object.clone();
        pod(&mut object);
        assert_eq!(object, once, "defaults settle at once");
    }
}
