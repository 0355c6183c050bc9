//! Priority: the number behind the priority class of a pod, or group of pods. Source: plugin/pkg/admission/priority.

use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::features::{Feature, enabled};
use gantry_api::meta;
use gantry_api::status::Status;
use serde_json::Value;
use std::sync::Arc;

pub struct Priority;

#[async_trait]
impl Plugin for Priority {
    fn concerns(&self, request: &Request<'_>) -> bool {
        request.is("", "pods")
            || request.is("scheduling.k8s.io", "priorityclasses")
            || request.creates("scheduling.k8s.io", "podgroups")
    }

    async fn admit(&self, request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
        if request.is("scheduling.k8s.io", "priorityclasses") {
            return one_default(request, object).await;
        }
        if !request.is("", "pods") {
            return match enabled(Feature::WorkloadAwarePreemption) {
                true => of_group(request, object).await,
                false => Ok(()),
            };
        }
        if let Some(old) = request.old {
            for field in ["priority", "preemptionPolicy"] {
                if object["spec"][field].is_null() && !old["spec"][field].is_null() {
                    object["spec"][field] = old["spec"][field].clone();
                }
            }
            return Ok(());
        }
        let class = class_of(request, object).await?;
        let computed = class["value"].as_i64().unwrap_or(0);
        let policy = class["preemptionPolicy"]
            .as_str()
            .unwrap_or("PreemptLowerPriority");
        let refuse = |why: String| request.forbidden(meta::name(object), &why);
        if let Some(given) = object["spec"]["priority"]
            .as_i64()
            .filter(|given| *given != computed)
        {
            return Err(refuse(format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission \
                 controller computed {computed} from the given PriorityClass name"
            )));
        }
        if let Some(given) = object["spec"]["preemptionPolicy"]
            .as_str()
            .filter(|given| *given != policy)
        {
            return Err(refuse(format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority \
                 admission controller computed {policy} from the given PriorityClass name"
            )));
        }
        object["spec"]["priority"] = computed.into();
        object["spec"]["preemptionPolicy"] = policy.into();
        if let Some(name) = class["metadata"]["name"].as_str() {
            object["spec"]["priorityClassName"] = name.into();
        }
        Ok(())
    }
}

/// A group of pods has a priority as pods have one.
async fn of_group(request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
    let class = class_of(request, object).await?;
    let computed = class["value"].as_i64().unwrap_or(0);
    let spec = &mut object["spec"];
    match spec["priority"].as_i64() {
        Some(given) if given != computed => {
            let why = format!(
                "priority set in the pod group ({given}) must match the priority computed ({computed}) based on the \
                 priority class set in the spec"
            );
            return Err(request.forbidden(meta::name(object), &why));
        }
        _ => spec["priority"] = computed.into(),
    }
    if let Some(name) = class["metadata"]["name"].as_str() {
        spec["priorityClassName"] = name.into();
    }
    Ok(())
}

/// There is one default class at most.
async fn one_default(request: &Request<'_>, class: &Value) -> Result<(), Status> {
    if class["globalDefault"] != true {
        return Ok(());
    }
    let default = default_class(request).await?;
    let other = meta::name(&default);
    if default.is_null() || (request.old.is_some() && other == meta::name(class)) {
        return Ok(());
    }
    let why = format!("PriorityClass {other} is already marked as default. Only one default can exist");
    Err(request.forbidden(meta::name(class), &why))
}

/// The cluster's default class, or null. Of several, which only a race can bring about, the lowest counts.
async fn default_class(request: &Request<'_>) -> Result<Arc<Value>, Status> {
    let Some(kind) = request
        .api
        .kinds
        .get("scheduling.k8s.io", "v1", "priorityclasses")
    else {
        return Ok(Arc::default());
    };
    let classes = request.api.registry.look_up_all(&kind).await?;
    let default = classes.into_iter().filter(|c| c["globalDefault"] == true);
    Ok(default.min_by_key(|c| c["value"].as_i64()).unwrap_or_default())
}

/// The class of a pod or group, the cluster's default one, or null.
async fn class_of(request: &Request<'_>, pod: &Value) -> Result<Arc<Value>, Status> {
    let name = pod["spec"]["priorityClassName"].as_str().unwrap_or("");
    if name.is_empty() {
        return default_class(request).await;
    }
    let found = match request
        .api
        .kinds
        .get("scheduling.k8s.io", "v1", "priorityclasses")
    {
        Some(kind) => request.api.registry.look_up(&kind, None, name).await,
        None => Err(Status::not_found("scheduling.k8s.io", "priorityclasses", name)),
    };
    found.map_err(|status| match status.code {
        404 => request.forbidden(
            meta::name(pod),
            &format!("no PriorityClass with name {name} was found"),
        ),
        _ => status,
    })
}
