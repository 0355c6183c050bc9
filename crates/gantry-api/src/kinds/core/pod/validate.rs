//! The rules for a pod's spec, alone or in a template, in the order upstream applies them.
//!
//! Source: ValidatePodSpec in pkg/apis/core/validation/validation.go.

use super::container::{self, Around};
use super::{os, scheduling, security, volume};
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{
    self, Errors, format, label_selector, labels, nonnegative, one_of, optional_format, optional_range,
};
use crate::kinds::values::{flag, given, list, number, repeats, text};
use serde_json::Value;

/// The rules of a pod beyond those of its spec.
pub fn pod(object: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    let at_spec = &object["spec"];
    spec(&mut errors, &path, at_spec, Some(crate::meta::name(object)));
    if text(&at_spec["serviceAccountName"]).is_empty() {
        volume::no_tokens(&mut errors, &path.child("volumes"), at_spec);
    }
    for field in ["containers", "initContainers"] {
        let path = path.child(field);
        for (i, container) in list(&at_spec[field]).iter().enumerate() {
            container::image_without_spaces(&mut errors, &path.index(i), container);
        }
    }
    errors
}

/// The rules of a new pod.
pub fn new_pod(errors: &mut Errors, object: &Value) {
    let (path, spec) = (Path::new("spec"), &object["spec"]);
    if !list(&spec["ephemeralContainers"]).is_empty() {
        errors.push(Error::forbidden(path.child("ephemeralContainers"), "cannot be set on create"));
    }
    if !text(&spec["nodeName"]).is_empty() && !list(&spec["schedulingGates"]).is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(Error::forbidden(path.child("nodeName"), detail));
    }
}

/// The rules of a template at `path`.
pub fn template(errors: &mut Errors, path: &Path, template: &Value) {
    let metadata = &template["metadata"];
    labels(errors, &path.child("labels"), &metadata["labels"]);
    checks::annotations(errors, &path.child("annotations"), &metadata["annotations"]);
    let at = path.child("spec");
    spec(errors, &at, &template["spec"], None);
    if !list(&template["spec"]["ephemeralContainers"]).is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(Error::forbidden(at.child("ephemeralContainers"), detail));
    }
}

/// The rules of a spec at `path`; `pod` is the pod's name, unless the spec is a template's.
fn spec(errors: &mut Errors, path: &Path, spec: &Value, pod: Option<&str>) {
    if !given(&spec["terminationGracePeriodSeconds"]) {
        errors.push(Error::required(path.child("terminationGracePeriodSeconds"), ""));
    }
    let volumes = volume::volumes(errors, &path.child("volumes"), list(&spec["volumes"]), pod);
    resource_claims(errors, &path.child("resourceClaims"), list(&spec["resourceClaims"]));
    let around = Around::of(spec, volumes);
    container::containers(errors, &path.child("containers"), &around);
    container::init_containers(errors, &path.child("initContainers"), &around);
    container::ephemeral_containers(errors, &path.child("ephemeralContainers"), &around);
    if given(&spec["resources"]) {
        if given(&spec["resources"]["claims"]) {
            let detail = "claims may not be set for Resources at pod-level";
            errors.push(Error::forbidden(path.child("resources").child("claims"), detail));
        }
        container::resources(errors, &path.child("resources"), &spec["resources"], &around, true);
    }
    host_network_ports(errors, &path.child("containers"), spec, pod.is_some());
    one_of(
        errors,
        &path.child("restartPolicy"),
        &spec["restartPolicy"],
        &["Always", "OnFailure", "Never"],
    );
    one_of(
        errors,
        &path.child("dnsPolicy"),
        &spec["dnsPolicy"],
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    );
    labels(errors, &path.child("nodeSelector"), &spec["nodeSelector"]);
    security::pod(errors, &path.child("securityContext"), spec);
    scheduling::affinity(errors, &path.child("affinity"), &spec["affinity"]);
    dns_config(errors, &path.child("dnsConfig"), spec);
    for (i, gate) in list(&spec["readinessGates"]).iter().enumerate() {
        let path = path.child("readinessGates");
        let path = path.index(i);
        let type_ = text(&gate["conditionType"]);
        format(errors, &path.child("conditionType"), type_, formats::qualified_name);
    }
    scheduling_gates(errors, &path.child("schedulingGates"), list(&spec["schedulingGates"]));
    scheduling::spread(
        errors,
        &path.child("topologySpreadConstraints"),
        list(&spec["topologySpreadConstraints"]),
    );
    os::host_process(errors, path, spec);
    host_users(errors, path, spec);
    names(errors, path, spec);
    scheduling::tolerations(errors, &path.child("tolerations"), list(&spec["tolerations"]));
    host_aliases(errors, &path.child("hostAliases"), list(&spec["hostAliases"]));
    let subdomain = formats::dns_subdomain;
    if !text(&spec["priorityClassName"]).is_empty() {
        optional_format(errors, &path.child("priorityClassName"), &spec["priorityClassName"], subdomain);
    }
    optional_format(errors, &path.child("runtimeClassName"), &spec["runtimeClassName"], subdomain);
    if given(&spec["preemptionPolicy"]) {
        let policies = ["PreemptLowerPriority", "Never"];
        one_of(errors, &path.child("preemptionPolicy"), &spec["preemptionPolicy"], &policies);
    }
    container::overhead(errors, &path.child("overhead"), &spec["overhead"]);
    os::os(errors, path, spec);
}

fn names(errors: &mut Errors, path: &Path, spec: &Value) {
    let name = &spec["hostnameOverride"];
    if given(name) {
        let path = path.child("hostnameOverride");
        if flag(&spec["setHostnameAsFQDN"]) {
            let detail = "may not be specified when setHostnameAsFQDN is true";
            errors.push(Error::forbidden(path, detail));
        }
        if flag(&spec["hostNetwork"]) {
            let detail = "may not be specified when hostNetwork is true";
            errors.push(Error::forbidden(path, detail));
        }
        if text(name).len() > 64 {
            errors.push(Error::too_long(path, 64));
        }
        format(errors, &path, text(name), formats::dns_subdomain);
    }
    let mut check = |field: &str, rule: fn(&str) -> formats::Problems| {
        let name = text(&spec[field]);
        if !name.is_empty() {
            format(errors, &path.child(field), name, rule);
        }
    };
    check("serviceAccountName", formats::dns_subdomain);
    check("nodeName", formats::dns_subdomain);
    optional_range(
        errors,
        &path.child("activeDeadlineSeconds"),
        &spec["activeDeadlineSeconds"],
        |n| formats::in_range(n, 1, i32::MAX.into()),
    );
    for field in ["hostname", "subdomain"] {
        let name = text(&spec[field]);
        if !name.is_empty() {
            format(errors, &path.child(field), name, formats::dns_label);
        }
    }
}

fn resource_claims(errors: &mut Errors, path: &Path, claims: &[Value]) {
    let repeated = repeats(claims, |c| &c["name"]);
    for (i, claim) in claims.iter().enumerate() {
        let path = path.index(i);
        let name = text(&claim["name"]);
        let at = path.child("name");
        if name.is_empty() {
            errors.push(Error::required(at, ""));
        } else if repeated[i] {
            errors.push(Error::duplicate(at, name));
        } else {
            format(errors, &at, name, formats::dns_label);
        }
        let (direct, template) = (&claim["resourceClaimName"], &claim["resourceClaimTemplateName"]);
        if given(direct) == given(template) {
            let detail = match given(direct) {
                true => "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
                false => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            };
            errors.push(Error::invalid(path, claim.clone(), detail));
        }
        optional_format(errors, &path.child("resourceClaimName"), direct, formats::dns_subdomain);
        optional_format(
            errors,
            &path.child("resourceClaimTemplateName"),
            template,
            formats::dns_subdomain,
        );
    }
}

/// With the host's network a port in a container is the same port of the host.
fn host_network_ports(errors: &mut Errors, path: &Path, spec: &Value, pod: bool) {
    if !flag(&spec["hostNetwork"]) {
        return;
    }
    for (i, container) in list(&spec["containers"]).iter().enumerate() {
        let path = path.index(i);
        let path = path.child("ports");
        for (i, port) in list(&container["ports"]).iter().enumerate() {
            let host = number(&port["hostPort"]);
            if (pod || host != 0) && host != number(&port["containerPort"]) {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(Error::invalid(path.index(i).child("hostPort"), host, detail));
            }
        }
    }
}

fn dns_config(errors: &mut Errors, path: &Path, spec: &Value) {
    let config = &spec["dnsConfig"];
    let servers = list(&config["nameservers"]);
    let at_servers = path.child("nameservers");
    if spec["dnsPolicy"] == "None" {
        if !given(config) {
            let detail = "must provide `dnsConfig` when `dnsPolicy` is None";
            errors.push(Error::required(path, detail));
            return;
        }
        if servers.is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(Error::required(at_servers, detail));
            return;
        }
    }
    if servers.len() > 3 {
        let detail = "must not have more than 3 nameservers";
        errors.push(Error::invalid(at_servers, config["nameservers"].clone(), detail));
    }
    for (i, server) in servers.iter().enumerate() {
        format(errors, &at_servers.index(i), text(server), formats::ip);
    }
    let searches = list(&config["searches"]);
    let at = path.child("searches");
    if searches.len() > 32 {
        let detail = "must not have more than 32 search paths";
        errors.push(Error::invalid(at, config["searches"].clone(), detail));
    }
    let length: usize = searches.iter().map(|s| text(s).len() + 1).sum();
    if length > 2049 {
        let detail = "must not have more than 2048 characters (including spaces) in the search list";
        errors.push(Error::invalid(at, config["searches"].clone(), detail));
    }
    for (i, search) in searches.iter().enumerate() {
        let search = text(search);
        if search != "." {
            let search = search.strip_suffix('.').unwrap_or(search);
            format(errors, &at.index(i), search, formats::dns_subdomain_with_underscore);
        }
    }
    for (i, option) in list(&config["options"]).iter().enumerate() {
        if text(&option["name"]).is_empty() {
            errors.push(Error::required(path.child("options").index(i), "must not be empty"));
        }
    }
}

fn scheduling_gates(errors: &mut Errors, path: &Path, gates: &[Value]) {
    let repeated = repeats(gates, |g| text(&g["name"]));
    for (i, gate) in gates.iter().enumerate() {
        let path = path.index(i);
        let name = text(&gate["name"]);
        format(errors, &path, name, formats::qualified_name);
        if repeated[i] {
            errors.push(Error::duplicate(path, name));
        }
    }
}

/// A user namespace of its own does not go with the host's other namespaces.
fn host_users(errors: &mut Errors, path: &Path, spec: &Value) {
    if spec["hostUsers"] != false {
        return;
    }
    for (field, name) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if flag(&spec[field]) {
            errors.push(Error::forbidden(path.child(name), "when `hostUsers` is false"));
        }
    }
}

fn host_aliases(errors: &mut Errors, path: &Path, aliases: &[Value]) {
    for (i, alias) in aliases.iter().enumerate() {
        let path = path.index(i);
        format(errors, &path.child("ip"), text(&alias["ip"]), formats::ip);
        let path = path.child("hostnames");
        for (i, name) in list(&alias["hostnames"]).iter().enumerate() {
            format(errors, &path.index(i), text(name), formats::dns_subdomain);
        }
    }
}

/// The rules of a kind that makes pods through a template and finds them through a selector.
pub fn owner_of_pods(errors: &mut Errors, path: &Path, spec: &Value) {
    if pods_selected(errors, path, spec, "deployment") {
        template(errors, &path.child("template"), &spec["template"]);
        runs_forever(errors, &path.child("template"), &spec["template"], "ReplicaSet");
    } else {
        let selector = spec["selector"].clone();
        errors.push(Error::invalid(path.child("selector"), selector, "invalid label selector"));
    }
}

/// A selector must be well formed and fit the template's labels; `kind` is the owner's name in messages. Whether it is
/// well formed: if not, upstream does not look at the template.
pub fn pods_selected(errors: &mut Errors, path: &Path, spec: &Value, kind: &str) -> bool {
    let selector = &spec["selector"];
    let at = path.child("selector");
    let mut well_formed = true;
    if selector.is_object() {
        let before = errors.len();
        label_selector(errors, &at, selector);
        well_formed = errors.len() == before;
        if crate::kinds::values::size(&selector["matchLabels"]) + list(&selector["matchExpressions"]).len() == 0 {
            let detail = format!("empty selector is invalid for {kind}");
            errors.push(Error::invalid(at, selector.clone(), detail));
        }
    } else {
        errors.push(Error::required(at, ""));
    }
    let path = path.child("template");
    let labels = &spec["template"]["metadata"]["labels"];
    if well_formed && (!selector.is_object() || !checks::selects(selector, labels)) {
        let detail = "`selector` does not match template `labels`";
        errors.push(Error::invalid(path.child("metadata").child("labels"), labels.clone(), detail));
    }
    well_formed
}

/// A template must be of pods that are always restarted; `kind` is the owner's name in messages.
pub fn runs_forever(errors: &mut Errors, path: &Path, template: &Value, kind: &str) {
    let path = path.child("spec");
    let spec = &template["spec"];
    if spec["restartPolicy"] != "Always" {
        let policy = spec["restartPolicy"].clone();
        errors.push(Error::not_supported(path.child("restartPolicy"), policy, &["Always"]));
    }
    if given(&spec["activeDeadlineSeconds"]) {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(Error::forbidden(path.child("activeDeadlineSeconds"), detail));
    }
}

/// A status of replicas must add up.
pub fn replicas_status(errors: &mut Errors, status: &Value, counts: &[&str]) {
    let path = Path::new("status");
    for field in counts.iter().chain(&["observedGeneration", "replicas", "terminatingReplicas"]) {
        nonnegative(errors, &path.child(field), &status[*field]);
    }
    let mut at_most = |field: &str, most: &str, detail: &str| {
        if number(&status[field]) > number(&status[most]) {
            errors.push(Error::invalid(path.child(field), number(&status[field]), detail));
        }
    };
    for field in counts.iter().filter(|f| **f != "unavailableReplicas") {
        at_most(field, "replicas", "cannot be greater than status.replicas");
    }
    at_most("availableReplicas", "readyReplicas", "cannot be greater than readyReplicas");
}
