//! The rules for where containers mount volumes.

use super::container::{Around, privileged};
use super::volume::descending;
use crate::field::{Error, Path};
use crate::kinds::checks::{Errors, optional_one_of, required};
use crate::kinds::values::{flag, given, list, text};
use serde_json::Value;

/// The rules for a container's mounts.
pub fn mounts(errors: &mut Errors, path: &Path, container: &Value, around: &Around) {
    let mounts = list(&container["volumeMounts"]);
    let devices = list(&container["volumeDevices"]);
    for (i, mount) in mounts.iter().enumerate() {
        let at = path.index(i);
        let (name, place) = (&mount["name"], &mount["mountPath"]);
        required(errors, &at.child("name"), name);
        if around.volume(text(name)).is_none() {
            errors.push(Error::not_found(at.child("name"), name.clone()));
        }
        required(errors, &at.child("mountPath"), place);
        if mounts[..i].iter().any(|m| m["mountPath"] == *place) {
            errors.push(Error::invalid(at.child("mountPath"), place.clone(), "must be unique"));
        }
        if devices.iter().any(|d| d["name"] == *name) {
            let detail = "must not already exist in volumeDevices";
            errors.push(Error::invalid(at.child("name"), name.clone(), detail));
        }
        if devices.iter().any(|d| d["devicePath"] == *place) {
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
    for (i, device) in devices.iter().enumerate() {
        let path = path.index(i);
        let (name, place) = (&device["name"], &device["devicePath"]);
        let (at_name, at_place) = (path.child("name"), path.child("devicePath"));
        required(errors, &at_name, name);
        // Upstream remembers only names of volumes, not those that are wrong themselves.
        if !text(name).is_empty() && devices[..i].iter().any(|d| d["name"] == *name) {
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
        if devices[..i].iter().any(|d| d["devicePath"] == *place) {
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
