//! ServiceCIDRs are ready once they are held by a finalizer, and go only when no Service has an address of theirs alone.
//!
//! Source: pkg/controller/servicecidrs.

use crate::object::{condition, items, now_stamp, text, time_of};
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use async_trait::async_trait;
use gantry_api::{formats, meta};
use gantry_client::resource::{IP_ADDRESSES, SERVICE_CIDRS};
use gantry_client::{Change, Informer, PatchType, Resource, key_of};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const MANAGER: &str = "service-cidr-controller";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator.k8s.io";
/// After this long every API server knows of the deletion, and gives no more addresses out of it.
const GRACE: Duration = Duration::from_secs(10);

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "service-cidrs-controller",
    queue: "ipaddresses",
    workers: 5,
    watches: || vec![SERVICE_CIDRS, IP_ADDRESSES],
    rules: &[
        Rule {
            groups: &["networking.k8s.io"],
            resources: &["servicecidrs"],
            verbs: &["get", "list", "patch", "update", "watch"],
        },
        Rule {
            groups: &["networking.k8s.io"],
            resources: &["servicecidrs/finalizers", "servicecidrs/status"],
            verbs: &["patch", "update"],
        },
        Rule { groups: &["networking.k8s.io"], resources: &["ipaddresses"], verbs: &["get", "list", "watch"] },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let (cidrs, addresses) = (ctx.informers.of(&SERVICE_CIDRS), ctx.informers.of(&IP_ADDRESSES));
        Arc::new(ServiceCidrs { ctx, cidrs, addresses })
    },
};

struct ServiceCidrs {
    ctx: Context,
    cidrs: Arc<Informer>,
    addresses: Arc<Informer>,
}

#[async_trait]
impl Controller for ServiceCidrs {
    /// Each ServiceCIDR that a change may hold or set free.
    fn keys(&self, resource: &Resource, change: Change<'_>) -> Vec<String> {
        let object = change.object();
        let touched = |other: &Value| match *resource == IP_ADDRESSES {
            true => address_of(object).is_some_and(|address| holds(other, address)),
            false => meta::name(other) == meta::name(object) || overlap(other, object),
        };
        let others = self.cidrs.iter().filter(|other| touched(other)).map(|other| key_of(&other));
        let own = change.new.filter(|_| *resource == SERVICE_CIDRS).map(|new| key_of(new));
        own.into_iter().chain(others).collect()
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        self.addresses.synced().await;
        let Some(cidr) = self.cidrs.get("", key) else { return Ok(Next::Done) };
        let has_finalizer = items(&cidr["metadata"]["finalizers"]).any(|f| f == FINALIZER);
        if !meta::is_deleting(&cidr) {
            if !has_finalizer {
                self.patch(key, json!({"finalizers": [FINALIZER]})).await?;
            }
            self.say(&cidr, "True", "", "Kubernetes Service CIDR is ready").await?;
            return Ok(Next::Done);
        }
        let others: Vec<Arc<Value>> = self.cidrs.iter().filter(|other| meta::name(other) != key).collect();
        let taken = self.addresses.iter().filter_map(|object| address_of(&object));
        if !may_go(&cidr, &others, taken) {
            let why = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new \
                       ServiceCIDR";
            self.say(&cidr, "False", "Terminating", why).await?;
            return Ok(Next::Done);
        }
        let since = time_of(&cidr["metadata"]["deletionTimestamp"]).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let age = Duration::try_from(OffsetDateTime::now_utc() - since).unwrap_or_default();
        if let Some(left) = GRACE.checked_sub(age).filter(|left| !left.is_zero()) {
            return Ok(Next::After(left));
        }
        if has_finalizer {
            self.patch(key, json!({"$deleteFromPrimitiveList/finalizers": [FINALIZER]})).await?;
        }
        Ok(Next::Done)
    }
}

impl ServiceCidrs {
    async fn patch(&self, key: &str, metadata: Value) -> Result<(), Error> {
        let patch = json!({"metadata": metadata});
        match self.ctx.client.patch(&SERVICE_CIDRS, ("", key), "", PatchType::Strategic, &patch).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Says whether a ServiceCIDR is ready, unless that is said already.
    async fn say(&self, cidr: &Value, status: &str, reason: &str, message: &str) -> Result<(), Error> {
        let is_said = |now: &Value| now["status"] == status && text(&now["reason"]) == reason && now["message"] == message;
        if condition(&cidr["status"], "Ready").is_some_and(is_said) {
            return Ok(());
        }
        let ready = json!({
            "type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": now_stamp(),
        });
        let applied = json!({
            "apiVersion": SERVICE_CIDRS.api_version(), "kind": SERVICE_CIDRS.kind.as_str(),
            "metadata": {"name": meta::name(cidr)}, "status": {"conditions": [ready]},
        });
        let client = self.ctx.client.named(MANAGER);
        match client.patch(&SERVICE_CIDRS, ("", meta::name(cidr)), "status", PatchType::Apply, &applied).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The address of an IPAddress that a Service has.
fn address_of(object: &Value) -> Option<IpAddr> {
    let managed = object["metadata"]["labels"][MANAGED_BY] == ALLOCATOR;
    meta::name(object).parse().ok().filter(|_| managed)
}

type Prefix = (IpAddr, u8);

fn prefixes(cidr: &Value) -> impl Iterator<Item = Prefix> {
    items(&cidr["spec"]["cidrs"]).filter_map(|text| formats::parse_cidr(text.as_str()?))
}

fn contains(outer: Prefix, inner: Prefix) -> bool {
    outer.0.is_ipv4() == inner.0.is_ipv4()
        && outer.1 <= inner.1
        && formats::network(inner.0, outer.1) == formats::network(outer.0, outer.1)
}

fn overlap(a: &Value, b: &Value) -> bool {
    prefixes(a).any(|a| prefixes(b).any(|b| contains(a, b) || contains(b, a)))
}

/// Whether an address is one that a Service may have of a ServiceCIDR: neither the network's own nor its broadcast.
fn holds(cidr: &Value, address: IpAddr) -> bool {
    let whole = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
    prefixes(cidr).any(|prefix| {
        let (network, length) = (formats::network(prefix.0, prefix.1), prefix.1);
        let broadcast = match network {
            IpAddr::V4(network) => {
                let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                Some(IpAddr::from(Ipv4Addr::from(u32::from(network) | host)))
            }
            IpAddr::V6(_) => None,
        };
        contains(prefix, (address, whole(address))) && address != network && Some(address) != broadcast
    })
}

/// Whether no taken address would be left without a ServiceCIDR.
fn may_go(cidr: &Value, others: &[Arc<Value>], mut taken: impl Iterator<Item = IpAddr>) -> bool {
    let inside = |own: Prefix| others.iter().any(|other| prefixes(other).any(|prefix| contains(prefix, own)));
    if prefixes(cidr).all(inside) {
        return true;
    }
    let is_alone = |address: IpAddr| holds(cidr, address) && !others.iter().any(|other| holds(other, address));
    !taken.any(is_alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(texts: &[&str]) -> Value {
        json!({"spec": {"cidrs": texts}})
    }

    #[test]
    fn what_goes_leaves_no_address_alone() {
        let check = |own: &[&str], others: &[&str], taken: &[&str], expected: bool| {
            let others: Vec<Arc<Value>> = others.iter().map(|text| Arc::new(cidr(&[text]))).collect();
            let taken = taken.iter().map(|text| text.parse().unwrap());
            assert_eq!(may_go(&cidr(own), &others, taken), expected, "{own:?}");
        };
        check(&["10.0.0.0/24"], &[], &[], true);
        check(&["10.0.0.0/24"], &[], &["10.0.0.1"], false);
        check(&["10.0.0.0/24"], &[], &["10.0.1.1", "fd00::1"], true);
        check(&["10.0.0.0/24"], &["10.0.0.0/16"], &["10.0.0.1"], true);
        check(&["10.0.0.0/24"], &["10.0.0.0/25"], &["10.0.0.1"], true);
        check(&["10.0.0.0/24"], &["10.0.0.0/25"], &["10.0.0.200"], false);
        check(&["10.0.0.0/24", "fd00::/64"], &["10.0.0.0/16"], &["10.0.0.1"], true);
        check(&["10.0.0.0/24", "fd00::/64"], &["10.0.0.0/16"], &["fd00::1"], false);
    }

    #[test]
    fn addresses_of_networks() {
        let check = |text: &str, address: &str, expected: bool| {
            assert_eq!(holds(&cidr(&[text]), address.parse().unwrap()), expected, "{text} {address}");
        };
        check("10.0.0.0/24", "10.0.0.0", false);
        check("10.0.0.0/24", "10.0.0.1", true);
        check("10.0.0.0/24", "10.0.0.255", false);
        check("10.0.0.0/24", "10.0.1.1", false);
        check("fd00::/64", "fd00::", false);
        check("fd00::/64", "fd00::ffff:ffff:ffff:ffff", true);
        check("fd00::/64", "10.0.0.1", false);
    }
}
