//! What of the cluster has a name: namespaces, services and their endpoints.
//!
//! Kept from informers' changes, in maps by what queries ask for, so that an answer costs no more than its records.

use gantry_api::meta;
use serde_json::Value;
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The names of one cluster.
#[derive(Debug, Default)]
pub(super) struct Model {
    namespaces: HashSet<String>,
    /// By namespace and name.
    services: HashMap<String, Service>,
    /// By namespace and name of the service, then by the slice's own name.
    slices: HashMap<String, BTreeMap<String, Slice>>,
    /// The keys of the services that have a cluster IP.
    by_cluster_ip: HashMap<IpAddr, BTreeSet<String>>,
    by_endpoint_ip: HashMap<IpAddr, BTreeSet<Place>>,
    serial: u32,
}

/// Where an endpoint's address stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    service: String,
    slice: String,
    host: String,
    ready: bool,
}

/// What DNS needs of a Service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) address: Address,
    pub(super) ports: Vec<Port>,
    publish_not_ready: bool,
}

/// Where a service's name leads.
#[derive(Debug)]
pub(super) enum Address {
    /// To its cluster IPs.
    Cluster(Vec<IpAddr>),
    /// To its endpoints.
    Headless,
    /// To another name.
    External(String),
}

/// A port of a service or a slice.
#[derive(Debug)]
pub(super) struct Port {
    name: String,
    protocol: String,
    /// `None` for the one that stands in where no ports are declared.
    pub(super) number: Option<u16>,
}

impl Port {
    /// Whether it is the port asked for; an empty name or protocol asks for any.
    pub(super) fn is(&self, name: &str, protocol: &str) -> bool {
        (name.is_empty() || name == self.name) && (protocol.is_empty() || protocol == self.protocol)
    }
}

/// What DNS needs of an EndpointSlice.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) ports: Vec<Port>,
    endpoints: Vec<Endpoint>,
    /// The places in `endpoints`, by host name.
    by_host: HashMap<String, Vec<usize>>,
}

/// One address of a slice.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) ip: IpAddr,
    /// The label that stands before the service's name.
    pub(super) host: String,
    ready: bool,
}

impl Slice {
    /// The endpoints that `service` shows: all, or those called `host`.
    pub(super) fn endpoints<'a>(
        &'a self,
        service: &'a Service,
        host: Option<&str>,
    ) -> Box<dyn Iterator<Item = &'a Endpoint> + 'a> {
        let shown = |e: &&Endpoint| e.ready || service.publish_not_ready;
        match host {
            None => Box::new(self.endpoints.iter().filter(shown)),
            Some(host) => {
                let places = self.by_host.get(host).map_or(&[][..], Vec::as_slice);
                Box::new(places.iter().filter_map(|i| self.endpoints.get(*i)).filter(shown))
            }
        }
    }
}

impl Model {
    /// Counts up with what changes, as the serial of a zone must.
    pub(super) fn serial(&self) -> u32 {
        self.serial
    }

    pub(super) fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.contains(namespace)
    }

    pub(super) fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(&key(namespace, name))
    }

    /// The slices of a service.
    pub(super) fn slices(&self, service: &Service) -> impl Iterator<Item = &Slice> {
        self.slices
            .get(&key(&service.namespace, &service.name))
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// The names that an address has, below the zone of services: `name.namespace` of the service whose cluster IP it
    /// is, or else `host.name.namespace` of each endpoint.
    pub(super) fn names_of(&self, ip: IpAddr) -> BTreeSet<String> {
        let of_service = self.by_cluster_ip.get(&ip).and_then(BTreeSet::first);
        if let Some(service) = of_service.and_then(|key| self.services.get(key)) {
            return BTreeSet::from([format!("{}.{}", service.name, service.namespace)]);
        }
        let places = self.by_endpoint_ip.get(&ip).into_iter().flatten();
        let shown =
            |p: &&Place| p.ready || self.services.get(&p.service).is_some_and(|s| s.publish_not_ready);
        let name = |p: &Place| {
            let (namespace, service) = p.service.split_once('/')?;
            Some(format!("{}.{service}.{namespace}", p.host))
        };
        places.filter(shown).filter_map(name).collect()
    }

    /// Takes a change of a Namespace.
    pub(super) fn namespace_changed(&mut self, old: Option<&Value>, new: Option<&Value>) {
        if let Some(old) = old {
            self.namespaces.remove(meta::name(old));
        }
        if let Some(new) = new {
            self.namespaces.insert(meta::name(new).to_string());
        }
        self.touch();
    }

    /// Takes a change of a Service.
    pub(super) fn service_changed(&mut self, old: Option<&Value>, new: Option<&Value>) {
        for service in [old, new].into_iter().flatten() {
            self.remove_service(&key(meta::namespace(service), meta::name(service)));
        }
        if let Some(new) = new {
            let service = read_service(new);
            let key = key(&service.namespace, &service.name);
            if let Address::Cluster(ips) = &service.address {
                for ip in ips {
                    self.by_cluster_ip.entry(*ip).or_default().insert(key.clone());
                }
            }
            self.services.insert(key, service);
        }
        self.touch();
    }

    /// Takes a change of an EndpointSlice.
    pub(super) fn slice_changed(&mut self, old: Option<&Value>, new: Option<&Value>) {
        for (service, name) in [old, new].into_iter().flatten().filter_map(slice_key) {
            self.remove_slice(&service, &name);
        }
        if let Some((value, (service, name))) = new.and_then(|v| Some((v, slice_key(v)?))) {
            let slice = read_slice(value);
            for endpoint in &slice.endpoints {
                let place = place(&service, &name, endpoint);
                self.by_endpoint_ip.entry(endpoint.ip).or_default().insert(place);
            }
            self.slices.entry(service).or_default().insert(name, slice);
        }
        self.touch();
    }

    fn remove_service(&mut self, key: &str) {
        if let Some(Service {
            address: Address::Cluster(ips),
            ..
        }) = self.services.remove(key)
        {
            for ip in ips {
                remove(&mut self.by_cluster_ip, ip, key);
            }
        }
    }

    fn remove_slice(&mut self, service: &str, name: &str) {
        let Some(slices) = self.slices.get_mut(service) else {
            return;
        };
        let slice = slices.remove(name);
        if slices.is_empty() {
            self.slices.remove(service);
        }
        for endpoint in slice.into_iter().flat_map(|s| s.endpoints) {
            let place = place(service, name, &endpoint);
            remove(&mut self.by_endpoint_ip, endpoint.ip, &place);
        }
    }

    fn touch(&mut self) {
        // The low bits are enough: serials are compared modulo 2^32.
        self.serial = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs() as u32);
    }
}

fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn place(service: &str, slice: &str, endpoint: &Endpoint) -> Place {
    Place {
        service: service.to_string(),
        slice: slice.to_string(),
        host: endpoint.host.clone(),
        ready: endpoint.ready,
    }
}

fn remove<T: Ord + Borrow<Q>, Q: Ord + ?Sized>(
    map: &mut HashMap<IpAddr, BTreeSet<T>>,
    ip: IpAddr,
    value: &Q,
) {
    if let Some(set) = map.get_mut(&ip) {
        set.remove(value);
        if set.is_empty() {
            map.remove(&ip);
        }
    }
}

fn slice_key(slice: &Value) -> Option<(String, String)> {
    let service = slice["metadata"]["labels"].get(SERVICE_NAME)?.as_str()?;
    Some((
        key(meta::namespace(slice), service),
        meta::name(slice).to_string(),
    ))
}

fn read_service(service: &Value) -> Service {
    let spec = &service["spec"];
    let ips = strings(&spec["clusterIPs"]);
    let ips = if ips.is_empty() {
        strings_of_one(&spec["clusterIP"])
    } else {
        ips
    };
    let address = if spec["type"] == "ExternalName" {
        Address::External(spec["externalName"].as_str().unwrap_or("").to_ascii_lowercase())
    } else if ips.first() == Some(&"None") {
        Address::Headless
    } else {
        Address::Cluster(ips.into_iter().filter_map(|ip| ip.parse().ok()).collect())
    };
    Service {
        namespace: meta::namespace(service).to_string(),
        name: meta::name(service).to_string(),
        address,
        ports: ports(&spec["ports"]),
        publish_not_ready: spec["publishNotReadyAddresses"] == true,
    }
}

fn read_slice(slice: &Value) -> Slice {
    let mut endpoints = Vec::new();
    for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
        // Not known is as good as ready.
        let ready = endpoint["conditions"]["ready"] != false;
        let hostname = endpoint["hostname"].as_str().filter(|h| !h.is_empty());
        // Slices of names instead of addresses have nothing to answer with.
        for ip in strings(&endpoint["addresses"])
            .into_iter()
            .filter_map(|a| a.parse::<IpAddr>().ok())
        {
            let host = hostname.map_or_else(|| dashed(ip), str::to_ascii_lowercase);
            endpoints.push(Endpoint { ip, host, ready });
        }
    }
    let mut by_host: HashMap<String, Vec<usize>> = HashMap::new();
    for (i, endpoint) in endpoints.iter().enumerate() {
        by_host.entry(endpoint.host.clone()).or_default().push(i);
    }
    Slice {
        ports: ports(&slice["ports"]),
        endpoints,
        by_host,
    }
}

/// The label of an endpoint without a host name: `10-0-0-1`, `fd00--1`.
fn dashed(ip: IpAddr) -> String {
    let mut label = ip.to_string().replace(['.', ':'], "-");
    // A label must not begin or end with a dash.
    if label.ends_with('-') {
        label.push('0');
    }
    if label.starts_with('-') {
        label.insert(0, '0');
    }
    label
}

fn ports(value: &Value) -> Vec<Port> {
    let text = |v: &Value| v.as_str().unwrap_or("").to_ascii_lowercase();
    let read = |p: &Value| Port {
        name: text(&p["name"]),
        protocol: text(&p["protocol"]),
        number: p["port"].as_u64().and_then(|n| u16::try_from(n).ok()),
    };
    let ports: Vec<Port> = value.as_array().into_iter().flatten().map(read).collect();
    if ports.is_empty() {
        return vec![Port {
            name: String::new(),
            protocol: String::new(),
            number: None,
        }];
    }
    ports
}

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn strings_of_one(value: &Value) -> Vec<&str> {
    value.as_str().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn maps_follow_changes() {
        let mut model = Model::default();
        let service =
            |ips: &[&str]| json!({"metadata": {"namespace": "a", "name": "s"}, "spec": {"clusterIPs": ips}});
        let slice = |host: &str, ready: bool| {
            json!({
                "metadata": {"namespace": "a", "name": "s-1", "labels": {SERVICE_NAME: "s"}},
                "endpoints": [{"addresses": ["10.1.0.1"], "hostname": host, "conditions": {"ready": ready}}],
            })
        };
        let names = |model: &Model, ip: &str| {
            model
                .names_of(ip.parse().unwrap())
                .into_iter()
                .collect::<Vec<_>>()
        };
        let (one, two) = (service(&["10.0.0.1", "fd00::1"]), service(&["10.0.0.2"]));
        model.service_changed(None, Some(&one));
        assert_eq!(names(&model, "fd00::1"), ["s.a"]);
        model.service_changed(Some(&one), Some(&two));
        assert!(names(&model, "fd00::1").is_empty() && names(&model, "10.0.0.1").is_empty());
        assert_eq!(names(&model, "10.0.0.2"), ["s.a"]);

        model.slice_changed(None, Some(&slice("x", true)));
        assert_eq!(names(&model, "10.1.0.1"), ["x.s.a"]);
        model.slice_changed(Some(&slice("x", true)), Some(&slice("y", true)));
        assert_eq!(names(&model, "10.1.0.1"), ["y.s.a"]);
        model.slice_changed(Some(&slice("y", true)), Some(&slice("y", false)));
        assert!(names(&model, "10.1.0.1").is_empty());
        model.slice_changed(Some(&slice("y", false)), None);
        model.service_changed(Some(&two), None);
        assert!(model.by_cluster_ip.is_empty() && model.by_endpoint_ip.is_empty());
        assert!(model.slices.is_empty() && model.services.is_empty());
    }

    #[test]
    fn addresses_as_labels() {
        let check = |ip: &str, label: &str| assert_eq!(dashed(ip.parse().unwrap()), label);
        check("10.0.0.1", "10-0-0-1");
        check("5678:abcd::1", "5678-abcd--1");
        check("fd00::", "fd00--0");
        check("::1", "0--1");
    }
}
