//! Priority: the number behind a pod's priority class. Source: plugin/pkg/admission/priority.

use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_api::status::Status;
use serde_json::Value;

/// Classes that are always there.
const SYSTEM: [(&str, i64); 2] = [
    ("system-cluster-critical", 2_000_000_000),
    ("system-node-critical", 2_000_001_000),
];

pub struct Priority;

#[async_trait]
impl Plugin for Priority {
    async fn admit(&self, request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
        if !request.is("", "pods") {
            return Ok(());
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

/// The pod's class, the cluster's default one, or null.
async fn class_of(request: &Request<'_>, pod: &Value) -> Result<Value, Status> {
    let name = pod["spec"]["priorityClassName"].as_str().unwrap_or("");
    let kind = request
        .api
        .kinds
        .get("scheduling.k8s.io", "v1", "priorityclasses");
    if name.is_empty() {
        let Some(kind) = kind else { return Ok(Value::Null) };
        let classes = request
            .api
            .registry
            .list(&kind, &kind.prefix(None), None, 0, None)
            .await?
            .objects;
        let default = classes.into_iter().filter(|c| c["globalDefault"] == true);
        return Ok(default.min_by_key(|c| c["value"].as_i64()).unwrap_or(Value::Null));
    }
    if let Some((_, value)) = SYSTEM.iter().find(|(system, _)| *system == name) {
        return Ok(serde_json::json!({"value": value}));
    }
    let found = match kind {
        Some(kind) => request.api.registry.get(&kind, None, name).await,
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
