//! Node IPAM: gives each node its part of the pods' addresses, a /24 (IPv6: /64).
//!
//! Source: pkg/controller/nodeipam/ipam, the range allocator.

use crate::object::{items, text};
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_client::resource::NODES;
use gantry_client::{Change, Informer, PatchType, Resource, key_of};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A range is divided into this many parts at most, as upstream has it.
const MOST_PARTS: u128 = 1 << 16;

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "node-ipam-controller",
    queue: "cidrallocator_node",
    workers: 5,
    watches: || vec![NODES],
    rules: &[
        Rule { groups: &[""], resources: &["nodes"], verbs: &["get", "list", "patch", "update", "watch"] },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let nodes = ctx.informers.of(&NODES);
        let cidr = ctx.config.cluster_cidr.clone().unwrap_or_default();
        let ranges: Vec<Range> = cidr.split(',').filter_map(|one| Range::parse(one.trim())).collect();
        if ranges.is_empty() && !cidr.is_empty() {
            tracing::error!("{cidr:?} is no range of addresses, so nodes get none for their pods");
        }
        Arc::new(NodeIpam { ctx, nodes, ranges: Mutex::new(ranges), taken: Mutex::default() })
    },
};

struct NodeIpam {
    ctx: Context,
    nodes: Arc<Informer>,
    ranges: Mutex<Vec<Range>>,
    // What nodes have, or are about to get.
    taken: Mutex<HashSet<String>>,
}

#[async_trait]
impl Controller for NodeIpam {
    fn keys(&self, _: &Resource, change: Change<'_>) -> Vec<String> {
        let cidrs = |node: &Value| items(&node["spec"]["podCIDRs"]).map(|c| text(c).to_string()).collect::<Vec<_>>();
        let mut taken = self.taken();
        match change.new {
            Some(node) => {
                let own = cidrs(node);
                let lacks = own.is_empty();
                taken.extend(own);
                if lacks { vec![key_of(node)] } else { Vec::new() }
            }
            None => {
                for cidr in cidrs(change.object()) {
                    taken.remove(&cidr);
                }
                // Others may have waited for its addresses.
                let nodes = self.nodes.list();
                nodes.iter().filter(|n| cidrs(n).is_empty()).map(|n| key_of(n)).collect()
            }
        }
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let lacks = |node: &Value| items(&node["spec"]["podCIDRs"]).next().is_none() && !meta::is_deleting(node);
        let Some(node) = self.nodes.get("", key).filter(|n| lacks(n)) else { return Ok(Next::Done) };
        let Some(cidrs) = self.take() else {
            let message = format!("Node {key} status is now: CIDRNotAvailable");
            self.ctx.events.event(&node, "Normal", "CIDRNotAvailable", message);
            return Err(Error::Object("no addresses are left for the pods of another node".into()));
        };
        if cidrs.is_empty() {
            return Ok(Next::Done);
        }
        let patch = json!({
            "metadata": {"uid": crate::object::uid(&node)}, "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
        });
        let Err(error) = self.ctx.client.patch(&NODES, ("", key), "", PatchType::Merge, &patch).await else {
            return Ok(Next::Done);
        };
        // The cache may be behind, or the answer was lost: what the node has now decides.
        let now = self.ctx.client.get(&NODES, "", key).await;
        if !matches!(&now, Ok(now) if now["spec"]["podCIDRs"] == json!(cidrs)) {
            let mut taken = self.taken();
            cidrs.iter().for_each(|cidr| {
                taken.remove(cidr);
            });
        }
        match now {
            Ok(now) if lacks(&now) => Err(error.into()),
            Ok(_) => Ok(Next::Done),
            Err(now) if now.is_not_found() => Ok(Next::Done),
            Err(now) => Err(now.into()),
        }
    }
}

impl NodeIpam {
    fn taken(&self) -> MutexGuard<'_, HashSet<String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part of each range, which counts as taken from now on; `None` when one has no more.
    fn take(&self) -> Option<Vec<String>> {
        let mut taken = self.taken();
        let mut ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        let cidrs: Vec<String> = ranges.iter_mut().map(|range| range.next(&taken)).collect::<Option<_>>()?;
        taken.extend(cidrs.iter().cloned());
        Some(cidrs)
    }
}

/// A range of addresses, divided into parts of one size.
#[derive(Clone, Debug)]
struct Range {
    base: IpAddr,
    part_bits: u8,
    parts: u128,
    // Where the search goes on, so that addresses that were given back rest for a while.
    at: u128,
}

impl Range {
    fn parse(cidr: &str) -> Option<Self> {
        let (base, bits) = cidr.split_once('/')?;
        let (base, bits): (IpAddr, u8) = (base.parse().ok()?, bits.parse().ok()?);
        let (size, usual) = if base.is_ipv4() { (32, 24) } else { (128, 64) };
        if bits > size {
            return None;
        }
        let part_bits = bits.max(usual);
        let parts = 1u128.checked_shl(u32::from(part_bits - bits)).unwrap_or(MOST_PARTS).min(MOST_PARTS);
        Some(Range { base, part_bits, parts, at: 0 })
    }

    fn next(&mut self, taken: &HashSet<String>) -> Option<String> {
        let (at, parts) = (self.at, self.parts);
        let found = (0..parts).map(|i| (at + i) % parts).find(|i| !taken.contains(&self.part(*i)))?;
        self.at = (found + 1) % parts;
        Some(self.part(found))
    }

    fn part(&self, index: u128) -> String {
        let address = match self.base {
            IpAddr::V4(base) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.part_bits)).unwrap_or(0);
                // There are fewer parts than addresses.
                let index = u32::try_from(index).unwrap_or(0);
                let offset = index.checked_shl(32 - u32::from(self.part_bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits((base.to_bits() & mask) | offset))
            }
            IpAddr::V6(base) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.part_bits)).unwrap_or(0);
                let offset = index.checked_shl(128 - u32::from(self.part_bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits((base.to_bits() & mask) | offset))
            }
        };
        format!("{address}/{}", self.part_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_divided() {
        let check = |cidr: &str, taken: &[&str], expected: &[Option<&str>]| {
            let taken: HashSet<String> = taken.iter().map(|t| t.to_string()).collect();
            let mut range = Range::parse(cidr).unwrap();
            let found: Vec<Option<String>> = expected.iter().map(|_| range.next(&taken)).collect();
            assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), expected, "{cidr}");
        };
        check("10.42.0.0/16", &[], &[Some("10.42.0.0/24"), Some("10.42.1.0/24"), Some("10.42.2.0/24")]);
        check("10.42.0.0/16", &["10.42.0.0/24"], &[Some("10.42.1.0/24")]);
        check("10.42.0.0/23", &["10.42.1.0/24"], &[Some("10.42.0.0/24"), Some("10.42.0.0/24")]);
        check("10.42.0.0/24", &["10.42.0.0/24"], &[None]);
        check("10.42.0.0/28", &[], &[Some("10.42.0.0/28")]);
        check("fd00::/56", &[], &[Some("fd00::/64"), Some("fd00:0:0:1::/64")]);
        check("0.0.0.0/0", &[], &[Some("0.0.0.0/24"), Some("0.0.1.0/24")]);
        for bad in ["", "10.42.0.0", "10.42.0.0/33", "x/8"] {
            assert!(Range::parse(bad).is_none(), "{bad}");
        }
    }
}
