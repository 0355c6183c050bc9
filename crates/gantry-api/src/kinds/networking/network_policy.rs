//! NetworkPolicy

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, format, label_selector, optional_one_of};
use crate::kinds::columns::{age_column, column, label_selector as selector_text, name_column};
use crate::kinds::values::{default_to, drop_zero, given, list, list_mut, map_of, number, size, text};
use crate::kinds::{count_generation, usual};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["netpol".into()],
        columns: vec![
            name_column(),
            column("Pod-Selector", "string", |o, _| selector_text(&o["spec"]["podSelector"]).into()),
            age_column(),
        ],
        hooks: Box::new(NetworkPolicyHooks),
        ..usual("networking.k8s.io", "NetworkPolicy", "networkpolicies", Scope::Namespaced)
    }
}

const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

struct NetworkPolicyHooks;

impl Hooks for NetworkPolicyHooks {
    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        map_of(spec, "podSelector");
        for (direction, _) in DIRECTIONS {
            drop_zero(spec, &[direction]);
            for rule in list_mut(spec, direction) {
                for port in list_mut(rule, "ports") {
                    default_to(port, "protocol", "TCP");
                }
            }
        }
        if size(&spec["policyTypes"]) == 0 {
            spec["policyTypes"] = match size(&spec["egress"]) {
                0 => json!(["Ingress"]),
                _ => json!(["Ingress", "Egress"]),
            };
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object["metadata"]["generation"] = 1.into();
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        count_generation(object, old);
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        spec(&object["spec"], &[])
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut kept = Vec::new();
        for (direction, peers) in DIRECTIONS {
            for rule in list(&old["spec"][direction]) {
                for block in list(&rule[peers]).iter().map(|peer| &peer["ipBlock"]) {
                    kept.push(text(&block["cidr"]));
                    kept.extend(list(&block["except"]).iter().map(text));
                }
            }
        }
        spec(&object["spec"], &kept)
    }
}

/// Checks the rules. Ranges among `kept` stand already and are not asked to be well formed.
fn spec(spec: &Value, kept: &[&str]) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    label_selector(&mut errors, &path.child("podSelector"), &spec["podSelector"]);
    for (direction, peers) in DIRECTIONS {
        let at = path.child(direction);
        for (i, rule) in list(&spec[direction]).iter().enumerate() {
            let at = at.index(i);
            let at_ports = at.child("ports");
            for (i, entry) in list(&rule["ports"]).iter().enumerate() {
                port(&mut errors, &at_ports.index(i), entry);
            }
            let at_peers = at.child(peers);
            for (i, entry) in list(&rule[peers]).iter().enumerate() {
                peer(&mut errors, &at_peers.index(i), entry, kept);
            }
        }
    }
    let (at, types) = (path.child("policyTypes"), list(&spec["policyTypes"]));
    if types.len() > 2 {
        let detail = "may not specify more than two policyTypes";
        errors.push(Error::invalid(at, types.to_vec(), detail));
        return errors;
    }
    for (i, type_) in types.iter().enumerate() {
        optional_one_of(&mut errors, &at.index(i), type_, &["Ingress", "Egress"]);
    }
    errors
}

fn port(errors: &mut Errors, path: &Path, entry: &Value) {
    optional_one_of(errors, &path.child("protocol"), &entry["protocol"], &["TCP", "UDP", "SCTP"]);
    let (at, at_end, end) = (path.child("port"), path.child("endPort"), &entry["endPort"]);
    match &entry["port"] {
        Value::String(name) => {
            if given(end) {
                let detail = "may not be specified when `port` is non-numeric";
                errors.push(Error::invalid(at_end, end.clone(), detail));
            }
            format(errors, &at, name, formats::port_name);
        }
        Value::Null if given(end) => {
            let detail = "may not be specified when `port` is not specified";
            errors.push(Error::invalid(at_end, end.clone(), detail));
        }
        Value::Null => {}
        first => {
            let first = number(first);
            for problem in formats::port_number(first) {
                errors.push(Error::invalid(at, first, problem));
            }
            if given(end) {
                if number(end) < first {
                    let detail = "must be greater than or equal to `port`";
                    errors.push(Error::invalid(at_end, first, detail));
                }
                for problem in formats::port_number(number(end)) {
                    errors.push(Error::invalid(at_end, end.clone(), problem));
                }
            }
        }
    }
}

fn peer(errors: &mut Errors, path: &Path, peer: &Value, kept: &[&str]) {
    let mut count = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if given(&peer[field]) {
            count += 1;
            label_selector(errors, &path.child(field), &peer[field]);
        }
    }
    if given(&peer["ipBlock"]) {
        count += 1;
        block(errors, &path.child("ipBlock"), &peer["ipBlock"], kept);
    }
    if count == 0 {
        errors.push(Error::required(path, "must specify a peer"));
    } else if count > 1 && given(&peer["ipBlock"]) {
        let detail = "may not specify both ipBlock and another peer";
        errors.push(Error::forbidden(path, detail));
    }
}

fn block(errors: &mut Errors, path: &Path, block: &Value, kept: &[&str]) {
    let (at, whole) = (path.child("cidr"), text(&block["cidr"]));
    if whole.is_empty() {
        errors.push(Error::required(at, ""));
        return;
    }
    let well_formed = |errors: &mut Errors, at: &Path, cidr: &str| {
        if !kept.contains(&cidr) {
            format(errors, at, cidr, formats::strict_cidr);
        }
    };
    well_formed(errors, &at, whole);
    let Some((base, length)) = formats::parse_cidr(whole) else {
        return;
    };
    let base = formats::network(base, length);
    let at = path.child("except");
    for (i, except) in list(&block["except"]).iter().map(text).enumerate() {
        let at = at.index(i);
        well_formed(errors, &at, except);
        if let Some((inner, inner_length)) = formats::parse_cidr(except) {
            let inside = inner.is_ipv4() == base.is_ipv4() && formats::network(inner, length) == base;
            if !inside || length >= inner_length {
                let detail = "must be a strict subset of `cidr`";
                errors.push(Error::invalid(at, except, detail));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(spec: Value) -> Value {
        let mut object = json!({"metadata": {"name": "p"}, "spec": spec});
        NetworkPolicyHooks.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let check = |spec: Value, expected: &[&str]| {
            let errors = NetworkPolicyHooks.validate_create(&policy(spec));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80}], "from": [{"podSelector": {}}]}]}), &[]);
        check(
            json!({"policyTypes": ["Any"]}),
            &["spec.policyTypes[0]: Unsupported value: \"Any\": supported values: \"Ingress\", \"Egress\""],
        );
        check(
            json!({"ingress": [{"from": [{}]}]}),
            &["spec.ingress[0].from[0]: Required value: must specify a peer"],
        );
        check(
            json!({"egress": [{"to": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]}),
            &["spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer"],
        );
        check(
            json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "11.0.0.0/16"]}}]}]}),
            &["spec.egress[0].to[0].ipBlock.except[1]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`"],
        );
        check(
            json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]}),
            &["spec.egress[0].to[0].ipBlock.cidr: Invalid value: \"10.0.0.1/8\": must not have bits set beyond the \
               prefix length"],
        );
        check(
            json!({"ingress": [{"ports": [{"port": 80, "endPort": 70}, {"endPort": 1}, {"port": "a", "endPort": 1}]}]}),
            &[
                "spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
                "spec.ingress[0].ports[1].endPort: Invalid value: 1: may not be specified when `port` is not specified",
                "spec.ingress[0].ports[2].endPort: Invalid value: 1: may not be specified when `port` is non-numeric",
            ],
        );
    }

    #[test]
    fn defaults() {
        let check = |spec: Value, types: Value| assert_eq!(policy(spec)["spec"]["policyTypes"], types);
        check(json!({}), json!(["Ingress"]));
        check(json!({"egress": []}), json!(["Ingress"]));
        check(json!({"egress": [{}]}), json!(["Ingress", "Egress"]));
    }

    #[test]
    fn what_stood_may_stay() {
        let old = policy(json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]}));
        assert_eq!(NetworkPolicyHooks.validate_update(&old, &old), []);
    }
}
