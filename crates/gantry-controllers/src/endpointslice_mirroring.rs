//! EndpointSlice mirroring: Endpoints that people write for a Service without a selector, as EndpointSlices.
//!
//! Source: pkg/controller/endpointslicemirroring.

use crate::object::{controller_reference, items, text};
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use crate::service::{MANAGED_BY, SERVICE_NAME, TRIGGER_TIME};
use crate::subsets::{self, Subset};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_client::resource::{ENDPOINT_SLICES, ENDPOINTS, SERVICES};
use gantry_client::{Change, Informer, Resource, key_of};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that tell of the Endpoints alone.
const OWN_ANNOTATIONS: [&str; 2] = [TRIGGER_TIME, "kubectl.kubernetes.io/last-applied-configuration"];
/// Addresses of one subset; more are left out, and an event says so.
const CAPACITY: usize = 1000;
/// The index of mirrored slices by `namespace/service`.
const BY_ENDPOINTS: &str = "mirrored";

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "endpointslicemirroring-controller",
    queue: "endpoint_slice_mirroring",
    workers: 5,
    watches: || vec![ENDPOINT_SLICES, ENDPOINTS, SERVICES],
    rules: &[
        Rule { groups: &[""], resources: &["endpoints", "services"], verbs: &["get", "list", "watch"] },
        Rule { groups: &[""], resources: &["endpoints/finalizers", "services/finalizers"], verbs: &["update"] },
        Rule {
            groups: &["discovery.k8s.io"],
            resources: &["endpointslices"],
            verbs: &["create", "delete", "get", "list", "update", "watch"],
        },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let of = |resource| ctx.informers.of(resource);
        let (services, endpoints, slices) = (of(&SERVICES), of(&ENDPOINTS), of(&ENDPOINT_SLICES));
        slices.add_index(BY_ENDPOINTS, |slice| mirrored(slice).into_iter().collect());
        Arc::new(Mirroring { ctx, services, endpoints, slices })
    },
};

struct Mirroring {
    ctx: Context,
    services: Arc<Informer>,
    endpoints: Arc<Informer>,
    slices: Arc<Informer>,
}

/// The Endpoints that a slice of ours mirrors.
fn mirrored(slice: &Value) -> Option<String> {
    let labels = &slice["metadata"]["labels"];
    let name = labels.get(SERVICE_NAME)?.as_str()?;
    (labels.get(MANAGED_BY)? == MANAGER).then(|| format!("{}/{name}", meta::namespace(slice)))
}

fn is_mirrored(endpoints: &Value) -> bool {
    let metadata = &endpoints["metadata"];
    metadata["labels"].get(SKIP).is_none_or(|skip| skip != "true") && metadata["annotations"].get(LEADER).is_none()
}

fn has_no_selector(service: &Value) -> bool {
    service["spec"]["selector"].as_object().is_none_or(Map::is_empty)
}

#[async_trait]
impl Controller for Mirroring {
    fn keys(&self, resource: &Resource, change: Change<'_>) -> Vec<String> {
        let both = || [change.old, change.new].into_iter().flatten();
        let concerned = match resource.plural.as_str() {
            "endpointslices" => return both().filter_map(|s| mirrored(s)).collect(),
            "endpoints" => both().any(|e| is_mirrored(e)),
            _ => both().any(|s| has_no_selector(s)),
        };
        if concerned { vec![key_of(change.object())] } else { Vec::new() }
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let existing = self.slices.indexed(BY_ENDPOINTS, key);
        let endpoints = self.endpoints.get_key(key).filter(|e| is_mirrored(e));
        let service = self.services.get_key(key).filter(|s| has_no_selector(s));
        let (Some(endpoints), Some(_)) = (endpoints, service) else {
            for slice in existing {
                self.delete(&slice).await?;
            }
            return Ok(Next::Done);
        };
        let desired = Desired::of(&endpoints);
        self.tell(&endpoints, &desired);
        self.carry_out(&endpoints, plan(&endpoints, &desired, existing)).await
    }
}

impl Mirroring {
    fn tell(&self, endpoints: &Value, desired: &Desired) {
        if desired.invalid > 0 {
            let message = format!("Skipped {} invalid IP addresses when mirroring to EndpointSlices", desired.invalid);
            self.ctx.events.event(endpoints, "Warning", "InvalidIPAddress", message);
        }
        if desired.skipped > desired.invalid {
            let message = format!(
                "A max of {CAPACITY} addresses can be mirrored to EndpointSlices per Endpoints subset. {} addresses were \
                 skipped",
                desired.skipped
            );
            self.ctx.events.event(endpoints, "Warning", "TooManyAddressesToMirror", message);
        }
    }

    async fn carry_out(&self, endpoints: &Value, plan: Plan) -> Result<Next, Error> {
        let client = &self.ctx.client;
        if !meta::is_deleting(endpoints) {
            for slice in plan.create {
                match client.create(&ENDPOINT_SLICES, &slice).await {
                    Err(error) if error.is_namespace_terminating() => return Ok(Next::Done),
                    other => other?,
                };
            }
        }
        for slice in plan.update {
            client.update(&ENDPOINT_SLICES, &slice).await?;
        }
        for slice in plan.delete {
            self.delete(&slice).await?;
        }
        Ok(Next::Done)
    }

    async fn delete(&self, slice: &Value) -> Result<(), Error> {
        let (namespace, name) = (meta::namespace(slice), meta::name(slice));
        match self.ctx.client.delete(&ENDPOINT_SLICES, namespace, name, &Value::Null).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Endpoints in the form of slices: by address type and ports.
#[derive(Default)]
struct Desired {
    slices: BTreeMap<(&'static str, String), Content>,
    invalid: usize,
    skipped: usize,
}

/// A slice's ports and endpoints.
type Content = (Vec<Value>, Vec<Value>);

impl Desired {
    fn of(endpoints: &Value) -> Self {
        let mut desired = Desired::default();
        for Subset { ports, addresses } in subsets::repack(&endpoints["subsets"]) {
            let ports: Vec<Value> = ports.iter().map(slice_port).collect();
            let mut taken = 0;
            for (address, ready) in addresses.values() {
                if taken == CAPACITY {
                    break;
                }
                let Ok(ip) = text(&address["ip"]).parse::<IpAddr>() else {
                    desired.invalid += 1;
                    continue;
                };
                taken += 1;
                let type_ = if ip.is_ipv6() { "IPv6" } else { "IPv4" };
                let slice = desired.slices.entry((type_, ports_key(&ports))).or_insert_with(|| (ports.clone(), Vec::new()));
                slice.1.push(endpoint(address, ip, *ready));
            }
            desired.skipped += addresses.len() - taken;
        }
        desired
    }
}

fn slice_port(port: &Value) -> Value {
    let mut found = json!({"name": text(&port["name"]), "port": port["port"], "protocol": port["protocol"]});
    if let Some(protocol) = port.get("appProtocol").filter(|p| !p.is_null()) {
        found["appProtocol"] = protocol.clone();
    }
    found
}

fn ports_key(ports: &[Value]) -> String {
    let mut all: Vec<String> = ports.iter().map(Value::to_string).collect();
    all.sort();
    all.join(",")
}

fn endpoint(address: &Value, ip: IpAddr, ready: bool) -> Value {
    let mut endpoint = json!({"addresses": [ip.to_string()], "conditions": {"ready": ready}});
    for field in ["targetRef", "nodeName", "hostname"] {
        if let Some(value) = address.get(field).filter(|v| !v.is_null() && **v != "") {
            endpoint[field] = value.clone();
        }
    }
    endpoint
}

/// What is to change.
#[derive(Default)]
struct Plan {
    create: Vec<Value>,
    update: Vec<Value>,
    delete: Vec<Arc<Value>>,
}

fn plan(endpoints: &Value, desired: &Desired, mut existing: Vec<Arc<Value>>) -> Plan {
    let mut plan = Plan::default();
    let mut homeless = Vec::new();
    for ((type_, key), (ports, content)) in &desired.slices {
        let new = new_slice(endpoints, type_, ports, content);
        let fits = |s: &Arc<Value>| {
            s["addressType"] == *type_ && ports_key(&items(&s["ports"]).cloned().collect::<Vec<_>>()) == *key
        };
        match existing.iter().position(fits) {
            Some(at) => plan.write_over(&existing.swap_remove(at), new),
            None => homeless.push(new),
        }
    }
    for new in homeless {
        match existing.iter().position(|old| old["addressType"] == new["addressType"]) {
            Some(at) => plan.write_over(&existing.swap_remove(at), new),
            None => plan.create.push(new),
        }
    }
    plan.delete = existing;
    plan
}

impl Plan {
    fn write_over(&mut self, old: &Value, mut new: Value) {
        let maps = |field: &str| {
            let map = |s: &Value| s["metadata"][field].as_object().cloned().unwrap_or_default();
            map(old) == map(&new)
        };
        let same = maps("labels")
            && maps("annotations")
            && old["metadata"]["ownerReferences"] == new["metadata"]["ownerReferences"]
            && items(&old["ports"]).eq(items(&new["ports"]))
            && items(&old["endpoints"]).eq(items(&new["endpoints"]));
        if same {
            return;
        }
        if let Some(metadata) = new["metadata"].as_object_mut() {
            metadata.remove("generateName");
        }
        for field in ["name", "uid", "resourceVersion", "generateName"] {
            if let Some(value) = old["metadata"].get(field) {
                new["metadata"][field] = value.clone();
            }
        }
        self.update.push(new);
    }
}

fn new_slice(endpoints: &Value, type_: &str, ports: &[Value], content: &[Value]) -> Value {
    let mut labels = endpoints["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.insert(SERVICE_NAME.into(), meta::name(endpoints).into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let mut annotations = endpoints["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.retain(|name, _| !OWN_ANNOTATIONS.contains(&name.as_str()));
    let mut slice = json!({
        "metadata": {
            "namespace": meta::namespace(endpoints), "generateName": format!("{}-", meta::name(endpoints)),
            "labels": labels, "ownerReferences": [controller_reference(&ENDPOINTS, endpoints)],
        },
        "addressType": type_, "ports": ports, "endpoints": content,
    });
    if !annotations.is_empty() {
        slice["metadata"]["annotations"] = annotations.into();
    }
    slice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(subsets: Value) -> Value {
        json!({
            "metadata": {
                "namespace": "a", "name": "s", "uid": "u", "labels": {"own": "x"},
                "annotations": {"kept": "y", TRIGGER_TIME: "2026-01-01T00:00:00Z"},
            },
            "subsets": subsets,
        })
    }

    #[test]
    fn subsets_become_slices() {
        let port = |n: u16| json!({"port": n, "protocol": "TCP"});
        let ip = |ip: &str| json!({"ip": ip});
        let check = |what: &str, subsets: Value, expected: &[&str]| {
            let desired = Desired::of(&endpoints(subsets));
            let found: Vec<String> = desired
                .slices
                .iter()
                .map(|((type_, _), (ports, content))| {
                    let ports: Vec<String> = ports.iter().map(|p| p["port"].to_string()).collect();
                    let ready = |e: &Value| if e["conditions"]["ready"] == true { "" } else { "!" }.to_string();
                    let content: Vec<String> = content.iter().map(|e| ready(e) + text(&e["addresses"][0])).collect();
                    format!("{type_} {} {}", ports.join("+"), content.join("+"))
                })
                .collect();
            assert_eq!(found, expected, "{what}");
        };
        check("nothing", json!(null), &[]);
        check(
            "both families",
            json!([{"ports": [port(80)], "addresses": [ip("10.0.0.2"), ip("10.0.0.1"), ip("fd00::1")]}]),
            &["IPv4 80 10.0.0.1+10.0.0.2", "IPv6 80 fd00::1"],
        );
        check(
            "subsets of the same addresses",
            json!([
                {"ports": [port(80)], "addresses": [ip("10.0.0.1")]},
                {"ports": [port(81)], "addresses": [ip("10.0.0.1")]},
            ]),
            &["IPv4 80+81 10.0.0.1"],
        );
        check(
            "ready and not",
            json!([{"ports": [port(80)], "addresses": [ip("10.0.0.1")], "notReadyAddresses": [ip("10.0.0.1"), ip("10.0.0.2")]}]),
            &["IPv4 80 !10.0.0.1+!10.0.0.2"],
        );
        check("no ports", json!([{"addresses": [ip("10.0.0.1")]}]), &["IPv4  10.0.0.1"]);
    }

    #[test]
    fn slices_are_written_over() {
        let port = |n: u16| json!([{"port": n, "protocol": "TCP"}]);
        let one = |n: u16| endpoints(json!([{"ports": port(n), "addresses": [{"ip": "10.0.0.1"}]}]));
        let existing = || {
            let all = plan(&one(80), &Desired::of(&one(80)), Vec::new()).create;
            all.into_iter().map(|mut slice| {
                slice["metadata"]["name"] = "s-1".into();
                Arc::new(slice)
            })
        };
        assert_eq!(existing().count(), 1);
        let check = |what: &str, wanted: &Value, expected: (usize, usize, usize)| {
            let plan = plan(wanted, &Desired::of(wanted), existing().collect());
            assert_eq!((plan.create.len(), plan.update.len(), plan.delete.len()), expected, "{what}");
            assert!(plan.update.iter().all(|s| s["metadata"]["name"] == "s-1"), "{what}");
        };
        check("the same", &one(80), (0, 0, 0));
        check("another port", &one(81), (0, 1, 0));
        check("nothing", &endpoints(json!([])), (0, 0, 1));
        let mut labelled = one(80);
        labelled["metadata"]["labels"]["own"] = "z".into();
        check("another label", &labelled, (0, 1, 0));
        let slice = &existing().next().unwrap();
        assert_eq!(slice["metadata"]["annotations"], json!({"kept": "y"}));
        assert_eq!(slice["metadata"]["labels"][MANAGED_BY], MANAGER);
    }

    #[test]
    fn what_cannot_be_mirrored_is_counted() {
        let many: Vec<Value> = (0..1001).map(|i| json!({"ip": format!("10.0.{}.{}", i / 250, i % 250)})).collect();
        let desired = Desired::of(&endpoints(json!([{"addresses": many}])));
        assert_eq!((desired.invalid, desired.skipped), (0, 1));
        let desired = Desired::of(&endpoints(json!([{"addresses": [{"ip": "x"}]}])));
        assert_eq!((desired.invalid, desired.skipped), (1, 1));
    }
}
