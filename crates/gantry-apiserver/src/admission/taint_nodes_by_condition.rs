//! TaintNodesByCondition: a new node takes no pods until it has been seen to be ready.
//! Source: plugin/pkg/admission/nodetaint.

use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::status::Status;
use serde_json::{Value, json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub struct TaintNodesByCondition;

#[async_trait]
impl Plugin for TaintNodesByCondition {
    fn concerns(&self, request: &Request<'_>) -> bool {
        request.creates("", "nodes")
    }

    async fn admit(&self, _: &Request<'_>, object: &mut Value) -> Result<(), Status> {
        let mut taints = object["spec"]["taints"].as_array().cloned().unwrap_or_default();
        if !taints
            .iter()
            .any(|t| t["key"] == NOT_READY && t["effect"] == "NoSchedule")
        {
            taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
            object["spec"]["taints"] = taints.into();
        }
        Ok(())
    }
}
