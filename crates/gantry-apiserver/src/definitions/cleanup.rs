//! A definition that is deleted goes when its objects are gone, which are deleted with it.
//!
//! Source: pkg/controller/finalizer/crd_finalizer.go.

use super::{PLACE, call, write_status};
use crate::local::Local;
use crate::verbs::rfc3339;
use gantry_api::custom_resource::has_condition;
use gantry_api::kinds::{DEFINITION_FINALIZER, set_condition};
use gantry_api::meta;
use gantry_api::status::Status;
use http::Method;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use time::OffsetDateTime;

/// The pauses between looks at what is left.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether a definition was just marked for deletion: then one task cleans up after it. A server that starts while
/// others are under way takes them up.
pub fn is_due(definition: &Value) -> bool {
    meta::is_deleting(definition) && holds(definition) && has_condition(definition, "Terminating")
}

fn holds(definition: &Value) -> bool {
    let finalizers = definition["metadata"]["finalizers"].as_array();
    finalizers.is_some_and(|list| list.iter().any(|f| f == DEFINITION_FINALIZER))
}

/// Deletes all objects of a definition, then lets it go.
pub async fn run(own: Local, definition: Value) {
    let name = meta::name(&definition).to_string();
    let mut pause = FIRST_PAUSE;
    loop {
        let left = match has_condition(&definition, "Established") {
            true => empty(&own, &definition).await,
            false => Ok(0),
        };
        let done = match left {
            Ok(0) => release(&own, &name, meta::text(&definition, "uid")).await,
            Ok(_) => Ok(false),
            Err(status) => Err(status),
        };
        match done {
            Ok(true) => return,
            Ok(false) => {}
            Err(status) => tracing::warn!("the objects of {name} cannot be deleted, trying again: {status}"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Deletes all objects; says how many are left.
async fn empty(own: &Local, definition: &Value) -> Result<usize, Status> {
    let (spec, names) = (&definition["spec"], &definition["status"]["acceptedNames"]);
    let text = |value: &Value| value.as_str().unwrap_or("").to_string();
    let served = spec["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|v| v["served"] == true);
    let Some(version) = served.map(|v| text(&v["name"])) else {
        return Ok(0);
    };
    let (root, plural) = (
        format!("/apis/{}/{version}", text(&spec["group"])),
        text(&names["plural"]),
    );
    let all = format!("{root}/{plural}");
    let before = items(own, &all).await?;
    let namespaces: BTreeSet<&str> = before.iter().map(meta::namespace).collect();
    for namespace in namespaces {
        let path = match namespace {
            "" => all.clone(),
            namespace => format!("{root}/namespaces/{namespace}/{plural}"),
        };
        let (code, answer) = call(own, Method::DELETE, &path, None).await?;
        if code != 200 && code != 404 {
            return Err(Status::internal(
                answer["message"].as_str().unwrap_or("no message"),
            ));
        }
    }
    match before.is_empty() {
        true => Ok(0),
        false => items(own, &all).await.map(|left| left.len()),
    }
}

async fn items(own: &Local, path: &str) -> Result<Vec<Value>, Status> {
    match call(own, Method::GET, path, None).await? {
        (200, mut list) => match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        },
        // Nothing is served there any more.
        (404, _) => Ok(Vec::new()),
        (_, answer) => Err(Status::internal(
            answer["message"].as_str().unwrap_or("no message"),
        )),
    }
}

/// Takes the finalizer off, if the definition is still the one; says whether that is done.
async fn release(own: &Local, name: &str, uid: &str) -> Result<bool, Status> {
    let path = format!("{PLACE}/{name}");
    let (code, mut definition) = call(own, Method::GET, &path, None).await?;
    if code == 404 || meta::text(&definition, "uid") != uid || !holds(&definition) {
        return Ok(true);
    }
    let now = rfc3339(OffsetDateTime::now_utc());
    let (reason, message) = match has_condition(&definition, "Established") {
        true => ("InstanceDeletionCompleted", "removed all instances"),
        false => ("NeverEstablished", "resource was never established"),
    };
    set_condition(&mut definition, ["Terminating", "False", reason, message], &now);
    if let Some(finalizers) = definition["metadata"]["finalizers"].as_array_mut() {
        finalizers.retain(|f| f != DEFINITION_FINALIZER);
    }
    // A conflict leaves it as it is: it is looked at again.
    write_status(own, &definition).await.map(|()| false)
}
