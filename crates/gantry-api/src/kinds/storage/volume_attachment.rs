//! VolumeAttachment

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Column, Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, format, immutable};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::core::{persistent_volume, pod};
use crate::kinds::usual;
use crate::kinds::values::{entries, flag, given, map_of, number, text};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        returns_deleted: true,
        subresources: vec![Subresource::Status],
        status_alone: true,
        columns: vec![
            name_column(),
            Column {
                format: "name".into(),
                ..column("Attacher", "string", |o, _| text(&o["spec"]["attacher"]).into())
            },
            column("PV", "string", |o, _| text(&o["spec"]["source"]["persistentVolumeName"]).into()),
            column("Node", "string", |o, _| text(&o["spec"]["nodeName"]).into()),
            column("Attached", "boolean", |o, _| flag(&o["status"]["attached"]).into()),
            age_column(),
        ],
        hooks: Box::new(AttachmentHooks),
        ..usual("storage.k8s.io", "VolumeAttachment", "volumeattachments", Scope::Cluster)
    }
}

struct AttachmentHooks;

impl Hooks for AttachmentHooks {
    fn needs_version(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        if let Some(volume) = object.pointer_mut("/spec/source/inlineVolumeSpec").filter(|v| v.is_object()) {
            pod::default_volume_source(volume);
        }
        crate::kinds::values::default_to(map_of(object, "status"), "attached", false);
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({"attached": false});
    }

    fn prepare_subresource(&self, _: Subresource, _: &mut Value, _: &Value) {}

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        pod::csi_driver_name(&mut errors, &path.child("attacher"), text(&spec["attacher"]));
        source(&mut errors, &path.child("source"), &spec["source"]);
        format(&mut errors, &path.child("nodeName"), text(&spec["nodeName"]), formats::dns_subdomain);
        status(&mut errors, &Path::new("status"), &object["status"]);
        let volume = &spec["source"]["persistentVolumeName"];
        if given(volume) {
            let path = path.child("source");
            format(&mut errors, &path.child("persistentVolumeName"), text(volume), formats::dns_subdomain);
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        immutable(&mut errors, &Path::new("spec"), &object["spec"], &old["spec"]);
        errors
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        self.validate(object)
    }
}

fn source(errors: &mut Errors, path: &Path, source: &Value) {
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let (inline, name) = (&source["inlineVolumeSpec"], &source["persistentVolumeName"]);
    match (given(inline), given(name)) {
        (false, false) => errors.push(Error::required(path, ONE)),
        (true, true) => errors.push(Error::forbidden(path, ONE)),
        (false, true) if text(name).is_empty() => {
            let detail = "must specify non empty persistentVolumeName";
            errors.push(Error::required(path.child("persistentVolumeName"), detail));
        }
        (false, true) => {}
        (true, false) => persistent_volume::inline_spec(errors, &path.child("inlineVolumeSpec"), inline),
    }
}

fn status(errors: &mut Errors, path: &Path, status: &Value) {
    const LIMIT: usize = 256 << 10;
    const LONGEST_MESSAGE: usize = 1024;
    let size: usize = entries(&status["attachmentMetadata"]).map(|(k, v)| k.len() + text(v).len()).sum();
    if size > LIMIT {
        errors.push(Error::too_long(path.child("attachmentMetadata"), LIMIT));
    }
    for field in ["attachError", "detachError"] {
        let (path, error) = (path.child(field), &status[field]);
        if text(&error["message"]).len() > LONGEST_MESSAGE {
            // Upstream tells the limit of the metadata here.
            errors.push(Error::too_long(path.child("message"), LIMIT));
        }
        if number(&error["errorCode"]) < 0 {
            let detail = "must be between 0 and 2147483647, inclusive";
            errors.push(Error::invalid(path.child("errorCode"), error["errorCode"].clone(), detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let check = |source: Value, expected: &[&str]| {
            let object = json!({"spec": {"attacher": "d.io", "nodeName": "n", "source": source}});
            let texts: Vec<String> = AttachmentHooks.validate(&object).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{object}");
        };
        let csi = json!({"driver": "d.io", "volumeHandle": "h"});
        check(json!({"persistentVolumeName": "v"}), &[]);
        check(json!({"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"], "csi": csi}}), &[]);
        check(json!({}), &[
            "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
        ]);
        check(json!({"inlineVolumeSpec": {"hostPath": {"path": "/a"}, "capacity": {"storage": "1"}}}), &[
            "spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes",
            "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
            "spec.source.inlineVolumeSpec.accessModes: Required value",
        ]);
    }
}
