//! PersistentVolumeClaim. Source: pkg/apis/core/validation/validation.go and pkg/api/persistentvolumeclaim/util.go.

use super::persistent_volume::or_unset;
use crate::features::{Feature, enabled};
use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{
    Errors, basic_quantity, format, immutable, label_selector, positive_quantity, quantity, required, resource_value,
};
use crate::kinds::columns::{STORAGE_CLASS, access_modes, age_column, class, column, name_column, phase, wide};
use crate::kinds::core::pod;
use crate::kinds::diff::diff;
use crate::schema::{Internal, Type};
use crate::kinds::resource_names;
use crate::kinds::usual;
use crate::kinds::values::{default_if_zero, default_to, entries, given, keep, list, map_of, remove, same, size, text};
use crate::quantity::Quantity;
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["pvc".into()],
        returns_deleted: true,
        subresources: vec![Subresource::Status],
        columns: vec![
            name_column(),
            column("Status", "string", |o, _| phase(o).into()),
            column("Volume", "string", |o, _| text(&o["spec"]["volumeName"]).into()),
            column("Capacity", "string", |o, _| match text(&o["spec"]["volumeName"]) {
                "" => "".into(),
                _ if given(&o["status"]["capacity"]["storage"]) => o["status"]["capacity"]["storage"].clone(),
                _ => "0".into(),
            }),
            column("Access Modes", "string", |o, _| match text(&o["spec"]["volumeName"]) {
                "" => "".into(),
                _ => access_modes(&o["status"]["accessModes"]).into(),
            }),
            column("StorageClass", "string", |o, _| class(o).into()),
            column("VolumeAttributesClass", "string", |o, _| or_unset(&o["spec"]["volumeAttributesClassName"])),
            age_column(),
            wide("VolumeMode", "string", |o, _| or_unset(&o["spec"]["volumeMode"])),
        ],
        hooks: Box::new(ClaimHooks),
        ..usual("", "PersistentVolumeClaim", "persistentvolumeclaims", Scope::Namespaced)
    }
}

struct ClaimHooks;

impl Hooks for ClaimHooks {
    fn default(&self, object: &mut Value) {
        default_to(map_of(object, "spec"), "volumeMode", "Filesystem");
        default_if_zero(map_of(object, "status"), "phase", "Pending");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({"phase": "Pending"});
        data_sources(map_of(object, "spec"), None);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        data_sources(map_of(object, "spec"), Some(&old["spec"]));
    }

    fn prepare_subresource(&self, _: Subresource, _: &mut Value, _: &Value) {}

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        claim_spec(&mut errors, &Path::new("spec"), &object["spec"], false);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        // An apiGroup that was taken once is not looked at again.
        let known = ["dataSource", "dataSourceRef"].iter().any(|f| given(&old["spec"][*f]["apiGroup"]));
        claim_spec(&mut errors, &Path::new("spec"), &object["spec"], known);
        changes(&mut errors, object, old);
        errors
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        status(&mut errors, object);
        errors
    }
}

/// Keeps the two fields that name a data source alike, and drops what may not be one.
fn data_sources(spec: &mut Value, old: Option<&Value>) {
    let had_one = old.is_some_and(|o| given(&o["dataSource"]) || given(&o["dataSourceRef"]));
    let elsewhere = enabled(Feature::CrossNamespaceVolumeDataSource);
    if !elsewhere && !had_one && !text(&spec["dataSourceRef"]["namespace"]).is_empty() {
        remove(spec, "dataSourceRef");
    }
    let source = &spec["dataSource"];
    let usual = match text(&source["kind"]) {
        "PersistentVolumeClaim" => text(&source["apiGroup"]).is_empty(),
        "VolumeSnapshot" => source["apiGroup"] == "snapshot.storage.k8s.io",
        _ => false,
    };
    if !had_one && !given(&spec["dataSourceRef"]) && !usual {
        remove(spec, "dataSource");
    }
    let copy = |source: &Value| {
        let mut copy = source.clone();
        remove(&mut copy, "namespace");
        copy
    };
    match (given(&spec["dataSource"]), given(&spec["dataSourceRef"])) {
        (true, false) => spec["dataSourceRef"] = copy(&spec["dataSource"]),
        (false, true) if text(&spec["dataSourceRef"]["namespace"]).is_empty() => {
            spec["dataSource"] = copy(&spec["dataSourceRef"]);
        }
        _ => {}
    }
}

/// The rules for a claim's spec, its own or in a pod's volume.
pub fn claim_spec(errors: &mut Errors, path: &Path, spec: &Value, known_api_groups: bool) {
    let at = path.child("accessModes");
    if list(&spec["accessModes"]).is_empty() {
        errors.push(Error::required(at, "at least 1 access mode is required"));
    }
    label_selector(errors, &path.child("selector"), &spec["selector"]);
    pod::access_modes(errors, &at, &spec["accessModes"]);
    let (at, storage) = (path.child("resources"), &spec["resources"]["requests"]["storage"]);
    let at = at.key("storage");
    if !given(storage) {
        errors.push(Error::required(at, ""));
    } else {
        positive_quantity(errors, &at, storage);
    }
    class_name(errors, &path.child("storageClassName"), &spec["storageClassName"]);
    pod::volume_mode(errors, &path.child("volumeMode"), &spec["volumeMode"]);
    let (source, reference) = (&spec["dataSource"], &spec["dataSourceRef"]);
    for (field, value) in [("dataSource", source), ("dataSourceRef", reference)] {
        if given(value) {
            data_source(errors, &path.child(field), value, known_api_groups);
        }
    }
    let differ = || ["apiGroup", "kind", "name"].iter().any(|f| source[*f] != reference[*f]);
    if given(source) && given(reference) {
        let elsewhere = !text(&reference["namespace"]).is_empty();
        if elsewhere || differ() {
            let detail = match elsewhere {
                true => "may not be specified when dataSourceRef.namespace is specified",
                false => "must match dataSourceRef",
            };
            // Upstream means to show where the other one is, and shows an object without fields.
            errors.push(Error::invalid(path, json!({}), detail));
        }
    }
    class_name(errors, &path.child("volumeAttributesClassName"), &spec["volumeAttributesClassName"]);
}

fn class_name(errors: &mut Errors, path: &Path, name: &Value) {
    if !text(name).is_empty() {
        format(errors, path, text(name), formats::dns_subdomain);
    }
}

fn data_source(errors: &mut Errors, path: &Path, source: &Value, known_api_group: bool) {
    required(errors, &path.child("name"), &source["name"]);
    required(errors, &path.child("kind"), &source["kind"]);
    let group = text(&source["apiGroup"]);
    if group.is_empty() && source["kind"] != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(Error::invalid(path, text(&source["kind"]), detail));
    }
    if !group.is_empty() && !known_api_group {
        format(errors, &path.child("apiGroup"), group, formats::dns_subdomain);
    }
    let namespace = text(&source["namespace"]);
    if !namespace.is_empty() {
        format(errors, &path.child("namespace"), namespace, formats::dns_label);
    }
}

/// A claim stays as it was made, but for the volume that it is given and what a bound claim may ask for anew.
fn changes(errors: &mut Errors, object: &Value, old: &Value) {
    let (spec, before) = (&object["spec"], &old["spec"]);
    let mut new = spec.clone();
    if text(&before["volumeName"]).is_empty() {
        keep(&mut new, before, "volumeName");
    }
    let class = &spec["storageClassName"];
    let annotation = |o: &Value| o["metadata"]["annotations"][STORAGE_CLASS].clone();
    let (noted, noted_before) = (annotation(object), annotation(old));
    let from_annotation = given(&noted_before)
        && !given(&before["storageClassName"])
        && *class == noted_before
        && (!given(&noted) || noted == noted_before);
    if from_annotation {
        remove(&mut new, "storageClassName");
    } else {
        if text(&noted) != text(&noted_before) {
            let at = format!("metadata.annotations[{STORAGE_CLASS}]");
            errors.push(Error::invalid(at, text(&noted), "field is immutable"));
        }
        let unset = !given(&before["storageClassName"]) && (!given(&noted_before) || *class == noted_before);
        if given(class) && unset {
            remove(&mut new, "storageClassName");
        }
    }
    if object["status"]["phase"] == "Bound" {
        if given(&new["resources"]["requests"]) {
            keep(&mut new["resources"]["requests"], &before["resources"]["requests"], "storage");
        }
        keep(&mut new, before, "volumeAttributesClassName");
    }
    if !same(&new, before) {
        let spec = |value| Internal::new(&Type::Message("io.k8s.api.core.v1.PersistentVolumeClaimSpec"), value);
        let detail = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
             claims\n{}",
            diff(spec(before), spec(&new))
        );
        errors.push(Error::forbidden("spec", detail));
    }
    let size_of = |spec: &Value| quantity(&spec["resources"]["requests"]["storage"]);
    if size_of(spec) < size_of(before) && size_of(spec) <= quantity(&old["status"]["capacity"]["storage"]) {
        let detail = "field can not be less than status.capacity";
        errors.push(Error::forbidden("spec.resources.requests.storage", detail));
    }
    immutable(errors, &Path::new("volumeMode"), &spec["volumeMode"], &before["volumeMode"]);
    let class = &spec["volumeAttributesClassName"];
    let applied = given(&old["status"]["currentVolumeAttributesClassName"]);
    if applied && *class != before["volumeAttributesClassName"] && text(class).is_empty() {
        let to = if given(class) { "empty string" } else { "nil" };
        let detail =
            format!("update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil");
        errors.push(Error::forbidden("spec.volumeAttributesClassName", detail));
    }
}

const RESIZE_STATES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

fn status(errors: &mut Errors, object: &Value) {
    if size(&object["spec"]["accessModes"]) == 0 {
        errors.push(Error::required("Spec.accessModes", ""));
    }
    let (path, status) = (Path::new("status"), &object["status"]);
    let at = path.child("capacity");
    for (resource, amount) in entries(&status["capacity"]) {
        basic_quantity(errors, &at.key(resource), amount);
    }
    let at = path.child("allocatedResourceStatuses");
    for (resource, state) in entries(&status["allocatedResourceStatuses"]) {
        resource_key(errors, &at, resource);
        if !RESIZE_STATES.contains(&text(state)) {
            errors.push(Error::not_supported(at, resource.as_str(), &RESIZE_STATES));
        }
    }
    let at = path.child("allocatedResources");
    for (resource, amount) in entries(&status["allocatedResources"]) {
        let before = errors.len();
        resource_key(errors, &at, resource);
        if errors.len() > before {
            continue;
        }
        let at = at.key(resource);
        match quantity(amount) < Quantity::ZERO {
            true => basic_quantity(errors, &at, amount),
            false => resource_value(errors, &at, "storage", amount),
        }
    }
}

/// Of Kubernetes' own resources, claims have storage alone.
fn resource_key(errors: &mut Errors, path: &Path, resource: &str) {
    let before = errors.len();
    format(errors, path, resource, formats::qualified_name);
    if errors.len() == before && resource_names::is_native(resource) && resource != "storage" {
        errors.push(Error::not_supported(path, resource, &["storage"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(change: impl Fn(&mut Value)) -> Value {
        let mut object = json!({"metadata": {"name": "c", "namespace": "n"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}},
        }});
        change(&mut object);
        ClaimHooks.default(&mut object);
        object
    }

    fn texts(errors: &[Error]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            assert_eq!(texts(&ClaimHooks.validate_create(&claim(change))), expected);
        };
        check(|_| {}, &[]);
        check(|o| o["spec"]["accessModes"] = json!([]), &[
            "spec.accessModes: Required value: at least 1 access mode is required",
        ]);
        check(|o| o["spec"]["resources"] = json!({}), &["spec.resources[storage]: Required value"]);
        check(|o| o["spec"]["resources"]["requests"]["storage"] = "0".into(), &[
            "spec.resources[storage]: Invalid value: \"0\": must be greater than zero",
        ]);
        check(|o| o["spec"]["volumeMode"] = "Any".into(), &[
            "spec.volumeMode: Unsupported value: \"Any\": supported values: \"Block\", \"Filesystem\"",
        ]);
        check(|o| o["spec"]["dataSource"] = json!({"kind": "Pod", "name": "p"}), &[
            "spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        ]);
        check(
            |o| {
                o["spec"]["dataSource"] = json!({"kind": "PersistentVolumeClaim", "name": "p"});
                o["spec"]["dataSourceRef"] = json!({"kind": "PersistentVolumeClaim", "name": "q"});
            },
            &["spec: Invalid value: {}: must match dataSourceRef"],
        );
    }

    #[test]
    fn data_sources_are_alike() {
        let check = |spec: Value, expected: Value| {
            let mut object = json!({"spec": spec});
            ClaimHooks.prepare_create(&mut object);
            assert_eq!(object["spec"], expected, "{spec}");
        };
        let claim = json!({"kind": "PersistentVolumeClaim", "name": "p"});
        let populator = json!({"apiGroup": "a.io", "kind": "Populator", "name": "p"});
        let mut elsewhere = claim.clone();
        elsewhere["namespace"] = "other".into();
        check(json!({"dataSource": claim}), json!({"dataSource": claim, "dataSourceRef": claim}));
        check(json!({"dataSource": populator}), json!({}));
        check(json!({"dataSourceRef": populator}), json!({"dataSource": populator, "dataSourceRef": populator}));
        check(json!({"dataSourceRef": elsewhere}), json!({}));
    }

    #[test]
    fn updates() {
        let check = |before: fn(&mut Value), change: fn(&mut Value), expected: &[&str]| {
            let old = claim(before);
            let mut new = old.clone();
            change(&mut new);
            let errors = ClaimHooks.validate_update(&new, &old);
            let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
            assert_eq!(fields, expected);
        };
        let bound = |o: &mut Value| {
            o["spec"]["volumeName"] = "v".into();
            o["spec"]["storageClassName"] = "s".into();
            o["status"] = json!({"phase": "Bound", "capacity": {"storage": "5Gi"}});
        };
        let none = |_: &mut Value| {};
        check(none, |o| o["spec"]["volumeName"] = "v".into(), &[]);
        check(bound, |o| o["spec"]["volumeName"] = "w".into(), &["spec"]);
        check(none, |o| o["spec"]["storageClassName"] = "s".into(), &[]);
        check(bound, |o| o["spec"]["storageClassName"] = "t".into(), &["spec"]);
        check(bound, |o| o["spec"]["resources"]["requests"]["storage"] = "20Gi".into(), &[]);
        check(bound, |o| o["spec"]["resources"]["requests"]["storage"] = "6Gi".into(), &[]);
        check(bound, |o| o["spec"]["resources"]["requests"]["storage"] = "5Gi".into(), &[
            "spec.resources.requests.storage",
        ]);
        check(none, |o| o["spec"]["resources"]["requests"]["storage"] = "20Gi".into(), &["spec"]);
        check(bound, |o| o["spec"]["volumeAttributesClassName"] = "c".into(), &[]);
        check(none, |o| o["spec"]["volumeMode"] = "Block".into(), &["spec", "volumeMode"]);
    }
}
