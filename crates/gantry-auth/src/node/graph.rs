//! Which objects are related to which nodes, kept from the objects themselves.

use super::{Graph, Object};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A namespaced name; cluster-wide objects have no namespace.
type Place = (String, String);

#[derive(Debug)]
struct Pod {
    node: String,
    needs: BTreeSet<(Object, String)>,
}

#[derive(Debug, Default)]
struct Volume {
    claim: Place,
    secrets: BTreeSet<Place>,
}

/// The graph, in memory.
#[derive(Debug, Default)]
pub struct References {
    pods: HashMap<Place, Pod>,
    /// How many pods of each node need an object.
    needed: HashMap<(Object, Place), BTreeMap<String, usize>>,
    volumes: HashMap<String, Volume>,
    /// The volumes whose drivers need a secret.
    secret_volumes: HashMap<Place, BTreeSet<String>>,
    /// Attachments, slices and requests for certificates, by their place, with their nodes.
    bound: HashMap<(Object, String), String>,
}

impl References {
    /// Takes in a pod as it is now, or that it is gone.
    pub fn set_pod(&mut self, namespace: &str, name: &str, pod: Option<&Value>) {
        let place = (namespace.to_owned(), name.to_owned());
        if let Some(old) = self.pods.remove(&place) {
            for (object, name) in old.needs {
                let key = (object, (namespace.to_owned(), name));
                if let Some(nodes) = self.needed.get_mut(&key) {
                    if let Some(count) = nodes.get_mut(&old.node) {
                        *count -= 1;
                        if *count == 0 {
                            nodes.remove(&old.node);
                        }
                    }
                    if nodes.is_empty() {
                        self.needed.remove(&key);
                    }
                }
            }
        }
        let Some(pod) = pod else { return };
        let node = text(&pod["spec"]["nodeName"]);
        if node.is_empty() {
            return;
        }
        let needs = needs(name, pod);
        for (object, needed) in &needs {
            let key = (*object, (namespace.to_owned(), needed.clone()));
            *self
                .needed
                .entry(key)
                .or_default()
                .entry(node.to_owned())
                .or_default() += 1;
        }
        self.pods.insert(
            place,
            Pod {
                node: node.to_owned(),
                needs,
            },
        );
    }

    /// Takes in a persistent volume as it is now, or that it is gone.
    pub fn set_volume(&mut self, name: &str, volume: Option<&Value>) {
        if let Some(old) = self.volumes.remove(name) {
            for secret in old.secrets {
                if let Some(volumes) = self.secret_volumes.get_mut(&secret) {
                    volumes.remove(name);
                    if volumes.is_empty() {
                        self.secret_volumes.remove(&secret);
                    }
                }
            }
        }
        let Some(volume) = volume else { return };
        let claim = &volume["spec"]["claimRef"];
        if !claim.is_object() {
            return;
        }
        let claim = (
            text(&claim["namespace"]).to_owned(),
            text(&claim["name"]).to_owned(),
        );
        let secrets = volume_secrets(&volume["spec"], &claim.0);
        for secret in &secrets {
            self.secret_volumes
                .entry(secret.clone())
                .or_default()
                .insert(name.to_owned());
        }
        self.volumes.insert(name.to_owned(), Volume { claim, secrets });
    }

    /// Takes in what names its node itself as it is now, or that it is gone.
    pub fn set_bound(&mut self, object: Object, name: &str, value: Option<&Value>) {
        let key = (object, name.to_owned());
        match value
            .map(|v| text(&v["spec"]["nodeName"]))
            .filter(|n| !n.is_empty())
        {
            Some(node) => self.bound.insert(key, node.to_owned()),
            None => self.bound.remove(&key),
        };
    }

    /// Whether nothing is related to anything.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
            && self.needed.is_empty()
            && self.volumes.is_empty()
            && self.secret_volumes.is_empty()
            && self.bound.is_empty()
    }

    fn needed(&self, node: &str, object: Object, place: Place) -> bool {
        self.needed
            .get(&(object, place))
            .is_some_and(|nodes| nodes.contains_key(node))
    }

    fn volume_needed(&self, node: &str, volume: &str) -> bool {
        self.volumes
            .get(volume)
            .is_some_and(|v| self.needed(node, Object::PersistentVolumeClaim, v.claim.clone()))
    }
}

impl Graph for References {
    fn related(&self, node: &str, object: Object, namespace: &str, name: &str) -> bool {
        let place = (namespace.to_owned(), name.to_owned());
        match object {
            Object::Pod => self.pods.get(&place).is_some_and(|pod| pod.node == node),
            Object::PersistentVolume => self.volume_needed(node, name),
            Object::VolumeAttachment | Object::ResourceSlice => self
                .bound
                .get(&(object, name.to_owned()))
                .is_some_and(|n| n == node),
            Object::PodCertificateRequest => self
                .bound
                .get(&(object, format!("{namespace}/{name}")))
                .is_some_and(|n| n == node),
            Object::Secret => {
                let volumes = self.secret_volumes.get(&place);
                let through_volume =
                    || volumes.is_some_and(|volumes| volumes.iter().any(|v| self.volume_needed(node, v)));
                through_volume() || self.needed(node, object, place.clone())
            }
            _ => self.needed(node, object, place),
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// What a bound pod needs of its namespace.
fn needs(name: &str, pod: &Value) -> BTreeSet<(Object, String)> {
    let mut needs = BTreeSet::new();
    // A mirror pod stands for what runs on the node anyway: it must open nothing to the node.
    if pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string() {
        return needs;
    }
    let spec = &pod["spec"];
    let mut need = |object, name: &Value| {
        if let Some(name) = name.as_str().filter(|n| !n.is_empty()) {
            needs.insert((object, name.to_owned()));
        }
    };
    need(Object::ServiceAccount, &spec["serviceAccountName"]);
    references(pod, &mut need);
    for volume in items(spec, "volumes") {
        need(
            Object::PersistentVolumeClaim,
            &volume["persistentVolumeClaim"]["claimName"],
        );
        if volume["ephemeral"].is_object() {
            let claim = format!("{name}-{}", text(&volume["name"]));
            need(Object::PersistentVolumeClaim, &Value::from(claim));
        }
    }
    for claim in items(spec, "resourceClaims") {
        need(Object::ResourceClaim, &claim["resourceClaimName"]);
    }
    for status in items(&pod["status"], "resourceClaimStatuses") {
        need(Object::ResourceClaim, &status["resourceClaimName"]);
    }
    need(
        Object::ResourceClaim,
        &pod["status"]["extendedResourceClaimStatus"]["resourceClaimName"],
    );
    needs
}

/// Calls `need` with every secret and config map that a pod names.
///
/// Source: kubernetes/pkg/api/v1/pod, VisitPodSecretNames and VisitPodConfigmapNames.
pub fn references(pod: &Value, need: &mut impl FnMut(Object, &Value)) {
    let spec = &pod["spec"];
    for secret in items(spec, "imagePullSecrets") {
        need(Object::Secret, &secret["name"]);
    }
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items(spec, kind) {
            for source in items(container, "envFrom") {
                need(Object::ConfigMap, &source["configMapRef"]["name"]);
                need(Object::Secret, &source["secretRef"]["name"]);
            }
            for variable in items(container, "env") {
                need(
                    Object::ConfigMap,
                    &variable["valueFrom"]["configMapKeyRef"]["name"],
                );
                need(Object::Secret, &variable["valueFrom"]["secretKeyRef"]["name"]);
            }
        }
    }
    for volume in items(spec, "volumes") {
        need(Object::ConfigMap, &volume["configMap"]["name"]);
        need(Object::Secret, &volume["secret"]["secretName"]);
        need(Object::Secret, &volume["azureFile"]["secretName"]);
        for driver in [
            "cephfs",
            "cinder",
            "flexVolume",
            "rbd",
            "scaleIO",
            "iscsi",
            "storageos",
        ] {
            need(Object::Secret, &volume[driver]["secretRef"]["name"]);
        }
        need(Object::Secret, &volume["csi"]["nodePublishSecretRef"]["name"]);
        for source in items(&volume["projected"], "sources") {
            need(Object::ConfigMap, &source["configMap"]["name"]);
            need(Object::Secret, &source["secret"]["name"]);
        }
    }
}

/// The secrets a volume's driver needs on the node. Those without a namespace are in the claim's.
///
/// Source: kubernetes/pkg/api/v1/persistentvolume, VisitPVSecretNames, those that a kubelet may see.
fn volume_secrets(spec: &Value, claim_namespace: &str) -> BTreeSet<Place> {
    let mut secrets = BTreeSet::new();
    let mut need = |namespace: &Value, name: &Value| {
        let namespace = namespace
            .as_str()
            .filter(|n| !n.is_empty())
            .unwrap_or(claim_namespace);
        if let Some(name) = name.as_str().filter(|n| !n.is_empty()) {
            secrets.insert((namespace.to_owned(), name.to_owned()));
        }
    };
    need(
        &spec["azureFile"]["secretNamespace"],
        &spec["azureFile"]["secretName"],
    );
    for driver in [
        "cephfs",
        "cinder",
        "flexVolume",
        "rbd",
        "scaleIO",
        "iscsi",
        "storageos",
    ] {
        let reference = &spec[driver]["secretRef"];
        need(&reference["namespace"], &reference["name"]);
    }
    for field in [
        "nodePublishSecretRef",
        "nodeStageSecretRef",
        "nodeExpandSecretRef",
    ] {
        let reference = &spec["csi"][field];
        need(&reference["namespace"], &reference["name"]);
    }
    secrets
}
