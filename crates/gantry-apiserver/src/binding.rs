//! `pods/binding` and, for older clients, `bindings`: gives a pod its node. Source: pkg/registry/core/pod/storage.

use crate::answered::{Answer, Answered};
use crate::call::Call;
use crate::pipeline::Validated;
use crate::registry;
use crate::respond::Body;
use crate::verbs::{Api, TRIES, done, rfc3339};
use gantry_api::field;
use gantry_api::kind::{Scope, Subresource};
use gantry_api::meta;
use gantry_api::status::Status;
use http::Response;
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Bindings that are made beside the pods instead of under one.
pub static ANSWERED: Answered = Answered {
    group: "",
    kind: "Binding",
    plural: "bindings",
    scope: Scope::Namespaced,
    complete: |_| {},
    answer: Answer::Call(|api, call| Box::pin(create_named(api, call))),
};

/// Creates a binding that names its pod itself.
async fn create_named(api: &Api, mut call: Call) -> Result<Response<Body>, Status> {
    let name = meta::name(&call.object()?.value).to_string();
    if name.is_empty() {
        return Err(Status::bad_request("name is required"));
    }
    call.target.kind = api.kinds.get("", "v1", "pods").ok_or_else(Status::no_such_path)?;
    call.target.name = Some(name);
    call.target.subresource = Some(Subresource::Binding.name().into());
    create(api, &call).await
}

/// Creates a binding.
pub async fn create(api: &Api, call: &Call) -> Result<Response<Body>, Status> {
    let body = call.object()?.value;
    let name = call.name()?;
    if meta::name(&body) != name {
        let why = "name in URL does not match name in Binding object";
        return Err(Status::bad_request(why));
    }
    let errors = validate(&body["target"]);
    if !errors.is_empty() {
        return Err(Status::invalid("", "Binding", name, &errors));
    }
    let kind = &call.target.kind;
    let mut last = registry::modified(kind, name);
    for _ in 0..TRIES {
        let old = api.registry.get(kind, call.namespace(), name).await?;
        let pod = bound(&old, &body).map_err(|why| Status::conflict("", "pods/binding", name, &why))?;
        if call.options.dry_run() {
            return Ok(done(call));
        }
        let revision = registry::revision_of(&old);
        match api
            .registry
            .update(kind, Validated::with_metadata_of(pod), revision)
            .await
        {
            Ok(_) => return Ok(done(call)),
            // The pod's status was written in between; its place is still free.
            Err(status) if status.reason == "Conflict" => last = status,
            Err(status) => return Err(status),
        }
    }
    Err(last)
}

fn validate(target: &Value) -> Vec<field::Error> {
    let kind = target["kind"].as_str().unwrap_or("");
    let mut errors = Vec::new();
    if !matches!(kind, "" | "Node") {
        errors.push(field::Error::not_supported(
            "target.kind",
            kind,
            &["Node", "<empty>"],
        ));
    }
    if target["name"].as_str().unwrap_or("").is_empty() {
        errors.push(field::Error::required("target.name", ""));
    }
    errors
}

/// The pod on the binding's node; an error says why it cannot go there.
fn bound(pod: &Value, binding: &Value) -> Result<Value, String> {
    let name = meta::name(pod);
    let uid = meta::text(binding, "uid");
    if !uid.is_empty() && uid != meta::text(pod, "uid") {
        return Err(format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            meta::text(pod, "uid")
        ));
    }
    if meta::is_deleting(pod) {
        return Err(format!(
            "pod {name} is being deleted, cannot be assigned to a host"
        ));
    }
    let node = pod["spec"]["nodeName"].as_str().unwrap_or("");
    if !node.is_empty() {
        return Err(format!("pod {name} is already assigned to node {node:?}"));
    }
    if pod["spec"]["schedulingGates"]
        .as_array()
        .is_some_and(|gates| !gates.is_empty())
    {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let mut pod = pod.clone();
    pod["spec"]["nodeName"] = binding["target"]["name"].clone();
    for (key, value) in binding["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten()
    {
        pod["metadata"]["annotations"][key] = value.clone();
    }
    for (key, value) in binding["metadata"]["labels"].as_object().into_iter().flatten() {
        pod["metadata"]["labels"][key] = value.clone();
    }
    let mut conditions = pod["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions.retain(|c| c["type"] != "PodScheduled");
    let mut condition = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null,
        "lastTransitionTime": rfc3339(OffsetDateTime::now_utc()),
    });
    if let Some(generation) = pod["metadata"]["generation"].as_i64() {
        condition["observedGeneration"] = generation.into();
    }
    conditions.push(condition);
    pod["status"]["conditions"] = conditions.into();
    Ok(pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_bound() {
        let binding = json!({"metadata": {"uid": "1"}, "target": {"name": "n"}});
        let check = |pod: Value, why: &str| assert_eq!(bound(&pod, &binding).err().as_deref(), Some(why));
        check(
            json!({"metadata": {"name": "p", "uid": "2"}}),
            "Precondition failed: UID in precondition: 1, UID in object meta: 2",
        );
        check(
            json!({"metadata": {"name": "p", "uid": "1"}, "spec": {"nodeName": "m"}}),
            "pod p is already assigned to node \"m\"",
        );
        check(
            json!({"metadata": {"name": "p", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            "pod p is being deleted, cannot be assigned to a host",
        );
        let pod = bound(
            &json!({"metadata": {"name": "p", "uid": "1"}, "spec": {}}),
            &binding,
        )
        .unwrap();
        assert_eq!(
            (
                &pod["spec"]["nodeName"],
                &pod["status"]["conditions"][0]["status"]
            ),
            (&json!("n"), &json!("True"))
        );
    }
}
