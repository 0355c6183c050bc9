//! The rules for volume sources that pods and PersistentVolumes both have.

use super::volume::no_backsteps;
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{Errors, format, optional_one_of, required, required_format};
use crate::kinds::values::{default_if_zero, default_to, entries, field_mut, flag, given, list, number, text};
use serde_json::Value;

/// The rules for a source called `kind`. `volume` is the PersistentVolume's name, when it is one's.
pub fn source(errors: &mut Errors, path: &Path, kind: &str, value: &Value, volume: Option<&str>) {
    let mut need = |fields: &[&str]| {
        for field in fields {
            required(errors, &path.child(field), &value[*field]);
        }
    };
    match kind {
        "hostPath" => host_path(errors, path, value),
        "local" => {
            need(&["path"]);
            no_backsteps(errors, &path.child("path"), text(&value["path"]));
        }
        "nfs" => {
            need(&["server", "path"]);
            let at = text(&value["path"]);
            if !at.starts_with('/') {
                errors.push(Error::invalid(path.child("path"), at, "must be an absolute path"));
            }
        }
        "gcePersistentDisk" => {
            need(&["pdName"]);
            partition(errors, path, value);
        }
        "awsElasticBlockStore" => {
            need(&["volumeID"]);
            partition(errors, path, value);
        }
        "glusterfs" => {
            need(&["endpoints", "path"]);
            let namespace = &value["endpointsNamespace"];
            if given(namespace) {
                let path = path.child("endpointsNamespace");
                match text(namespace) {
                    "" => {
                        let detail = "if the endpointnamespace is set, it must be a valid namespace name";
                        errors.push(Error::invalid(path, "", detail));
                    }
                    namespace => format(errors, &path, namespace, formats::dns_label),
                }
            }
        }
        "flocker" => flocker(errors, path, value),
        "rbd" => {
            if list(&value["monitors"]).is_empty() {
                errors.push(Error::required(path.child("monitors"), ""));
            }
            required(errors, &path.child("image"), &value["image"]);
        }
        "cephfs" if list(&value["monitors"]).is_empty() => {
            errors.push(Error::required(path.child("monitors"), ""));
        }
        "quobyte" => quobyte(errors, path, value),
        "iscsi" => iscsi(errors, path, value, volume),
        "fc" => fibre_channel(errors, path, value),
        "cinder" => {
            need(&["volumeID"]);
            secret_reference(errors, path, value, volume.is_some());
        }
        "flexVolume" => {
            need(&["driver"]);
            flex_options(errors, &path.child("options"), value);
        }
        "azureFile" => {
            need(&["secretName", "shareName"]);
            if given(&value["secretNamespace"]) {
                required(errors, &path.child("secretNamespace"), &value["secretNamespace"]);
            }
        }
        "azureDisk" => azure_disk(errors, path, value),
        "vsphereVolume" => need(&["volumePath"]),
        "photonPersistentDisk" => need(&["pdID"]),
        "portworxVolume" => need(&["volumeID"]),
        "scaleIO" => need(&["gateway", "system", "volumeName"]),
        "storageos" => {
            required_format(
                errors,
                &path.child("volumeName"),
                text(&value["volumeName"]),
                formats::dns_label,
            );
            let namespace = text(&value["volumeNamespace"]);
            if !namespace.is_empty() {
                format(errors, &path.child("volumeNamespace"), namespace, formats::dns_label);
            }
            secret_reference(errors, path, value, volume.is_some());
        }
        _ => {}
    }
}

/// The defaults of whichever source a pod's volume or a PersistentVolume's spec has.
pub fn default(volume: &mut Value) {
    let mut fill = |source: &str, defaults: &[(&str, Value)]| {
        if let Some(source) = field_mut(volume, source) {
            for (field, value) in defaults {
                default_if_zero(source, field, value.clone());
            }
        }
    };
    fill("iscsi", &[("iscsiInterface", "default".into())]);
    fill(
        "rbd",
        &[
            ("pool", "rbd".into()),
            ("user", "admin".into()),
            ("keyring", "/etc/ceph/keyring".into()),
        ],
    );
    fill("scaleIO", &[("storageMode", "ThinProvisioned".into()), ("fsType", "xfs".into())]);
    if let Some(path) = field_mut(volume, "hostPath") {
        default_to(path, "type", "");
    }
    if let Some(disk) = field_mut(volume, "azureDisk") {
        default_to(disk, "cachingMode", "ReadWrite");
        default_to(disk, "fsType", "ext4");
        default_to(disk, "readOnly", false);
        default_to(disk, "kind", "Shared");
    }
}

/// A CSI driver's name: a DNS subdomain whatever its case, short enough for a socket's path.
pub fn csi_driver_name(errors: &mut Errors, path: &Path, name: &str) {
    const MOST: usize = 63;
    if name.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    if name.len() > MOST {
        errors.push(Error::too_long(path, MOST));
    }
    for problem in formats::dns_subdomain(&name.to_lowercase()) {
        errors.push(Error::invalid(path, name, problem));
    }
}

fn host_path(errors: &mut Errors, path: &Path, value: &Value) {
    let at = text(&value["path"]);
    if at.is_empty() {
        errors.push(Error::required(path.child("path"), ""));
        return;
    }
    no_backsteps(errors, &path.child("path"), at);
    let types = [
        "",
        "BlockDevice",
        "CharDevice",
        "Directory",
        "DirectoryOrCreate",
        "File",
        "FileOrCreate",
        "Socket",
    ];
    optional_one_of(errors, &path.child("type"), &value["type"], &types);
}

fn partition(errors: &mut Errors, path: &Path, value: &Value) {
    let partition = number(&value["partition"]);
    if !(0..=255).contains(&partition) {
        let detail = "must be between 1 and 255, inclusive";
        errors.push(Error::invalid(path.child("partition"), partition, detail));
    }
}

fn flocker(errors: &mut Errors, path: &Path, value: &Value) {
    let (name, uuid) = (text(&value["datasetName"]), text(&value["datasetUUID"]));
    if name.is_empty() && uuid.is_empty() {
        errors.push(Error::required(path, "one of datasetName and datasetUUID is required"));
    }
    if !name.is_empty() && !uuid.is_empty() {
        let detail = "datasetName and datasetUUID can not be specified simultaneously";
        errors.push(Error::invalid(path, "resource", detail));
    }
    if name.contains('/') {
        errors.push(Error::invalid(path.child("datasetName"), name, "must not contain '/'"));
    }
}

fn quobyte(errors: &mut Errors, path: &Path, value: &Value) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = text(&value["registry"]);
    if registry.is_empty() {
        errors.push(Error::required(path.child("registry"), PAIRS));
    } else if text(&value["tenant"]).len() >= 65 {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(Error::required(path.child("tenant"), detail));
    } else {
        for _ in registry.split(',').filter(|pair| !is_host_and_port(pair)) {
            errors.push(Error::invalid(path.child("registry"), registry, PAIRS));
        }
    }
    required(errors, &path.child("volume"), &value["volume"]);
}

/// Whether a text is `host:port`, where a host with colons stands in brackets.
fn is_host_and_port(text: &str) -> bool {
    match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").is_some_and(|(host, port)| !host.contains(['[', ']']) && !port.contains(':')),
        None => text.matches(':').count() == 1 && !text.contains(['[', ']']),
    }
}

fn iscsi(errors: &mut Errors, path: &Path, value: &Value, volume: Option<&str>) {
    const MALFORMED: &str = "must be valid format";
    let (portal, initiator) = (text(&value["targetPortal"]), &value["initiatorName"]);
    required(errors, &path.child("targetPortal"), &value["targetPortal"]);
    if volume.is_some_and(|name| given(initiator) && name.len() + 1 + portal.len() > 64) {
        let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
            iscsi.initiatorName is specified.";
        errors.push(Error::invalid(path.child("targetportal"), portal, detail));
    }
    let mut name = |field: &str, name: &str| {
        let (known, fits) = initiator_name(name);
        if !known && volume.is_none() {
            let detail = "must be valid format starting with iqn, eui, or naa";
            errors.push(Error::invalid(path.child(field), name, detail));
        } else if !known || !fits {
            errors.push(Error::invalid(path.child(field), name, MALFORMED));
        }
    };
    match text(&value["iqn"]) {
        "" => errors.push(Error::required(path.child("iqn"), "")),
        iqn => name("iqn", iqn),
    }
    let lun = number(&value["lun"]);
    if !(0..=255).contains(&lun) {
        errors.push(Error::invalid(path.child("lun"), lun, LUN));
    }
    let secret = &value["secretRef"];
    let authenticates = flag(&value["chapAuthDiscovery"]) || flag(&value["chapAuthSession"]);
    if authenticates && !given(secret) {
        errors.push(Error::required(path.child("secretRef"), ""));
    }
    if volume.is_some() && given(secret) {
        required(errors, &path.child("secretRef").child("name"), &secret["name"]);
    }
    if given(initiator) {
        let initiator = text(initiator);
        let (known, fits) = initiator_name(initiator);
        if !known && volume.is_none() {
            let detail = "must be valid format starting with iqn, eui, or naa";
            errors.push(Error::invalid(path.child("initiatorname"), initiator, detail));
        } else if !known || !fits {
            errors.push(Error::invalid(path.child("initiatorname"), initiator, MALFORMED));
        }
    }
}

const LUN: &str = "must be between 0 and 255, inclusive";

/// Whether an iSCSI name is of a known sort, and whether it has the form of its sort.
fn initiator_name(name: &str) -> (bool, bool) {
    let numbered = |rest: &str, digits: usize| {
        let mut chars = rest.chars();
        chars.next().is_some() && chars.as_str().len() == digits && chars.all(|c| c.is_ascii_alphanumeric())
    };
    if let Some(rest) = name.strip_prefix("iqn") {
        (true, is_qualified(rest))
    } else if let Some(rest) = name.strip_prefix("eui") {
        (true, numbered(rest, 16))
    } else if let Some(rest) = name.strip_prefix("naa") {
        (true, numbered(rest, 32))
    } else {
        (false, false)
    }
}

/// What follows `iqn`: `.2001-04.com.example:storage`.
fn is_qualified(rest: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let parts = || {
        let (month, rest) = rest.strip_prefix('.')?.split_once('.')?;
        let (authority, unique) = rest.split_once(':')?;
        let (year, month) = month.split_once('-')?;
        Some((year, month, authority, unique))
    };
    parts().is_some_and(|(year, month, authority, unique)| {
        digits(year, 4)
            && digits(month, 2)
            && !authority.is_empty()
            && authority.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
            && !unique.is_empty()
            && !unique.contains([',', ';', '*', '&', '$', '|', ' ', '\t', '\n', '\r', '\x0c'])
    })
}

fn fibre_channel(errors: &mut Errors, path: &Path, value: &Value) {
    let names = list(&value["targetWWNs"]);
    let ids = list(&value["wwids"]);
    let at = path.child("targetWWNs");
    if names.is_empty() && ids.is_empty() {
        errors.push(Error::required(at, "must specify either targetWWNs or wwids, but not both"));
    }
    if names.is_empty() {
        return;
    }
    if !ids.is_empty() {
        let detail = "targetWWNs and wwids can not be specified simultaneously";
        errors.push(Error::invalid(at, value["targetWWNs"].clone(), detail));
    }
    match value["lun"].as_i64() {
        None => errors.push(Error::required(path.child("lun"), "lun is required if targetWWNs is specified")),
        Some(lun) if !(0..=255).contains(&lun) => errors.push(Error::invalid(path.child("lun"), lun, LUN)),
        Some(_) => {}
    }
}

fn secret_reference(errors: &mut Errors, path: &Path, value: &Value, namespaced: bool) {
    let (path, secret) = (path.child("secretRef"), &value["secretRef"]);
    if given(secret) {
        required(errors, &path.child("name"), &secret["name"]);
        if namespaced {
            required(errors, &path.child("namespace"), &secret["namespace"]);
        }
    }
}

fn flex_options(errors: &mut Errors, path: &Path, value: &Value) {
    for (key, _) in entries(&value["options"]) {
        let namespace = key.split_once('/').map_or(key.as_str(), |(namespace, _)| namespace).to_lowercase();
        let reserved = |domain: &str| namespace.strip_suffix(domain).is_some_and(|r| r.is_empty() || r.ends_with('.'));
        if reserved("kubernetes.io") || reserved("k8s.io") {
            let detail = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(Error::invalid(path.key(key), key.as_str(), detail));
        }
    }
}

fn azure_disk(errors: &mut Errors, path: &Path, value: &Value) {
    for field in ["diskName", "diskURI"] {
        required(errors, &path.child(field), &value[field]);
    }
    let modes = ["None", "ReadOnly", "ReadWrite"];
    optional_one_of(errors, &path.child("cachingMode"), &value["cachingMode"], &modes);
    let (kind, uri) = (&value["kind"], &value["diskURI"]);
    if !given(kind) {
        return;
    }
    let kinds = ["Dedicated", "Managed", "Shared"];
    optional_one_of(errors, &path.child("kind"), kind, &kinds);
    let (prefix, form) = match kind == "Managed" {
        true => (
            "/subscriptions/",
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
        ),
        false => (
            "https://",
            "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",
        ),
    };
    if !text(uri).starts_with(prefix) {
        errors.push(Error::not_supported(path.child("diskURI"), text(uri), &[form]));
    }
}

/// How nodes may mount a volume, alike for volumes and claims.
pub fn access_modes(errors: &mut Errors, path: &Path, modes: &Value) {
    const ONE_POD: &str = "ReadWriteOncePod";
    const ALL: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", ONE_POD];
    let modes = list(modes);
    for mode in modes.iter().filter(|m| !ALL.contains(&text(m))) {
        errors.push(Error::not_supported(path, mode.clone(), &ALL));
    }
    let others = modes.iter().any(|m| m != ONE_POD && ALL.contains(&text(m)));
    if others && modes.iter().any(|m| m == ONE_POD) {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.push(Error::forbidden(path, detail));
    }
}

/// A reference to a secret in a namespace.
pub fn secret_in_namespace(errors: &mut Errors, path: &Path, secret: &Value) {
    if given(secret) {
        required_format(errors, &path.child("name"), text(&secret["name"]), formats::dns_subdomain);
        required_format(errors, &path.child("namespace"), text(&secret["namespace"]), formats::dns_label);
    }
}

/// Whether a volume holds files or is a raw device.
pub fn volume_mode(errors: &mut Errors, path: &Path, mode: &Value) {
    optional_one_of(errors, path, mode, &["Block", "Filesystem"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |kind: &str, value: Value, volume: Option<&str>, expected: &[&str]| {
            let mut errors = Vec::new();
            source(&mut errors, &Path::new(kind), kind, &value, volume);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{value}");
        };
        check("hostPath", json!({"path": "/a/../b"}), None, &["hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"]);
        check("hostPath", json!({"path": "/a", "type": ""}), None, &[]);
        check("gcePersistentDisk", json!({"pdName": "a", "partition": 256}), None, &[
            "gcePersistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive",
        ]);
        let portal = json!({"targetPortal": "127.0.0.1", "iqn": "iqn.2015-02.example.com:test", "lun": 1});
        check("iscsi", portal.clone(), None, &[]);
        let mut bad = portal.clone();
        bad["iqn"] = "abc.2015-02.example.com:test".into();
        check("iscsi", bad.clone(), None, &[
            "iscsi.iqn: Invalid value: \"abc.2015-02.example.com:test\": must be valid format starting with iqn, eui, or naa",
        ]);
        check("iscsi", bad, Some("pv"), &[
            "iscsi.iqn: Invalid value: \"abc.2015-02.example.com:test\": must be valid format",
        ]);
        let mut long = portal;
        long["lun"] = 256.into();
        long["chapAuthSession"] = true.into();
        check("iscsi", long, None, &[
            "iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
            "iscsi.secretRef: Required value",
        ]);
        check("fc", json!({"targetWWNs": ["a"]}), None, &["fc.lun: Required value: lun is required if targetWWNs is specified"]);
        check("fc", json!({"wwids": ["a"]}), None, &[]);
        check("flocker", json!({}), None, &["flocker: Required value: one of datasetName and datasetUUID is required"]);
        check("quobyte", json!({"registry": "a:1,b", "volume": "v"}), None, &[
            "quobyte.registry: Invalid value: \"a:1,b\": must be a host:port pair or multiple pairs separated by commas",
        ]);
        check("flexVolume", json!({"driver": "d", "options": {"a.K8s.io/x": "", "notk8s.io/x": ""}}), None, &[
            "flexVolume.options[a.K8s.io/x]: Invalid value: \"a.K8s.io/x\": kubernetes.io and k8s.io namespaces are reserved",
        ]);
        check("cinder", json!({"volumeID": "a", "secretRef": {"name": "s"}}), Some("pv"), &[
            "cinder.secretRef.namespace: Required value",
        ]);
    }

    #[test]
    fn iscsi_names() {
        let check = |name: &str, expected: (bool, bool)| assert_eq!(initiator_name(name), expected, "{name}");
        check("iqn.2015-02.dev.example.com:a:b", (true, true));
        check("iqn.2015-02.dev.example.com", (true, false));
        check("iqn.15-02.example.com:test", (true, false));
        check("eui.0123456789ABCDEF", (true, true));
        check("eui.0123456789ABCDEFGH", (true, false));
        check("naa.62004567BA64678D0123456789ABCDEF", (true, true));
        check("naa.62004567BA64678D", (true, false));
        check("x", (false, false));
    }
}
