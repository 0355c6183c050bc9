//! RuntimeClass: a pod gets what its runtime needs beside its containers, and goes to the nodes that have the runtime.
//!
//! Source: plugin/pkg/admission/runtimeclass.

use crate::admission::{Plugin, Request};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_api::quantity::Quantity;
use gantry_api::status::Status;
use serde_json::{Map, Value};
use std::sync::Arc;

pub(super) struct RuntimeClass;

#[async_trait]
impl Plugin for RuntimeClass {
    fn concerns(&self, request: &Request<'_>) -> bool {
        request.creates("", "pods")
    }

    async fn admit(&self, request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
        let class = class_of(request, object).await?;
        let fitted = fit(&mut object["spec"], &class);
        fitted.map_err(|why| request.forbidden(meta::name(object), &why))
    }

    async fn validate(&self, request: &Request<'_>, object: &Value) -> Result<(), Status> {
        if !request.creates("", "pods") || object["spec"]["overhead"].is_null() {
            return Ok(());
        }
        match class_of(request, object).await?["overhead"].is_object() {
            true => Ok(()),
            false => Err(request.forbidden(
                meta::name(object),
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            )),
        }
    }
}

/// The class that a pod names, or null.
async fn class_of(request: &Request<'_>, pod: &Value) -> Result<Arc<Value>, Status> {
    let Some(name) = pod["spec"]["runtimeClassName"].as_str() else {
        return Ok(Arc::default());
    };
    if name.is_empty() {
        return Err(Status::new(500, "", "resource name may not be empty"));
    }
    let (group, plural) = ("node.k8s.io", "runtimeclasses");
    let found = match request.api.kinds.get(group, "v1", plural) {
        Some(kind) => request.api.registry.look_up(&kind, None, name).await,
        None => Err(Status::not_found(group, plural, name)),
    };
    found.map_err(|status| match status.code {
        404 => {
            let why = format!("pod rejected: RuntimeClass {name:?} not found");
            request.forbidden(meta::name(pod), &why)
        }
        _ => status,
    })
}

/// Gives a pod what its class says, unless it says otherwise itself.
fn fit(spec: &mut Value, class: &Value) -> Result<(), String> {
    let given = &spec["overhead"];
    if let Value::Object(overhead) = &class["overhead"] {
        let fixed = overhead.get("podFixed").cloned().unwrap_or_default();
        let set = given.as_object().is_some_and(|given| !given.is_empty());
        if set && !same_amounts(given, &fixed) {
            return Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".into());
        }
        if !fixed.is_null() {
            spec["overhead"] = fixed;
        }
    }
    let scheduling = &class["scheduling"];
    for (key, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        let selector = &mut spec["nodeSelector"];
        if let Some(own) = selector.get(key).filter(|own| *own != value) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                text(value),
                text(own)
            ));
        }
        selector[key] = value.clone();
    }
    if scheduling.is_object() {
        let merged = merged(list(&spec["tolerations"]), list(&scheduling["tolerations"]));
        if !merged.is_empty() {
            spec["tolerations"] = merged.into();
        }
    }
    Ok(())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn same_amounts(a: &Value, b: &Value) -> bool {
    let empty = Map::new();
    let (a, b) = (a.as_object().unwrap_or(&empty), b.as_object().unwrap_or(&empty));
    let same = |(name, amount): (&String, &Value)| {
        let other = b.get(name).map(Quantity::from_json);
        matches!((Quantity::from_json(amount), other), (Ok(amount), Some(Ok(other))) if amount == other)
    };
    a.len() == b.len() && a.iter().all(same)
}

/// Two lists of tolerations as one, without those that another one covers.
fn merged(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (i, toleration) in all.iter().enumerate() {
        let before = merged.iter().any(|kept| covers(kept, toleration));
        let after = all[i + 1..]
            .iter()
            .any(|later| later != toleration && covers(later, toleration));
        if !before && !after {
            merged.push((*toleration).clone());
        }
    }
    merged
}

/// Whether a toleration tolerates all that another one does.
fn covers(wide: &Value, narrow: &Value) -> bool {
    let text = |toleration: &Value, field: &str| toleration[field].as_str().unwrap_or_default().to_owned();
    let (operator, effect) = (text(wide, "operator"), text(wide, "effect"));
    let any_key = text(wide, "key").is_empty() && operator == "Exists";
    if wide == narrow {
        return true;
    }
    if !any_key && text(wide, "key") != text(narrow, "key") {
        return false;
    }
    if !effect.is_empty() && effect != text(narrow, "effect") {
        return false;
    }
    let seconds = |toleration: &Value| toleration["tolerationSeconds"].as_i64();
    if effect == "NoExecute"
        && let Some(most) = seconds(wide)
        && seconds(narrow).is_none_or(|own| own > most)
    {
        return false;
    }
    match operator.as_str() {
        "Exists" => true,
        "" | "Equal" => text(narrow, "operator") == "Equal" && text(narrow, "value") == text(wide, "value"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_fit_their_class() {
        let check = |mut spec: Value, class: Value, expected: Result<Value, &str>| {
            let fitted = fit(&mut spec, &class).map(|()| spec);
            assert_eq!(fitted, expected.map_err(str::to_owned), "{class}");
        };
        let overhead = || json!({"overhead": {"podFixed": {"cpu": "100m"}}});
        check(json!({}), Value::Null, Ok(json!({})));
        check(json!({}), overhead(), Ok(json!({"overhead": {"cpu": "100m"}})));
        check(
            json!({"overhead": {"cpu": "0.1"}}),
            overhead(),
            Ok(json!({"overhead": {"cpu": "100m"}})),
        );
        check(
            json!({"overhead": {"cpu": "1"}}),
            overhead(),
            Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
        );
        let selecting = || json!({"scheduling": {"nodeSelector": {"a": "b"}}});
        check(
            json!({"nodeSelector": {"c": "d"}}),
            selecting(),
            Ok(json!({"nodeSelector": {"a": "b", "c": "d"}})),
        );
        check(
            json!({"nodeSelector": {"a": "c"}}),
            selecting(),
            Err("conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c"),
        );
    }

    #[test]
    fn tolerations_that_others_cover() {
        let exists = |key: &str| json!({"key": key, "operator": "Exists"});
        let equal = |key: &str| json!({"key": key, "operator": "Equal", "value": "v"});
        let check = |first: &[Value], second: &[Value], expected: &[Value]| {
            assert_eq!(merged(first, second), expected, "{first:?} {second:?}");
        };
        check(&[exists("a")], &[exists("b")], &[exists("a"), exists("b")]);
        check(&[exists("a")], &[exists("a")], &[exists("a")]);
        check(&[equal("a")], &[exists("a")], &[exists("a")]);
        check(&[exists("")], &[equal("a")], &[exists("")]);
        let seconds =
            |n: i64| json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": n});
        check(&[seconds(5)], &[seconds(9)], &[seconds(9)]);
    }
}
