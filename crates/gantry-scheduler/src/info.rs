//! What the scheduler keeps of pods and nodes: only what decisions need, read once.

use crate::relations::{Affinity, Constraint};
use crate::resources::{Resources, pod_request, pod_score_request};
use crate::selector::{Labels, Term};
use gantry_api::meta;
use gantry_api::quantity::Quantity;
use serde_json::Value;
use smol_str::SmolStr;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// The reason that pods which had to leave for others bear in their DisruptionTarget condition.
pub const PREEMPTED: &str = "PreemptionByScheduler";

/// A pod.
#[derive(Debug)]
pub struct PodInfo {
    /// `namespace/name`.
    pub key: String,
    /// Its uid.
    pub uid: SmolStr,
    /// Its namespace.
    pub namespace: SmolStr,
    /// Its labels.
    pub labels: Labels,
    /// `spec.priority`.
    pub priority: i64,
    /// Whether it may make others leave.
    pub preempts: bool,
    /// `status.nominatedNodeName`; empty for none.
    pub nominated: SmolStr,
    /// `status.startTime`, as the API writes it; empty before.
    pub started: SmolStr,
    /// Whether it is being deleted, and whether the scheduler made it leave.
    pub leaving: (bool, bool),
    /// What it asks of the pods beside it; `None` asks for nothing.
    pub affinity: Option<Box<Affinity>>,
    /// How it is to be spread.
    pub spread: Vec<Constraint>,
    /// The ReplicaSet that controls it; empty for none.
    pub replica_set: SmolStr,
    /// The same for pods of the same namespace and labels, which no selector tells apart.
    pub group: u64,
    /// What it asks for.
    pub request: Resources,
    /// CPU and memory it is taken to use when nodes are scored.
    pub score_request: (i64, i64),
    /// Ports it takes on its node.
    pub host_ports: Vec<HostPort>,
    /// `spec.nodeName`; empty until bound.
    pub node: SmolStr,
    /// `spec.nodeSelector`.
    pub node_selector: Labels,
    /// Required node affinity: any of the terms; `None` asks for nothing.
    pub required_affinity: Option<Vec<Term>>,
    /// Preferred node affinity, with weights.
    pub preferred_affinity: Vec<(i64, Term)>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
    /// Images of all its containers.
    pub images: Vec<SmolStr>,
    /// Names of `spec.schedulingGates`.
    pub gates: Vec<SmolStr>,
}

/// A port taken on a node. `0.0.0.0` clashes with every address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Address.
    pub ip: SmolStr,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: SmolStr,
    /// Port.
    pub port: u16,
}

impl HostPort {
    /// Whether both cannot be on one node.
    pub fn clashes(&self, other: &HostPort) -> bool {
        let any = |ip: &str| ip == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || any(&self.ip) || any(&other.ip))
    }
}

/// A toleration.
#[derive(Debug)]
pub struct Toleration {
    key: SmolStr,
    exists: bool,
    value: SmolStr,
    effect: SmolStr,
}

/// A taint.
#[derive(Clone, Debug)]
pub struct Taint {
    /// Key.
    pub key: SmolStr,
    /// Value.
    pub value: SmolStr,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: SmolStr,
}

impl Toleration {
    /// An empty key with Exists tolerates every taint, an empty effect every effect.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && (self.exists || (!self.key.is_empty() && self.value == taint.value))
    }

    /// Its effect; empty for all.
    pub fn effect(&self) -> &str {
        &self.effect
    }
}

fn text(value: &Value) -> SmolStr {
    value.as_str().unwrap_or("").into()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Reads labels.
pub fn labels(value: &Value) -> Labels {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| (k.into(), text(v)))
        .collect()
}

impl PodInfo {
    /// Reads a pod.
    pub fn read(pod: &Value) -> Self {
        let spec = &pod["spec"];
        let affinity = &spec["affinity"]["nodeAffinity"];
        let required = &affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        let preferred = &affinity["preferredDuringSchedulingIgnoredDuringExecution"];
        let own_labels = labels(&pod["metadata"]["labels"]);
        let namespace: SmolStr = meta::namespace(pod).into();
        let disrupted = list(&pod["status"]["conditions"])
            .find(|c| c["type"] == "DisruptionTarget" && c["status"] == "True");
        let containers = || list(&spec["initContainers"]).chain(list(&spec["containers"]));
        PodInfo {
            key: gantry_client::key_of(pod),
            uid: meta::text(pod, "uid").into(),
            group: group_of(&namespace, &own_labels),
            replica_set: list(&pod["metadata"]["ownerReferences"])
                .find(|r| r["controller"] == true && r["kind"] == "ReplicaSet")
                .map(|r| text(&r["name"]))
                .unwrap_or_default(),
            affinity: Affinity::read(spec, &namespace, &own_labels).map(Box::new),
            spread: list(&spec["topologySpreadConstraints"])
                .map(|c| Constraint::read(c, &own_labels))
                .collect(),
            namespace,
            labels: own_labels,
            priority: spec["priority"].as_i64().unwrap_or(0),
            preempts: spec["preemptionPolicy"] != "Never",
            nominated: text(&pod["status"]["nominatedNodeName"]),
            started: text(&pod["status"]["startTime"]),
            leaving: (
                meta::is_deleting(pod),
                meta::is_deleting(pod) && disrupted.is_some_and(|c| c["reason"] == PREEMPTED),
            ),
            request: pod_request(spec),
            score_request: pod_score_request(spec),
            host_ports: containers()
                .flat_map(|c| list(&c["ports"]))
                .filter_map(host_port)
                .collect(),
            node: text(&spec["nodeName"]),
            node_selector: labels(&spec["nodeSelector"]),
            required_affinity: required
                .as_array()
                .map(|terms| terms.iter().map(Term::read).collect()),
            preferred_affinity: list(preferred)
                .map(|p| (p["weight"].as_i64().unwrap_or(0), Term::read(&p["preference"])))
                .collect(),
            tolerations: list(&spec["tolerations"])
                .map(|t| Toleration {
                    key: text(&t["key"]),
                    exists: t["operator"] == "Exists",
                    value: text(&t["value"]),
                    effect: text(&t["effect"]),
                })
                .collect(),
            images: containers()
                .map(|c| normalized(c["image"].as_str().unwrap_or("")))
                .collect(),
            gates: list(&spec["schedulingGates"]).map(|g| text(&g["name"])).collect(),
        }
    }

    /// Its namespace and its name.
    pub fn place(&self) -> (&str, &str) {
        self.key.split_once('/').unwrap_or(("", &self.key))
    }

    /// Whether its required node selector and affinity choose a node.
    pub fn selects(&self, node: &NodeInfo) -> bool {
        self.node_selector
            .iter()
            .all(|(k, v)| node.labels.get(k) == Some(v))
            && self
                .required_affinity
                .as_ref()
                .is_none_or(|terms| terms.iter().any(|t| t.matches(&node.name, &node.labels)))
    }
}

fn group_of(namespace: &str, labels: &Labels) -> u64 {
    let mut hasher = DefaultHasher::new();
    (namespace, labels).hash(&mut hasher);
    hasher.finish()
}

fn host_port(port: &Value) -> Option<HostPort> {
    let number = port["hostPort"]
        .as_u64()
        .and_then(|p| u16::try_from(p).ok())
        .filter(|p| *p > 0)?;
    let or = |value: &Value, default: &'static str| match value.as_str() {
        None | Some("") => SmolStr::new_static(default),
        Some(text) => text.into(),
    };
    Some(HostPort {
        ip: or(&port["hostIP"], "0.0.0.0"),
        protocol: or(&port["protocol"], "TCP"),
        port: number,
    })
}

/// An image's name with the tag that is meant when there is none.
fn normalized(image: &str) -> SmolStr {
    let last = image.rsplit('/').next().unwrap_or("");
    if image.contains('@') || last.contains(':') {
        image.into()
    } else {
        format!("{image}:latest").into()
    }
}

/// A node, with what runs on it.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    /// Name.
    pub name: SmolStr,
    /// Labels.
    pub labels: Labels,
    /// Taints.
    pub taints: Vec<Taint>,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// What it can give.
    pub allocatable: Resources,
    /// How many pods it can hold.
    pub max_pods: i64,
    /// The images it has, by every name.
    pub images: BTreeMap<SmolStr, Image>,
    /// Pods on it, by uid.
    pub pods: HashMap<SmolStr, Arc<PodInfo>>,
    /// Those of them that ask something of the pods beside them.
    pub affine: HashMap<SmolStr, Arc<PodInfo>>,
    /// Pods that stay, by what selectors see of them: how many, and one of them.
    pub groups: HashMap<u64, (i64, Arc<PodInfo>)>,
    /// Pods that others had to make room for here, and that are not here yet.
    pub nominated: Vec<Arc<PodInfo>>,
    /// What these ask for.
    pub requested: Resources,
    /// CPU and memory these are taken to use.
    pub score_requested: (i64, i64),
    /// Whether the Node object is there; pods may be seen before it.
    pub exists: bool,
}

/// An image on a node.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Its size in bytes.
    pub size: i64,
    /// How many nodes have it; all of them share the number.
    pub nodes: Arc<AtomicUsize>,
}

impl NodeInfo {
    /// Whether its taints keep a pod out, or make it leave.
    pub fn keeps_out(&self, pod: &PodInfo) -> bool {
        let hard = self
            .taints
            .iter()
            .filter(|t| matches!(t.effect.as_str(), "NoSchedule" | "NoExecute"));
        hard.into_iter()
            .any(|taint| !pod.tolerations.iter().any(|t| t.tolerates(taint)))
    }

    /// Takes over what the Node object says.
    pub fn update(&mut self, node: &Value) {
        let (spec, status) = (&node["spec"], &node["status"]);
        self.exists = true;
        self.name = meta::name(node).into();
        self.labels = labels(&node["metadata"]["labels"]);
        self.unschedulable = spec["unschedulable"] == true;
        self.taints = list(&spec["taints"])
            .map(|t| Taint {
                key: text(&t["key"]),
                value: text(&t["value"]),
                effect: text(&t["effect"]),
            })
            .collect();
        self.allocatable = Resources::read(&status["allocatable"]);
        self.max_pods = Quantity::from_json(&status["allocatable"]["pods"])
            .map(|q| q.value())
            .unwrap_or(0);
        self.images = list(&status["images"])
            .flat_map(|image| {
                let size = image["sizeBytes"].as_i64().unwrap_or(0);
                list(&image["names"]).map(move |name| {
                    (
                        text(name),
                        Image {
                            size,
                            nodes: Arc::default(),
                        },
                    )
                })
            })
            .collect();
    }

    /// Counts a pod in.
    pub fn add(&mut self, pod: Arc<PodInfo>) {
        if let Some(old) = self.pods.get(&pod.uid).cloned() {
            self.remove(&old.uid);
        }
        self.count(&pod, 1);
        if pod.affinity.is_some() {
            self.affine.insert(pod.uid.clone(), pod.clone());
        }
        if !pod.leaving.0 {
            self.groups.entry(pod.group).or_insert_with(|| (0, pod.clone())).0 += 1;
        }
        self.pods.insert(pod.uid.clone(), pod);
    }

    /// Counts a pod out.
    pub fn remove(&mut self, uid: &str) {
        if let Some(pod) = self.pods.remove(uid) {
            self.affine.remove(uid);
            if !pod.leaving.0
                && let Some(group) = self.groups.get_mut(&pod.group)
            {
                group.0 -= 1;
                if group.0 == 0 {
                    self.groups.remove(&pod.group);
                }
            }
            self.count(&pod, -1);
        }
    }

    fn count(&mut self, pod: &PodInfo, times: i64) {
        self.requested.add(&pod.request, times);
        self.score_requested.0 += pod.score_request.0 * times;
        self.score_requested.1 += pod.score_request.1 * times;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tolerations() {
        let check = |toleration: Value, expected: bool| {
            let pod = PodInfo::read(&json!({"spec": {"tolerations": [toleration]}}));
            let taint = Taint {
                key: "k".into(),
                value: "v".into(),
                effect: "NoSchedule".into(),
            };
            assert_eq!(pod.tolerations[0].tolerates(&taint), expected, "{toleration}");
        };
        check(json!({"operator": "Exists"}), true);
        check(json!({"key": "k", "operator": "Exists"}), true);
        check(json!({"key": "k", "value": "v"}), true);
        check(json!({"key": "k", "value": "w"}), false);
        check(json!({"key": "k", "value": "v", "effect": "NoExecute"}), false);
        check(json!({"key": "j", "operator": "Exists"}), false);
    }

    #[test]
    fn a_node_counts_its_pods() {
        let pod = json!({"metadata": {"uid": "1"}, "spec": {"containers": [
            {"resources": {"requests": {"cpu": "1", "memory": "1Ki", "example.com/x": "2"}}}]}});
        let mut node = NodeInfo::default();
        node.add(Arc::new(PodInfo::read(&pod)));
        node.add(Arc::new(PodInfo::read(&pod)));
        assert_eq!(
            (node.requested.cpu, node.requested.others["example.com/x"]),
            (1000, 2)
        );
        node.remove("1");
        assert_eq!(
            (node.requested.cpu, node.requested.memory, node.pods.len()),
            (0, 0, 0)
        );
    }
}
