//! Endpoints

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Deprecation, Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, format, one_of, optional_format, port, required_format};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::usual;
use crate::kinds::values::{default_if_zero, list, list_mut, number, text};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["ep".into()],
        deprecation: Some(Deprecation::Since {
            version: 33,
            removed: None,
            replacement: "discovery.k8s.io/v1 EndpointSlice",
        }),
        storage_prefix: "services/endpoints".into(),
        columns: vec![
            name_column(),
            column("Endpoints", "string", |o, _| endpoints(o).into()),
            age_column(),
        ],
        hooks: Box::new(EndpointsHooks),
        ..usual("", "Endpoints", "endpoints", Scope::Namespaced)
    }
}

fn endpoints(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in list(&object["subsets"]) {
        let addresses = || list(&subset["addresses"]).iter().map(|a| text(&a["ip"]));
        let ports = list(&subset["ports"]);
        if ports.is_empty() {
            all.extend(addresses().map(str::to_string));
        }
        for port in ports {
            let port = number(&port["port"]);
            all.extend(addresses().map(|ip| match ip.contains(':') {
                true => format!("[{ip}]:{port}"),
                false => format!("{ip}:{port}"),
            }));
        }
    }
    match all.is_empty() {
        true if list(&object["subsets"]).is_empty() => "<none>".into(),
        true => String::new(),
        false => crate::kinds::columns::first_three(all),
    }
}

struct EndpointsHooks;

impl Hooks for EndpointsHooks {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        for port in list_mut(object, "subsets").iter_mut().flat_map(|s| list_mut(s, "ports")) {
            default_if_zero(port, "protocol", "TCP");
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let path = Path::new("subsets");
        for (i, subset) in list(&object["subsets"]).iter().enumerate() {
            let path = path.index(i);
            if list(&subset["addresses"]).is_empty() && list(&subset["notReadyAddresses"]).is_empty() {
                let detail = "must specify `addresses` or `notReadyAddresses`";
                errors.push(Error::required(path, detail));
            }
            for field in ["addresses", "notReadyAddresses"] {
                let path = path.child(field);
                for (i, entry) in list(&subset[field]).iter().enumerate() {
                    address(&mut errors, &path.index(i), entry);
                }
            }
            let (path, ports) = (path.child("ports"), list(&subset["ports"]));
            for (i, entry) in ports.iter().enumerate() {
                let path = path.index(i);
                let name = text(&entry["name"]);
                if ports.len() > 1 || !name.is_empty() {
                    required_format(&mut errors, &path.child("name"), name, formats::dns_label);
                }
                port(&mut errors, &path.child("port"), &entry["port"]);
                let protocols = ["SCTP", "TCP", "UDP"];
                one_of(&mut errors, &path.child("protocol"), &entry["protocol"], &protocols);
                let application = &entry["appProtocol"];
                let at = path.child("appProtocol");
                optional_format(&mut errors, &at, application, formats::qualified_name);
            }
        }
        errors
    }
}

fn address(errors: &mut Errors, path: &Path, address: &Value) {
    let ip = text(&address["ip"]);
    let at = path.child("ip");
    format(errors, &at, ip, formats::ip);
    let hostname = text(&address["hostname"]);
    if !hostname.is_empty() {
        format(errors, &path.child("hostname"), hostname, formats::dns_label);
    }
    let node = &address["nodeName"];
    optional_format(errors, &path.child("nodeName"), node, formats::dns_subdomain);
    format(errors, &at, ip, formats::endpoint_ip);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows() {
        let check = |subsets: Value, expected: &str| assert_eq!(endpoints(&json!({"subsets": subsets})), expected);
        let addresses = json!([{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]);
        check(json!([]), "<none>");
        check(json!([{"addresses": addresses}]), "10.0.0.1,10.0.0.2");
        check(
            json!([{"addresses": addresses, "ports": [{"port": 80}, {"port": 443}]}]),
            "10.0.0.1:80,10.0.0.2:80,10.0.0.1:443 + 1 more...",
        );
    }
}
