//! DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or not reachable, unless they say
//! otherwise. Source: plugin/pkg/admission/defaulttolerationseconds.

use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::status::Status;
use serde_json::{Value, json};

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const SECONDS: i64 = 300;

pub struct DefaultTolerationSeconds;

#[async_trait]
impl Plugin for DefaultTolerationSeconds {
    fn concerns(&self, request: &Request<'_>) -> bool {
        // An update that leaves them out gets them again.
        request.is("", "pods")
    }

    async fn admit(&self, _: &Request<'_>, object: &mut Value) -> Result<(), Status> {
        add(&mut object["spec"]);
        Ok(())
    }
}

fn add(spec: &mut Value) {
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    let says = |toleration: &Value, taint: &str| {
        let text = |field: &str| toleration[field].as_str().unwrap_or("");
        matches!(text("effect"), "" | "NoExecute") && (text("key").is_empty() || text("key") == taint)
    };
    let missing: Vec<&str> = TAINTS
        .into_iter()
        .filter(|taint| !tolerations.iter().any(|t| says(t, taint)))
        .collect();
    for taint in missing {
        tolerations.push(json!({
            "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS,
        }));
    }
    if !tolerations.is_empty() {
        spec["tolerations"] = tolerations.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations() {
        let check = |given: Value, count: usize| {
            let mut spec = json!({"tolerations": given});
            add(&mut spec);
            assert_eq!(spec["tolerations"].as_array().unwrap().len(), count, "{spec}");
        };
        check(Value::Null, 2);
        check(json!([{"operator": "Exists"}]), 1);
        check(
            json!([{"key": TAINTS[0], "operator": "Exists", "effect": "NoExecute"}]),
            2,
        );
        check(
            json!([{"key": TAINTS[0], "operator": "Exists", "effect": "NoSchedule"}]),
            3,
        );
    }
}
