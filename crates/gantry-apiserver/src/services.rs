//! What a Service takes from the cluster: its address, and its ports on every node.
//!
//! Source: pkg/registry/core/service/storage/alloc.go and ipallocator. Taken addresses and ports are kept in memory,
//! filled from the stored Services at start and followed since.

use crate::stored::decode;
use gantry_api::field;
use gantry_api::meta;
use gantry_api::status::Status;
use gantry_store::{EventKind, RangeRequest, ReadError, Store};
use rand::Rng;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const PREFIX: &str = "/registry/services/specs/";
const FIRST_PORT: u16 = 30000;
const LAST_PORT: u16 = 32767;

/// A range of addresses for Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    base: u32,
    bits: u8,
}

/// Why a text is no range of addresses for Services.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no range for services: give an IPv4 network with 12 to 29 bits, such as 10.43.0.0/16")]
pub struct RangeError(String);

impl Range {
    /// Reads a network such as `10.43.0.0/16`.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        let bad = || RangeError(text.to_string());
        let (address, bits) = text.split_once('/').ok_or_else(bad)?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        let bits: u8 = bits.parse().map_err(|_| bad())?;
        if !(12..=29).contains(&bits) {
            return Err(bad());
        }
        Ok(Range {
            base: u32::from(address) & (u32::MAX << (32 - bits)),
            bits,
        })
    }

    fn size(self) -> u32 {
        1 << (32 - self.bits)
    }

    /// The address this far into the network.
    pub fn nth(self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base + n)
    }

    // Without the network's own address and its broadcast.
    fn holds(self, address: Ipv4Addr) -> bool {
        let offset = u32::from(address).wrapping_sub(self.base);
        offset > 0 && offset < self.size() - 1
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.bits)
    }
}

/// Hands out addresses and node ports.
pub struct Allocator {
    range: Range,
    taken: Mutex<Taken>,
}

// By whom: the uid of the Service.
#[derive(Default)]
struct Taken {
    addresses: HashMap<Ipv4Addr, String>,
    // A number may serve one Service under several protocols.
    ports: HashMap<u16, String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Item {
    Address(Ipv4Addr),
    Port(u16),
}

/// What a write has taken. Unless [`Reservation::keep`] is called it goes back when this is dropped.
pub struct Reservation {
    allocator: Arc<Allocator>,
    uid: String,
    taken: Vec<Item>,
    // What the write gives up when it succeeds.
    freed: Vec<Item>,
}

impl Reservation {
    /// The write succeeded.
    pub fn keep(mut self) {
        self.taken = std::mem::take(&mut self.freed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut taken = self.allocator.lock();
        for item in &self.taken {
            taken.release(*item, &self.uid);
        }
    }
}

impl Taken {
    fn owner(&self, item: Item) -> Option<&String> {
        match item {
            Item::Address(address) => self.addresses.get(&address),
            Item::Port(port) => self.ports.get(&port),
        }
    }

    fn take(&mut self, item: Item, uid: &str) {
        match item {
            Item::Address(address) => self.addresses.insert(address, uid.to_string()),
            Item::Port(port) => self.ports.insert(port, uid.to_string()),
        };
    }

    fn release(&mut self, item: Item, uid: &str) {
        if self.owner(item).is_some_and(|owner| owner == uid) {
            match item {
                Item::Address(address) => self.addresses.remove(&address),
                Item::Port(port) => self.ports.remove(&port),
            };
        }
    }
}

impl Allocator {
    /// Reads what is taken, and follows what is given back.
    pub async fn start(store: Arc<dyn Store>, range: Range) -> Result<Arc<Self>, ReadError> {
        let allocator = Arc::new(Allocator {
            range,
            taken: Mutex::default(),
        });
        let after = allocator.load(&*store).await?;
        tokio::spawn(follow(Arc::downgrade(&allocator), store, after));
        Ok(allocator)
    }

    /// The network it hands out.
    pub fn range(&self) -> Range {
        self.range
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self, store: &dyn Store) -> Result<u64, ReadError> {
        let result = store.range(RangeRequest::all(PREFIX.as_bytes())).await?;
        let mut taken = self.lock();
        for entry in &result.entries {
            if let Ok(service) = decode(entry) {
                for item in items(&service) {
                    taken.take(item, meta::text(&service, "uid"));
                }
            }
        }
        Ok(result.revision)
    }

    /// Gives a Service what it asks for and does not have yet; `old` is what stands now.
    pub fn begin(self: &Arc<Self>, service: &mut Value, old: Option<&Value>) -> Result<Reservation, Status> {
        let uid = meta::text(old.unwrap_or(service), "uid").to_string();
        if let Some(old) = old {
            carry_over(&mut service["spec"], &old["spec"]);
        }
        let mut reservation = Reservation {
            allocator: self.clone(),
            uid,
            taken: Vec::new(),
            freed: Vec::new(),
        };
        let result = self.allocate(&mut service["spec"], &mut reservation);
        result.map_err(|error| Status::invalid("", "Service", meta::name(service), &[error]))?;
        let held: HashSet<Item> = items(service).collect();
        reservation.freed = old
            .into_iter()
            .flat_map(items)
            .filter(|item| !held.contains(item))
            .collect();
        Ok(reservation)
    }

    fn allocate(&self, spec: &mut Value, reservation: &mut Reservation) -> Result<(), field::Error> {
        let type_ = spec["type"].as_str().unwrap_or("ClusterIP").to_string();
        if type_ == "ExternalName" {
            return Ok(());
        }
        let mut taken = self.lock();
        let given = spec["clusterIP"]
            .as_str()
            .or(spec["clusterIPs"][0].as_str())
            .unwrap_or("")
            .to_string();
        let address = match given.as_str() {
            "" => {
                let address = self.free_address(&taken).ok_or_else(|| {
                    let why = "failed to allocate a serviceIP: range is full".to_string();
                    field::Error::invalid("spec.clusterIPs", json!([]), why)
                })?;
                taken.take(Item::Address(address), &reservation.uid);
                reservation.taken.push(Item::Address(address));
                address.to_string()
            }
            "None" => given,
            _ => {
                let refuse = |why: String| field::Error::invalid("spec.clusterIPs", json!([given]), why);
                // What is no address is the validation's to say.
                if let Ok(address) = given.parse::<Ipv4Addr>() {
                    self.take_address(address, &mut taken, reservation)
                        .map_err(refuse)?;
                }
                given
            }
        };
        spec["clusterIP"] = address.as_str().into();
        spec["clusterIPs"] = json!([address]);
        for (field, value) in [
            ("ipFamilies", json!(["IPv4"])),
            ("ipFamilyPolicy", json!("SingleStack")),
        ] {
            if spec[field].is_null() {
                spec[field] = value;
            }
        }
        let wants_ports = type_ == "NodePort"
            || (type_ == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != json!(false));
        let local = type_ == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local";
        if local && spec["healthCheckNodePort"].as_u64().unwrap_or(0) == 0 {
            spec["healthCheckNodePort"] = self
                .free_port(&mut taken, reservation, "spec.healthCheckNodePort")?
                .into();
        }
        let mut by_port: HashMap<u64, u16> = HashMap::new();
        for (index, port) in spec["ports"].as_array_mut().into_iter().flatten().enumerate() {
            let number = port["port"].as_u64().unwrap_or(0);
            let at = format!("spec.ports[{index}].nodePort");
            let wanted = port["nodePort"].as_u64().unwrap_or(0);
            let node_port = match u16::try_from(wanted) {
                Ok(0) if !wants_ports => continue,
                // The same number under another protocol.
                Ok(0) if by_port.contains_key(&number) => by_port[&number],
                Ok(0) => self.free_port(&mut taken, reservation, &at)?,
                Ok(wanted) => {
                    let refuse = |why: &str| field::Error::invalid(at.clone(), json!(wanted), why);
                    take_port(wanted, &mut taken, reservation).map_err(|why| refuse(&why))?;
                    wanted
                }
                // The validation refuses it.
                Err(_) => continue,
            };
            port["nodePort"] = node_port.into();
            by_port.insert(number, node_port);
        }
        Ok(())
    }

    fn take_address(
        &self,
        address: Ipv4Addr,
        taken: &mut Taken,
        reservation: &mut Reservation,
    ) -> Result<(), String> {
        let item = Item::Address(address);
        match taken.owner(item) {
            Some(owner) if *owner == reservation.uid => return Ok(()),
            Some(_) => {
                return Err(format!(
                    "failed to allocate IP {address}: provided IP is already allocated"
                ));
            }
            None => {}
        }
        if !self.range.holds(address) {
            return Err(format!(
                "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range \
                 of valid IPs is {}",
                self.range
            ));
        }
        taken.take(item, &reservation.uid);
        reservation.taken.push(item);
        Ok(())
    }

    /// Addresses nobody asked for come from the upper part of the range, so that the lower is free for those who
    /// choose their own.
    fn free_address(&self, taken: &Taken) -> Option<Ipv4Addr> {
        let size = self.range.size();
        let lower = (size / 16).clamp(16, 256).min(size / 2);
        let search = |from: u32, to: u32| {
            let count = to.saturating_sub(from);
            let start = rand::rng().random_range(0..count.max(1));
            (0..count)
                .map(|i| self.range.nth(from + (start + i) % count))
                .find(|address| !taken.addresses.contains_key(address))
        };
        search(lower, size - 1).or_else(|| search(1, lower))
    }

    fn free_port(
        &self,
        taken: &mut Taken,
        reservation: &mut Reservation,
        at: &str,
    ) -> Result<u16, field::Error> {
        let count = LAST_PORT - FIRST_PORT + 1;
        let start = rand::rng().random_range(0..count);
        let port = (0..count)
            .map(|i| FIRST_PORT + (start + i) % count)
            .find(|port| !taken.ports.contains_key(port))
            .ok_or_else(|| {
                field::Error::invalid(at, json!(0), "failed to allocate a nodePort: range is full")
            })?;
        taken.take(Item::Port(port), &reservation.uid);
        reservation.taken.push(Item::Port(port));
        Ok(port)
    }
}

fn take_port(port: u16, taken: &mut Taken, reservation: &mut Reservation) -> Result<(), String> {
    let item = Item::Port(port);
    match taken.owner(item) {
        Some(owner) if *owner == reservation.uid => return Ok(()),
        Some(_) => return Err("provided port is already allocated".into()),
        None => {}
    }
    if !(FIRST_PORT..=LAST_PORT).contains(&port) {
        return Err(format!(
            "provided port is not in the valid range. The range of valid ports is {FIRST_PORT}-{LAST_PORT}"
        ));
    }
    taken.take(item, &reservation.uid);
    reservation.taken.push(item);
    Ok(())
}

/// An update that leaves out what was given keeps it.
fn carry_over(spec: &mut Value, old: &Value) {
    let has_address = |spec: &Value| spec["type"] != "ExternalName";
    let has_ports = |spec: &Value| matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer"));
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
        for port in spec["ports"].as_array_mut().into_iter().flatten() {
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

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn items(service: &Value) -> impl Iterator<Item = Item> {
    let spec = &service["spec"];
    let address = spec["clusterIP"]
        .as_str()
        .and_then(|a| a.parse().ok())
        .map(Item::Address);
    let ports = list(&spec["ports"])
        .map(|p| &p["nodePort"])
        .chain([&spec["healthCheckNodePort"]])
        .filter_map(|p| p.as_u64().and_then(|p| u16::try_from(p).ok()).filter(|p| *p > 0))
        .map(Item::Port);
    address.into_iter().chain(ports).collect::<Vec<_>>().into_iter()
}

/// Gives back what deleted Services had.
async fn follow(allocator: std::sync::Weak<Allocator>, store: Arc<dyn Store>, mut after: u64) {
    loop {
        if let Ok(mut watch) = store.watch(PREFIX.as_bytes().into(), after).await {
            while let Ok(Some(events)) = watch.next().await {
                let Some(allocator) = allocator.upgrade() else {
                    return;
                };
                let mut taken = allocator.lock();
                for event in events {
                    after = event.entry.mod_revision;
                    match (event.kind, &event.prev) {
                        (EventKind::Delete, Some(prev)) => {
                            if let Ok(service) = decode(prev) {
                                let uid = meta::text(&service, "uid");
                                items(&service).for_each(|item| taken.release(item, uid));
                            }
                        }
                        (EventKind::Delete, None) => {}
                        (EventKind::Put, _) => {
                            if let Ok(service) = decode(&event.entry) {
                                let uid = meta::text(&service, "uid");
                                items(&service).for_each(|item| taken.take(item, uid));
                            }
                        }
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let Some(allocator) = allocator.upgrade() else {
            return;
        };
        // Deletions that went unseen leave items taken until the next start: nothing is given out twice.
        match allocator.load(&*store).await {
            Ok(revision) => after = revision,
            Err(error) => tracing::warn!("services cannot be read, trying again: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_store::Memory;

    async fn allocator(range: &str) -> Arc<Allocator> {
        Allocator::start(Arc::new(Memory::new()), Range::parse(range).unwrap())
            .await
            .unwrap()
    }

    fn service(uid: &str, spec: Value) -> Value {
        json!({"metadata": {"name": uid, "uid": uid}, "spec": spec})
    }

    #[tokio::test]
    async fn what_is_taken_is_not_given_again() {
        let allocator = allocator("10.0.0.0/29").await;
        let mut kept = Vec::new();
        for uid in ["a", "b", "c", "d", "e", "f"] {
            let mut service = service(uid, json!({"type": "ClusterIP"}));
            allocator.begin(&mut service, None).unwrap().keep();
            kept.push(service["spec"]["clusterIP"].as_str().unwrap().to_string());
        }
        kept.sort();
        kept.dedup();
        assert_eq!(kept.len(), 6);
        let refused = allocator.begin(&mut service("g", json!({"type": "ClusterIP"})), None);
        assert!(refused.err().unwrap().message.contains("range is full"));
    }

    #[tokio::test]
    async fn a_failed_write_gives_back() {
        let allocator = allocator("10.0.0.0/24").await;
        let spec =
            json!({"type": "NodePort", "clusterIP": "10.0.0.9", "ports": [{"port": 1, "nodePort": 30001}]});
        drop(allocator.begin(&mut service("a", spec.clone()), None).unwrap());
        allocator
            .begin(&mut service("b", spec.clone()), None)
            .unwrap()
            .keep();
        let why = allocator
            .begin(&mut service("c", spec), None)
            .err()
            .unwrap()
            .message;
        assert!(
            why.contains("failed to allocate IP 10.0.0.9: provided IP is already allocated"),
            "{why}"
        );
        let ports = json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 30001}]});
        let why = allocator
            .begin(&mut service("c", ports), None)
            .err()
            .unwrap()
            .message;
        assert!(
            why.contains("spec.ports[0].nodePort: Invalid value: 30001: provided port is already"),
            "{why}"
        );
        let outside = json!({"type": "ClusterIP", "clusterIP": "10.0.1.1"});
        let why = allocator
            .begin(&mut service("c", outside), None)
            .err()
            .unwrap()
            .message;
        assert!(why.contains("The range of valid IPs is 10.0.0.0/24"), "{why}");
    }

    #[tokio::test]
    async fn an_update_keeps_what_it_leaves_out() {
        let allocator = allocator("10.0.0.0/24").await;
        let port = |port: u32, protocol: &str| json!({"port": port, "protocol": protocol});
        let mut old = service(
            "a",
            json!({"type": "NodePort", "ports": [port(53, "TCP"), port(53, "UDP"), port(80, "TCP")]}),
        );
        allocator.begin(&mut old, None).unwrap().keep();
        assert_eq!(
            old["spec"]["ports"][0]["nodePort"],
            old["spec"]["ports"][1]["nodePort"]
        );
        let mut new = service("a", json!({"type": "NodePort", "ports": [port(80, "TCP")]}));
        allocator.begin(&mut new, Some(&old)).unwrap().keep();
        assert_eq!(new["spec"]["clusterIP"], old["spec"]["clusterIP"]);
        assert_eq!(
            new["spec"]["ports"][0]["nodePort"],
            old["spec"]["ports"][2]["nodePort"]
        );
        assert_eq!(
            allocator.lock().ports.len(),
            1,
            "the port that is no longer used is given back"
        );
    }

    #[test]
    fn ranges() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/30", "a/16", "10.0.0.0/8"] {
            assert!(Range::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            Range::parse("10.43.1.2/16").unwrap().nth(10),
            Ipv4Addr::new(10, 43, 0, 10)
        );
    }
}
