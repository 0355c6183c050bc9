//! EndpointSlice: for each Service with a selector, where its pods are.

use crate::expectations::Expectations;
use crate::object::{controller_reference, items, text, uid};
use crate::pods;
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use crate::service::{self, HEADLESS, MANAGED_BY, SERVICE_NAME, TriggerTimes};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_client::resource::{ENDPOINT_SLICES, NODES, PODS, SERVICES};
use gantry_client::{Change, Informer, Resource, key_of};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use time::OffsetDateTime;

/// Endpoints in one slice.
const SLICE_LIMIT: usize = 100;
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// The index of slices by `namespace/service`.
const BY_SERVICE: &str = "service";

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "endpointslice-controller",
    queue: "endpoint_slice",
    workers: 5,
    watches: || vec![SERVICES, PODS, ENDPOINT_SLICES, NODES],
    rules: &[
        Rule { groups: &[""], resources: &["services", "pods", "nodes"], verbs: &["get", "list", "watch"] },
        Rule { groups: &[""], resources: &["services/finalizers"], verbs: &["update"] },
        Rule {
            groups: &["discovery.k8s.io"],
            resources: &["endpointslices"],
            verbs: &["create", "delete", "get", "list", "update", "watch"],
        },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let of = |resource| ctx.informers.of(resource);
        let (services, pods, slices, nodes) = (of(&SERVICES), of(&PODS), of(&ENDPOINT_SLICES), of(&NODES));
        service::index_labels(&pods);
        slices.add_index(BY_SERVICE, |slice| own_service(slice).into_iter().collect());
        Arc::new(EndpointSlices {
            ctx,
            services,
            pods,
            slices,
            nodes,
            expectations: Expectations::default(),
            triggers: TriggerTimes::default(),
        })
    },
};

struct EndpointSlices {
    ctx: Context,
    services: Arc<Informer>,
    pods: Arc<Informer>,
    slices: Arc<Informer>,
    nodes: Arc<Informer>,
    expectations: Expectations,
    triggers: TriggerTimes,
}

/// The service that a slice of ours is of.
fn own_service(slice: &Value) -> Option<String> {
    let labels = &slice["metadata"]["labels"];
    let name = labels.get(SERVICE_NAME)?.as_str()?;
    (labels.get(MANAGED_BY)? == MANAGER).then(|| format!("{}/{name}", meta::namespace(slice)))
}

#[async_trait]
impl Controller for EndpointSlices {
    fn keys(&self, resource: &Resource, change: Change<'_>) -> Vec<String> {
        match resource.plural.as_str() {
            "services" => vec![key_of(change.object())],
            "pods" => service::keys_of_pod(&self.services, change),
            "endpointslices" => {
                let Some(key) = [change.old, change.new].into_iter().flatten().find_map(|s| own_service(s)) else {
                    return Vec::new();
                };
                if change.old.is_none() {
                    self.expectations.created(&key, 1);
                }
                if change.new.is_none() {
                    self.expectations.deleted(&key, uid(change.object()));
                }
                vec![key]
            }
            // A pod's key failed while its node was unknown; it is tried again by itself.
            _ => Vec::new(),
        }
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let Some(service) = self.services.get_key(key) else {
            self.expectations.forget(key);
            self.triggers.forget(key);
            // Slices go with their owner, through the garbage collector.
            return Ok(Next::Done);
        };
        if !service::has_selector(&service) {
            return Ok(Next::Done);
        }
        if !self.expectations.are_met(key) {
            // The last slice to appear will bring the key back.
            return Ok(Next::Done);
        }
        let pods = service::pods_of(&service, &self.pods);
        let trigger = self.triggers.next(&service, &pods);
        let types = address_types(&service);
        let mut existing = self.slices.indexed(BY_SERVICE, key);
        existing.retain(|slice| !meta::is_deleting(slice));
        let mut plan = Plan::default();
        let (known, unknown) = self.split_by_node(&service, &pods);
        for type_ in &types {
            let of_type = existing.iter().filter(|s| s["addressType"] == *type_).cloned().collect();
            plan.add(&service, type_, of_type, &self.desired(&service, &known, type_));
        }
        plan.delete.extend(existing.into_iter().filter(|s| !types.contains(&text(&s["addressType"]))));
        plan.reuse(&service);
        if meta::is_deleting(&service) {
            // The garbage collector would have to delete them at once.
            plan.create.clear();
        }
        if let Err(error) = self.carry_out(key, plan, trigger).await {
            let message = format!("Error updating Endpoint Slices for Service {key}: {error}");
            self.ctx.events.event(&service, "Warning", "FailedToUpdateEndpointSlices", message);
            return Err(error);
        }
        match unknown {
            None => Ok(Next::Done),
            Some(pod) => Err(Error::NotYet(format!(
                "skipping Pod {} for Service {key}: Node {} Not Found",
                meta::name(&pod),
                text(&pod["spec"]["nodeName"])
            ))),
        }
    }
}

/// Endpoints by the ports they share.
type ByPorts = BTreeMap<String, (Vec<Value>, Vec<Value>)>;

impl EndpointSlices {
    /// The pods whose node is known, and one whose node is not.
    fn split_by_node(&self, service: &Value, pods: &[Arc<Value>]) -> (Vec<Arc<Value>>, Option<Arc<Value>>) {
        if service["spec"]["publishNotReadyAddresses"] == true {
            return (pods.to_vec(), None);
        }
        let (known, mut unknown): (Vec<_>, Vec<_>) =
            pods.iter().cloned().partition(|p| self.nodes.get("", text(&p["spec"]["nodeName"])).is_some());
        (known, unknown.pop())
    }

    fn desired(&self, service: &Value, pods: &[Arc<Value>], type_: &str) -> ByPorts {
        let mut desired = ByPorts::new();
        for pod in pods {
            let ports = service::ports(service, pod);
            let of_ports = desired.entry(ports_key(&ports)).or_insert_with(|| (ports, Vec::new()));
            let node = self.nodes.get("", text(&pod["spec"]["nodeName"]));
            of_ports.1.extend(endpoint(service, pod, node.as_deref(), type_));
        }
        desired
    }

    async fn carry_out(&self, key: &str, plan: Plan, trigger: Option<OffsetDateTime>) -> Result<(), Error> {
        let deletions = plan.delete.iter().map(|s| uid(s).to_string());
        self.expectations.expect(key, plan.create.len(), deletions);
        let mut result = Ok(());
        for mut slice in plan.create {
            service::mark_trigger(&mut slice, trigger);
            if let Err(error) = self.ctx.client.create(&ENDPOINT_SLICES, &slice).await {
                self.expectations.created(key, 1);
                if !error.is_namespace_terminating() {
                    result = Err(error);
                }
            }
        }
        for mut slice in plan.update {
            service::mark_trigger(&mut slice, trigger);
            if let Err(error) = self.ctx.client.update(&ENDPOINT_SLICES, &slice).await {
                result = Err(error);
            }
        }
        for slice in plan.delete {
            let (namespace, name) = (meta::namespace(&slice), meta::name(&slice));
            if let Err(error) = self.ctx.client.delete(&ENDPOINT_SLICES, namespace, name, &Value::Null).await {
                self.expectations.deleted(key, uid(&slice));
                if !error.is_not_found() {
                    result = Err(error);
                }
            }
        }
        result.map_err(Into::into)
    }
}

/// What is to change.
#[derive(Default)]
struct Plan {
    create: Vec<Value>,
    update: Vec<Value>,
    delete: Vec<Arc<Value>>,
}

impl Plan {
    /// Adds what brings the `existing` slices of one address type to the `desired` endpoints.
    fn add(&mut self, service: &Value, type_: &str, existing: Vec<Arc<Value>>, desired: &ByPorts) {
        let (owned, foreign): (Vec<_>, Vec<_>) = existing.into_iter().partition(|s| is_owned(s, service));
        self.delete.extend(foreign);
        let mut kept = 0;
        let mut placeholders = Vec::new();
        for slice in &owned {
            let key = ports_key(&items(&slice["ports"]).cloned().collect::<Vec<_>>());
            if desired.get(&key).is_none_or(|(_, endpoints)| endpoints.is_empty()) {
                placeholders.push(slice.clone());
            }
        }
        for (key, (ports, endpoints)) in desired.iter().filter(|(_, (_, e))| !e.is_empty()) {
            let same = |s: &&Arc<Value>| ports_key(&items(&s["ports"]).cloned().collect::<Vec<_>>()) == *key;
            let slices = owned.iter().filter(same).cloned().collect();
            kept += self.pack(service, type_, ports, slices, endpoints);
        }
        if kept == 0 {
            // A service without endpoints has one slice that says so.
            let empty = new_slice(service, type_, &[], Vec::new());
            let at = placeholders.iter().position(|s| items(&s["ports"]).next().is_none());
            match at {
                Some(at) => self.keep(service, &placeholders.remove(at), Vec::new()),
                None => self.create.push(empty),
            }
        }
        self.delete.extend(placeholders);
    }

    /// Spreads endpoints of the same ports over slices with as few writes as possible: endpoints stay where they are,
    /// new ones go to slices that are written anyway, then to those with room, then to new slices. Returns how many
    /// slices there will be.
    fn pack(
        &mut self,
        service: &Value,
        type_: &str,
        ports: &[Value],
        slices: Vec<Arc<Value>>,
        endpoints: &[Value],
    ) -> usize {
        let mut homeless: Vec<&Value> = endpoints.iter().collect();
        let mut filled: Vec<(Arc<Value>, Vec<Value>, bool)> = Vec::new();
        for slice in slices {
            let mut stay = Vec::new();
            let mut before = 0;
            for old in items(&slice["endpoints"]) {
                before += 1;
                if let Some(at) = homeless.iter().position(|e| identity(e) == identity(old)) {
                    stay.push(homeless.swap_remove(at).clone());
                }
            }
            let changed = stay.len() != before;
            filled.push((slice, stay, changed));
        }
        filled.sort_by_key(|(_, stay, changed)| (!changed, std::cmp::Reverse(stay.len())));
        for (_, stay, _) in &mut filled {
            let room = SLICE_LIMIT.saturating_sub(stay.len()).min(homeless.len());
            stay.extend(homeless.drain(..room).cloned());
        }
        let mut count = 0;
        for (slice, endpoints, _) in filled {
            if endpoints.is_empty() {
                self.delete.push(slice);
            } else {
                count += 1;
                self.keep(service, &slice, endpoints);
            }
        }
        for chunk in homeless.chunks(SLICE_LIMIT) {
            count += 1;
            let endpoints = chunk.iter().map(|e| (*e).clone()).collect();
            self.create.push(new_slice(service, type_, ports, endpoints));
        }
        count
    }

    /// Updates a slice if it has changed.
    fn keep(&mut self, service: &Value, slice: &Arc<Value>, endpoints: Vec<Value>) {
        let labels = labels_of(service);
        let same_endpoints = items(&slice["endpoints"]).eq(endpoints.iter());
        if same_endpoints && slice["metadata"]["labels"] == labels {
            return;
        }
        let mut updated = (**slice).clone();
        updated["metadata"]["labels"] = labels;
        updated["endpoints"] = endpoints.into();
        self.update.push(updated);
    }

    /// Writes over a slice instead of deleting it and making another.
    fn reuse(&mut self, service: &Value) {
        let mut create = Vec::new();
        for mut slice in std::mem::take(&mut self.create) {
            match self.delete.iter().position(|old| old["addressType"] == slice["addressType"] && is_owned(old, service)) {
                Some(at) => {
                    let old = self.delete.swap_remove(at);
                    for field in ["name", "uid", "resourceVersion"] {
                        slice["metadata"][field] = old["metadata"][field].clone();
                    }
                    self.update.push(slice);
                }
                None => create.push(slice),
            }
        }
        self.create = create;
    }
}

fn is_owned(slice: &Value, service: &Value) -> bool {
    items(&slice["metadata"]["ownerReferences"]).any(|r| text(&r["uid"]) == uid(service) && r["kind"] == "Service")
}

/// Tells ports apart, whatever their order.
fn ports_key(ports: &[Value]) -> String {
    let mut all: Vec<String> = ports.iter().map(Value::to_string).collect();
    all.sort();
    all.join(",")
}

/// An endpoint stays the same while it is the same pod at the same addresses.
fn identity(endpoint: &Value) -> (&Value, &Value) {
    (&endpoint["addresses"], &endpoint["targetRef"]["uid"])
}

fn address_types(service: &Value) -> Vec<&'static str> {
    let families: HashSet<&str> = items(&service["spec"]["ipFamilies"]).map(text).collect();
    let types: Vec<&str> = ["IPv4", "IPv6"].into_iter().filter(|t| families.contains(t)).collect();
    if !types.is_empty() {
        return types;
    }
    match text(&service["spec"]["clusterIP"]).parse() {
        Ok(IpAddr::V6(_)) => vec!["IPv6"],
        Ok(IpAddr::V4(_)) => vec!["IPv4"],
        Err(_) => vec!["IPv4", "IPv6"],
    }
}

fn labels_of(service: &Value) -> Value {
    let mut labels = service["metadata"]["labels"].clone();
    if let Some(map) = labels.as_object_mut() {
        map.remove(HEADLESS);
    }
    if !service::has_ip(service) {
        labels[HEADLESS] = "".into();
    }
    labels[SERVICE_NAME] = meta::name(service).into();
    labels[MANAGED_BY] = MANAGER.into();
    labels
}

fn new_slice(service: &Value, type_: &str, ports: &[Value], endpoints: Vec<Value>) -> Value {
    json!({
        "metadata": {
            "namespace": meta::namespace(service), "generateName": format!("{}-", meta::name(service)),
            "labels": labels_of(service), "ownerReferences": [controller_reference(&SERVICES, service)],
        },
        "addressType": type_, "ports": ports, "endpoints": endpoints,
    })
}

fn endpoint(service: &Value, pod: &Value, node: Option<&Value>, type_: &str) -> Option<Value> {
    let wanted = |ip: &IpAddr| ip.is_ipv6() == (type_ == "IPv6");
    let addresses: Vec<String> = service::addresses(pod).filter(wanted).map(|ip| ip.to_string()).collect();
    if addresses.is_empty() {
        return None;
    }
    let serving = pods::is_ready(pod);
    let terminating = meta::is_deleting(pod);
    let ready = service["spec"]["publishNotReadyAddresses"] == true || (serving && !terminating);
    let mut endpoint = json!({
        "addresses": addresses,
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {"kind": "Pod", "namespace": meta::namespace(pod), "name": meta::name(pod), "uid": uid(pod)},
    });
    if let Some(name) = pod["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
        endpoint["nodeName"] = name.into();
    }
    let zone = node.and_then(|n| n["metadata"]["labels"].get("topology.kubernetes.io/zone")?.as_str());
    if let Some(zone) = zone.filter(|z| !z.is_empty()) {
        endpoint["zone"] = zone.into();
    }
    if let Some(hostname) = service::hostname(pod, service) {
        endpoint["hostname"] = hostname.into();
    }
    if let Some(hints) = hints(service, &endpoint) {
        endpoint["hints"] = hints;
    }
    Some(endpoint)
}

/// Where the endpoint is to be preferred, as the service's trafficDistribution says.
fn hints(service: &Value, endpoint: &Value) -> Option<Value> {
    let same_node = match text(&service["spec"]["trafficDistribution"]) {
        "PreferSameNode" => true,
        "PreferClose" | "PreferSameZone" => false,
        _ => return None,
    };
    let mut hints = serde_json::Map::new();
    let mut add = |list: &str, field: &str| {
        if let Some(name) = endpoint.get(field) {
            hints.insert(list.into(), json!([{"name": name}]));
        }
    };
    add("forZones", "zone");
    if same_node {
        add("forNodes", "nodeName");
    }
    (endpoint["conditions"]["ready"] == true && !hints.is_empty()).then(|| hints.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Value {
        json!({
            "metadata": {"namespace": "a", "name": "s", "uid": "su", "labels": {"app": "a"}},
            "spec": {"clusterIP": "10.0.0.1"},
        })
    }

    fn endpoints(range: std::ops::Range<usize>) -> Vec<Value> {
        range.map(|i| json!({"addresses": [format!("10.1.0.{i}")], "targetRef": {"uid": i.to_string()}})).collect()
    }

    fn plan(existing: Vec<Vec<Value>>, desired: Vec<Value>) -> Plan {
        let ports = [json!({"port": 80})];
        let slices = existing.into_iter().enumerate().map(|(i, e)| {
            let mut slice = new_slice(&service(), "IPv4", if e.is_empty() { &[] } else { &ports }, e);
            slice["metadata"]["name"] = format!("s-{i}").into();
            Arc::new(slice)
        });
        let mut plan = Plan::default();
        let by_ports = ByPorts::from([(ports_key(&ports), (ports.to_vec(), desired))]);
        plan.add(&service(), "IPv4", slices.collect(), &by_ports);
        plan.reuse(&service());
        plan
    }

    #[test]
    fn slices_are_packed_with_few_writes() {
        let check = |what: &str, existing: Vec<Vec<Value>>, desired: Vec<Value>, expected: (usize, usize, usize)| {
            let plan = plan(existing, desired);
            assert_eq!((plan.create.len(), plan.update.len(), plan.delete.len()), expected, "{what}");
        };
        check("a placeholder is made", vec![], vec![], (1, 0, 0));
        check("the placeholder stays", vec![vec![]], vec![], (0, 0, 0));
        check("the placeholder is filled", vec![vec![]], endpoints(0..3), (0, 1, 0));
        check("nothing changes", vec![endpoints(0..3)], endpoints(0..3), (0, 0, 0));
        check("one joins", vec![endpoints(0..3)], endpoints(0..4), (0, 1, 0));
        check("all leave", vec![endpoints(0..3)], vec![], (0, 1, 0));
        check("more than a slice holds", vec![], endpoints(0..250), (3, 0, 0));
        check("the full slice stays", vec![endpoints(0..100)], endpoints(0..101), (1, 0, 0));
        check("one slice is emptied", vec![endpoints(0..100), endpoints(100..101)], endpoints(0..100), (0, 0, 1));
    }

    #[test]
    fn conditions_follow_the_pod() {
        let check = |ready: bool, deleting: bool, publish: bool, expected: Value| {
            let mut pod = json!({"metadata": {}, "spec": {}, "status": {
                "podIPs": [{"ip": "10.1.0.1"}, {"ip": "fd00::1"}],
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            }});
            if deleting {
                pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            let mut service = service();
            service["spec"]["publishNotReadyAddresses"] = publish.into();
            let endpoint = endpoint(&service, &pod, None, "IPv4").unwrap();
            assert_eq!(endpoint["addresses"], json!(["10.1.0.1"]));
            assert_eq!(endpoint["conditions"], expected);
        };
        let conditions = |ready: bool, serving: bool, terminating: bool| json!({"ready": ready, "serving": serving, "terminating": terminating});
        check(true, false, false, conditions(true, true, false));
        check(false, false, false, conditions(false, false, false));
        check(false, false, true, conditions(true, false, false));
        check(true, true, false, conditions(false, true, true));
    }

    #[test]
    fn traffic_keeps_close_when_asked_to() {
        let check = |distribution: &str, ready: &str, expected: Value| {
            let mut service = service();
            service["spec"]["trafficDistribution"] = distribution.into();
            let pod = json!({"metadata": {}, "spec": {"nodeName": "n"}, "status": {
                "podIPs": [{"ip": "10.1.0.1"}], "conditions": [{"type": "Ready", "status": ready}],
            }});
            let node = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "z"}}});
            assert_eq!(endpoint(&service, &pod, Some(&node), "IPv4").unwrap()["hints"], expected, "{distribution}");
        };
        check("", "True", json!(null));
        check("PreferClose", "True", json!({"forZones": [{"name": "z"}]}));
        check("PreferSameZone", "False", json!(null));
        check("PreferSameNode", "True", json!({"forZones": [{"name": "z"}], "forNodes": [{"name": "n"}]}));
    }
}
