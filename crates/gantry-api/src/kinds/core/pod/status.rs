//! What may be written to a pod's status. Source: podStatusStrategy and ValidatePodStatusUpdate.

use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{Errors, format};
use crate::kinds::values::{given, keep, list, list_mut, map_of, number, text};
use serde_json::Value;

/// A status leaves owners, the class and what was observed as they are, unless it says something new.
pub fn prepare(object: &mut Value, old: &Value) {
    keep(map_of(object, "metadata"), &old["metadata"], "ownerReferences");
    let status = map_of(object, "status");
    for field in ["qosClass", "observedGeneration"] {
        if !given(&status[field]) {
            keep(status, &old["status"], field);
        }
    }
    let before = list(&old["status"]["conditions"]);
    for condition in list_mut(status, "conditions") {
        if !given(&condition["observedGeneration"])
            && let Some(old) = before.iter().find(|c| c["type"] == condition["type"])
        {
            keep(condition, old, "observedGeneration");
        }
    }
}

/// The rules for a status.
pub fn validate(object: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("status");
    let (status, before) = (&object["status"], &old["status"]);
    let nominated = text(&status["nominatedNodeName"]);
    if !nominated.is_empty() {
        format(&mut errors, &path.child("nominatedNodeName"), nominated, formats::dns_subdomain);
    }
    if number(&status["observedGeneration"]) < 0 {
        let (at, value) = (path.child("observedGeneration"), status["observedGeneration"].clone());
        errors.push(Error::invalid(at, value, "must be a non-negative integer"));
    }
    if given(&before["qosClass"]) && status["qosClass"] != before["qosClass"] {
        let class = status["qosClass"].clone();
        errors.push(Error::invalid(path.child("qosClass"), class, "field is immutable"));
    }
    let at = path.child("conditions");
    for (i, condition) in list(&status["conditions"]).iter().enumerate() {
        let type_ = text(&condition["type"]);
        if !matches!(type_, "PodScheduled" | "Ready" | "Initialized") {
            format(&mut errors, &at.index(i).child("type"), type_, formats::qualified_name);
        }
    }
    for (field, containers) in [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")] {
        restarts(&mut errors, &path.child(field), object, old, containers);
    }
    for field in ["podIPs", "hostIPs"] {
        let path = path.child(field);
        for (i, entry) in list(&status[field]).iter().enumerate() {
            format(&mut errors, &path.index(i), text(&entry["ip"]), formats::ip);
        }
        let v6 = |e: &Value| text(&e["ip"]).contains(':');
        let ips = list(&status[field]);
        if ips.len() > 2 || ips.len() == 2 && v6(&ips[0]) == v6(&ips[1]) {
            let detail = "may specify no more than one IP for each IP family";
            errors.push(Error::invalid(path, status[field].clone(), detail));
        }
    }
    errors
}

/// A container that has come to its end comes back only if it may be restarted.
fn restarts(errors: &mut Errors, path: &Path, object: &Value, old: &Value, containers: &str) {
    let field = if containers == "containers" { "containerStatuses" } else { "initContainerStatuses" };
    let spec = &object["spec"];
    let any_rules = ["containers", "initContainers"]
        .iter()
        .flat_map(|f| list(&spec[*f]))
        .any(|c| given(&c["restartPolicyRules"]));
    if any_rules {
        return;
    }
    for (i, before) in list(&old["status"][field]).iter().enumerate() {
        let ended = &before["state"]["terminated"];
        let now = list(&object["status"][field]).iter().find(|s| s["name"] == before["name"]);
        if !given(ended) || now.is_none_or(|s| given(&s["state"]["terminated"])) {
            continue;
        }
        let own = list(&spec[containers]).iter().find(|c| c["name"] == before["name"]);
        let policy = match own.map(|c| text(&c["restartPolicy"])) {
            None | Some("") => text(&spec["restartPolicy"]),
            Some(own) => own,
        };
        let failed = number(&ended["exitCode"]) != 0;
        if policy == "Always" || failed && policy == "OnFailure" {
            continue;
        }
        let detail = "may not be transitioned to non-terminated state";
        errors.push(Error::forbidden(path.index(i).child("state"), detail));
    }
}
