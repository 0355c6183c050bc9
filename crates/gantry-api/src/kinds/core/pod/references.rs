//! The rules for references from variables and files to fields of the pod and its containers' resources.

use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{Errors, format, quantity};
use crate::kinds::values::text;
use crate::quantity::Quantity;
use serde_json::Value;

/// Fields of a pod that a variable may hold.
pub const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields of a pod that a file may hold.
pub const FILE_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

/// A reference to a field of the pod.
pub fn field_reference(errors: &mut Errors, path: &Path, reference: &Value, fields: &[&str]) {
    let field = text(&reference["fieldPath"]);
    let at = path.child("fieldPath");
    if field.is_empty() {
        errors.push(Error::required(at, ""));
        return;
    }
    let version = text(&reference["apiVersion"]);
    if !version.is_empty() && version != "v1" {
        let detail = format!("error converting fieldPath: unsupported pod version: {version}");
        errors.push(Error::invalid(at, field, detail));
        return;
    }
    if let Some((base, key)) = field.strip_suffix("']").and_then(|f| f.split_once("['")) {
        match base {
            "metadata.annotations" => format(errors, path, &key.to_lowercase(), formats::qualified_name),
            "metadata.labels" => format(errors, path, key, formats::qualified_name),
            _ => errors.push(Error::invalid(path, base, "does not support subscript")),
        }
        return;
    }
    let known = ENV_FIELDS.contains(&field) || FILE_FIELDS.contains(&field);
    if !known {
        let detail = format!("error converting fieldPath: field label not supported: {field}");
        errors.push(Error::invalid(at, field, detail));
    } else if !fields.contains(&field) {
        errors.push(Error::not_supported(at, field, fields));
    }
}

/// A reference to a container's request or limit.
pub fn resource_reference(errors: &mut Errors, path: &Path, reference: &Value, in_volume: bool) {
    const RESOURCES: &[&str] = &[
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    let name = text(&reference["resource"]);
    let huge = name.starts_with("requests.hugepages-") || name.starts_with("limits.hugepages-");
    if in_volume && text(&reference["containerName"]).is_empty() {
        errors.push(Error::required(path.child("containerName"), ""));
    } else if name.is_empty() {
        errors.push(Error::required(path.child("resource"), ""));
    } else if !RESOURCES.contains(&name) && !huge {
        errors.push(Error::not_supported(path.child("resource"), name, RESOURCES));
    }
    let divisor = quantity(&reference["divisor"]);
    if divisor == Quantity::ZERO {
        return;
    }
    let divisor = divisor.to_string();
    let bytes = [
        "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
    ];
    let (allowed, what): (&[&str], &str) = match name.split_once('.').map(|(_, r)| r) {
        Some("cpu") => (&["1m", "1"], "cpu"),
        Some("memory") => (&bytes, "memory"),
        Some("ephemeral-storage") => (&bytes, "local ephemeral storage"),
        _ if huge => (&bytes, "hugepages"),
        _ => return,
    };
    if !allowed.contains(&divisor.as_str()) {
        let values = if what == "cpu" { "1m and 1".into() } else { allowed.join(", ") };
        let detail = format!("only divisor's values {values} are supported with the {what} resource");
        errors.push(Error::invalid(path.child("divisor"), name, detail));
    }
}
