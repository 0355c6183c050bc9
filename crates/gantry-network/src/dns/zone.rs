//! What a name of the cluster's domain holds, by the Kubernetes DNS specification 1.1 and as CoreDNS answers. No I/O.

use super::model::{Address, Model, Service};
use hickory_server::proto::rr::rdata::{CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use std::collections::HashSet;
use std::net::IpAddr;

/// How long answers may be kept, in seconds: as in kubeadm's Corefile.
pub(super) const TTL: u32 = 30;
/// The specification's version does not change while a server runs.
const VERSION_TTL: u32 = 28_800;
const VERSION: &str = "1.1.0";
/// How many aliases a name may lead through.
const MAX_ALIASES: usize = 8;

/// The domain of the cluster.
#[derive(Debug)]
pub(super) struct Zone {
    apex: Name,
    labels: Vec<String>,
    /// The server's own address, for the zone's NS record.
    address: IpAddr,
}

/// What a name holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Whether there is such a name, be it without records of the type asked for.
    pub(super) exists: bool,
    pub(super) answers: Vec<Record>,
    pub(super) additionals: Vec<Record>,
    /// The name outside of the zone that `answers` lead to.
    pub(super) target: Option<Name>,
}

impl Found {
    fn no_name() -> Self {
        Found::default()
    }

    fn no_data() -> Self {
        Found::of(Vec::new())
    }

    fn of(answers: Vec<Record>) -> Self {
        Found {
            exists: true,
            answers,
            ..Found::default()
        }
    }
}

/// A name of the zone, taken apart.
#[derive(Debug, PartialEq, Eq)]
enum Subject {
    Apex,
    /// A name without records that others stand below.
    Branch,
    NameServer,
    Version,
    Namespace(String),
    Service {
        namespace: String,
        name: String,
        part: Part,
    },
    Pod {
        namespace: String,
        ip: IpAddr,
    },
    Nothing,
}

/// What of a service is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Endpoint(String),
    Port { name: String, protocol: String },
}

/// An address of a service, with a port.
struct Hit<'m> {
    host: Option<&'m str>,
    ip: IpAddr,
    port: Option<u16>,
}

impl Zone {
    /// The zone `apex`, served at `address`.
    pub(super) fn new(apex: Name, address: IpAddr) -> Self {
        let labels = labels(&apex);
        Zone {
            apex,
            labels,
            address,
        }
    }

    /// The labels of `name` that stand before the zone's own; `None` for a name that is not of the zone.
    pub(super) fn labels_below(&self, name: &Name) -> Option<Vec<String>> {
        let mut all = labels(name);
        if !all.ends_with(&self.labels) {
            return None;
        }
        all.truncate(all.len() - self.labels.len());
        Some(all)
    }

    /// The record that comes with every answer that a name or a type is not there.
    pub(super) fn soa(&self, serial: u32) -> Record {
        soa(&self.apex, serial)
    }

    /// What `name` holds of `type_`; `below` is what [`Zone::labels_below`] gave for it.
    pub(super) fn look_up(&self, model: &Model, name: &Name, below: &[String], type_: RecordType) -> Found {
        match subject(below) {
            Subject::Apex => self.apex_records(model, name, type_),
            Subject::Branch => Found::no_data(),
            Subject::NameServer => Found::of(addresses(name, [self.address], type_)),
            Subject::Version if type_ == RecordType::TXT => {
                let text = RData::TXT(TXT::new(vec![VERSION.to_string()]));
                Found::of(vec![Record::from_rdata(name.clone(), VERSION_TTL, text)])
            }
            Subject::Version => Found::no_data(),
            Subject::Namespace(namespace) if model.has_namespace(&namespace) => Found::no_data(),
            Subject::Pod { namespace, ip } if model.has_namespace(&namespace) => {
                Found::of(addresses(name, [ip], type_))
            }
            Subject::Service {
                namespace,
                name: service,
                part,
            } if model.has_namespace(&namespace) => match model.service(&namespace, &service) {
                Some(service) => self.service_records(model, service, &part, name, type_),
                None => Found::no_name(),
            },
            Subject::Nothing | Subject::Namespace(_) | Subject::Pod { .. } | Subject::Service { .. } => {
                Found::no_name()
            }
        }
    }

    /// The names of an address of the cluster.
    pub(super) fn pointers(&self, model: &Model, name: &Name, ip: IpAddr) -> Vec<Record> {
        let names = model.names_of(ip).into_iter();
        let targets = names.filter_map(|n| self.below_services(n.split('.')));
        targets
            .map(|t| Record::from_rdata(name.clone(), TTL, RData::PTR(PTR(t))))
            .collect()
    }

    fn apex_records(&self, model: &Model, name: &Name, type_: RecordType) -> Found {
        match type_ {
            RecordType::SOA => Found::of(vec![self.soa(model.serial())]),
            RecordType::NS => {
                let Some(server) = below(&["ns", "dns"], &self.apex) else {
                    return Found::no_data();
                };
                let record = Record::from_rdata(name.clone(), TTL, RData::NS(NS(server.clone())));
                Found {
                    additionals: vec![address(server, self.address)],
                    ..Found::of(vec![record])
                }
            }
            _ => Found::no_data(),
        }
    }

    fn service_records(
        &self,
        model: &Model,
        service: &Service,
        part: &Part,
        name: &Name,
        type_: RecordType,
    ) -> Found {
        if let Address::External(target) = &service.address {
            return match part {
                Part::Whole => self.alias(model, name, target, type_),
                Part::Endpoint(_) | Part::Port { .. } => Found::no_name(),
            };
        }
        let Some(hits) = hits(model, service, part) else {
            return Found::no_name();
        };
        match type_ {
            RecordType::A | RecordType::AAAA => Found::of(addresses(name, hits.iter().map(|h| h.ip), type_)),
            RecordType::SRV => self.ports(service, name, &hits),
            _ => Found::no_data(),
        }
    }

    fn ports(&self, service: &Service, name: &Name, hits: &[Hit<'_>]) -> Found {
        // As CoreDNS weighs: the hits share 100, though several may stand for one target.
        let weight = u16::try_from(100 / hits.len().max(1)).unwrap_or(1).max(1);
        let mut found = Found::no_data();
        let (mut seen, mut seen_addresses) = (HashSet::new(), HashSet::new());
        for hit in hits {
            let Some(port) = hit.port else { continue };
            let own = [service.name.as_str(), service.namespace.as_str()];
            let Some(target) = self.below_services(hit.host.into_iter().chain(own)) else {
                continue;
            };
            if seen.insert((hit.host, port)) {
                let data = RData::SRV(SRV::new(0, weight, port, target.clone()));
                found.answers.push(Record::from_rdata(name.clone(), TTL, data));
            }
            if seen_addresses.insert((hit.host, hit.ip)) {
                found.additionals.push(address(target, hit.ip));
            }
        }
        found
    }

    /// The alias that a service of type ExternalName is, followed as far as it stays in the zone.
    fn alias(&self, model: &Model, name: &Name, target: &str, type_: RecordType) -> Found {
        let (mut answers, mut owner, mut target) = (Vec::new(), name.clone(), target.to_string());
        while answers.len() < MAX_ALIASES {
            let Some(next) = host_name(&target) else {
                return if answers.is_empty() {
                    Found::no_name()
                } else {
                    Found::no_data()
                };
            };
            answers.push(Record::from_rdata(owner, TTL, RData::CNAME(CNAME(next.clone()))));
            match type_ {
                RecordType::CNAME => return Found::of(answers),
                RecordType::A | RecordType::AAAA => {}
                _ => return Found::no_data(),
            }
            let Some(labels) = self.labels_below(&next) else {
                return Found {
                    target: Some(next),
                    ..Found::of(answers)
                };
            };
            if let Subject::Service {
                namespace,
                name,
                part: Part::Whole,
            } = subject(&labels)
                && let Some(Service {
                    address: Address::External(further),
                    ..
                }) = model.service(&namespace, &name)
            {
                (owner, target) = (next, further.clone());
                continue;
            }
            let found = self.look_up(model, &next, &labels, type_);
            // An alias of nothing is left out, as CoreDNS does.
            if found.answers.is_empty() {
                break;
            }
            answers.extend(found.answers);
            return Found::of(answers);
        }
        Found::no_data()
    }

    fn below_services<'a>(&self, labels: impl IntoIterator<Item = &'a str>) -> Option<Name> {
        let labels: Vec<&str> = labels.into_iter().chain(["svc"]).collect();
        below(&labels, &self.apex)
    }
}

/// The start of authority of a zone whose records live as long as ours.
pub(super) fn soa(apex: &Name, serial: u32) -> Record {
    let name = |labels: &[&str]| below(labels, apex).unwrap_or_else(|| apex.clone());
    let data = SOA::new(
        name(&["ns", "dns"]),
        name(&["hostmaster"]),
        serial,
        7200,
        1800,
        86400,
        TTL,
    );
    Record::from_rdata(apex.clone(), TTL, RData::SOA(data))
}

/// A host's name as a user wrote it; an address is none.
fn host_name(text: &str) -> Option<Name> {
    if text.is_empty() || text.parse::<IpAddr>().is_ok() {
        return None;
    }
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// `None` where the name would be too long.
fn below(labels: &[&str], apex: &Name) -> Option<Name> {
    Name::from_labels(labels.iter().map(|l| l.as_bytes()))
        .ok()?
        .append_domain(apex)
        .ok()
}

fn address(name: Name, ip: IpAddr) -> Record {
    let data = match ip {
        IpAddr::V4(ip) => RData::A(ip.into()),
        IpAddr::V6(ip) => RData::AAAA(ip.into()),
    };
    Record::from_rdata(name, TTL, data)
}

fn addresses(name: &Name, ips: impl IntoIterator<Item = IpAddr>, type_: RecordType) -> Vec<Record> {
    let wanted = |ip: &IpAddr| {
        type_
            == if ip.is_ipv4() {
                RecordType::A
            } else {
                RecordType::AAAA
            }
    };
    let mut seen = HashSet::new();
    let ips = ips.into_iter().filter(wanted).filter(|ip| seen.insert(*ip));
    ips.map(|ip| address(name.clone(), ip)).collect()
}

/// The addresses of what is asked for; `None` when there is no such thing.
fn hits<'m>(model: &'m Model, service: &'m Service, part: &Part) -> Option<Vec<Hit<'m>>> {
    let (host, port, protocol) = match part {
        Part::Whole => (None, "", ""),
        Part::Endpoint(host) => (Some(host.as_str()), "", ""),
        Part::Port { name, protocol } => (None, name.as_str(), protocol.as_str()),
    };
    let mut hits = Vec::new();
    match (&service.address, host) {
        (Address::Cluster(ips), None) => {
            let mut ports = service.ports.iter().filter(|p| p.is(port, protocol)).peekable();
            ports.peek()?;
            for port in ports {
                hits.extend(ips.iter().map(|ip| Hit {
                    host: None,
                    ip: *ip,
                    port: port.number,
                }));
            }
            return Some(hits);
        }
        (Address::Cluster(_) | Address::Headless, _) => {
            for slice in model.slices(service) {
                for endpoint in slice.endpoints(service, host) {
                    let ports = slice.ports.iter().filter(|p| p.is(port, protocol));
                    hits.extend(ports.map(|p| Hit {
                        host: Some(&endpoint.host),
                        ip: endpoint.ip,
                        port: p.number,
                    }));
                }
            }
        }
        (Address::External(_), _) => {}
    }
    // The specification: without ready endpoints there is no name.
    (!hits.is_empty()).then_some(hits)
}

/// The labels of a name in lower case. One that is not text becomes one that nothing is called.
fn labels(name: &Name) -> Vec<String> {
    name.iter()
        .map(|l| String::from_utf8_lossy(l).to_ascii_lowercase())
        .collect()
}

fn subject(below: &[String]) -> Subject {
    let labels: Vec<&str> = below.iter().rev().map(String::as_str).collect();
    match labels.as_slice() {
        [] => Subject::Apex,
        ["svc" | "pod" | "dns"] => Subject::Branch,
        ["dns", "ns"] => Subject::NameServer,
        ["dns-version"] => Subject::Version,
        ["svc" | "pod", namespace] => Subject::Namespace(namespace.to_string()),
        ["pod", namespace, ip] => match pod_address(ip) {
            Some(ip) => Subject::Pod {
                namespace: namespace.to_string(),
                ip,
            },
            None => Subject::Nothing,
        },
        ["svc", namespace, name, rest @ ..] => {
            let bare = |label: &str| label.strip_prefix('_').unwrap_or(label).to_string();
            let part = match rest {
                [] => Part::Whole,
                [host] => Part::Endpoint(host.to_string()),
                [protocol, port] => Part::Port {
                    name: bare(port),
                    protocol: bare(protocol),
                },
                _ => return Subject::Nothing,
            };
            Subject::Service {
                namespace: namespace.to_string(),
                name: name.to_string(),
                part,
            }
        }
        _ => Subject::Nothing,
    }
}

/// The address that a pod's label spells: `10-0-0-1`, `fd00--1`. Whether there is such a pod is not asked, as in
/// CoreDNS's insecure mode, which is what clusters made by kubeadm have.
fn pod_address(label: &str) -> Option<IpAddr> {
    let four = label.matches('-').count() == 3 && !label.contains("--");
    label.replace('-', if four { "." } else { ":" }).parse().ok()
}

#[cfg(test)]
#[path = "zone_tests.rs"]
pub(super) mod tests;
