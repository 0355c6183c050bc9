//! EndpointSlice

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{self, Errors, format, immutable, one_of, optional_one_of, optional_format};
use crate::kinds::columns::{age_column, column, first_three, name_column};
use crate::kinds::usual;
use crate::kinds::values::{default_to, list, list_mut, number, remove, same, size, text};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        columns: vec![
            name_column(),
            column("AddressType", "string", |o, _| o["addressType"].clone()),
            column("Ports", "string", |o, _| {
                let port = |p: &Value| match (&p["port"], text(&p["name"])) {
                    (Value::Number(n), _) => n.to_string(),
                    (_, "") => "*".into(),
                    (_, name) => name.to_string(),
                };
                first_three(list(&o["ports"]).iter().map(port).collect()).into()
            }),
            column("Endpoints", "string", |o, _| {
                let addresses = list(&o["endpoints"]).iter().flat_map(|e| list(&e["addresses"]));
                first_three(addresses.map(|a| text(a).to_string()).collect()).into()
            }),
            age_column(),
        ],
        hooks: Box::new(EndpointSliceHooks),
        ..usual("discovery.k8s.io", "EndpointSlice", "endpointslices", Scope::Namespaced)
    }
}

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

struct EndpointSliceHooks;

impl Hooks for EndpointSliceHooks {
    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let named = old.is_none() && object["addressType"] == "FQDN";
        let warning = named.then(|| "spec.addressType: FQDN endpoints are deprecated".into());
        warning.into_iter().collect()
    }

    fn default(&self, object: &mut Value) {
        for port in list_mut(object, "ports") {
            default_to(port, "name", "");
            default_to(port, "protocol", "TCP");
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object["metadata"]["generation"] = 1.into();
        for endpoint in list_mut(object, "endpoints") {
            remove(endpoint, "deprecatedTopology");
        }
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        let kept = ["addressType", "endpoints", "ports"].iter().all(|f| same(&object[*f], &old[*f]));
        if !kept || !same(&object["metadata"]["labels"], &old["metadata"]["labels"]) {
            object["metadata"]["generation"] = (number(&old["metadata"]["generation"]) + 1).into();
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let types = ["FQDN", "IPv4", "IPv6"];
        one_of(&mut errors, &Path::new("addressType"), &object["addressType"], &types);
        ports(&mut errors, &Path::new("ports"), list(&object["ports"]));
        endpoints(&mut errors, &Path::new("endpoints"), object);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let path = Path::new("addressType");
        immutable(&mut errors, &path, &object["addressType"], &old["addressType"]);
        errors
    }
}

fn ports(errors: &mut Errors, path: &Path, ports: &[Value]) {
    const MAX: usize = 20_000;
    if ports.len() > MAX {
        errors.push(Error::too_many(path, ports.len(), MAX));
        return;
    }
    let mut names = std::collections::HashSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = text(&port["name"]);
        if !name.is_empty() {
            format(errors, &path.child("name"), name, formats::dns_label);
        }
        if !names.insert(name) {
            errors.push(Error::duplicate(path.child("name"), name));
        }
        optional_one_of(errors, &path.child("protocol"), &port["protocol"], PROTOCOLS);
        let application = &port["appProtocol"];
        optional_format(errors, &path.child("appProtocol"), application, formats::qualified_name);
    }
}

fn endpoints(errors: &mut Errors, path: &Path, object: &Value) {
    const MAX: usize = 1000;
    let endpoints = list(&object["endpoints"]);
    if endpoints.len() > MAX {
        errors.push(Error::too_many(path, endpoints.len(), MAX));
        return;
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let path = path.index(i);
        let (at, addresses) = (path.child("addresses"), list(&endpoint["addresses"]));
        if addresses.is_empty() {
            errors.push(Error::required(at, "must contain at least 1 address"));
        } else if addresses.len() > 100 {
            errors.push(Error::too_many(at, addresses.len(), 100));
        }
        for (i, address) in addresses.iter().enumerate() {
            address_of(errors, &at, i, text(address), text(&object["addressType"]));
        }
        let node = &endpoint["nodeName"];
        optional_format(errors, &path.child("nodeName"), node, formats::dns_subdomain);
        let topology = &endpoint["deprecatedTopology"];
        if size(topology) > 16 {
            errors.push(Error::too_many(path.child("deprecatedTopology"), size(topology), 16));
        }
        checks::labels(errors, &path.child("deprecatedTopology"), topology);
        let hostname = &endpoint["hostname"];
        optional_format(errors, &path.child("hostname"), hostname, formats::dns_label);
        let at = path.child("hints");
        hints(errors, &at.child("forZones"), list(&endpoint["hints"]["forZones"]), formats::label_value);
        hints(errors, &at.child("forNodes"), list(&endpoint["hints"]["forNodes"]), formats::dns_subdomain);
    }
}

fn address_of(errors: &mut Errors, path: &Path, index: usize, address: &str, type_: &str) {
    let at = path.index(index);
    let family = match type_ {
        "FQDN" => return format(errors, &at, address, formats::fully_qualified_domain_name),
        "IPv4" => false,
        "IPv6" => true,
        _ => return,
    };
    match formats::parse_ip(address) {
        None => format(errors, &at, address, formats::ip),
        Some(ip) => {
            if ip.is_ipv6() != family {
                let detail = format!("must be an {type_} address");
                errors.push(Error::invalid(path, address, detail));
            }
            format(errors, &at, address, formats::endpoint_ip);
        }
    }
}

fn hints(errors: &mut Errors, path: &Path, hints: &[Value], rule: fn(&str) -> formats::Problems) {
    if hints.len() > 8 {
        errors.push(Error::too_many(path, hints.len(), 8));
        return;
    }
    for (i, hint) in hints.iter().enumerate() {
        let path = path.index(i);
        let path = path.child("name");
        let name = text(&hint["name"]);
        if hints[..i].iter().any(|h| h["name"] == name) {
            errors.push(Error::duplicate(path, name));
        }
        format(errors, &path, name, rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |slice: Value, expected: &[&str]| {
            let mut slice = slice;
            EndpointSliceHooks.default(&mut slice);
            let texts: Vec<String> = EndpointSliceHooks.validate(&slice).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
            &[],
        );
        check(json!({"endpoints": []}), &["addressType: Required value"]);
        check(
            json!({"addressType": "IPv4", "endpoints": [{"addresses": []}, {"addresses": ["::1"]}], "ports": [{}, {}]}),
            &[
                "ports[1].name: Duplicate value: \"\"",
                "endpoints[0].addresses: Required value: must contain at least 1 address",
                "endpoints[1].addresses: Invalid value: \"::1\": must be an IPv4 address",
                "endpoints[1].addresses[0]: Invalid value: \"::1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ],
        );
    }
}
