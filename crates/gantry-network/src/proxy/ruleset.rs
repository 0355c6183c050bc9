//! What the kernel has, and the transactions that change it.
//!
//! Each Service, and each pod with host ports, is a [`Unit`] with [`Rules`] of its own: chains, sets and elements of the
//! shared maps. A transaction holds only the units that changed, so its length follows the change and not the cluster.

use super::Config;
use super::conntrack::Flow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

/// Makes sure that the table is not there.
pub(super) const REMOVE: &str = "add table ip gantry\ndelete table ip gantry\n";

/// What rules are made for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    /// The Service with this namespace and name.
    Service(String),
    /// The pod with this namespace and name.
    Pod(String),
}

/// The shared maps, from where a packet goes to what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Map {
    /// Address, protocol and port, to the chain of a Service.
    Services,
    /// Protocol and port on any of the node's addresses, to the chain of a Service.
    Ports,
    /// Address, protocol and port of Services that have no endpoint.
    Refused,
    /// The same for ports of the node.
    RefusedPorts,
}

impl Map {
    fn name(self) -> &'static str {
        match self {
            Map::Services => "services",
            Map::Ports => "ports",
            Map::Refused => "refused",
            Map::RefusedPorts => "refused-ports",
        }
    }
}

/// The rules of one unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rules {
    /// The rules of each chain, in order.
    pub chains: BTreeMap<String, Vec<String>>,
    /// Sets of the clients that stay with an endpoint, and for how many seconds.
    pub sets: BTreeMap<String, u64>,
    /// Elements of the shared maps: the key, and the verdict.
    pub elements: BTreeMap<(Map, String), String>,
    /// Which UDP endpoints each address and port leads to.
    pub udp: BTreeMap<(Option<std::net::Ipv4Addr>, u16), BTreeSet<std::net::Ipv4Addr>>,
}

/// All rules. Clones share what they have in common.
#[derive(Clone)]
pub(super) struct Ruleset {
    base: Arc<str>,
    units: BTreeMap<Unit, Arc<Rules>>,
    /// Who wants each element. Two Services may claim one address; the first in order has it.
    claims: BTreeMap<(Map, String), BTreeMap<Unit, String>>,
    changed: BTreeSet<Unit>,
}

impl Ruleset {
    /// Without any unit.
    pub fn new(config: &Config) -> Ruleset {
        Ruleset {
            base: base(config).into(),
            units: BTreeMap::new(),
            claims: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Gives a unit its rules; one without rules is gone.
    pub fn set(&mut self, unit: Unit, rules: Rules) {
        let old = self.units.remove(&unit);
        for element in old.iter().flat_map(|o| o.elements.keys()) {
            if let Some(claims) = self.claims.get_mut(element) {
                claims.remove(&unit);
                if claims.is_empty() {
                    self.claims.remove(element);
                }
            }
        }
        for (element, verdict) in &rules.elements {
            let claims = self.claims.entry(element.clone()).or_default();
            claims.insert(unit.clone(), verdict.clone());
        }
        if rules != Rules::default() {
            self.units.insert(unit.clone(), Arc::new(rules));
        }
        self.changed.insert(unit);
    }

    /// The transaction that makes these rules out of anything.
    pub fn whole(&self) -> String {
        let mut text = format!("{REMOVE}{}", self.base);
        let none = Rules::default();
        let rules: Vec<_> = self.units.values().map(|new| (&none, &**new)).collect();
        write_chains(&mut text, &rules);
        for (element, claims) in &self.claims {
            if let Some(verdict) = claims.values().next() {
                add_element(&mut text, element, verdict);
            }
        }
        text
    }

    /// The transaction that makes these rules out of `old`, from which they came by changes of units.
    pub fn since(&self, old: &Ruleset) -> String {
        let none = Arc::new(Rules::default());
        let rules = |set: &'_ Ruleset, unit: &Unit| set.units.get(unit).unwrap_or(&none).clone();
        let changed: Vec<(Arc<Rules>, Arc<Rules>)> = self
            .changed
            .iter()
            .map(|unit| (rules(old, unit), rules(self, unit)))
            .filter(|(old, new)| old != new)
            .collect();
        let changed: Vec<(&Rules, &Rules)> = changed.iter().map(|(old, new)| (&**old, &**new)).collect();
        let mut text = String::new();
        write_chains(&mut text, &changed);
        let touched: BTreeSet<_> = changed
            .iter()
            .flat_map(|(old, new)| old.elements.keys().chain(new.elements.keys()))
            .collect();
        for element in touched {
            let verdict = |set: &Ruleset| set.claims.get(element).and_then(|c| c.values().next().cloned());
            let (before, after) = (verdict(old), verdict(self));
            if before == after {
                continue;
            }
            if before.is_some() {
                let (map, key) = element;
                let _ = writeln!(text, "delete element ip gantry {} {{ {key} }}", map.name());
            }
            if let Some(verdict) = after {
                add_element(&mut text, element, &verdict);
            }
        }
        delete_unused(&mut text, &changed);
        text
    }

    /// The UDP flows that `old` led where these rules do not, for the changed units, which are no longer counted as
    /// changed.
    pub fn stale_flows(&mut self, old: Option<&Ruleset>) -> Vec<Flow> {
        let changed = std::mem::take(&mut self.changed);
        let mut flows = Vec::new();
        let none = Arc::new(Rules::default());
        for unit in changed {
            let old = old.and_then(|o| o.units.get(&unit)).unwrap_or(&none);
            let new = self.units.get(&unit).unwrap_or(&none);
            for (at, endpoints) in &new.udp {
                // Flows from before there was an endpoint lead nowhere, and would stay.
                if !endpoints.is_empty() && old.udp.get(at).is_none_or(BTreeSet::is_empty) {
                    let (address, port) = *at;
                    flows.push(Flow {
                        address,
                        port,
                        endpoint: None,
                    });
                }
            }
            for (at, endpoints) in &old.udp {
                let kept = new.udp.get(at);
                let gone = endpoints
                    .iter()
                    .filter(|e| kept.is_none_or(|kept| !kept.contains(e)));
                flows.extend(gone.map(|endpoint| Flow {
                    address: at.0,
                    port: at.1,
                    endpoint: Some(*endpoint),
                }));
            }
        }
        flows
    }
}

/// Makes new chains and sets, and writes the rules of changed chains. Chains may lead to each other, so all are made
/// before any is written.
fn write_chains(text: &mut String, changed: &[(&Rules, &Rules)]) {
    for (old, new) in changed {
        for (set, seconds) in &new.sets {
            if !old.sets.contains_key(set) {
                let _ = writeln!(
                    text,
                    "add set ip gantry {set} {{ type ipv4_addr; flags dynamic,timeout; timeout {seconds}s; }}"
                );
            }
        }
        for chain in new.chains.keys().filter(|c| !old.chains.contains_key(*c)) {
            let _ = writeln!(text, "add chain ip gantry {chain}");
        }
    }
    for (old, new) in changed {
        for (chain, rules) in &new.chains {
            let before = old.chains.get(chain);
            if before == Some(rules) {
                continue;
            }
            if before.is_some() {
                let _ = writeln!(text, "flush chain ip gantry {chain}");
            }
            for rule in rules {
                let _ = writeln!(text, "add rule ip gantry {chain} {rule}");
            }
        }
    }
}

/// Removes chains and sets that no rule leads to any more: first what they hold, for they may lead to each other.
fn delete_unused(text: &mut String, changed: &[(&Rules, &Rules)]) {
    let unused = || {
        changed.iter().flat_map(|(old, new)| {
            let unused = old.chains.keys().filter(|c| !new.chains.contains_key(*c));
            unused.collect::<Vec<_>>()
        })
    };
    for chain in unused() {
        let _ = writeln!(text, "flush chain ip gantry {chain}");
    }
    for chain in unused() {
        let _ = writeln!(text, "delete chain ip gantry {chain}");
    }
    for (old, new) in changed {
        for set in old.sets.keys().filter(|s| !new.sets.contains_key(*s)) {
            let _ = writeln!(text, "delete set ip gantry {set}");
        }
    }
}

fn add_element(text: &mut String, (map, key): &(Map, String), verdict: &str) {
    let _ = writeln!(
        text,
        "add element ip gantry {} {{ {key} : {verdict} }}",
        map.name()
    );
}

/// The table with what all units share.
///
/// Packets whose source is to become the node's carry the mark 0x4000 from the chain that chose their endpoint to
/// postrouting. Refusals stand before address translation, so that a packet needs no route to be refused.
fn base(config: &Config) -> String {
    let (pods, cluster) = (&config.pod_cidr, &config.cluster_cidr);
    format!(
        "table ip gantry {{
  map services {{
    type ipv4_addr . inet_proto . inet_service : verdict
  }}
  map ports {{
    type inet_proto . inet_service : verdict
  }}
  map refused {{
    type ipv4_addr . inet_proto . inet_service : verdict
  }}
  map refused-ports {{
    type inet_proto . inet_service : verdict
  }}
  chain masquerade-later {{
    meta mark set meta mark or 0x4000
  }}
  chain refuse {{
    reject
  }}
  chain discard {{
    drop
  }}
  chain refusals {{
    ip daddr . meta l4proto . th dport vmap @refused
    fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @refused-ports
  }}
  chain dispatch {{
    ip daddr . meta l4proto . th dport vmap @services
    fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @ports
  }}
  chain refuse-prerouting {{
    type filter hook prerouting priority -110; policy accept;
    ct state new jump refusals
  }}
  chain refuse-output {{
    type filter hook output priority -110; policy accept;
    ct state new jump refusals
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    jump dispatch
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    jump dispatch
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    meta mark and 0x4000 == 0x4000 goto masquerade-now
    ip saddr {pods} ip daddr != {cluster} masquerade fully-random
  }}
  chain masquerade-now {{
    meta mark set meta mark xor 0x4000
    masquerade fully-random
  }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn config() -> Config {
        Config {
            node_name: "n".into(),
            pod_cidr: "10.42.0.0/24".into(),
            cluster_cidr: "10.42.0.0/16".into(),
        }
    }

    fn rules(chains: &[(&str, &[&str])], elements: &[(&str, &str)]) -> Rules {
        let text = |s: &&str| s.to_string();
        Rules {
            chains: chains
                .iter()
                .map(|(c, r)| (c.to_string(), r.iter().map(text).collect()))
                .collect(),
            elements: elements
                .iter()
                .map(|(k, v)| ((Map::Services, k.to_string()), v.to_string()))
                .collect(),
            ..Default::default()
        }
    }

    fn service(name: &str) -> Unit {
        Unit::Service(name.into())
    }

    #[test]
    fn transactions_hold_only_what_changed() {
        let mut old = Ruleset::new(&config());
        for i in 0..1000 {
            let (chain, key) = (format!("c{i}"), format!("10.43.0.{i} . tcp . 80"));
            let of = rules(&[(&chain, &["accept"])], &[(&key, &format!("goto {chain}"))]);
            old.set(service(&format!("s{i:04}")), of);
        }
        old.stale_flows(None);
        let mut new = old.clone();
        let key = "10.43.0.7 . tcp . 80";
        new.set(
            service("s0007"),
            rules(&[("c7", &["goto d7"]), ("d7", &["drop"])], &[(key, "goto c7")]),
        );
        assert_eq!(
            new.since(&old),
            "add chain ip gantry d7\nflush chain ip gantry c7\nadd rule ip gantry c7 goto d7\n\
             add rule ip gantry d7 drop\n"
        );
        new.stale_flows(Some(&old));
        let mut gone = new.clone();
        gone.set(service("s0007"), Rules::default());
        assert_eq!(
            gone.since(&new),
            "delete element ip gantry services { 10.43.0.7 . tcp . 80 }\nflush chain ip gantry c7\n\
             flush chain ip gantry d7\ndelete chain ip gantry c7\ndelete chain ip gantry d7\n"
        );
        let mut same = gone.clone();
        same.stale_flows(Some(&new));
        same.set(
            service("s0008"),
            rules(&[("c8", &["accept"])], &[("10.43.0.8 . tcp . 80", "goto c8")]),
        );
        assert_eq!(same.since(&gone), "");
    }

    #[test]
    fn the_first_claim_on_an_address_holds() {
        let mut set = Ruleset::new(&config());
        let key = "1.2.3.4 . tcp . 80";
        set.set(service("b"), rules(&[("b", &[])], &[(key, "goto b")]));
        set.stale_flows(None);
        let mut both = set.clone();
        both.set(service("a"), rules(&[("a", &[])], &[(key, "goto a")]));
        let swap = "delete element ip gantry services { 1.2.3.4 . tcp . 80 }\n\
                    add element ip gantry services { 1.2.3.4 . tcp . 80 : goto a }\n";
        assert_eq!(both.since(&set), format!("add chain ip gantry a\n{swap}"));
        both.stale_flows(Some(&set));
        let mut back = both.clone();
        back.set(service("a"), Rules::default());
        assert!(back.since(&both).contains(": goto b"), "{}", back.since(&both));
    }

    #[test]
    fn flows_to_lost_endpoints_are_stale() {
        let at = (Some(Ipv4Addr::new(10, 43, 0, 1)), 53);
        let of = |last: &[u8]| Rules {
            udp: [(at, last.iter().map(|l| Ipv4Addr::new(10, 42, 0, *l)).collect())].into(),
            ..Default::default()
        };
        let check = |before: &[u8], after: &[u8], expected: &[Option<u8>]| {
            let mut old = Ruleset::new(&config());
            old.set(service("a"), of(before));
            old.stale_flows(None);
            let mut new = old.clone();
            new.set(service("a"), of(after));
            let flow = |last: &Option<u8>| Flow {
                address: at.0,
                port: 53,
                endpoint: last.map(|l| Ipv4Addr::new(10, 42, 0, l)),
            };
            let expected: Vec<_> = expected.iter().map(flow).collect();
            assert_eq!(new.stale_flows(Some(&old)), expected, "{before:?} {after:?}");
        };
        check(&[1, 2], &[2, 3], &[Some(1)]);
        check(&[], &[1], &[None]);
        check(&[1], &[], &[Some(1)]);
        check(&[1], &[1], &[]);
    }
}
