//! The rules of a Service.
//!
//! Each of its ports has a chain that chooses an endpoint and a chain for each endpoint; a port that is reachable from
//! outside the cluster has one more, through which such traffic comes to the first.

use super::address;
use super::ruleset::{Map, Rules};
use serde_json::Value;
use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Names are cut at this length; nftables takes 127 bytes.
const NAME_LIMIT: usize = 110;
/// How long a client stays with its endpoint when the Service does not say, as upstream's default.
const AFFINITY_SECONDS: u64 = 10800;

/// Where traffic may go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Endpoint {
    pub ip: Ipv4Addr,
    pub port: u16,
    /// Whether it is on this node.
    pub local: bool,
}

/// The rules of a Service whose EndpointSlices are `slices`, on the node `node`.
pub(super) fn rules(service: &Value, slices: &[Arc<Value>], node: &str, cluster_cidr: &str) -> Rules {
    let mut rules = Rules::default();
    let spec = &service["spec"];
    let labels = &service["metadata"]["labels"];
    let others = labels.get("service.kubernetes.io/service-proxy-name").is_some()
        || labels.get("service.kubernetes.io/headless").is_some();
    let Some(cluster_ip) = address(&spec["clusterIP"]) else {
        return rules;
    };
    if others || spec["type"] == "ExternalName" {
        return rules;
    }
    for port in spec["ports"].as_array().into_iter().flatten() {
        let number = |field: &str| port[field].as_u64().and_then(|n| u16::try_from(n).ok());
        let Some(number_of_port) = number("port") else {
            continue;
        };
        let writer = Port {
            spec,
            key: gantry_client::key_of(service),
            name: port["name"].as_str().unwrap_or(""),
            protocol: port["protocol"].as_str().unwrap_or("TCP").to_ascii_lowercase(),
            number: number_of_port,
            node_port: number("nodePort").filter(|n| *n > 0),
            cluster_ip,
            cluster_cidr,
            affinity: affinity(spec),
        };
        let endpoints = endpoints(slices, writer.name, &writer.protocol, node);
        writer.write(&mut rules, &endpoints, &outside(service));
    }
    rules
}

/// For how many seconds clients stay with an endpoint, if they do.
fn affinity(spec: &Value) -> Option<u64> {
    let seconds = &spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"];
    (spec["sessionAffinity"] == "ClientIP").then(|| seconds.as_u64().unwrap_or(AFFINITY_SECONDS))
}

/// The addresses at which a Service is reached from outside: its external ones, and its load balancer's unless that
/// comes in by node ports.
fn outside(service: &Value) -> Vec<(Ipv4Addr, bool)> {
    let external = service["spec"]["externalIPs"].as_array().into_iter().flatten();
    let balancer = service["status"]["loadBalancer"]["ingress"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|i| i["ipMode"] != "Proxy");
    external
        .filter_map(address)
        .map(|ip| (ip, false))
        .chain(balancer.filter_map(|i| address(&i["ip"])).map(|ip| (ip, true)))
        .collect()
}

/// Endpoints by how they may be used.
#[derive(Default)]
struct Endpoints {
    ready: BTreeSet<Endpoint>,
    /// They end, and still answer.
    serving: BTreeSet<Endpoint>,
}

impl Endpoints {
    /// Those to use of `choose`: ready ones, or, when there is none, those that still answer.
    fn usable(&self, choose: impl Fn(&Endpoint) -> bool) -> Vec<&Endpoint> {
        let ready: Vec<_> = self.ready.iter().filter(|e| choose(e)).collect();
        match ready.is_empty() {
            true => self.serving.iter().filter(|e| choose(e)).collect(),
            false => ready,
        }
    }
}

fn endpoints(slices: &[Arc<Value>], name: &str, protocol: &str, node: &str) -> Endpoints {
    let mut found = Endpoints::default();
    for slice in slices.iter().filter(|s| s["addressType"] == "IPv4") {
        let ports = slice["ports"].as_array().into_iter().flatten();
        let port = ports
            .filter(|p| {
                let of = p["protocol"].as_str().unwrap_or("TCP");
                p["name"].as_str().unwrap_or("") == name && of.eq_ignore_ascii_case(protocol)
            })
            .find_map(|p| u16::try_from(p["port"].as_u64()?).ok());
        let Some(port) = port else { continue };
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            let Some(ip) = address(&endpoint["addresses"][0]) else {
                continue;
            };
            let condition = |name: &str| endpoint["conditions"][name].as_bool();
            let ready = condition("ready").unwrap_or(true);
            let serving = condition("serving").unwrap_or(ready);
            let one = Endpoint {
                ip,
                port,
                local: endpoint["nodeName"] == node,
            };
            if ready {
                found.ready.insert(one);
            } else if serving && condition("terminating") == Some(true) {
                found.serving.insert(one);
            }
        }
    }
    found
}

/// One port of a Service.
struct Port<'a> {
    spec: &'a Value,
    key: String,
    name: &'a str,
    protocol: String,
    number: u16,
    node_port: Option<u16>,
    cluster_ip: Ipv4Addr,
    cluster_cidr: &'a str,
    affinity: Option<u64>,
}

impl Port<'_> {
    fn write(&self, rules: &mut Rules, endpoints: &Endpoints, outside: &[(Ipv4Addr, bool)]) {
        let all = endpoints.usable(|_| true);
        let local = endpoints.usable(|e| e.local);
        let inside_local = self.spec["internalTrafficPolicy"] == "Local";
        let outside_local = self.spec["externalTrafficPolicy"] == "Local";
        let inside = if inside_local { &local } else { &all };
        let mut used: BTreeSet<&Endpoint> = inside.iter().copied().collect();
        let masquerade = format!(
            "ip daddr {} ip saddr != {} jump masquerade-later",
            self.cluster_ip, self.cluster_cidr
        );
        let verdict = match (inside.is_empty(), all.is_empty()) {
            (false, _) => {
                let chain = self.chain("service");
                let lines = [vec![masquerade.clone()], self.choice(inside)].concat();
                rules.chains.insert(chain.clone(), lines);
                format!("goto {chain}")
            }
            (true, true) => "goto refuse".into(),
            // There are endpoints, but not for this traffic.
            (true, false) => "goto discard".into(),
        };
        self.element(rules, Some(self.cluster_ip), self.number, &verdict, inside);
        if outside.is_empty() && self.node_port.is_none() {
            self.endpoint_chains(rules, &used);
            return;
        }
        let reachable = if outside_local { &local } else { &all };
        // The local ones may be none of all: they end while others elsewhere are ready.
        used.extend(all.iter().chain(reachable).copied());
        let verdict = match all.is_empty() {
            true => "goto refuse".to_string(),
            false => {
                // All endpoints stand in one chain, which node ports share with the cluster's address if it may.
                let any = match inside_local {
                    false => self.chain("service"),
                    true => {
                        let chain = self.chain("any");
                        rules.chains.insert(chain.clone(), self.choice(&all));
                        chain
                    }
                };
                let mut lines = Vec::new();
                if outside_local {
                    // What comes from the cluster itself is not outside, whichever address it asked.
                    lines.push(format!("ip saddr {} goto {any}", self.cluster_cidr));
                    lines.push("fib saddr type local jump masquerade-later".into());
                    lines.push(format!("fib saddr type local goto {any}"));
                    match local.is_empty() {
                        true => lines.push("drop".into()),
                        false => lines.extend(self.choice(&local)),
                    }
                } else {
                    lines.push("jump masquerade-later".into());
                    lines.push(format!("goto {any}"));
                }
                let chain = self.chain("external");
                rules.chains.insert(chain.clone(), lines);
                format!("goto {chain}")
            }
        };
        self.endpoint_chains(rules, &used);
        for (ip, balancer) in outside {
            let verdict = match (balancer, self.guard(rules, &verdict)) {
                (true, Some(guarded)) => guarded,
                _ => verdict.clone(),
            };
            self.element(rules, Some(*ip), self.number, &verdict, reachable);
        }
        if let Some(node_port) = self.node_port {
            self.element(rules, None, node_port, &verdict, reachable);
        }
    }

    /// Keeps a load balancer's address to the sources that the Service names, if it names any.
    fn guard(&self, rules: &mut Rules, verdict: &str) -> Option<String> {
        let ranges = self.spec["loadBalancerSourceRanges"].as_array()?;
        let ranges: Vec<&str> = ranges.iter().filter_map(|r| r.as_str()).map(str::trim).collect();
        let network = |r: &&str| r.parse::<ipnet::Ipv4Net>().is_ok();
        let ranges: Vec<&str> = ranges.into_iter().filter(network).collect();
        if ranges.is_empty() || verdict == "goto refuse" {
            return None;
        }
        let chain = self.chain("firewall");
        let lines = vec![
            format!("ip saddr != {{ {} }} drop", ranges.join(", ")),
            verdict.to_string(),
        ];
        rules.chains.insert(chain.clone(), lines);
        Some(format!("goto {chain}"))
    }

    /// Leads an address and port, or a port of the node, to a verdict.
    fn element(
        &self,
        rules: &mut Rules,
        ip: Option<Ipv4Addr>,
        port: u16,
        verdict: &str,
        endpoints: &[&Endpoint],
    ) {
        let refused = matches!(verdict, "goto refuse" | "goto discard");
        let (map, key) = match (ip, refused) {
            (Some(ip), refused) => (
                if refused { Map::Refused } else { Map::Services },
                format!("{ip} . {} . {port}", self.protocol),
            ),
            (None, refused) => (
                if refused { Map::RefusedPorts } else { Map::Ports },
                format!("{} . {port}", self.protocol),
            ),
        };
        rules.elements.insert((map, key), verdict.into());
        if self.protocol == "udp" {
            let ips = endpoints.iter().map(|e| e.ip);
            rules.udp.entry((ip, port)).or_default().extend(ips);
        }
    }

    /// Rules that choose one of `endpoints`: the one the client was with before, or any.
    fn choice(&self, endpoints: &[&Endpoint]) -> Vec<String> {
        let mut lines = Vec::new();
        if self.affinity.is_some() {
            for endpoint in endpoints {
                let (set, chain) = (self.set(endpoint), self.endpoint_chain(endpoint));
                lines.push(format!("ip saddr @{set} goto {chain}"));
            }
        }
        let chains = endpoints.iter().enumerate();
        let choices: Vec<String> = chains
            .map(|(i, e)| format!("{i} : goto {}", self.endpoint_chain(e)))
            .collect();
        lines.push(format!(
            "numgen random mod {} vmap {{ {} }}",
            choices.len(),
            choices.join(", ")
        ));
        lines
    }

    fn endpoint_chains(&self, rules: &mut Rules, endpoints: &BTreeSet<&Endpoint>) {
        for endpoint in endpoints {
            let set = self.affinity.map(|seconds| {
                let set = self.set(endpoint);
                rules.sets.insert(set.clone(), seconds);
                set
            });
            let lines = endpoint_rules(endpoint, &self.protocol, set.as_deref());
            rules.chains.insert(self.endpoint_chain(endpoint), lines);
        }
    }

    fn chain(&self, what: &str) -> String {
        name(what, &[&self.key, &self.protocol, self.name])
    }

    fn endpoint_chain(&self, endpoint: &Endpoint) -> String {
        self.named("endpoint", endpoint)
    }

    /// The set's timeout is in its name: it cannot be changed later.
    fn set(&self, endpoint: &Endpoint) -> String {
        let seconds = self.affinity.unwrap_or(AFFINITY_SECONDS);
        self.named(&format!("affinity-{seconds}"), endpoint)
    }

    fn named(&self, what: &str, endpoint: &Endpoint) -> String {
        let (ip, port) = (endpoint.ip.to_string(), endpoint.port.to_string());
        name(what, &[&self.key, &self.protocol, self.name, &ip, &port])
    }
}

/// The rules of an endpoint's chain. A pod that reaches itself must not see its own address as the source.
pub(super) fn endpoint_rules(endpoint: &Endpoint, protocol: &str, affinity: Option<&str>) -> Vec<String> {
    let Endpoint { ip, port, .. } = endpoint;
    let mut lines = vec![format!("ip saddr {ip} jump masquerade-later")];
    if let Some(set) = affinity {
        lines.push(format!("update @{set} {{ ip saddr }}"));
    }
    lines.push(format!("meta l4proto {protocol} dnat to {ip}:{port}"));
    lines
}

/// A name that people can read, and that a hash sets apart from others that are cut to the same.
pub(super) fn name(what: &str, parts: &[&str]) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    let mut name = format!("{what}-{:08x}-{}", hasher.finish() as u32, parts.join("/"));
    name.truncate(NAME_LIMIT);
    // Nothing but a letter or digit may end a name.
    name.truncate(name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len());
    name
}

#[cfg(test)]
mod tests;
