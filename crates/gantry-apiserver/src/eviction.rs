//! `pods/eviction`: deletes a pod unless a disruption budget forbids it.
//!
//! Source: pkg/registry/core/pod/storage/eviction.go.

use crate::call::Call;
use crate::deletion::{self, Options};
use crate::disruption::{self, Passage};
use crate::pipeline::Validated;
use crate::registry;
use crate::respond::Body;
use crate::verbs::{Api, TRIES, rfc3339};
use crate::{admission, verbs};
use gantry_api::field;
use gantry_api::meta;
use gantry_api::status::Status;
use http::Response;
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Evicts a pod.
pub async fn create(api: &Api, call: &Call) -> Result<Response<Body>, Status> {
    let (mut body, name) = (call.object()?.value, call.name()?);
    check(&body, name)?;
    let mut options = Options::of(&body["deleteOptions"])?;
    // Either may say it.
    options.dry_run |= call.options.dry_run();
    admission::admit(&api.admission(call, None), &mut body).await?;
    let kind = &call.target.kind;
    let mut last = registry::modified(kind, name);
    for _ in 0..TRIES {
        let pod = api.registry.get(kind, call.namespace(), name).await?;
        api.guard(call, "create", Some(&body), Some(&pod)).await?;
        let mut own = options.clone();
        let mut keep_revision = || {
            if own.revision.is_empty() {
                own.revision = meta::text(&pod, "resourceVersion").to_owned();
            }
        };
        let mut budget = None;
        if may_go(&pod) {
            // One that has not started might become ready, and count, in between.
            if pod["status"]["phase"] == "Pending" && !meta::is_deleting(&pod) {
                keep_revision();
            }
        } else {
            match disruption::pass(&api.kinds.now(), &api.registry, &pod, options.dry_run).await? {
                Passage::Free => {}
                Passage::WhileUnready(name) => {
                    keep_revision();
                    budget = Some(name);
                }
            }
        }
        match evict(api, call, own).await {
            Ok(()) => return Ok(verbs::done(call)),
            Err(status) if status.reason == "Conflict" && options.revision.is_empty() => {
                if let Some(budget) = budget {
                    return Err(disruption::busy(&budget));
                }
                if !may_go(&pod) {
                    return Err(status);
                }
                last = status;
            }
            Err(status) => return Err(status),
        }
    }
    Err(last)
}

fn check(eviction: &Value, name: &str) -> Result<(), Status> {
    let text = |field: &str| eviction[field].as_str().unwrap_or("");
    let (version, kind) = (text("apiVersion"), text("kind"));
    if !matches!(kind, "" | "Eviction") || !matches!(version, "" | "policy/v1" | "policy/v1beta1") {
        let last = version.rsplit('/').next().unwrap_or_default();
        return Err(Status::bad_request(format!(
            "{kind} in version {last:?} cannot be handled as a Eviction: no kind {kind:?} is registered for version \
             {version:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        )));
    }
    if meta::name(eviction) != name {
        return Err(Status::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    const UNREADABLE: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";
    if eviction["deleteOptions"][UNREADABLE] == true {
        let why = "can not be set for pod eviction, try after removing the option";
        let error = field::Error::invalid(format!("deleteOptions.{UNREADABLE}"), true, why);
        return Err(Status::invalid("policy", "Eviction", name, &[error]));
    }
    Ok(())
}

/// Whether a pod may go whatever its budgets say, because nothing is lost with it.
fn may_go(pod: &Value) -> bool {
    let phase = pod["status"]["phase"].as_str().unwrap_or("");
    matches!(phase, "Succeeded" | "Failed" | "Pending") || meta::is_deleting(pod)
}

/// Notes on the pod why it goes, and deletes it.
async fn evict(api: &Api, call: &Call, mut options: Options) -> Result<(), Status> {
    let (kind, name) = (&call.target.kind, call.name()?);
    let mut last = registry::modified(kind, name);
    for _ in 0..TRIES {
        let pod = api.registry.get(kind, call.namespace(), name).await?;
        if options.dry_run {
            return deletion::delete_object(api, call, &options, pod).await.map(drop);
        }
        preconditions(&options, &pod)?;
        let revision = registry::revision_of(&pod);
        let noted = Validated::with_metadata_of(noted(pod));
        match api.registry.update_and_keep(kind, noted, revision).await {
            Ok(pod) => {
                if !options.revision.is_empty() {
                    options.revision = meta::text(&pod, "resourceVersion").to_owned();
                }
                return deletion::delete_object(api, call, &options, pod).await.map(drop);
            }
            Err(status) if status.reason == "Conflict" => last = status,
            Err(status) => return Err(status),
        }
    }
    Err(last)
}

fn preconditions(options: &Options, pod: &Value) -> Result<(), Status> {
    for (what, demanded, field, why) in [
        ("UID", &options.uid, "uid", "deleted and then recreated"),
        (
            "ResourceVersion",
            &options.revision,
            "resourceVersion",
            "modified",
        ),
    ] {
        let actual = meta::text(pod, field);
        if !demanded.is_empty() && demanded != actual {
            let why = format!(
                "the {what} in the precondition ({demanded}) does not match the {what} in record ({actual}). The object might have been {why}"
            );
            return Err(Status::conflict("", "Pod", meta::name(pod), &why));
        }
    }
    Ok(())
}

fn noted(mut pod: Value) -> Value {
    let mut condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastProbeTime": null,
        "lastTransitionTime": rfc3339(OffsetDateTime::now_utc()),
    });
    let mut conditions = pod["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    match conditions.iter_mut().find(|c| c["type"] == "DisruptionTarget") {
        Some(old) => {
            if old["status"] == "True" {
                condition["lastTransitionTime"] = old["lastTransitionTime"].take();
            }
            *old = condition;
        }
        None => conditions.push(condition),
    }
    pod["status"]["conditions"] = conditions.into();
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_eviction_must_be() {
        let check = |eviction: Value, expected: Option<(u16, &str)>| {
            let found = check(&eviction, "p").map_err(|s| (s.code, s.message)).err();
            assert_eq!(found, expected.map(|(c, m)| (c, m.to_owned())), "{eviction}");
        };
        check(json!({"metadata": {"name": "p"}}), None);
        check(
            json!({"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}}),
            None,
        );
        check(
            json!({"metadata": {"name": "q"}}),
            Some((400, "name in URL does not match name in Eviction object")),
        );
        check(
            json!({"apiVersion": "v1", "kind": "Zz", "metadata": {"name": "p"}}),
            Some((
                400,
                "Zz in version \"v1\" cannot be handled as a Eviction: no kind \"Zz\" is registered for version \"v1\" in \
                 scheme \"pkg/api/legacyscheme/scheme.go:30\"",
            )),
        );
    }

    #[test]
    fn the_reason_is_noted_once() {
        let first = noted(json!({"status": {"conditions": [{"type": "Ready"}]}}));
        let mut again = first.clone();
        again["status"]["conditions"][1]["lastTransitionTime"] = "then".into();
        let again = noted(again);
        let conditions = again["status"]["conditions"].as_array().unwrap();
        assert_eq!(conditions.len(), 2);
        assert_eq!(conditions[1]["reason"], "EvictionByEvictionAPI");
        assert_eq!(conditions[1]["lastTransitionTime"], "then");
    }
}
