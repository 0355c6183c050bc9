//! PersistentVolume. Source: pkg/apis/core/validation/validation.go and pkg/registry/core/persistentvolume/strategy.go.

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, basic_quantity, format, immutable, optional_one_of, positive_quantity, required};
use crate::kinds::columns::{access_modes, age_column, class, column, name_column, phase, wide};
use crate::kinds::core::pod;
use crate::kinds::diff::diff;
use crate::schema::{Internal, Type};
use crate::kinds::usual;
use crate::kinds::values::{
    default_if_zero, default_to, entries, given, keep, list, map_of, remove, same, size, text,
};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["pv".into()],
        returns_deleted: true,
        subresources: vec![Subresource::Status],
        columns: vec![
            name_column(),
            column("Capacity", "string", |o, _| {
                let storage = &o["spec"]["capacity"]["storage"];
                if given(storage) { storage.clone() } else { "0".into() }
            }),
            column("Access Modes", "string", |o, _| access_modes(&o["spec"]["accessModes"]).into()),
            column("Reclaim Policy", "string", |o, _| {
                text(&o["spec"]["persistentVolumeReclaimPolicy"]).into()
            }),
            column("Status", "string", |o, _| phase(o).into()),
            column("Claim", "string", |o, _| claim(&o["spec"]["claimRef"]).into()),
            column("StorageClass", "string", |o, _| class(o).into()),
            column("VolumeAttributesClass", "string", |o, _| or_unset(&o["spec"]["volumeAttributesClassName"])),
            column("Reason", "string", |o, _| text(&o["status"]["reason"]).into()),
            age_column(),
            wide("VolumeMode", "string", |o, _| or_unset(&o["spec"]["volumeMode"])),
        ],
        hooks: Box::new(PersistentVolumeHooks),
        ..usual("", "PersistentVolume", "persistentvolumes", Scope::Cluster)
    }
}

/// A text, or `<unset>` when it is absent.
pub fn or_unset(value: &Value) -> Value {
    if given(value) { value.clone() } else { "<unset>".into() }
}

fn claim(reference: &Value) -> String {
    match given(reference) {
        true => format!("{}/{}", text(&reference["namespace"]), text(&reference["name"])),
        false => String::new(),
    }
}

/// The sources, in the order upstream looks at them.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// Sources that cannot be mounted with options.
const WITHOUT_OPTIONS: [&str; 9] = [
    "hostPath",
    "flocker",
    "fc",
    "flexVolume",
    "portworxVolume",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

const OLD_ANNOTATIONS: [(&str, &str); 2] = [
    (
        "volume.beta.kubernetes.io/storage-class",
        "deprecated since v1.8; use \"storageClassName\" attribute instead",
    ),
    (
        "volume.beta.kubernetes.io/mount-options",
        "deprecated since v1.31; use \"mountOptions\" attribute instead",
    ),
];

/// Sources that no node mounts any more, under the names that upstream gives them in warnings.
const OLD_SOURCES: [(&str, &str, &str); 6] = [
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

struct PersistentVolumeHooks;

impl Hooks for PersistentVolumeHooks {
    fn warnings(&self, object: &Value, _: Option<&Value>) -> Vec<String> {
        let (spec, annotations) = (&object["spec"], &object["metadata"]["annotations"]);
        let noted = OLD_ANNOTATIONS.iter().filter(|(key, _)| given(&annotations[*key]));
        let noted = noted.map(|(key, why)| format!("metadata.annotations[{key}]: {why}"));
        let recycle = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.";
        let recycled = spec["persistentVolumeReclaimPolicy"] == "Recycle";
        let recycled = recycled.then(|| format!("spec.persistentVolumeReclaimPolicy: {recycle}"));
        let old = OLD_SOURCES.iter().filter(|(source, ..)| given(&spec[*source]));
        noted.chain(recycled).chain(old.map(|(_, shown, why)| format!("spec.{shown}: {why}"))).collect()
    }

    fn default(&self, object: &mut Value) {
        default_if_zero(map_of(object, "status"), "phase", "Pending");
        let spec = map_of(object, "spec");
        default_if_zero(spec, "persistentVolumeReclaimPolicy", "Retain");
        default_to(spec, "volumeMode", "Filesystem");
        pod::default_volume_source(spec);
        if let Some(claim) = spec.get_mut("claimRef").filter(|c| c.is_object()) {
            crate::kinds::values::drop_zero(claim, &["resourceVersion", "fieldPath"]);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({"phase": "Pending", "lastPhaseTransitionTime": crate::meta::now()});
    }

    fn prepare_subresource(&self, _: Subresource, object: &mut Value, old: &Value) {
        const SINCE: &str = "lastPhaseTransitionTime";
        let (now, before) = (&object["status"], &old["status"]);
        if now["phase"] == before["phase"] {
            if !given(&now[SINCE]) {
                keep(map_of(object, "status"), before, SINCE);
            }
        } else if !given(&now[SINCE]) || now[SINCE] == before[SINCE] {
            object["status"][SINCE] = crate::meta::now().into();
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        let at = path.child("accessModes");
        access(&mut errors, &at, &spec["accessModes"]);
        capacity(&mut errors, &path.child("capacity"), &spec["capacity"]);
        let policies = ["Delete", "Recycle", "Retain"];
        let (at, policy) = (
            path.child("persistentVolumeReclaimPolicy"),
            &spec["persistentVolumeReclaimPolicy"],
        );
        optional_one_of(&mut errors, &at, policy, &policies);
        affinity(&mut errors, &path.child("nodeAffinity"), &spec["nodeAffinity"]);
        sources(&mut errors, &path, spec, crate::meta::name(object));
        if policy == "Recycle" && is_root(text(&spec["hostPath"]["path"])) {
            errors.push(Error::forbidden(at, "may not be 'recycle' for a hostPath mount of '/'"));
        }
        let class = text(&spec["storageClassName"]);
        if !class.is_empty() {
            format(&mut errors, &path.child("storageClassName"), class, formats::dns_subdomain);
        }
        pod::volume_mode(&mut errors, &path.child("volumeMode"), &spec["volumeMode"]);
        attributes_class(&mut errors, &path, spec);
        mount_options(&mut errors, object);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (new, before) = (&object["spec"], &old["spec"]);
        if SOURCES.iter().any(|source| !same_source(source, new, before)) {
            let type_ = Type::Message("io.k8s.api.core.v1.PersistentVolumeSpec");
            let of = |spec| Internal::embedded(&type_, spec, "PersistentVolumeSource");
            let detail = format!(
                "spec.persistentvolumesource is immutable after creation\n{}",
                diff(of(before), of(new))
            );
            errors.push(Error::forbidden("spec.persistentvolumesource", detail));
        }
        immutable(&mut errors, &Path::new("volumeMode"), &new["volumeMode"], &before["volumeMode"]);
        let (affinity, old_affinity) = (&new["nodeAffinity"], &before["nodeAffinity"]);
        if given(old_affinity) && !same(affinity, old_affinity) && !same(affinity, &with_present_labels(affinity, old_affinity)) {
            let detail = "field is immutable, except for updating from beta label to GA";
            errors.push(Error::invalid("nodeAffinity", affinity.clone(), detail));
        }
        if given(&before["volumeAttributesClassName"]) && !given(&new["volumeAttributesClassName"]) {
            let detail = "update from non-nil value to nil is forbidden";
            errors.push(Error::forbidden("spec.volumeAttributesClassName", detail));
        }
        errors
    }
}

fn access(errors: &mut Errors, path: &Path, modes: &Value) {
    if list(modes).is_empty() {
        errors.push(Error::required(path, ""));
    }
    pod::access_modes(errors, path, modes);
}

fn capacity(errors: &mut Errors, path: &Path, capacity: &Value) {
    if size(capacity) == 0 {
        errors.push(Error::required(path, ""));
    }
    if !given(&capacity["storage"]) || size(capacity) > 1 {
        errors.push(Error::not_supported(path, capacity.clone(), &["storage"]));
    }
    for (resource, amount) in entries(capacity) {
        let at = path.key(resource);
        basic_quantity(errors, &at, amount);
        positive_quantity(errors, &at, amount);
    }
}

fn attributes_class(errors: &mut Errors, path: &Path, spec: &Value) {
    let (at, class) = (path.child("volumeAttributesClassName"), &spec["volumeAttributesClassName"]);
    if !given(class) {
        return;
    }
    match text(class) {
        "" => errors.push(Error::required(at, "an empty string is disallowed")),
        class => format(errors, &at, class, formats::dns_subdomain),
    }
    if !given(&spec["csi"]) {
        let detail = "has to be specified when using volumeAttributesClassName";
        errors.push(Error::required(path.child("csi"), detail));
    }
}

/// The rules for the spec of a volume that is no object of its own: it stands in the attachment that names it.
pub fn inline_spec(errors: &mut Errors, path: &Path, spec: &Value) {
    const NOT_HERE: &str = "may not be specified in the context of inline volumes";
    let absent = |errors: &mut Errors, field: &str, there: bool| {
        if there {
            errors.push(Error::forbidden(path.child(field), NOT_HERE));
        }
    };
    absent(errors, "claimRef", given(&spec["claimRef"]));
    absent(errors, "capacity", size(&spec["capacity"]) > 0);
    if !given(&spec["csi"]) {
        errors.push(Error::required(path.child("csi"), "has to be specified in the context of inline volumes"));
    }
    access(errors, &path.child("accessModes"), &spec["accessModes"]);
    let policy = text(&spec["persistentVolumeReclaimPolicy"]);
    if !matches!(policy, "" | "Retain") {
        let detail = "may only be Retain in the context of inline volumes";
        errors.push(Error::forbidden(path.child("persistentVolumeReclaimPolicy"), detail));
    }
    absent(errors, "nodeAffinity", given(&spec["nodeAffinity"]));
    sources(errors, path, spec, "");
    absent(errors, "storageClassName", !text(&spec["storageClassName"]).is_empty());
    if !matches!(text(&spec["volumeMode"]), "" | "Filesystem") {
        let detail = "may not specify volumeMode other than Filesystem in the context of inline volumes";
        errors.push(Error::forbidden(path.child("volumeMode"), detail));
    }
}

fn affinity(errors: &mut Errors, path: &Path, affinity: &Value) {
    if given(&affinity["required"]) {
        pod::node_selector(errors, &path.child("required"), &affinity["required"]);
    } else if given(affinity) {
        let detail = "must specify required node constraints";
        errors.push(Error::required(path.child("required"), detail));
    }
}

fn sources(errors: &mut Errors, path: &Path, spec: &Value, name: &str) {
    let mut found = false;
    for source in SOURCES.iter().filter(|s| given(&spec[**s])) {
        if found && *source != "flexVolume" {
            // Upstream spells this one differently here.
            let field = if *source == "cephfs" { "cephFS" } else { source };
            errors.push(Error::forbidden(path.child(field), "may not specify more than 1 volume type"));
            continue;
        }
        found = true;
        let field = if *source == "gcePersistentDisk" { "persistentDisk" } else { source };
        let (at, value) = (path.child(field), &spec[*source]);
        match *source {
            "csi" => csi(errors, &at, value),
            _ => pod::volume_source(errors, &at, source, value, Some(name)),
        }
        if *source == "local" && !given(&spec["nodeAffinity"]) {
            errors.push(Error::required(path.child("nodeAffinity"), "Local volume requires node affinity"));
        }
    }
    if !found {
        errors.push(Error::required(path, "must specify a volume type"));
    }
}

const CSI_SECRETS: [&str; 4] = [
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
];

fn csi(errors: &mut Errors, path: &Path, csi: &Value) {
    pod::csi_driver_name(errors, &path.child("driver"), text(&csi["driver"]));
    required(errors, &path.child("volumeHandle"), &csi["volumeHandle"]);
    for field in CSI_SECRETS {
        pod::secret_in_namespace(errors, &path.child(field), &csi[field]);
    }
}

/// Whether a path means the root, as written or with dots and more slashes in it.
fn is_root(path: &str) -> bool {
    let mut depth = 0_usize;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    path.starts_with('/') && depth == 0
}

fn mount_options(errors: &mut Errors, object: &Value) {
    const OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";
    let spec = &object["spec"];
    if !given(&object["metadata"]["annotations"][OPTIONS]) {
        return;
    }
    if !SOURCES.iter().any(|s| given(&spec[*s]) && !WITHOUT_OPTIONS.contains(s)) {
        let detail = "may not specify mount options for this volume type";
        errors.push(Error::forbidden(format!("metadata.annotations.{OPTIONS}"), detail));
    }
}

/// Whether a source stayed as it was; a CSI volume may be given the secret for expansion once.
fn same_source(source: &str, new: &Value, old: &Value) -> bool {
    const EXPAND: &str = "controllerExpandSecretRef";
    let (new, old) = (&new[source], &old[source]);
    if same(new, old) {
        return true;
    }
    if source != "csi" || !given(old) || given(&old[EXPAND]) || !given(new) {
        return false;
    }
    let mut without = new.clone();
    remove(&mut without, EXPAND);
    same(&without, old)
}

/// Labels of nodes that have a newer name.
const RENAMED: [(&str, &str); 5] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
];

/// The old affinity, with the labels under their newer names wherever the new one has these.
fn with_present_labels(new: &Value, old: &Value) -> Value {
    let mut old = old.clone();
    let terms = &new["required"]["nodeSelectorTerms"];
    for (i, term) in crate::kinds::values::list_mut(map_of(&mut old, "required"), "nodeSelectorTerms").iter_mut().enumerate() {
        for field in ["matchExpressions", "matchFields"] {
            for (j, requirement) in crate::kinds::values::list_mut(term, field).iter_mut().enumerate() {
                let (key, now) = (&requirement["key"], &terms[i][field][j]["key"]);
                if RENAMED.iter().any(|(before, after)| key == before && now == after) {
                    requirement["key"] = now.clone();
                }
            }
        }
    }
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(change: impl Fn(&mut Value)) -> Value {
        let mut object = json!({"metadata": {"name": "v"}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"},
        }});
        change(&mut object);
        PersistentVolumeHooks.default(&mut object);
        object
    }

    fn texts(errors: &[Error]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            assert_eq!(texts(&PersistentVolumeHooks.validate(&volume(change))), expected);
        };
        check(|_| {}, &[]);
        check(|o| o["spec"]["hostPath"] = Value::Null, &["spec: Required value: must specify a volume type"]);
        check(|o| o["spec"]["capacity"] = json!({"storage": "0"}), &[
            "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero",
        ]);
        check(|o| o["spec"]["capacity"] = json!({"storage": "1Gi", "cpu": "1"}), &[
            "spec.capacity: Unsupported value: {\"cpu\":\"1\",\"storage\":\"1Gi\"}: supported values: \"storage\"",
        ]);
        check(|o| o["spec"]["accessModes"] = json!(["ReadWriteOncePod", "ReadWriteMany", "Any"]), &[
            "spec.accessModes: Unsupported value: \"Any\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \
             \"ReadWriteOnce\", \"ReadWriteOncePod\"",
            "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
        ]);
        check(|o| o["spec"]["nfs"] = json!({"server": "s", "path": "/p"}), &[
            "spec.nfs: Forbidden: may not specify more than 1 volume type",
        ]);
        check(
            |o| {
                o["spec"]["hostPath"] = json!({"path": "/a/.."});
                o["spec"]["persistentVolumeReclaimPolicy"] = "Recycle".into();
            },
            &[
                "spec.hostPath.path: Invalid value: \"/a/..\": must not contain '..'",
                "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
            ],
        );
        check(
            |o| {
                o["spec"]["hostPath"] = Value::Null;
                o["spec"]["local"] = json!({"path": "/a"});
            },
            &["spec.nodeAffinity: Required value: Local volume requires node affinity"],
        );
        check(|o| o["spec"]["volumeAttributesClassName"] = "c".into(), &[
            "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
        ]);
    }

    #[test]
    fn changes() {
        let csi = |o: &mut Value| {
            o["spec"]["hostPath"] = Value::Null;
            o["spec"]["csi"] = json!({"driver": "d.io", "volumeHandle": "h"});
            o["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "beta.kubernetes.io/os", "operator": "In", "values": ["linux"]}]},
            ]}});
        };
        let old = volume(csi);
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let mut new = old.clone();
            change(&mut new);
            let errors = PersistentVolumeHooks.validate_update(&new, &old);
            let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
            assert_eq!(fields, expected);
        };
        check(|_| {}, &[]);
        check(|o| o["spec"]["csi"]["controllerExpandSecretRef"] = json!({"name": "a", "namespace": "b"}), &[]);
        check(|o| o["spec"]["csi"]["volumeHandle"] = "other".into(), &["spec.persistentvolumesource"]);
        check(|o| o["spec"]["volumeMode"] = "Block".into(), &["volumeMode"]);
        let key = "/spec/nodeAffinity/required/nodeSelectorTerms/0/matchExpressions/0/key";
        let mut new = old.clone();
        *new.pointer_mut(key).unwrap() = "kubernetes.io/os".into();
        assert_eq!(texts(&PersistentVolumeHooks.validate_update(&new, &old)), Vec::<String>::new());
        *new.pointer_mut(key).unwrap() = "kubernetes.io/arch".into();
        assert_eq!(PersistentVolumeHooks.validate_update(&new, &old).len(), 1);
    }

    #[test]
    fn the_phase_has_a_time() {
        let mut old = volume(|_| {});
        old["status"] = json!({"phase": "Available", "lastPhaseTransitionTime": "2026-01-01T00:00:00Z"});
        let check = |status: Value, kept: bool| {
            let mut new = old.clone();
            new["status"] = status;
            PersistentVolumeHooks.prepare_subresource(Subresource::Status, &mut new, &old);
            let (now, before) = (&new["status"]["lastPhaseTransitionTime"], &old["status"]["lastPhaseTransitionTime"]);
            assert_eq!(now == before, kept);
            assert!(now.is_string());
        };
        check(json!({"phase": "Available"}), true);
        check(json!({"phase": "Bound"}), false);
        check(json!({"phase": "Bound", "lastPhaseTransitionTime": "2026-01-01T00:00:00Z"}), false);
    }
}
