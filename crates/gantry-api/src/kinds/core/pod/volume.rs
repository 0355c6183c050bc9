//! The rules for volumes, and for where containers mount them.

use super::sources;
use super::references::{FILE_FIELDS, field_reference, resource_reference};
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{
    Errors, format, optional_one_of, quantity, required, required_format, template_metadata,
};
use crate::kinds::core::persistent_volume_claim::claim_spec;
use crate::kinds::values::{entries, given, list, number, text};
use crate::quantity::Quantity;
use serde_json::Value;
use std::collections::HashSet;

const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// The rules for a pod's volumes; `pod` is its name, if it has one already. Those that are right themselves are what
/// containers can name.
pub fn volumes<'v>(errors: &mut Errors, path: &Path, volumes: &'v [Value], pod: Option<&str>) -> Vec<&'v Value> {
    let mut good: Vec<&Value> = Vec::new();
    let mut taken = HashSet::new();
    let made = |v: &Value| pod.filter(|_| given(&v["ephemeral"])).map(|p| format!("{p}-{}", text(&v["name"])));
    let made: HashSet<String> = volumes.iter().filter_map(made).collect();
    for (i, volume) in volumes.iter().enumerate() {
        let path = path.index(i);
        let name = &volume["name"];
        let before = errors.len();
        source(errors, &path, volume, pod);
        let at = path.child("name");
        required_format(errors, &at, text(name), formats::dns_label);
        if good.iter().any(|other| other["name"] == *name) {
            errors.push(Error::duplicate(at, name.clone()));
        }
        if errors.len() == before {
            taken.insert(name);
            good.push(volume);
        }
        let claim = text(&volume["persistentVolumeClaim"]["claimName"]);
        if !claim.is_empty() && made.contains(claim) {
            let path = path.child("persistentVolumeClaim");
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            errors.push(Error::invalid(path.child("claimName"), claim, detail));
        }
    }
    good
}

fn source(errors: &mut Errors, path: &Path, volume: &Value, pod: Option<&str>) {
    let mut found = false;
    // A volume has one or two fields: they are gone through for each source, rather than a key looked up.
    let of = |source: &str| entries(volume).find(|(field, value)| *field == source && given(value));
    for (source, value) in SOURCES.iter().filter_map(|source| Some((source, of(source)?.1))) {
        // Upstream spells this one differently here.
        let field = match *source {
            "gcePersistentDisk" if !found => "persistentDisk",
            source => source,
        };
        if found {
            let field = match field {
                "cephfs" => "cephFS",
                "downwardAPI" => "downwarAPI",
                field => field,
            };
            errors.push(Error::forbidden(path.child(field), "may not specify more than 1 volume type"));
            continue;
        }
        let path = path.child(field);
        found = true;
        let mut need = |fields: &[&str]| {
            for field in fields {
                required(errors, &path.child(field), &value[*field]);
            }
        };
        match *source {
            "emptyDir"
                if quantity(&value["sizeLimit"]) < Quantity::ZERO => {
                    let detail = "SizeLimit field must be a valid resource quantity";
                    errors.push(Error::forbidden(path.child("sizeLimit"), detail));
                }
            "gitRepo" => {
                need(&["repository"]);
                descending(errors, &path.child("directory"), text(&value["directory"]));
            }
            "secret" => {
                need(&["secretName"]);
                files(errors, &path, value);
            }
            "configMap" => {
                need(&["name"]);
                files(errors, &path, value);
            }
            "persistentVolumeClaim" => need(&["claimName"]),
            "downwardAPI" => {
                mode(errors, &path, value, "defaultMode");
                for item in list(&value["items"]) {
                    downward_file(errors, &path, item);
                }
            }
            "projected" => projected(errors, &path, value),
            "csi" => csi(errors, &path, value),
            "ephemeral" => ephemeral(errors, &path, volume, pod),
            "image" => {
                // A template may leave it to whoever makes the pod.
                if pod.is_some() {
                    need(&["reference"]);
                }
                optional_one_of(
                    errors,
                    &path.child("pullPolicy"),
                    &value["pullPolicy"],
                    &["Always", "IfNotPresent", "Never"],
                );
            }
            other => sources::source(errors, &path, other, value, None),
        }
    }
    if !found {
        errors.push(Error::required(path, "must specify a volume type"));
    }
}

fn csi(errors: &mut Errors, path: &Path, value: &Value) {
    sources::csi_driver_name(errors, &path.child("driver"), text(&value["driver"]));
    if given(&value["nodePublishSecretRef"]) {
        match text(&value["nodePublishSecretRef"]["name"]) {
            "" => required(errors, &path.child("nodePublishSecretRef").child("name"), &Value::Null),
            // Upstream leaves the reference out of this path.
            name => format(errors, &path.child("name"), name, formats::dns_subdomain),
        }
    }
}

fn ephemeral(errors: &mut Errors, source: &Path, volume: &Value, pod: Option<&str>) {
    let claim = &volume["ephemeral"]["volumeClaimTemplate"];
    let path = source.child("volumeClaimTemplate");
    if !given(claim) {
        errors.push(Error::required(path, ""));
        return;
    }
    template_metadata(errors, &path.child("metadata"), &claim["metadata"]);
    claim_spec(errors, &path.child("spec"), &claim["spec"], false);
    // A claim of a volume without a good name is told of there.
    let volume_name = text(&volume["name"]);
    let named = formats::dns_label(volume_name).is_empty();
    if let Some(pod) = pod.filter(|p| !p.is_empty() && named) {
        let name = format!("{pod}-{volume_name}");
        for problem in formats::dns_subdomain(&name) {
            let detail = format!("PVC name {name:?}: {problem}");
            errors.push(Error::invalid(source.child("name"), volume["name"].clone(), detail));
        }
    }
}

fn mode(errors: &mut Errors, path: &Path, value: &Value, field: &str) {
    let mode = &value[field];
    if given(mode) && !(0..=0o777).contains(&number(mode)) {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(Error::invalid(path.child(field), mode.clone(), detail));
    }
}

fn files(errors: &mut Errors, path: &Path, source: &Value) {
    mode(errors, path, source, "defaultMode");
    let path = path.child("items");
    for (i, item) in list(&source["items"]).iter().enumerate() {
        let path = path.index(i);
        required(errors, &path.child("key"), &item["key"]);
        required(errors, &path.child("path"), &item["path"]);
        inside(errors, &path.child("path"), text(&item["path"]));
        mode(errors, &path, item, "mode");
    }
}

fn downward_file(errors: &mut Errors, path: &Path, file: &Value) {
    required(errors, &path.child("path"), &file["path"]);
    inside(errors, &path.child("path"), text(&file["path"]));
    match (given(&file["fieldRef"]), given(&file["resourceFieldRef"])) {
        (true, both) => {
            field_reference(errors, &path.child("fieldRef"), &file["fieldRef"], FILE_FIELDS);
            if both {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(Error::invalid(path, "resource", detail));
            }
        }
        (false, true) => {
            resource_reference(errors, &path.child("resourceFieldRef"), &file["resourceFieldRef"], true);
        }
        (false, false) => {
            let detail = "one of fieldRef and resourceFieldRef is required";
            errors.push(Error::required(path, detail));
        }
    }
    mode(errors, path, file, "mode");
}

fn projected(errors: &mut Errors, path: &Path, projection: &Value) {
    mode(errors, path, projection, "defaultMode");
    let mut paths: HashSet<&str> = HashSet::new();
    let at_sources = path.child("sources");
    for (i, source) in list(&projection["sources"]).iter().enumerate() {
        let at = at_sources.index(i);
        let mut count = 0;
        for kind in [
            "secret",
            "configMap",
            "downwardAPI",
            "serviceAccountToken",
            "clusterTrustBundle",
            "podCertificate",
        ] {
            let value = &source[kind];
            if !given(value) {
                continue;
            }
            count += 1;
            let at = at.child(kind);
            let mut claimed: Vec<&str> = Vec::new();
            match kind {
                "secret" | "configMap" => {
                    required(errors, &at.child("name"), &value["name"]);
                    files(errors, &at, value);
                    claimed.extend(list(&value["items"]).iter().map(|f| text(&f["path"])));
                }
                "downwardAPI" => {
                    for item in list(&value["items"]) {
                        downward_file(errors, &at, item);
                        claimed.push(text(&item["path"]));
                    }
                }
                "serviceAccountToken" => token(errors, path, &at, value),
                "clusterTrustBundle" => {
                    required(errors, &at.child("path"), &value["path"]);
                    inside(errors, &at.child("path"), text(&value["path"]));
                    claimed.push(text(&value["path"]));
                    match (given(&value["name"]), given(&value["signerName"])) {
                        (true, true) => {
                            let detail = "only one of name and signerName may be used";
                            errors.push(Error::invalid(at, value.clone(), detail));
                        }
                        (false, false) => {
                            let detail = "either name or signerName must be specified";
                            errors.push(Error::required(at, detail));
                        }
                        _ => {}
                    }
                }
                _ => required(errors, &at.child("signerName"), &value["signerName"]),
            }
            for file in claimed.into_iter().filter(|p| !p.is_empty()) {
                if paths.contains(&file) {
                    // Upstream shows the name of what the files are from, if it has one.
                    let shown = if kind == "downwardAPI" { file } else { text(&value["name"]) };
                    errors.push(Error::invalid(path, shown, "conflicting duplicate paths"));
                } else {
                    paths.insert(file);
                }
            }
        }
        if count > 1 {
            let detail = "may not specify more than 1 volume type per source";
            errors.push(Error::forbidden(at, detail));
        }
    }
}

fn token(errors: &mut Errors, volume: &Path, path: &Path, token: &Value) {
    let seconds = number(&token["expirationSeconds"]);
    let at = path.child("expirationSeconds");
    if seconds < 600 {
        let detail = "may not specify a duration less than 10 minutes";
        errors.push(Error::invalid(at, seconds, detail));
    }
    if seconds > 1 << 32 {
        let detail = "may not specify a duration larger than 2^32 seconds";
        errors.push(Error::invalid(at, seconds, detail));
    }
    required(errors, &volume.child("path"), &token["path"]);
    inside(errors, &volume.child("path"), text(&token["path"]));
}

/// A pod without a service account has no tokens.
pub fn no_tokens(errors: &mut Errors, path: &Path, spec: &Value) {
    for (i, volume) in list(&spec["volumes"]).iter().enumerate() {
        let path = path.index(i);
        let path = path.child("projected");
        let path = path.child("sources");
        for (i, source) in list(&volume["projected"]["sources"]).iter().enumerate() {
            if given(&source["serviceAccountToken"]) {
                let path = path.index(i);
                let detail = "must not be specified when serviceAccountName is not set";
                errors.push(Error::forbidden(path.child("serviceAccountToken"), detail));
            }
        }
    }
}

/// A path that does not leave the directory it starts in.
pub fn descending(errors: &mut Errors, path: &Path, value: &str) {
    if value.starts_with('/') {
        errors.push(Error::invalid(path, value, "must be a relative path"));
    }
    no_backsteps(errors, path, value);
}

/// A path without `..` in it.
pub fn no_backsteps(errors: &mut Errors, path: &Path, value: &str) {
    if value.split('/').any(|part| part == "..") {
        errors.push(Error::invalid(path, value, "must not contain '..'"));
    }
}

/// A file's path inside a volume, where names that begin with two dots are the node's own.
fn inside(errors: &mut Errors, path: &Path, value: &str) {
    descending(errors, path, value);
    if value.starts_with("..") && !value.starts_with("../") {
        errors.push(Error::invalid(path, value, "must not start with '..'"));
    }
}
