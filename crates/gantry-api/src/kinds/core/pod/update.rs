//! What may change in a pod once it is there.
//!
//! Source: ValidatePodUpdate and its neighbours in pkg/apis/core/validation/validation.go.

use super::{container, scheduling};
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::Errors;
use crate::kinds::diff::diff;
use crate::schema::{Internal, Type};
use crate::kinds::values::{entries, given, keep, list, list_mut, number, same, size, text};
use serde_json::Value;

const MAY_CHANGE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
                          `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                          `spec.tolerations` (only additions to existing tolerations),\
                          `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// The rules for an ordinary change.
pub fn ordinary(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    let (new, old) = (&new["spec"], &old["spec"]);
    for field in ["containers", "initContainers"] {
        let path = path.child(field);
        if list(&new[field]).len() != list(&old[field]).len() {
            let detail = "pod updates may not add or remove containers";
            errors.push(Error::forbidden(path, detail));
            return errors;
        }
        for (i, container) in list(&new[field]).iter().enumerate() {
            if text(&container["image"]).is_empty() {
                errors.push(Error::required(path.index(i).child("image"), ""));
            }
            container::image_without_spaces(&mut errors, &path.index(i), container);
        }
    }
    if !deadline(&mut errors, &path.child("activeDeadlineSeconds"), new, old) {
        return errors;
    }
    tolerations(&mut errors, &path.child("tolerations"), new, old);
    gates(&mut errors, &path.child("schedulingGates"), new, old);
    if same(new, old) {
        return errors;
    }
    let mut rest = new.clone();
    for field in ["containers", "initContainers"] {
        for (i, container) in list_mut(&mut rest, field).iter_mut().enumerate() {
            keep(container, &old[field][i], "image");
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        keep(&mut rest, old, field);
    }
    let grace = "terminationGracePeriodSeconds";
    if number(&old[grace]) < 0 && rest[grace] == 1 {
        keep(&mut rest, old, grace);
    }
    if size(&old["schedulingGates"]) > 0 {
        gated(&mut errors, &path, &mut rest, old);
    }
    if !same(&rest, old) {
        let spec = |value| Internal::new(&Type::Message("io.k8s.api.core.v1.PodSpec"), value);
        let detail = format!("{MAY_CHANGE}\n{}", diff(spec(old), spec(&rest)));
        errors.push(Error::forbidden(path, detail));
    }
    errors
}

/// A deadline may come or come closer. False when it makes no sense to look further.
fn deadline(errors: &mut Errors, path: &Path, new: &Value, old: &Value) -> bool {
    let (new, old) = (&new["activeDeadlineSeconds"], &old["activeDeadlineSeconds"]);
    let detail = if given(new) {
        match formats::in_range(number(new), 0, i32::MAX.into()).pop() {
            Some(problem) => problem,
            None if given(old) && number(old) < number(new) => "must be less than or equal to previous value".into(),
            None => return true,
        }
    } else if given(old) {
        let detail = "must not update from a positive integer to nil value";
        errors.push(Error::invalid(path, Value::Null, detail));
        return true;
    } else {
        return true;
    };
    errors.push(Error::invalid(path, new.clone(), detail));
    false
}

/// Tolerations are added, never changed but in how long they last.
fn tolerations(errors: &mut Errors, path: &Path, new: &Value, old: &Value) {
    let (new, old) = (list(&new["tolerations"]), list(&old["tolerations"]));
    let kept = |before: &Value| {
        new.contains(before) || new.iter().any(|now| {
            let mut before = before.clone();
            keep(&mut before, now, "tolerationSeconds");
            same(&before, now)
        })
    };
    if !old.iter().all(kept) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(Error::forbidden(path, detail));
        return;
    }
    if new != old {
        scheduling::tolerations(errors, path, new);
    }
}

fn gates(errors: &mut Errors, path: &Path, new: &Value, old: &Value) {
    let old = list(&old["schedulingGates"]);
    for (i, gate) in list(&new["schedulingGates"]).iter().enumerate() {
        let name = text(&gate["name"]);
        if !old.iter().any(|g| g["name"] == name) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(Error::forbidden(path.index(i).child("name"), detail));
        }
    }
}

/// Where a pod that waits at a gate may run can be narrowed, not widened.
fn gated(errors: &mut Errors, path: &Path, rest: &mut Value, old: &Value) {
    let kept = entries(&old["nodeSelector"]).all(|(key, value)| rest["nodeSelector"][key] == *value);
    if !kept {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        let selector = rest["nodeSelector"].clone();
        errors.push(Error::invalid(path.child("nodeSelector"), selector, detail));
    }
    keep(rest, old, "nodeSelector");
    let (new, before) = (rest["affinity"]["nodeAffinity"].clone(), &old["affinity"]["nodeAffinity"]);
    if same(&new, before) {
        return;
    }
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms = list(&before[REQUIRED]["nodeSelectorTerms"]);
    let now = list(&new[REQUIRED]["nodeSelectorTerms"]);
    let path = path.child("affinity");
    let path = path.child("nodeAffinity");
    let path = path.child(REQUIRED);
    let path = path.child("nodeSelectorTerms");
    if !terms.is_empty() && terms.len() != now.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(Error::invalid(path, now.to_vec(), detail));
    } else {
        for (i, (term, now)) in terms.iter().zip(now).enumerate() {
            let only_added = ["matchExpressions", "matchFields"].iter().all(|field| {
                let (old, new) = (list(&term[*field]), list(&now[*field]));
                new.len() >= old.len() && new[..old.len()] == *old
            });
            let matched_nothing = size(&term["matchExpressions"]) + size(&term["matchFields"]) == 0;
            if !only_added || matched_nothing && size(&now["matchExpressions"]) + size(&now["matchFields"]) > 0 {
                let detail = "only additions are allowed (no mutations or deletions)";
                errors.push(Error::invalid(path.index(i), now.clone(), detail));
            }
        }
    }
    // The rest of the affinity is compared without that of nodes.
    if let Some(affinity) = rest["affinity"].as_object_mut() {
        affinity.remove("nodeAffinity");
        if given(before) {
            affinity.insert("nodeAffinity".into(), before.clone());
        }
    } else if given(before) {
        rest["affinity"] = serde_json::json!({"nodeAffinity": before});
    }
}

/// The rules for new ephemeral containers: those that are there stay as they are.
pub fn ephemeral_containers(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    let path = path.child("ephemeralContainers");
    let (new, old) = (list(&new["spec"]["ephemeralContainers"]), list(&old["spec"]["ephemeralContainers"]));
    for before in old {
        let name = text(&before["name"]);
        match new.iter().find(|c| c["name"] == name) {
            None => {
                let detail = format!("existing ephemeral containers {name:?} may not be removed\n");
                errors.push(Error::forbidden(path, detail));
            }
            Some(now) if !same(now, before) => {
                let of = |value| Internal::new(&Type::Message("io.k8s.api.core.v1.EphemeralContainer"), value);
                let detail = format!(
                    "existing ephemeral containers {name:?} may not be changed\n{}",
                    diff(of(before), of(now))
                );
                errors.push(Error::forbidden(path, detail));
            }
            Some(_) => {}
        }
    }
    errors
}

/// Takes of a pod sent to be resized the resources alone. One whose containers are others is left for the rules to
/// refuse.
pub fn only_resources(object: &mut Value, old: &Value) {
    let mut spec = old["spec"].clone();
    for field in ["containers", "initContainers"] {
        let new = list(&object["spec"][field]);
        let own = list_mut(&mut spec, field);
        let names_differ = own.iter().zip(new).any(|(own, new)| own["name"] != new["name"]);
        if own.len() != new.len() || names_differ {
            return;
        }
        for (own, new) in own.iter_mut().zip(new) {
            keep(own, new, "resources");
            keep(own, new, "resizePolicy");
        }
    }
    keep(&mut spec, &object["spec"], "resources");
    object["spec"] = spec;
}

/// Keeps what only an ordinary update may write of the metadata.
pub fn keep_metadata(object: &mut Value, old: &Value) {
    for field in ["annotations", "finalizers", "labels", "ownerReferences"] {
        keep(&mut object["metadata"], &old["metadata"], field);
    }
}

/// The rules for a resize: CPU and memory change, and nothing else.
pub fn resize(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    if old["status"]["qosClass"] != super::resources::qos_class(&new["spec"]) {
        let detail = "Pod QOS Class may not change as a result of resizing";
        errors.push(Error::invalid(path, new["status"]["qosClass"].clone(), detail));
    }
    let mut rest = new["spec"].clone();
    for field in ["containers", "initContainers"] {
        let at = path.child(field);
        let before = list(&old["spec"][field]);
        if list(&rest[field]).len() != before.len() {
            errors.push(Error::forbidden(at, "containers may not be added or removed on resize"));
            return errors;
        }
        for (i, container) in list_mut(&mut rest, field).iter_mut().enumerate() {
            for kind in ["requests", "limits"] {
                for name in ["cpu", "memory"] {
                    let was = &before[i]["resources"][kind][name];
                    let now = &container["resources"][kind][name];
                    if given(was) && !given(now) {
                        let at = at.index(i);
                        let at = at.child("resources");
                        let detail = format!("resource {kind} cannot be removed");
                        errors.push(Error::forbidden(at.child(kind), detail));
                    }
                }
            }
            keep(container, &before[i], "resources");
        }
    }
    if !same(&rest, &old["spec"]) {
        let detail = "only cpu and memory resources are mutable";
        errors.push(Error::forbidden(path, detail));
    }
    errors
}
