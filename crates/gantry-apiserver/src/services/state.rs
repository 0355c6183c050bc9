//! What Services have, and what there is to have, as it is stored: kept in memory and followed.

use super::Range;
use crate::follow::Sink;
use crate::stored::decode;
use gantry_api::meta;
use gantry_store::Entry;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a Service takes from the cluster. A node port's number may serve one Service under several protocols.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Item {
    /// Its address.
    Address(Ipv4Addr),
    /// A port on every node.
    Port(u16),
}

/// A ServiceCIDR, as far as it counts here.
struct Network {
    ranges: Vec<Range>,
    ready: bool,
}

/// What is known.
#[derive(Default)]
pub struct State {
    /// By whom something is taken: the uid of the Service.
    taken: HashMap<Item, String>,
    /// What stored Services have, by their keys, and their uids.
    services: HashMap<String, (String, Vec<Item>)>,
    /// Services that went lately: the events of some may not have come yet.
    gone: VecDeque<String>,
    /// The addresses that have an IPAddress object.
    objects: HashSet<Ipv4Addr>,
    /// The ServiceCIDRs by name.
    networks: BTreeMap<String, Network>,
}

/// How many Services that are gone are remembered: more than there are events under way.
const REMEMBERED: usize = 256;
/// The name of the ServiceCIDR that a cluster begins with.
pub const DEFAULT: &str = "kubernetes";

impl State {
    /// Who has something.
    pub fn owner(&self, item: Item) -> Option<&str> {
        self.taken.get(&item).map(String::as_str)
    }

    /// Gives something to a Service.
    pub fn take(&mut self, item: Item, uid: &str) {
        self.taken.insert(item, uid.to_string());
    }

    /// Takes something back from a Service, if it has it.
    pub fn release(&mut self, item: Item, uid: &str) {
        if self.owner(item) == Some(uid) {
            self.taken.remove(&item);
        }
    }

    /// Takes back all that a Service had which is gone.
    pub fn forget(&mut self, service: &Value) {
        let uid = meta::text(service, "uid");
        items(service).for_each(|item| self.release(item, uid));
        self.gone.push_back(uid.to_string());
        if self.gone.len() > REMEMBERED {
            self.gone.pop_front();
        }
    }

    /// Notes what a stored Service has. What is told late may be another's by now.
    pub fn note_service(&mut self, service: &Value) {
        let uid = meta::text(service, "uid");
        if !self.gone.iter().any(|gone| gone == uid) {
            for item in items(service) {
                self.taken.entry(item).or_insert_with(|| uid.to_string());
            }
        }
    }

    /// Notes whether an address has an IPAddress object.
    pub fn note_object(&mut self, address: Ipv4Addr, there: bool) {
        match there {
            true => self.objects.insert(address),
            false => self.objects.remove(&address),
        };
    }

    /// The ranges that addresses may come from; the one the cluster began with goes first.
    fn ranges(&self) -> impl Iterator<Item = Range> {
        let default = self.networks.get(DEFAULT);
        let others = self.networks.iter().filter(|(name, _)| *name != DEFAULT);
        let all = default.into_iter().chain(others.map(|(_, network)| network));
        all.filter(|network| network.ready)
            .flat_map(|network| network.ranges.iter().copied())
    }

    /// Whether an address is one of those for Services.
    pub fn holds(&self, address: Ipv4Addr) -> bool {
        self.ranges().any(|range| range.holds(address))
    }

    /// An address that nobody has.
    pub fn free_address(&self, start: impl Fn(u32) -> u32) -> Option<Ipv4Addr> {
        let is_free = |address: &Ipv4Addr| {
            !self.objects.contains(address) && self.owner(Item::Address(*address)).is_none()
        };
        self.ranges()
            .find_map(|range| range.in_order(&start).find(is_free))
    }

    fn set_service(&mut self, key: &str, service: Option<&Value>) {
        let now: Vec<Item> = service.into_iter().flat_map(items).collect();
        if let Some((uid, before)) = self.services.remove(key) {
            let lost = before.iter().filter(|item| !now.contains(item));
            lost.for_each(|item| self.release(*item, &uid));
        }
        let Some(service) = service else { return };
        self.note_service(service);
        let uid = meta::text(service, "uid").to_string();
        self.services.insert(key.to_string(), (uid, now));
    }

    fn set_network(&mut self, name: &str, cidr: Option<&Value>) {
        let Some(cidr) = cidr else {
            self.networks.remove(name);
            return;
        };
        let texts = cidr["spec"]["cidrs"].as_array().into_iter().flatten();
        let ranges = texts.filter_map(|text| Range::any(text.as_str()?)).collect();
        let mut conditions = cidr["status"]["conditions"].as_array().into_iter().flatten();
        // Before any controller has looked at it, it is ready.
        let ready = conditions
            .find(|condition| condition["type"] == "Ready")
            .is_none_or(|condition| condition["status"] == "True");
        let network = Network {
            ranges,
            ready: ready && !meta::is_deleting(cidr),
        };
        self.networks.insert(name.to_string(), network);
    }
}

/// What a Service has.
pub fn items(service: &Value) -> impl Iterator<Item = Item> {
    let spec = &service["spec"];
    let address = spec["clusterIP"].as_str().and_then(|a| a.parse().ok());
    let list = spec["ports"].as_array().into_iter().flatten();
    let ports = list
        .map(|p| &p["nodePort"])
        .chain([&spec["healthCheckNodePort"]])
        .filter_map(|p| p.as_u64().and_then(|p| u16::try_from(p).ok()).filter(|p| *p > 0));
    address
        .map(Item::Address)
        .into_iter()
        .chain(ports.map(Item::Port))
}

/// The state, where the store's events go.
pub struct Shared {
    state: Mutex<State>,
    /// Where Services, IPAddresses and ServiceCIDRs are stored.
    prefixes: [String; 3],
}

impl Shared {
    /// Nothing is known yet.
    pub fn new(prefixes: [String; 3]) -> Self {
        Shared {
            state: Mutex::default(),
            prefixes,
        }
    }

    /// The state, to look at and change.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where what it follows is stored.
    pub fn prefixes(&self) -> &[String] {
        &self.prefixes
    }
}

impl Sink for Shared {
    fn set(&self, key: &str, entry: Option<&Entry>) {
        let [services, addresses, networks] = &self.prefixes;
        let object = entry.and_then(|entry| decode(entry).ok());
        let mut state = self.lock();
        if key.starts_with(services.as_str()) {
            state.set_service(key, object.as_ref());
        } else if let Some(name) = key.strip_prefix(addresses.as_str()) {
            if let Ok(address) = name.parse() {
                state.note_object(address, entry.is_some());
            }
        } else if let Some(name) = key.strip_prefix(networks.as_str()) {
            state.set_network(name, object.as_ref());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(uid: &str, address: &str) -> Value {
        json!({"metadata": {"uid": uid}, "spec": {"clusterIP": address, "ports": [{"nodePort": 30000}]}})
    }

    #[test]
    fn events_that_come_late_change_nothing() {
        let address = Item::Address(Ipv4Addr::new(10, 0, 0, 9));
        let (a, b) = (service("a", "10.0.0.9"), service("b", "10.0.0.9"));
        let mut state = State::default();
        state.set_service("a", Some(&a));
        assert_eq!(state.owner(address), Some("a"));
        // It is deleted, its address given to another at once, and then the events come.
        state.forget(&a);
        assert_eq!(state.owner(Item::Port(30000)), None);
        state.take(address, "b");
        state.set_service("a", Some(&a));
        assert_eq!(state.owner(address), Some("b"));
        state.set_service("a", None);
        state.set_service("b", Some(&b));
        assert_eq!(state.owner(address), Some("b"));
        state.set_service("b", Some(&service("b", "None")));
        assert_eq!(state.owner(address), None);
    }

    #[test]
    fn addresses_come_from_ready_networks() {
        let cidr = |text: &str, status: &str| json!({"spec": {"cidrs": [text]}, "status": {"conditions": [{"type": "Ready", "status": status}]}});
        let mut state = State::default();
        let check = |state: &State, expected: Option<[u8; 4]>| {
            assert_eq!(state.free_address(|_| 0), expected.map(Ipv4Addr::from));
        };
        check(&state, None);
        state.set_network("a", Some(&cidr("10.1.0.0/29", "True")));
        check(&state, Some([10, 1, 0, 1]));
        state.set_network(
            DEFAULT,
            Some(&json!({"spec": {"cidrs": ["10.0.0.0/30", "fd00::/64"]}})),
        );
        check(&state, Some([10, 0, 0, 1]));
        state.note_object(Ipv4Addr::new(10, 0, 0, 1), true);
        check(&state, Some([10, 0, 0, 2]));
        state.take(Item::Address(Ipv4Addr::new(10, 0, 0, 2)), "x");
        check(&state, Some([10, 1, 0, 1]));
        state.set_network("a", Some(&cidr("10.1.0.0/29", "False")));
        check(&state, None);
        assert!(!state.holds(Ipv4Addr::new(10, 1, 0, 1)));
    }
}
