//! The rules for where containers mount volumes.

use super::container::{Around, privileged};
use super::volume::descending;
use crate::field::{Error, Path};
use crate::kinds::checks::{Errors, optional_one_of, required};
use crate::kinds::values::{flag, given, list, repeats, text};
use serde_json::Value;
use std::collections::HashSet;

/// The rules for a container's mounts.
pub fn mounts(errors: &mut Errors, path: &Path, container: &Value, around: &Around) {
    let mounts = list(&container["volumeMounts"]);
    let of_devices = |field: &str| -> HashSet<&Value> {
        list(&container["volumeDevices"]).iter().map(|device| &device[field]).collect()
    };
    let (device_names, device_places) = (of_devices("name"), of_devices("devicePath"));
    let repeated = repeats(mounts, |m| &m["mountPath"]);
    for (i, mount) in mounts.iter().enumerate() {
        let at = path.index(i);
        let (name, place) = (&mount["name"], &mount["mountPath"]);
        required(errors, &at.child("name"), name);
        if around.volume(text(name)).is_none() {
            errors.push(Error::not_found(at.child("name"), name.clone()));
        }
        required(errors, &at.child("mountPath"), place);
        if repeated[i] {
            errors.push(Error::invalid(at.child("mountPath"), place.clone(), "must be unique"));
        }
        if device_names.contains(name) {
            let detail = "must not already exist in volumeDevices";
            errors.push(Error::invalid(at.child("name"), name.clone(), detail));
        }
        if device_places.contains(place) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(Error::invalid(at.child("mountPath"), place.clone(), detail));
        }
        let (sub, expression) = (text(&mount["subPath"]), text(&mount["subPathExpr"]));
        descending(errors, &path.child("subPath"), sub);
        if !expression.is_empty() {
            if !sub.is_empty() {
                let detail = "subPathExpr and subPath are mutually exclusive";
                errors.push(Error::invalid(at.child("subPathExpr"), expression, detail));
            }
            descending(errors, &path.child("subPathExpr"), expression);
        }
        propagation(errors, path, mount, container);
    }
}

fn propagation(errors: &mut Errors, path: &Path, mount: &Value, container: &Value) {
    let propagation = &mount["mountPropagation"];
    let at = path.child("mountPropagation");
    let kinds = ["Bidirectional", "HostToContainer", "None"];
    optional_one_of(errors, &at, propagation, &kinds);
    if propagation == "Bidirectional" && !privileged(container) {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(Error::forbidden(at, detail));
    }
    let recursive = &mount["recursiveReadOnly"];
    let at = path.child("recursiveReadOnly");
    optional_one_of(errors, &at, recursive, &["Disabled", "Enabled", "IfPossible"]);
    if matches!(text(recursive), "Enabled" | "IfPossible") {
        if !flag(&mount["readOnly"]) {
            errors.push(Error::forbidden(at, "may only be specified when readOnly is true"));
        }
        if given(propagation) && propagation != "None" {
            let detail = "may only be specified when mountPropagation is None or not specified";
            errors.push(Error::forbidden(at, detail));
        }
    }
}

/// The rules for a container's block devices.
pub fn devices(errors: &mut Errors, path: &Path, container: &Value, around: &Around) {
    let (devices, mounts) = (list(&container["volumeDevices"]), list(&container["volumeMounts"]));
    let same_name = repeats(devices, |d| &d["name"]);
    let same_place = repeats(devices, |d| &d["devicePath"]);
    for (i, device) in devices.iter().enumerate() {
        let path = path.index(i);
        let (name, place) = (&device["name"], &device["devicePath"]);
        let (at_name, at_place) = (path.child("name"), path.child("devicePath"));
        required(errors, &at_name, name);
        // Upstream remembers only names of volumes, not those that are wrong themselves.
        if !text(name).is_empty() && same_name[i] {
            errors.push(Error::invalid(at_name, name.clone(), "must be unique"));
        }
        match around.volume(text(name)) {
            None => errors.push(Error::not_found(at_name, name.clone())),
            Some(volume) if !given(&volume["persistentVolumeClaim"]) && !given(&volume["ephemeral"]) => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(Error::invalid(at_name, name.clone(), detail));
            }
            Some(_) => {}
        }
        required(errors, &at_place, place);
        if same_place[i] {
            errors.push(Error::invalid(at_place, place.clone(), "must be unique"));
        }
        if text(place).split('/').any(|part| part == "..") {
            let detail = "can not contain backsteps ('..')";
            errors.push(Error::invalid(at_place, place.clone(), detail));
        }
        if mounts.iter().any(|m| m["name"] == *name) {
            let detail = "must not already exist in volumeMounts";
            errors.push(Error::invalid(at_name, name.clone(), detail));
        }
        if mounts.iter().any(|m| m["mountPath"] == *place) {
            let detail = "must not already exist as a path in volumeMounts";
            errors.push(Error::invalid(at_place, place.clone(), detail));
        }
    }
}
