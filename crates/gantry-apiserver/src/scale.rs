//! The autoscaling/v1 Scale over an object that can be scaled.

use crate::options::FieldValidation;
use crate::table;
use crate::view::{self, Include, View};
use crate::warnings::Warnings;
use gantry_api::kind::Kind;
use gantry_api::kinds::{columns, label_selector};
use gantry_api::status::Status;
use gantry_api::{field, meta, schema};
use serde_json::{Value, json};

const API_VERSION: &str = "autoscaling/v1";

fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |value, part| value.get(part))
}

/// The Scale of an object.
pub fn of(kind: &Kind, object: &Value) -> Value {
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        let value = meta::text(object, field);
        if !value.is_empty() {
            metadata[field] = value.into();
        }
    }
    let paths = kind.hooks.scale();
    let count = |path: &str| at(object, path).cloned().unwrap_or(json!(0));
    let own = &object["spec"]["selector"];
    let selector = match paths.selector {
        Some(path) => at(object, path).and_then(Value::as_str).unwrap_or("").to_string(),
        // A ReplicationController's selector is the labels themselves.
        None if object["kind"] == "ReplicationController" => label_selector(&json!({"matchLabels": own})),
        None => label_selector(own),
    };
    let spec = match count(paths.spec_replicas) {
        none if none == 0 => json!({}),
        replicas => json!({"replicas": replicas}),
    };
    let mut status = json!({"replicas": count(paths.status_replicas)});
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    json!({"kind": "Scale", "apiVersion": API_VERSION, "metadata": metadata, "spec": spec, "status": status})
}

/// The Scale of an object for who asks for it. A custom resource that does not say how many it wants has none.
pub fn read(kind: &Kind, object: &Value) -> Result<Value, Status> {
    let path = kind.hooks.scale().spec_replicas;
    if kind.custom.is_some() && at(object, path).is_none() {
        return Err(Status::internal(format!(
            "the spec replicas field {:?} does not exist",
            format!(".{path}")
        )));
    }
    Ok(of(kind, object))
}

/// A Scale as the client wants it.
pub fn seen(kind: &Kind, scale: Value, view: View) -> Value {
    match view {
        View::Whole => scale,
        View::Metadata(meta) => view::metadata(&scale, meta),
        View::Table(include, meta) => {
            let created = meta::text(&scale, "creationTimestamp");
            let age_type = if kind.custom.is_some() { "date" } else { "string" };
            let format = if kind.custom.is_some() { "name" } else { "" };
            let column = |name: &str, type_: &str, format: &str, description: &str| json!({"name": name, "type": type_, "format": format, "description": description, "priority": 0});
            json!({
                "kind": "Table", "apiVersion": meta.api_version(), "metadata": {
                    "resourceVersion": meta::text(&scale, "resourceVersion"),
                },
                "columnDefinitions": [
                    column("Name", "string", format, &columns::described("name")),
                    column("Desired", "integer", "", "Number of desired replicas"),
                    column("Available", "integer", "", "Number of actual replicas"),
                    column("Age", age_type, "", &columns::described("creationTimestamp")),
                ],
                "rows": [{
                    "cells": [
                        meta::name(&scale), scale["spec"]["replicas"].as_i64().unwrap_or(0),
                        scale["status"]["replicas"].as_i64().unwrap_or(0), columns::age(created, table::now()),
                    ],
                    "object": match include {
                        Include::None => Value::Null,
                        Include::Metadata => view::metadata(&scale, meta),
                        Include::Object => scale.clone(),
                    },
                }],
            })
        }
    }
}

/// Refuses what a client sent to a scale and is no Scale, or one of less than nothing, in upstream's words, and tells of
/// fields that none has.
pub fn check(
    kind: &Kind,
    sent: &mut Value,
    validation: FieldValidation,
    warnings: &Warnings,
) -> Result<(), Status> {
    let replicas = &sent["spec"]["replicas"];
    let is_scale = sent["kind"] == "Scale"
        && sent["apiVersion"] == API_VERSION
        && (replicas.is_null() || replicas.as_i64().is_some_and(|n| i32::try_from(n).is_ok()));
    if kind.custom.is_some() && !is_scale {
        return Err(Status::bad_request(
            "no kind is registered for the type v1.Scale in scheme \
             \"k8s.io/apiextensions-apiserver/pkg/apiserver/customresource_handler.go:781\"",
        ));
    }
    let Some(message) = schema::message_for("autoscaling", "v1", "Scale") else {
        return Ok(());
    };
    let cannot = |why: String| {
        Status::bad_request(format!(
            "Scale in version \"v1\" cannot be handled as a Scale: {why}"
        ))
    };
    let unknown = schema::check(message, sent).map_err(cannot)?;
    match validation {
        FieldValidation::Strict if !unknown.is_empty() => {
            return Err(cannot(format!("strict decoding error: {}", unknown.join(", "))));
        }
        FieldValidation::Warn => warnings.extend(unknown),
        _ => {}
    }
    // A custom resource's own schema says what it may be.
    let replicas = &sent["spec"]["replicas"];
    if kind.custom.is_none() && replicas.as_i64().is_some_and(|n| n < 0) {
        let why = "must be greater than or equal to 0";
        let error = field::Error::invalid("spec.replicas", replicas.clone(), why);
        let name = meta::name(sent);
        return Err(Status::invalid("autoscaling", "Scale", name, &[error]));
    }
    Ok(())
}

/// A Scale's configuration as one of the object it scales.
pub fn applied(kind: &Kind, patch: &Value) -> Result<Value, Status> {
    if patch["apiVersion"] != API_VERSION || patch["kind"] != "Scale" {
        return Err(Status::bad_request(format!(
            "invalid object type: {}, Kind={}",
            patch["apiVersion"].as_str().unwrap_or(""),
            patch["kind"].as_str().unwrap_or("")
        )));
    }
    let mut object =
        json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": patch["metadata"]});
    if let Some(replicas) = patch["spec"].get("replicas") {
        *place(&mut object, kind.hooks.scale().spec_replicas) = replicas.clone();
    }
    Ok(object)
}

/// The place of a field in an object, made if it is not there.
pub fn place<'a>(object: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(object, |value, part| {
        if !value.is_object() {
            *value = json!({});
        }
        &mut value[part]
    })
}
