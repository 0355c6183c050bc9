//! The subsets of Endpoints in their canonical form, as upstream's RepackSubsets makes them: ports that have the same
//! addresses stand together.

use crate::object::{items, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Ports, and the addresses that are behind all of them.
#[derive(Debug)]
pub(crate) struct Subset<'a> {
    /// EndpointPorts, ordered.
    pub(crate) ports: Vec<Value>,
    /// EndpointAddresses, ordered by IP and the uid of their target, and whether they are ready.
    pub(crate) addresses: Addresses<'a>,
}

/// Addresses by IP and the uid of their target.
pub(crate) type Addresses<'a> = BTreeMap<(&'a str, &'a str), (&'a Value, bool)>;

/// Makes subsets canonical. An address that is both ready and not ready for a port is not.
pub(crate) fn repack(subsets: &Value) -> Vec<Subset<'_>> {
    let mut by_port: BTreeMap<String, (Option<Value>, Addresses)> = BTreeMap::new();
    for subset in items(subsets) {
        let mut ports: Vec<Option<&Value>> = items(&subset["ports"]).map(Some).collect();
        if ports.is_empty() {
            ports.push(None);
        }
        for port in ports {
            let key = port.map(Value::to_string).unwrap_or_default();
            let addresses = &mut by_port
                .entry(key)
                .or_insert_with(|| (port.cloned(), Addresses::new()))
                .1;
            for (list, ready) in [("addresses", true), ("notReadyAddresses", false)] {
                for address in items(&subset[list]) {
                    let key = (text(&address["ip"]), text(&address["targetRef"]["uid"]));
                    addresses
                        .entry(key)
                        .and_modify(|old| old.1 &= ready)
                        .or_insert((address, ready));
                }
            }
        }
    }
    let mut packed: Vec<Subset> = Vec::new();
    for (port, addresses) in by_port.into_values() {
        match packed.iter_mut().find(|s| s.addresses == addresses) {
            Some(subset) => subset.ports.extend(port),
            None => packed.push(Subset {
                ports: port.into_iter().collect(),
                addresses,
            }),
        }
    }
    packed
}

impl Subset<'_> {
    /// The subset as the API has it.
    pub(crate) fn to_value(&self) -> Value {
        let mut subset = json!({});
        for (list, wanted) in [("addresses", true), ("notReadyAddresses", false)] {
            let addresses: Vec<&Value> = self
                .addresses
                .values()
                .filter(|(_, ready)| *ready == wanted)
                .map(|(address, _)| *address)
                .collect();
            if !addresses.is_empty() {
                subset[list] = json!(addresses);
            }
        }
        if !self.ports.is_empty() {
            subset["ports"] = self.ports.clone().into();
        }
        subset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_the_same_addresses_stand_together() {
        let port = |n: u16| json!({"port": n});
        let ip = |ip: &str| json!({"ip": ip});
        let check = |what: &str, subsets: Value, expected: Value| {
            let found: Vec<Value> = repack(&subsets).iter().map(Subset::to_value).collect();
            assert_eq!(Value::Array(found), expected, "{what}");
        };
        check("nothing", json!(null), json!([]));
        check(
            "they are ordered",
            json!([{"ports": [port(81), port(80)], "addresses": [ip("10.0.0.2"), ip("10.0.0.1")]}]),
            json!([{"ports": [port(80), port(81)], "addresses": [ip("10.0.0.1"), ip("10.0.0.2")]}]),
        );
        check(
            "the same addresses",
            json!([
                {"ports": [port(80)], "addresses": [ip("10.0.0.1")]}, {"ports": [port(81)], "addresses": [ip("10.0.0.1")]},
            ]),
            json!([{"ports": [port(80), port(81)], "addresses": [ip("10.0.0.1")]}]),
        );
        check(
            "one has another port as well",
            json!([
                {"ports": [port(80), port(81)], "addresses": [ip("10.0.0.1")]},
                {"ports": [port(80)], "addresses": [ip("10.0.0.2")]},
            ]),
            json!([
                {"ports": [port(80)], "addresses": [ip("10.0.0.1"), ip("10.0.0.2")]},
                {"ports": [port(81)], "addresses": [ip("10.0.0.1")]},
            ]),
        );
        check(
            "ready and not",
            json!([{"ports": [port(80)], "addresses": [ip("10.0.0.1")], "notReadyAddresses": [ip("10.0.0.1")]}]),
            json!([{"ports": [port(80)], "notReadyAddresses": [ip("10.0.0.1")]}]),
        );
    }
}
