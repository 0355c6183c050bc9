//! What a Service's fields say of each other, and of what it has: what an update keeps, sheds and may not ask for.
//!
//! Source: pkg/registry/core/service/storage/alloc.go and pkg/registry/core/service/strategy.go.

use gantry_api::field::Error;
use serde_json::{Value, json};
use std::collections::HashSet;

fn has_ports(spec: &Value) -> bool {
    matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer"))
}

/// An update that leaves out what was given keeps it.
pub fn carry_over(spec: &mut Value, old: &Value) {
    let has_address = |spec: &Value| spec["type"] != "ExternalName";
    if has_address(spec) && has_address(old) {
        if spec["clusterIP"].as_str().unwrap_or("").is_empty() {
            spec["clusterIP"] = old["clusterIP"].clone();
            spec["clusterIPs"] = old["clusterIPs"].clone();
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if spec[field].is_null() && !old[field].is_null() {
                spec[field] = old[field].clone();
            }
        }
    }
    if has_ports(spec) && has_ports(old) {
        let mut used: HashSet<u64> = list(&spec["ports"])
            .filter_map(|p| p["nodePort"].as_u64())
            .filter(|p| *p > 0)
            .collect();
        for port in ports_mut(spec) {
            if port["nodePort"].as_u64().unwrap_or(0) > 0 {
                continue;
            }
            let same = |o: &&Value| o["port"] == port["port"] && o["protocol"] == port["protocol"];
            let before = list(&old["ports"])
                .find(same)
                .and_then(|o| o["nodePort"].as_u64());
            if let Some(before) = before.filter(|b| used.insert(*b)) {
                port["nodePort"] = before.into();
            }
        }
        if spec["healthCheckNodePort"].is_null() && !old["healthCheckNodePort"].is_null() {
            spec["healthCheckNodePort"] = old["healthCheckNodePort"].clone();
        }
    }
}

/// Makes `clusterIP` and `clusterIPs` agree where a client wrote one of them alone.
pub fn agree(spec: &mut Value, old: Option<&Value>) {
    let one = spec["clusterIP"].as_str().unwrap_or("").to_string();
    let all = &spec["clusterIPs"];
    let missing = list(all).next().is_none();
    let left = old.is_some_and(|old| old["clusterIP"] != *one && old["clusterIPs"] == *all);
    if !one.is_empty() && (missing || left) {
        spec["clusterIPs"] = json!([one]);
    }
}

/// Whether whoever makes the Service names its endpoints, too, so that it needs nothing of this cluster.
pub fn is_elsewhere(spec: &Value) -> bool {
    let selects = spec["selector"].as_object().is_some_and(|s| !s.is_empty());
    spec["clusterIP"] == "None" && !selects
}

/// A Service's ports. Looking at what is not there must not put a null there.
pub fn ports_mut(spec: &mut Value) -> impl Iterator<Item = &mut Value> {
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    ports.into_iter().flatten()
}

/// The items of a list, none if it is none.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> + Clone {
    value.as_array().into_iter().flatten()
}

/// What a Service asks for that only a cluster with addresses of two families has.
pub fn beyond_this_cluster(spec: &Value) -> Vec<Error> {
    let policy = spec["ipFamilyPolicy"]
        .as_str()
        .unwrap_or(match is_elsewhere(spec) {
            true => "RequireDualStack",
            false => "SingleStack",
        });
    let (families, addresses) = (list(&spec["ipFamilies"]), list(&spec["clusterIPs"]));
    let counts = [families.clone().count(), addresses.clone().count()];
    let at_policy = |why: String| Error::invalid("spec.ipFamilyPolicy", policy, why);
    let mut errors = Vec::new();
    for (what, count) in [("cluster IPs", counts[1]), ("IP families", counts[0])] {
        if policy == "SingleStack" && count == 2 {
            errors.push(at_policy(format!(
                "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
            )));
        }
    }
    for (i, address) in addresses.enumerate().skip(counts[0]) {
        if address.as_str().is_some_and(|address| address.contains(':')) {
            let why = "IPv6 is not configured on this cluster";
            errors.push(Error::invalid(
                format!("spec.clusterIPs[{i}]"),
                spec["clusterIPs"].clone(),
                why,
            ));
        }
    }
    if !errors.is_empty() || is_elsewhere(spec) {
        return errors;
    }
    if policy == "RequireDualStack" {
        errors.push(at_policy(
            "this cluster is not configured for dual-stack services".into(),
        ));
    }
    for (i, family) in families.enumerate().filter(|(_, family)| *family == "IPv6") {
        let why = "not configured on this cluster";
        errors.push(Error::invalid(
            format!("spec.ipFamilies[{i}]"),
            family.clone(),
            why,
        ));
    }
    errors
}

/// What a Service had under another type, and does not need under its new one, goes, unless it was changed.
pub fn shed(spec: &mut Value, old: &Value) {
    let is_external = |spec: &Value| spec["type"] == "ExternalName";
    if is_external(spec) && !is_external(old) {
        let groups: [&[&str]; 3] = [&["clusterIP", "clusterIPs"], &["ipFamilies"], &["ipFamilyPolicy"]];
        for group in groups {
            if group.iter().any(|field| spec[*field] != old[*field]) {
                continue;
            }
            for field in group {
                spec.as_object_mut().and_then(|spec| spec.remove(*field));
            }
        }
    }
    let ports = |spec: &Value| -> HashSet<u64> {
        let ports = list(&spec["ports"]).filter_map(|port| port["nodePort"].as_u64());
        ports.filter(|port| *port > 0).collect()
    };
    if has_ports(old) && !has_ports(spec) && ports(spec).is_subset(&ports(old)) {
        for port in ports_mut(spec) {
            port.as_object_mut().and_then(|port| port.remove("nodePort"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_type_does_not_need() {
        let check = |new: Value, old: Value, expected: Value| {
            let mut spec = new.clone();
            shed(&mut spec, &old);
            assert_eq!(spec, expected, "{new}");
        };
        let addresses = |type_: &str| json!({"type": type_, "clusterIP": "a", "clusterIPs": ["a"], "ipFamilies": ["IPv4"]});
        check(
            addresses("NodePort"),
            addresses("ClusterIP"),
            addresses("NodePort"),
        );
        check(
            addresses("ExternalName"),
            addresses("ClusterIP"),
            json!({"type": "ExternalName"}),
        );
        let mut changed = addresses("ExternalName");
        changed["clusterIP"] = "b".into();
        let kept = json!({"type": "ExternalName", "clusterIP": "b", "clusterIPs": ["a"]});
        check(changed, addresses("ClusterIP"), kept);
        let ports = |type_: &str, port: u64| json!({"type": type_, "ports": [{"port": 1, "nodePort": port}]});
        check(
            ports("ClusterIP", 30000),
            ports("NodePort", 30000),
            json!({"type": "ClusterIP", "ports": [{"port": 1}]}),
        );
        check(
            ports("ClusterIP", 30001),
            ports("NodePort", 30000),
            ports("ClusterIP", 30001),
        );
        check(
            ports("LoadBalancer", 30000),
            ports("NodePort", 30000),
            ports("LoadBalancer", 30000),
        );
    }

    #[test]
    fn what_one_family_does_not_offer() {
        let check = |spec: Value, expected: &[&str]| {
            let found: Vec<String> = beyond_this_cluster(&spec)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, expected, "{spec}");
        };
        check(json!({"clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"]}), &[]);
        check(json!({"clusterIP": "None", "ipFamilies": ["IPv4", "IPv6"]}), &[]);
        check(
            json!({"ipFamilyPolicy": "RequireDualStack", "selector": {"a": "b"}}),
            &[
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack \
               services",
            ],
        );
        check(
            json!({"ipFamilies": ["IPv6"]}),
            &["spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"],
        );
        check(
            json!({"clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4"]}),
            &[
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when \
                 multiple cluster IPs are specified",
                "spec.clusterIPs[1]: Invalid value: [\"10.0.0.1\",\"fd00::1\"]: IPv6 is not configured on this cluster",
            ],
        );
    }
}
