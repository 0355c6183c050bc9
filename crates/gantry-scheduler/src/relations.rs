//! What a pod asks of the pods beside it: affinity, anti-affinity, and how it is to be spread.

use crate::cache::Cache;
use crate::info::{NodeInfo, PodInfo};
use crate::selector::{LabelSelector, Labels};
use serde_json::Value;
use smol_str::SmolStr;

/// Pods it wants to be near, or not.
#[derive(Debug, Default)]
pub struct Affinity {
    /// Pods that must be there.
    pub required: Vec<PodTerm>,
    /// Pods that must not be there.
    pub required_anti: Vec<PodTerm>,
    /// Pods that should be there (a positive weight) or not (a negative one).
    pub preferred: Vec<(i64, PodTerm)>,
}

/// A `PodAffinityTerm`.
#[derive(Debug)]
pub struct PodTerm {
    /// The label that says what "there" means.
    pub topology_key: SmolStr,
    selector: LabelSelector,
    namespaces: Vec<SmolStr>,
    namespace_selector: LabelSelector,
}

impl Affinity {
    /// Reads what a pod's spec asks for; `None` when it asks for nothing.
    pub fn read(spec: &Value, namespace: &str, labels: &Labels) -> Option<Self> {
        let list = |kind: &str, field: &str| spec["affinity"][kind][field].as_array().into_iter().flatten();
        let term = |t: &Value| PodTerm::read(t, namespace, labels);
        let required = |kind: &str| {
            list(kind, "requiredDuringSchedulingIgnoredDuringExecution")
                .map(term)
                .collect::<Vec<_>>()
        };
        let preferred = |kind: &str, sign: i64| {
            let list = list(kind, "preferredDuringSchedulingIgnoredDuringExecution");
            list.map(|p| {
                (
                    sign * p["weight"].as_i64().unwrap_or(0),
                    term(&p["podAffinityTerm"]),
                )
            })
            .collect::<Vec<_>>()
        };
        let mut soft = preferred("podAffinity", 1);
        soft.extend(preferred("podAntiAffinity", -1));
        let all = Affinity {
            required: required("podAffinity"),
            required_anti: required("podAntiAffinity"),
            preferred: soft,
        };
        let any = !(all.required.is_empty() && all.required_anti.is_empty() && all.preferred.is_empty());
        any.then_some(all)
    }
}

impl PodTerm {
    fn read(term: &Value, namespace: &str, labels: &Labels) -> Self {
        let mut selector = LabelSelector::read(&term["labelSelector"]);
        selector.narrow(&term["matchLabelKeys"], labels, true);
        selector.narrow(&term["mismatchLabelKeys"], labels, false);
        let listed = term["namespaces"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let mut namespaces: Vec<SmolStr> = listed.map(SmolStr::from).collect();
        if namespaces.is_empty() && !term["namespaceSelector"].is_object() {
            namespaces.push(namespace.into());
        }
        PodTerm {
            topology_key: term["topologyKey"].as_str().unwrap_or("").into(),
            selector,
            namespaces,
            namespace_selector: LabelSelector::read(&term["namespaceSelector"]),
        }
    }

    /// Whether the term means a pod.
    pub fn matches(&self, pod: &PodInfo, cluster: &Cache) -> bool {
        let none = Labels::new();
        let in_namespace = self.namespaces.contains(&pod.namespace)
            || self
                .namespace_selector
                .matches(cluster.namespace(&pod.namespace).unwrap_or(&none));
        in_namespace && self.selector.matches(&pod.labels)
    }
}

/// A `TopologySpreadConstraint`.
#[derive(Clone, Debug)]
pub struct Constraint {
    /// How much fuller than the emptiest a domain may be.
    pub max_skew: i64,
    /// The label whose values are the domains.
    pub topology_key: SmolStr,
    /// The pods that count.
    pub selector: LabelSelector,
    /// With fewer domains the emptiest counts as empty.
    pub min_domains: usize,
    /// Whether it must hold, or only should.
    pub required: bool,
    honor_affinity: bool,
    honor_taints: bool,
}

impl Constraint {
    /// Reads a constraint of a pod with `labels`.
    pub fn read(constraint: &Value, labels: &Labels) -> Self {
        let mut selector = LabelSelector::read(&constraint["labelSelector"]);
        selector.narrow(&constraint["matchLabelKeys"], labels, true);
        Constraint {
            max_skew: constraint["maxSkew"].as_i64().unwrap_or(1),
            topology_key: constraint["topologyKey"].as_str().unwrap_or("").into(),
            selector,
            min_domains: constraint["minDomains"]
                .as_u64()
                .map_or(1, |n| usize::try_from(n).unwrap_or(usize::MAX)),
            required: constraint["whenUnsatisfiable"] != "ScheduleAnyway",
            honor_affinity: constraint["nodeAffinityPolicy"] != "Ignore",
            honor_taints: constraint["nodeTaintsPolicy"] == "Honor",
        }
    }

    /// Whether a node's domain counts for a pod.
    pub fn includes(&self, pod: &PodInfo, node: &NodeInfo) -> bool {
        (!self.honor_affinity || pod.selects(node)) && !(self.honor_taints && node.keeps_out(pod))
    }

    /// How pods are spread that do not say: over nodes, and over zones, but never at the price of waiting.
    pub fn usual(peers: &LabelSelector) -> [Self; 2] {
        [("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5)].map(|(key, max_skew)| {
            Constraint {
                max_skew,
                topology_key: SmolStr::new_static(key),
                selector: peers.clone(),
                min_domains: 1,
                required: false,
                honor_affinity: true,
                honor_taints: false,
            }
        })
    }

    /// Whether another pod counts for a pod.
    pub fn counts(&self, pod: &PodInfo, other: &PodInfo) -> bool {
        !other.leaving.0 && other.namespace == pod.namespace && self.selector.matches(&other.labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn terms_mean_pods_by_labels_and_namespace() {
        let mut cluster = Cache::default();
        cluster.set_namespace("blue", Some(Labels::from([("team".into(), "blue".into())])));
        let pod = |namespace: &str| {
            PodInfo::read(&json!({"metadata": {"namespace": namespace, "labels": {"app": "a"}}, "spec": {}}))
        };
        let check = |change: Value, namespace: &str, expected: bool| {
            let base = json!({"labelSelector": {"matchLabels": {"app": "a"}}, "topologyKey": "zone"});
            let term = gantry_api::patch::merge(base, &change);
            let spec = json!({"affinity": {"podAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
            let affinity = Affinity::read(&spec, "own", &Labels::from([("app".into(), "a".into())])).unwrap();
            assert_eq!(
                affinity.required[0].matches(&pod(namespace), &cluster),
                expected,
                "{change} {namespace}"
            );
        };
        check(json!({}), "own", true);
        check(json!({}), "blue", false);
        check(json!({"namespaces": ["blue"]}), "blue", true);
        check(json!({"namespaces": ["blue"]}), "own", false);
        check(json!({"namespaceSelector": {}}), "anywhere", true);
        check(
            json!({"namespaceSelector": {"matchLabels": {"team": "blue"}}}),
            "blue",
            true,
        );
        check(
            json!({"namespaceSelector": {"matchLabels": {"team": "blue"}}}),
            "own",
            false,
        );
        check(json!({"mismatchLabelKeys": ["app"]}), "own", false);
        check(
            json!({"labelSelector": {"matchLabels": {"app": "b"}}}),
            "own",
            false,
        );
    }
}
