//! Endpoints: the older form of EndpointSlices, one object per Service.

use crate::object::{items, uid};
use crate::pods;
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use crate::service::{self, HEADLESS, TriggerTimes};
use crate::subsets::{self, Subset};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_client::resource::{ENDPOINTS, PODS, SERVICES};
use gantry_client::{Change, Informer, Resource, key_of};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;

/// Addresses in one object; the rest is left out, and the annotation says so.
const CAPACITY: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "endpoint-controller",
    queue: "endpoint",
    workers: 5,
    watches: || vec![SERVICES, PODS, ENDPOINTS],
    rules: &[
        Rule { groups: &[""], resources: &["services", "pods"], verbs: &["get", "list", "watch"] },
        Rule { groups: &[""], resources: &["endpoints"], verbs: &["create", "delete", "get", "list", "update", "watch"] },
        Rule { groups: &[""], resources: &["endpoints/restricted"], verbs: &["create"] },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let of = |resource| ctx.informers.of(resource);
        let (services, pods, endpoints) = (of(&SERVICES), of(&PODS), of(&ENDPOINTS));
        service::index_labels(&pods);
        Arc::new(Endpoints { ctx, services, pods, endpoints, triggers: TriggerTimes::default() })
    },
};

struct Endpoints {
    ctx: Context,
    services: Arc<Informer>,
    pods: Arc<Informer>,
    endpoints: Arc<Informer>,
    triggers: TriggerTimes,
}

#[async_trait]
impl Controller for Endpoints {
    fn keys(&self, resource: &Resource, change: Change<'_>) -> Vec<String> {
        match resource.plural.as_str() {
            "pods" => service::keys_of_pod(&self.services, change),
            _ => vec![key_of(change.object())],
        }
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let existing = self.endpoints.get_key(key);
        let Some(service) = self.services.get_key(key) else {
            self.triggers.forget(key);
            if let Some(existing) = existing.filter(|e| is_ours(e)) {
                let options = json!({"preconditions": {"uid": uid(&existing)}});
                let (namespace, name) = (meta::namespace(&existing), meta::name(&existing));
                match self.ctx.client.delete(&ENDPOINTS, namespace, name, &options).await {
                    Err(error) if !error.is_not_found() => return Err(error.into()),
                    _ => {}
                }
            }
            return Ok(Next::Done);
        };
        if !service::has_selector(&service) {
            return Ok(Next::Done);
        }
        let pods = service::pods_of(&service, &self.pods);
        let trigger = self.triggers.next(&service, &pods);
        let (subsets, cut) = limit(subsets(&service, &pods));
        let mut wanted = match &existing {
            Some(existing) => (**existing).clone(),
            None => json!({"metadata": {"namespace": meta::namespace(&service), "name": meta::name(&service)}}),
        };
        wanted["metadata"]["labels"] = labels_of(&service);
        wanted["subsets"] = subsets;
        match cut {
            true => wanted["metadata"]["annotations"][OVER_CAPACITY] = "truncated".into(),
            false => {
                if let Some(annotations) = wanted["metadata"]["annotations"].as_object_mut() {
                    annotations.remove(OVER_CAPACITY);
                }
            }
        }
        let result = match &existing {
            Some(existing) if is_same(existing, &wanted) => return Ok(Next::Done),
            Some(_) => {
                service::mark_trigger(&mut wanted, trigger);
                self.ctx.client.update(&ENDPOINTS, &wanted).await
            }
            None => {
                service::mark_trigger(&mut wanted, trigger);
                self.ctx.client.create(&ENDPOINTS, &wanted).await
            }
        };
        let Err(error) = result else { return Ok(Next::Done) };
        if error.is_namespace_terminating() {
            return Ok(Next::Done);
        }
        if !error.is_conflict() && !error.is_already_exists() {
            let (reason, what) = match existing {
                None => ("FailedToCreateEndpoint", "create endpoint for service"),
                Some(_) => ("FailedToUpdateEndpoint", "update endpoint"),
            };
            self.ctx.events.event(&wanted, "Warning", reason, format!("Failed to {what} {key}: {error}"));
        }
        Err(error.into())
    }
}

/// Whether this controller made them. Those made by hand live longer than a service of their name.
fn is_ours(endpoints: &Value) -> bool {
    endpoints["metadata"]["labels"].get(MANAGED_BY).is_some_and(|m| m == MANAGER)
}

fn is_same(existing: &Value, wanted: &Value) -> bool {
    items(&existing["subsets"]).eq(items(&wanted["subsets"]))
        && existing["metadata"]["labels"] == wanted["metadata"]["labels"]
        && existing["metadata"]["annotations"].get(OVER_CAPACITY)
            == wanted["metadata"]["annotations"].get(OVER_CAPACITY)
}

fn labels_of(service: &Value) -> Value {
    let mut labels = service["metadata"]["labels"].clone();
    if let Some(map) = labels.as_object_mut() {
        map.remove(HEADLESS);
    }
    if !service::has_ip(service) {
        labels[HEADLESS] = "".into();
    }
    labels[MANAGED_BY] = MANAGER.into();
    labels
}

/// The service's pods by their ports, ready or not.
fn subsets(service: &Value, pods: &[Arc<Value>]) -> Vec<Value> {
    let v6 = items(&service["spec"]["ipFamilies"]).next().is_some_and(|f| f == "IPv6");
    let publish = service["spec"]["publishNotReadyAddresses"] == true;
    let mut all = Vec::new();
    for pod in pods.iter().filter(|p| publish || !meta::is_deleting(p)) {
        let Some(ip) = service::addresses(pod).find(|ip| ip.is_ipv6() == v6) else {
            continue;
        };
        let mut ports = service::ports(service, pod);
        // Only a headless service may do without ports.
        if ports.is_empty() && (items(&service["spec"]["ports"]).next().is_some() || service::has_ip(service)) {
            continue;
        }
        for port in &mut ports {
            if port["name"] == ""
                && let Some(port) = port.as_object_mut()
            {
                port.remove("name");
            }
        }
        let list = if publish || pods::is_ready(pod) { "addresses" } else { "notReadyAddresses" };
        all.push(json!({"ports": ports, list: [address(service, pod, ip)]}));
    }
    subsets::repack(&all.into()).iter().map(Subset::to_value).collect()
}

fn address(service: &Value, pod: &Value, ip: IpAddr) -> Value {
    let mut address = json!({
        "ip": ip.to_string(),
        "targetRef": {"kind": "Pod", "namespace": meta::namespace(pod), "name": meta::name(pod), "uid": uid(pod)},
    });
    if let Some(node) = pod["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
        address["nodeName"] = node.into();
    }
    if let Some(hostname) = service::hostname(pod, service) {
        address["hostname"] = hostname.into();
    }
    address
}

/// Leaves out what is more than the capacity, addresses that are not ready first. Says whether anything was left out.
fn limit(mut subsets: Vec<Value>) -> (Value, bool) {
    let mut room = CAPACITY;
    let mut cut = false;
    for list in ["addresses", "notReadyAddresses"] {
        for subset in &mut subsets {
            let Some(Value::Array(addresses)) = subset.get_mut(list) else { continue };
            cut |= addresses.len() > room;
            addresses.truncate(room);
            room -= addresses.len();
            if addresses.is_empty() && let Some(subset) = subset.as_object_mut() {
                subset.remove(list);
            }
        }
    }
    subsets.retain(|s| s.get("addresses").is_some() || s.get("notReadyAddresses").is_some());
    (subsets.into(), cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::text;

    fn pod(name: &str, ip: &str, ready: bool) -> Arc<Value> {
        Arc::new(json!({
            "metadata": {"namespace": "a", "name": name, "uid": name}, "spec": {"nodeName": "n"},
            "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        }))
    }

    #[test]
    fn addresses_stand_by_readiness() {
        let service = json!({"metadata": {"namespace": "a", "name": "s"}, "spec": {
            "clusterIP": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP"}],
        }});
        let found = subsets(&service, &[pod("y", "10.1.0.2", true), pod("x", "10.1.0.1", true), pod("z", "10.1.0.3", false)]);
        let ips = |list: &str| items(&found[0][list]).map(|a| text(&a["ip"])).collect::<Vec<_>>();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["ports"], json!([{"port": 80, "protocol": "TCP"}]));
        assert_eq!(ips("addresses"), ["10.1.0.1", "10.1.0.2"]);
        assert_eq!(ips("notReadyAddresses"), ["10.1.0.3"]);
    }

    #[test]
    fn the_ready_come_first_within_the_capacity() {
        let many = |n: usize| vec![json!({"ip": "10.1.0.1"}); n];
        let (subsets, cut) = limit(vec![json!({"addresses": many(990), "notReadyAddresses": many(20)})]);
        assert!(cut);
        assert_eq!(subsets[0]["addresses"].as_array().map(Vec::len), Some(990));
        assert_eq!(subsets[0]["notReadyAddresses"].as_array().map(Vec::len), Some(10));
        assert!(!limit(vec![json!({"addresses": many(1000)})]).1);
    }

    #[test]
    fn pods_that_lack_a_named_port() {
        let named = json!([{"name": "web", "port": 80, "targetPort": "web"}, {"name": "all", "port": 81}]);
        let service = json!({"metadata": {"namespace": "a", "name": "s"}, "spec": {"clusterIP": "10.0.0.1", "ports": named}});
        let mut with = (*pod("x", "10.1.0.1", true)).clone();
        with["spec"]["containers"] = json!([{"ports": [{"name": "web", "containerPort": 8080}]}]);
        let found = subsets(&service, &[Arc::new(with), pod("y", "10.1.0.2", true)]);
        let shape: Vec<(Vec<i64>, usize)> = found
            .iter()
            .map(|s| (items(&s["ports"]).map(|p| crate::object::int(&p["port"])).collect(), items(&s["addresses"]).count()))
            .collect();
        assert_eq!(shape, [(vec![81], 2), (vec![8080], 1)]);
    }
}
