//! PodGroupWorkloadExists: a group of pods that says it was made from a Workload's template must find it.
//! Source: plugin/pkg/admission/podgroup.

use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_api::status::Status;
use serde_json::Value;

pub struct PodGroupWorkloadExists;

#[async_trait]
impl Plugin for PodGroupWorkloadExists {
    fn concerns(&self, request: &Request<'_>) -> bool {
        request.creates("scheduling.k8s.io", "podgroups")
    }

    async fn validate(&self, request: &Request<'_>, object: &Value) -> Result<(), Status> {
        let reference = &object["spec"]["podGroupTemplateRef"]["workload"];
        if !reference.is_object() {
            return Ok(());
        }
        let of = |field: &str| reference[field].as_str().unwrap_or_default();
        let (name, template) = (of("workloadName"), of("podGroupTemplateName"));
        let refuse =
            |why: String| request.forbidden(meta::name(object), &format!("PodGroup rejected: {why}"));
        let kinds = &request.api.kinds;
        let found = match kinds.get("scheduling.k8s.io", "v1alpha2", "workloads") {
            Some(kind) => {
                request
                    .api
                    .registry
                    .look_up(&kind, Some(request.namespace), name)
                    .await
            }
            None => Err(Status::not_found("scheduling.k8s.io", "workloads", name)),
        };
        let workload = found.map_err(|status| match status.code {
            404 => refuse(format!("Workload {name:?} not found")),
            _ => status,
        })?;
        if meta::is_deleting(&workload) {
            return Err(refuse(format!("Workload {name:?} is being deleted")));
        }
        let templates = workload["spec"]["podGroupTemplates"].as_array();
        match templates.into_iter().flatten().any(|t| t["name"] == template) {
            true => Ok(()),
            false => Err(refuse(format!(
                "PodGroupTemplate {template:?} not found in Workload {name:?}"
            ))),
        }
    }
}
