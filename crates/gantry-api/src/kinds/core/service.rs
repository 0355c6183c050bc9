//! Service. Cluster IPs and node ports are handed out by the server, before this validates.

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{
    Errors, format, labels, one_of, optional_format, optional_one_of, port, port_or_name, required_format,
};
use crate::kinds::columns::{self, age_column, column, name_column, or_none, wide};
use crate::kinds::{selectable, usual};
use crate::kinds::values::{
    default_if_zero, default_to, drop_zero, given, joined, list, list_mut, map_of, number, remove, repeats, size,
    text,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["svc".into()],
        categories: vec!["all".into()],
        storage_prefix: "services/specs".into(),
        returns_deleted: true,
        subresources: vec![Subresource::Proxy, Subresource::Status],
        selectable_fields: selectable(&[("spec.clusterIP", "spec.clusterIP"), ("spec.type", "spec.type")]),
        columns: vec![
            name_column(),
            column("Type", "string", |o, _| o["spec"]["type"].clone()),
            column("Cluster-IP", "string", |o, _| {
                let spec = &o["spec"];
                match text(&spec["clusterIPs"][0]) {
                    "" => or_none(text(&spec["clusterIP"])),
                    ip => ip.into(),
                }
            }),
            column("External-IP", "string", |o, _| external_ip(o).into()),
            column("Port(s)", "string", |o, _| or_none(&ports(o))),
            age_column(),
            wide("Selector", "string", |o, _| columns::labels(&o["spec"]["selector"]).into()),
        ],
        hooks: Box::new(ServiceHooks),
        ..usual("", "Service", "services", Scope::Namespaced)
    }
}

fn external_ip(service: &Value) -> String {
    let spec = &service["spec"];
    let own = list(&spec["externalIPs"]).iter().map(text);
    match text(&spec["type"]) {
        "ClusterIP" | "NodePort" if size(&spec["externalIPs"]) > 0 => joined(own, ","),
        "ClusterIP" | "NodePort" => "<none>".into(),
        "LoadBalancer" => {
            let ingress = list(&service["status"]["loadBalancer"]["ingress"]);
            let given: BTreeSet<&str> = ingress
                .iter()
                .map(|i| match text(&i["ip"]) {
                    "" => text(&i["hostname"]),
                    ip => ip,
                })
                .filter(|i| !i.is_empty())
                .collect();
            match joined(given.into_iter().chain(own), ",") {
                all if all.is_empty() => "<pending>".into(),
                all => all,
            }
        }
        "ExternalName" => text(&spec["externalName"]).into(),
        _ => "<unknown>".into(),
    }
}

fn ports(service: &Value) -> String {
    let one = |p: &Value| match number(&p["nodePort"]) {
        0 => format!("{}/{}", number(&p["port"]), text(&p["protocol"])),
        node => format!("{}:{node}/{}", number(&p["port"]), text(&p["protocol"])),
    };
    list(&service["spec"]["ports"]).iter().map(one).collect::<Vec<_>>().join(",")
}

fn is_headless(spec: &Value) -> bool {
    list(&spec["clusterIPs"]) == ["None"] || spec["clusterIP"] == "None"
}

fn is_external(spec: &Value) -> bool {
    let by_type = matches!(text(&spec["type"]), "LoadBalancer" | "NodePort");
    by_type || spec["type"] == "ClusterIP" && size(&spec["externalIPs"]) > 0
}

fn needs_health_check(spec: &Value) -> bool {
    spec["type"] == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local"
}

/// What of a Service has no effect, or soon will not have. Source: pkg/api/service/warnings.go.
fn warnings(object: &Value) -> Vec<String> {
    let spec = &object["spec"];
    let (external, headless) = (spec["type"] == "ExternalName", is_headless(spec));
    let has_ips = size(&spec["externalIPs"]) > 0;
    let mut found: Vec<String> = Vec::new();
    let mut warn = |holds: bool, text: &str| {
        if holds {
            found.push(text.into());
        }
    };
    warn(
        headless && !text(&spec["loadBalancerIP"]).is_empty(),
        "spec.loadBalancerIP is ignored for headless services",
    );
    warn(headless && has_ips, "spec.externalIPs is ignored for headless services");
    warn(
        headless && spec["sessionAffinity"] != "None",
        "spec.SessionAffinity is ignored for headless services",
    );
    warn(
        has_ips && !headless && !external,
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
    );
    warn(
        external && has_ips,
        "spec.externalIPs is ignored when spec.type is \"ExternalName\"",
    );
    warn(
        !external && !text(&spec["externalName"]).is_empty(),
        "spec.externalName is ignored when spec.type is not \"ExternalName\"",
    );
    warn(
        spec["trafficDistribution"] == "PreferClose",
        "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
    );
    found
}

struct ServiceHooks;

impl Hooks for ServiceHooks {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Value, _: Option<&Value>) -> Vec<String> {
        warnings(object)
    }

    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        drop_zero(
            spec,
            &["clusterIP", "externalName", "loadBalancerIP", "publishNotReadyAddresses", "healthCheckNodePort"],
        );
        default_if_zero(spec, "sessionAffinity", "None");
        if spec["sessionAffinity"] == "None" {
            remove(spec, "sessionAffinityConfig");
        } else if spec["sessionAffinity"] == "ClientIP" && !given(&spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"])
        {
            spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": 10800}});
        }
        default_if_zero(spec, "type", "ClusterIP");
        for port in list_mut(spec, "ports") {
            drop_zero(port, &["name", "nodePort"]);
            default_if_zero(port, "protocol", "TCP");
            let same = port["port"].clone();
            default_if_zero(port, "targetPort", same);
        }
        if is_external(spec) {
            default_if_zero(spec, "externalTrafficPolicy", "Cluster");
        }
        if spec["type"] != "ExternalName" {
            default_to(spec, "internalTrafficPolicy", "Cluster");
        }
        if spec["type"] == "LoadBalancer" {
            default_to(spec, "allocateLoadBalancerNodePorts", true);
        }
        let balanced = spec["type"] == "LoadBalancer";
        let balancer = map_of(map_of(object, "status"), "loadBalancer");
        for ingress in list_mut(balancer, "ingress") {
            if balanced && !text(&ingress["ip"]).is_empty() {
                default_to(ingress, "ipMode", "VIP");
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({"loadBalancer": {}});
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        let (new, old) = (&mut object["spec"], &old["spec"]);
        // Fields that the type no longer has go, if the client left them as they were.
        if !is_external(new) && new["externalTrafficPolicy"] == old["externalTrafficPolicy"] && is_external(old) {
            remove(new, "externalTrafficPolicy");
        }
        if new["type"] != "LoadBalancer" && old["type"] == "LoadBalancer" {
            for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
                if new[field] == old[field] {
                    remove(new, field);
                }
            }
        }
        if !needs_health_check(new) && needs_health_check(old) && new["healthCheckNodePort"] == old["healthCheckNodePort"]
        {
            remove(new, "healthCheckNodePort");
        }
        if new["type"] != "ExternalName" && old["type"] == "ExternalName" && new["externalName"] == old["externalName"] {
            remove(new, "externalName");
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        shape(&mut errors, &path, spec);
        let entries = list(&spec["ports"]);
        let at = path.child("ports");
        for (i, entry) in entries.iter().enumerate() {
            service_port(&mut errors, &at.index(i), &entries[..i], entry, entries.len() > 1);
        }
        labels(&mut errors, &path.child("selector"), &spec["selector"]);
        affinity(&mut errors, &path, spec);
        addresses(&mut errors, &path, spec);
        let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
        one_of(&mut errors, &path.child("type"), &spec["type"], &types);
        twice(&mut errors, &at, spec);
        load_balancer(&mut errors, &path, spec);
        traffic(&mut errors, &path, spec);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (new, old) = (&object["spec"], &old["spec"]);
        cluster_ips_kept(&mut errors, new, old);
        let class = &new["loadBalancerClass"];
        if new["type"] == "LoadBalancer" && old["type"] == "LoadBalancer" && *class != old["loadBalancerClass"] {
            let detail = "may not change once set";
            errors.push(Error::invalid("spec.loadBalancerClass", class.clone(), detail));
        }
        let port = "healthCheckNodePort";
        if needs_health_check(new) && needs_health_check(old) && new[port] != old[port] {
            errors.push(Error::forbidden("spec.healthCheckNodePort", "field is immutable"));
        }
        errors
    }

    fn validate_name(&self, name: &str) -> Result<(), String> {
        crate::meta::validate_label_name(name)
    }

    fn validate_subresource(&self, subresource: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        if subresource != Subresource::Status {
            return self.validate_update(object, old);
        }
        let mut errors = Vec::new();
        balancer(&mut errors, &Path::new("status").child("loadBalancer"), object);
        errors
    }
}

/// The rules for where a load balancer is reached.
fn balancer(errors: &mut Errors, path: &Path, service: &Value) {
    let path = path.child("ingress");
    let ingress = list(&service["status"]["loadBalancer"]["ingress"]);
    if service["spec"]["type"] != "LoadBalancer" && !ingress.is_empty() {
        errors.push(Error::forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'"));
        return;
    }
    for (i, entry) in ingress.iter().enumerate() {
        let path = path.index(i);
        let (ip, mode, host) = (text(&entry["ip"]), &entry["ipMode"], text(&entry["hostname"]));
        if !ip.is_empty() {
            format(errors, &path.child("ip"), ip, formats::ip);
        }
        let at = path.child("ipMode");
        match (given(mode), ip.is_empty()) {
            (false, false) => errors.push(Error::required(at, "must be specified when `ip` is set")),
            (true, true) => errors.push(Error::forbidden(at, "may not be specified when `ip` is not set")),
            (true, false) => optional_one_of(errors, &at, mode, &["Proxy", "VIP"]),
            (false, true) => {}
        }
        if !host.is_empty() {
            let at = path.child("hostname");
            format(errors, &at, host, formats::dns_subdomain);
            if formats::parse_ip(host).is_some() {
                errors.push(Error::invalid(at, host, "must be a DNS name, not an IP address"));
            }
        }
    }
}

/// What each type has and has not.
fn shape(errors: &mut Errors, path: &Path, spec: &Value) {
    let type_ = text(&spec["type"]);
    if list(&spec["ports"]).is_empty() && !is_headless(spec) && type_ != "ExternalName" {
        errors.push(Error::required(path.child("ports"), ""));
    }
    if matches!(type_, "LoadBalancer" | "NodePort") && is_headless(spec) {
        let detail = format!("may not be set to 'None' for {type_} services");
        errors.push(Error::invalid(path.child("clusterIPs").index(0), "None", detail));
    }
    if type_ != "ExternalName" {
        return;
    }
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if given(&spec[field]) && spec[field] != json!([]) {
            let detail = "may not be set for ExternalName services";
            errors.push(Error::forbidden(path.child(field), detail));
        }
    }
    let name = text(&spec["externalName"]);
    let name = name.strip_suffix('.').unwrap_or(name);
    required_format(errors, &path.child("externalName"), name, formats::dns_subdomain);
}

fn service_port(errors: &mut Errors, path: &Path, before: &[Value], entry: &Value, named: bool) {
    let name = text(&entry["name"]);
    if named || !name.is_empty() {
        required_format(errors, &path.child("name"), name, formats::dns_label);
    }
    if !name.is_empty() && before.iter().any(|p| p["name"] == name) {
        errors.push(Error::duplicate(path.child("name"), name));
    }
    port(errors, &path.child("port"), &entry["port"]);
    one_of(errors, &path.child("protocol"), &entry["protocol"], &["SCTP", "TCP", "UDP"]);
    port_or_name(errors, &path.child("targetPort"), &entry["targetPort"]);
    let application = &entry["appProtocol"];
    optional_format(errors, &path.child("appProtocol"), application, formats::qualified_name);
}

fn affinity(errors: &mut Errors, path: &Path, spec: &Value) {
    let affinity = &spec["sessionAffinity"];
    one_of(errors, &path.child("sessionAffinity"), affinity, &["ClientIP", "None"]);
    let (at, config) = (path.child("sessionAffinityConfig"), &spec["sessionAffinityConfig"]);
    if affinity == "ClientIP" {
        let seconds = number(&config["clientIP"]["timeoutSeconds"]);
        if !(1..=86400).contains(&seconds) {
            let at = at.child("clientIP");
            let detail = "must be greater than 0 and less than 86400";
            errors.push(Error::invalid(at.child("timeoutSeconds"), seconds, detail));
        }
    } else if affinity == "None" && given(config) {
        let detail = "must not be set when session affinity is None";
        errors.push(Error::forbidden(at, detail));
    }
}

/// The rules for the addresses that a Service has or asks for in the cluster.
pub fn cluster_addresses(spec: &Value) -> Errors {
    let mut errors = Vec::new();
    own_addresses(&mut errors, &Path::new("spec"), spec);
    errors
}

fn addresses(errors: &mut Errors, path: &Path, spec: &Value) {
    own_addresses(errors, path, spec);
    let at = path.child("externalIPs");
    for (i, ip) in list(&spec["externalIPs"]).iter().enumerate() {
        let before = errors.len();
        format(errors, &at.index(i), text(ip), formats::ip);
        if errors.len() == before {
            format(errors, &at.index(i), text(ip), formats::endpoint_ip);
        }
    }
}

fn own_addresses(errors: &mut Errors, path: &Path, spec: &Value) {
    if spec["type"] != "ExternalName" {
        let at = path.child("clusterIPs");
        let (one, ips) = (text(&spec["clusterIP"]), list(&spec["clusterIPs"]));
        if one.is_empty() && !ips.is_empty() {
            let detail = "must be empty when `clusterIP` is not specified";
            errors.push(Error::invalid(at, ips.to_vec(), detail));
        } else if !ips.is_empty() && ips[0] != one {
            let detail = "first value must match `clusterIP`";
            errors.push(Error::invalid(at, ips.to_vec(), detail));
        }
        let (families, at_families) = (list(&spec["ipFamilies"]), path.child("ipFamilies"));
        let repeated = repeats(families, |family| family);
        for (i, family) in families.iter().enumerate() {
            if !["IPv4", "IPv6"].contains(&text(family)) {
                let families = &["IPv4", "IPv6"];
                errors.push(Error::not_supported(at_families.index(i), text(family), families));
            }
            if repeated[i] {
                errors.push(Error::duplicate(at_families.index(i), family.clone()));
            }
        }
        let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
        optional_one_of(errors, &path.child("ipFamilyPolicy"), &spec["ipFamilyPolicy"], &policies);
        for (i, ip) in ips.iter().enumerate() {
            if i == 0 && ip == "None" {
                if ips.len() > 1 {
                    let detail = "'None' must be the first and only value";
                    errors.push(Error::invalid(at, ips.to_vec(), detail));
                }
                continue;
            }
            format(errors, &at.index(i), text(ip), formats::ip);
        }
        if ips.len() > 2 {
            errors.push(Error::invalid(at, ips.to_vec(), "may only hold up to 2 values"));
        }
        let unreadable = |ip: &Value| ip != "None" && !formats::ip(text(ip)).is_empty();
        if ips.iter().any(unreadable) {
            return;
        }
        let v6 = |ip: &Value| text(ip).contains(':');
        if ips.len() == 2 && v6(&ips[0]) == v6(&ips[1]) {
            let detail = "may specify no more than one IP for each IP family";
            errors.push(Error::invalid(at, ips.to_vec(), detail));
        }
        for (i, (ip, family)) in ips.iter().zip(families).enumerate() {
            if ip != "None" && v6(ip) != (family == "IPv6") {
                let detail = format!("expected an {} value as indicated by `ipFamilies[{i}]`", text(family));
                errors.push(Error::invalid(at.index(i), ip.clone(), detail));
            }
        }
    }
}

/// No port is given twice, and node ports only where there are some.
fn twice(errors: &mut Errors, path: &Path, spec: &Value) {
    let ports = list(&spec["ports"]);
    // Those without a node port differ from all that have one.
    let same_node_port = repeats(ports, |port| (&port["protocol"], &port["nodePort"]));
    let same_port = repeats(ports, |port| (&port["protocol"], &port["port"]));
    for (i, port) in ports.iter().enumerate() {
        if number(&port["nodePort"]) == 0 {
            continue;
        }
        let at = path.index(i);
        let at = at.child("nodePort");
        if spec["type"] == "ClusterIP" {
            let detail = "may not be used when `type` is 'ClusterIP'";
            errors.push(Error::forbidden(at, detail));
        }
        if same_node_port[i] {
            errors.push(Error::duplicate(at, port["nodePort"].clone()));
        }
    }
    for (i, port) in ports.iter().enumerate() {
        if same_port[i] {
            let key = json!({"port": port["port"], "protocol": port["protocol"]});
            errors.push(Error::duplicate(path.index(i), key));
        }
    }
}

fn load_balancer(errors: &mut Errors, path: &Path, spec: &Value) {
    let balanced = spec["type"] == "LoadBalancer";
    let only = "may only be used when `type` is 'LoadBalancer'";
    let ranges = list(&spec["loadBalancerSourceRanges"]);
    let at = path.child("LoadBalancerSourceRanges");
    if !ranges.is_empty() && !balanced {
        errors.push(Error::forbidden(at, only));
    }
    for (i, range) in ranges.iter().enumerate() {
        format(errors, &at.index(i), text(range).trim(), formats::cidr);
    }
    if given(&spec["allocateLoadBalancerNodePorts"]) && !balanced {
        errors.push(Error::forbidden(path.child("allocateLoadBalancerNodePorts"), only));
    }
    let (at, class) = (path.child("loadBalancerClass"), &spec["loadBalancerClass"]);
    if given(class) && !balanced {
        errors.push(Error::forbidden(at, only));
    } else {
        optional_format(errors, &at, class, formats::qualified_name);
    }
}

fn traffic(errors: &mut Errors, path: &Path, spec: &Value) {
    let (at, policy) = (path.child("externalTrafficPolicy"), &spec["externalTrafficPolicy"]);
    if is_external(spec) {
        one_of(errors, &at, policy, &["Cluster", "Local"]);
    } else if !text(policy).is_empty() {
        let detail = "may only be set for externally-accessible services";
        errors.push(Error::invalid(at, policy.clone(), detail));
    }
    let (at, check) = (path.child("healthCheckNodePort"), &spec["healthCheckNodePort"]);
    if number(check) != 0 && !needs_health_check(spec) {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(Error::invalid(at, check.clone(), detail));
    } else if number(check) != 0 {
        port(errors, &at, check);
    }
    let (at, policy) = (path.child("internalTrafficPolicy"), &spec["internalTrafficPolicy"]);
    if spec["type"] != "ExternalName" && !given(policy) {
        errors.push(Error::required(at, ""));
    }
    optional_one_of(errors, &at, policy, &["Cluster", "Local"]);
    let distributions = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    let distribution = &spec["trafficDistribution"];
    optional_one_of(errors, &path.child("trafficDistribution"), distribution, &distributions);
}

/// Cluster IPs stay, but for a second one that comes or goes.
fn cluster_ips_kept(errors: &mut Errors, new: &Value, old: &Value) {
    let external = |spec: &Value| spec["type"] == "ExternalName";
    if external(new) || external(old) || is_headless(new) && is_headless(old) {
        return;
    }
    let path = Path::new("spec");
    let path = path.child("clusterIPs");
    let (now, before) = (list(&new["clusterIPs"]), list(&old["clusterIPs"]));
    let all = || Value::from(now.to_vec());
    if now.is_empty() && !before.is_empty() {
        let detail = "primary clusterIP can not be unset";
        errors.push(Error::invalid(path.index(0), all(), detail));
        return;
    }
    for (i, (now, before)) in now.iter().zip(before).enumerate() {
        if now != before {
            errors.push(Error::invalid(path.index(i), all(), "may not change once set"));
        }
    }
    if before.len() == 2 && now.len() == 1 && new["ipFamilyPolicy"] != "SingleStack" {
        let detail = "must be set to 'SingleStack' when releasing the secondary clusterIP";
        errors.push(Error::invalid("spec.ipFamilyPolicy", new["ipFamilyPolicy"].clone(), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Value {
        let mut object = json!({"metadata": {"name": "s"}, "spec": spec});
        ServiceHooks.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let check = |spec: Value, expected: &[&str]| {
            let errors = ServiceHooks.validate(&service(spec));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(json!({"ports": [{"port": 80}]}), &[]);
        check(json!({"clusterIP": "None", "clusterIPs": ["None"]}), &[]);
        check(json!({"type": "ExternalName", "externalName": "example.com."}), &[]);
        check(json!({}), &["spec.ports: Required value"]);
        check(
            json!({"ports": [{"port": 80}, {"port": 80}]}),
            &[
                "spec.ports[0].name: Required value",
                "spec.ports[1].name: Required value",
                "spec.ports[1]: Duplicate value: {\"port\":80,\"protocol\":\"TCP\"}",
            ],
        );
        check(
            json!({"type": "ExternalName"}),
            &["spec.externalName: Required value"],
        );
        check(
            json!({"ports": [{"port": 0, "targetPort": "Web"}]}),
            &[
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: \"Web\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            ],
        );
        check(
            json!({"type": "Other", "ports": [{"port": 1}]}),
            &["spec.type: Unsupported value: \"Other\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\""],
        );
    }

    #[test]
    fn cluster_ips_stay() {
        let old = service(json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]}));
        let new = service(json!({"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"], "ports": [{"port": 80}]}));
        let errors = ServiceHooks.validate_update(&new, &old);
        let expected = "spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set";
        assert_eq!(errors[0].to_string(), expected);
        assert!(ServiceHooks.validate_update(&old, &old).is_empty());
    }

    #[test]
    fn rows() {
        let check = |spec: Value, expected: [&str; 2]| {
            let service = json!({"spec": spec});
            assert_eq!([external_ip(&service), ports(&service)], expected);
        };
        let port = json!({"port": 80, "protocol": "TCP"});
        let node = json!({"port": 80, "protocol": "TCP", "nodePort": 30080});
        check(json!({"type": "ClusterIP", "ports": [port]}), ["<none>", "80/TCP"]);
        check(json!({"type": "LoadBalancer", "ports": [node]}), ["<pending>", "80:30080/TCP"]);
        check(json!({"type": "ExternalName", "externalName": "x.y"}), ["x.y", ""]);
    }

    #[test]
    fn rules_of_a_status() {
        let check = |type_: &str, ingress: Value, expected: &[&str]| {
            let service = json!({"spec": {"type": type_}, "status": {"loadBalancer": {"ingress": ingress}}});
            let errors = ServiceHooks.validate_subresource(Subresource::Status, &service, &service);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check("LoadBalancer", json!([{"ip": "10.0.0.1", "ipMode": "VIP"}, {"hostname": "a.b"}]), &[]);
        check("ClusterIP", json!([]), &[]);
        check(
            "ClusterIP",
            json!([{"hostname": "a.b"}]),
            &["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"],
        );
        check(
            "LoadBalancer",
            json!([{"ip": "10.0.0.01"}, {"ipMode": "VIP"}, {"hostname": "10.0.0.1"}]),
            &[
                "status.loadBalancer.ingress[0].ip: Invalid value: \"10.0.0.01\": must not have leading 0s",
                "status.loadBalancer.ingress[0].ipMode: Required value: must be specified when `ip` is set",
                "status.loadBalancer.ingress[1].ipMode: Forbidden: may not be specified when `ip` is not set",
                "status.loadBalancer.ingress[2].hostname: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address",
            ],
        );
    }
}
