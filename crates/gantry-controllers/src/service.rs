//! What the controllers of EndpointSlices and Endpoints share: which pods a Service has, under which addresses and ports.

use crate::object::{created, int, items, text, time_of, uid};
use crate::pods;
use crate::selector;
use gantry_api::meta;
use gantry_client::{Change, Informer, key_of};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use time::OffsetDateTime;

pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";
pub(crate) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The index of pods by namespace and label.
const BY_LABEL: &str = "label";

/// Whether endpoints of the service are to be found by its selector.
pub(crate) fn has_selector(service: &Value) -> bool {
    service["spec"]["selector"]
        .as_object()
        .is_some_and(|s| !s.is_empty())
        && !is_external(service)
}

fn is_external(service: &Value) -> bool {
    service["spec"]["type"] == "ExternalName"
}

/// Whether the service has an address of its own.
pub(crate) fn has_ip(service: &Value) -> bool {
    !matches!(text(&service["spec"]["clusterIP"]), "" | "None")
}

/// The services that choose a pod, before or after its change, when the change matters to them.
pub(crate) fn keys_of_pod(services: &Informer, change: Change<'_>) -> Vec<String> {
    if let (Some(old), Some(new)) = (change.old, change.new)
        && relevant(old) == relevant(new)
    {
        return Vec::new();
    }
    let pods: Vec<&Arc<Value>> = [change.old, change.new].into_iter().flatten().collect();
    services
        .list_namespace(meta::namespace(change.object()))
        .iter()
        .filter(|s| pods.iter().any(|p| chooses(s, p)))
        .map(|s| key_of(s))
        .collect()
}

/// What endpoints are made of.
fn relevant(pod: &Value) -> [Value; 7] {
    [
        pod["metadata"]["labels"].clone(),
        meta::is_deleting(pod).into(),
        pods::is_ready(pod).into(),
        pods::is_finished(pod).into(),
        pod["status"]["podIPs"].clone(),
        pod["status"]["podIP"].clone(),
        json!([
            pod["spec"]["nodeName"],
            pod["spec"]["hostname"],
            pod["spec"]["subdomain"]
        ]),
    ]
}

fn chooses(service: &Value, pod: &Value) -> bool {
    has_selector(service) && selector::is_subset(&service["spec"]["selector"], &pod["metadata"]["labels"])
}

/// The pods by their labels, for [`pods_of`].
pub(crate) fn index_labels(pods: &Informer) {
    pods.add_index(BY_LABEL, |pod| {
        let labels = pod["metadata"]["labels"].as_object().into_iter().flatten();
        labels
            .map(|(k, v)| label_value(meta::namespace(pod), k, text(v)))
            .collect()
    });
}

fn label_value(namespace: &str, key: &str, value: &str) -> String {
    format!("{namespace}/{key}={value}")
}

/// The service's pods that have an address; the informer has been through [`index_labels`].
pub(crate) fn pods_of(service: &Value, pods: &Informer) -> Vec<Arc<Value>> {
    // The rarest of the labels asked for leaves the fewest pods to look at.
    let wanted = service["spec"]["selector"].as_object().into_iter().flatten();
    let values = wanted.map(|(k, v)| label_value(meta::namespace(service), k, text(v)));
    let Some(rarest) = values.min_by_key(|value| pods.count_indexed(BY_LABEL, value)) else {
        return Vec::new();
    };
    let mut chosen = pods.indexed(BY_LABEL, &rarest);
    chosen.retain(|p| chooses(service, p) && !pods::is_finished(p) && addresses(p).next().is_some());
    chosen
}

/// A pod's addresses.
pub(crate) fn addresses(pod: &Value) -> impl Iterator<Item = IpAddr> {
    let status = &pod["status"];
    let first = items(&status["podIPs"])
        .next()
        .is_none()
        .then(|| &status["podIP"]);
    items(&status["podIPs"])
        .map(|ip| &ip["ip"])
        .chain(first)
        .filter_map(|ip| text(ip).parse().ok())
}

/// The hostname under which DNS knows the pod as a part of the service.
pub(crate) fn hostname<'a>(pod: &'a Value, service: &Value) -> Option<&'a str> {
    let hostname = text(&pod["spec"]["hostname"]);
    (!hostname.is_empty() && text(&pod["spec"]["subdomain"]) == meta::name(service)).then_some(hostname)
}

/// The number on a pod of a service's port: its own, or what the name stands for in the pod.
pub(crate) fn target_port(pod: &Value, port: &Value) -> Option<i64> {
    let name = match &port["targetPort"] {
        Value::String(name) => name,
        Value::Number(number) => return number.as_i64(),
        _ => return port["port"].as_i64(),
    };
    let sidecars = items(&pod["spec"]["initContainers"]).filter(|c| c["restartPolicy"] == "Always");
    let protocol = |p: &Value| match text(p) {
        "" => "TCP".to_string(),
        other => other.to_string(),
    };
    items(&pod["spec"]["containers"])
        .chain(sidecars)
        .flat_map(|c| items(&c["ports"]))
        .find(|p| text(&p["name"]) == name && protocol(&p["protocol"]) == protocol(&port["protocol"]))
        .map(|p| int(&p["containerPort"]))
}

/// The service's ports as they are on a pod, in the form of EndpointPorts.
pub(crate) fn ports(service: &Value, pod: &Value) -> Vec<Value> {
    items(&service["spec"]["ports"])
        .filter_map(|port| {
            let mut found = json!({
                "name": text(&port["name"]), "port": target_port(pod, port)?, "protocol": port["protocol"],
            });
            if let Some(protocol) = port.get("appProtocol").filter(|p| !p.is_null()) {
                found["appProtocol"] = protocol.clone();
            }
            Some(found)
        })
        .collect()
}

/// Remembers when services and pods last changed, to tell how long endpoints took to follow.
#[derive(Default)]
pub(crate) struct TriggerTimes(Mutex<HashMap<String, Seen>>);

struct Seen {
    service: Option<OffsetDateTime>,
    pods: HashMap<String, OffsetDateTime>,
}

impl TriggerTimes {
    /// The earliest change since the last call that this one is the answer to.
    pub(crate) fn next(&self, service: &Value, pods: &[Arc<Value>]) -> Option<OffsetDateTime> {
        let ready = |pod: &Value| {
            let ready = crate::object::condition(&pod["status"], "Ready")?;
            time_of(&ready["lastTransitionTime"])
        };
        let now = Seen {
            service: created(service),
            pods: pods
                .iter()
                .filter_map(|p| Some((uid(p).to_string(), ready(p)?)))
                .collect(),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = all.get(&key_of(service));
        let changed = now
            .pods
            .iter()
            .filter(|(uid, at)| old.is_none_or(|o| o.pods.get(*uid) != Some(at)));
        let own = now
            .service
            .filter(|_| old.is_none_or(|o| o.service != now.service));
        let earliest = changed.map(|(_, at)| *at).chain(own).min();
        all.insert(key_of(service), now);
        earliest
    }

    /// Forgets a service that is gone.
    pub(crate) fn forget(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Sets the annotation that tells of the trigger, or removes it when there was none.
pub(crate) fn mark_trigger(object: &mut Value, at: Option<OffsetDateTime>) {
    match at {
        Some(at) => object["metadata"]["annotations"][TRIGGER_TIME] = crate::object::stamp(at).into(),
        None => {
            if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
                annotations.remove(TRIGGER_TIME);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_ports_resolve_in_the_pod() {
        let pod = json!({"spec": {
            "containers": [{"ports": [{"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]}],
            "initContainers": [
                {"restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 9}]},
                {"ports": [{"name": "init", "containerPort": 7}]},
            ],
        }});
        let check =
            |port: Value, expected: Option<i64>| assert_eq!(target_port(&pod, &port), expected, "{port}");
        check(json!({"port": 80}), Some(80));
        check(json!({"port": 80, "targetPort": 8000}), Some(8000));
        check(
            json!({"port": 80, "targetPort": "http", "protocol": "TCP"}),
            Some(8080),
        );
        check(json!({"port": 80, "targetPort": "http", "protocol": "UDP"}), None);
        check(
            json!({"port": 53, "targetPort": "dns", "protocol": "UDP"}),
            Some(53),
        );
        check(json!({"port": 9, "targetPort": "side"}), Some(9));
        check(json!({"port": 7, "targetPort": "init"}), None);
    }

    #[test]
    fn triggers_are_told_once() {
        let times = TriggerTimes::default();
        let service = json!({"metadata": {"name": "s", "creationTimestamp": "2026-01-01T00:00:00Z"}});
        let pod = |at: &str| {
            Arc::new(
                json!({"metadata": {"uid": "u"}, "status": {"conditions": [{"type": "Ready", "lastTransitionTime": at}]}}),
            )
        };
        let check = |pods: &[Arc<Value>], expected: Option<&str>| {
            assert_eq!(
                times.next(&service, pods).map(crate::object::stamp).as_deref(),
                expected
            );
        };
        check(&[], Some("2026-01-01T00:00:00Z"));
        check(&[pod("2026-01-01T00:00:05Z")], Some("2026-01-01T00:00:05Z"));
        check(&[pod("2026-01-01T00:00:05Z")], None);
    }
}
