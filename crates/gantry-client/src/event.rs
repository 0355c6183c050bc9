//! Events: what components tell people about objects.

use crate::client::{Client, PatchType};
use crate::resource::EVENTS;
use gantry_api::meta;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc;

/// Events waiting to be sent; more are dropped with a warning, for a component must never wait for its events.
const WAITING: usize = 1000;
/// Events remembered, to count repeats instead of writing new ones.
const REMEMBERED: usize = 4096;

/// Writes Events in the name of a component. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    sender: mpsc::Sender<Value>,
    component: Arc<str>,
    host: Arc<str>,
}

impl Recorder {
    /// A recorder for `component` (such as `kubelet`) on `host` (may be empty).
    pub fn new(client: Client, component: &str, host: &str) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(send_all(client, receiver));
        Recorder {
            sender,
            component: component.into(),
            host: host.into(),
        }
    }

    /// Tells about `object` (whole, with its apiVersion and kind). `type_` is `Normal` or `Warning`.
    pub fn event(&self, object: &Value, type_: &str, reason: &str, message: impl Into<String>) {
        self.event_at(object, "", type_, reason, message);
    }

    /// Tells about a part of `object`, such as `spec.containers{name}`.
    pub fn event_at(
        &self,
        object: &Value,
        part: &str,
        type_: &str,
        reason: &str,
        message: impl Into<String>,
    ) {
        let mut involved = json!({
            "apiVersion": object["apiVersion"], "kind": object["kind"],
            "namespace": meta::namespace(object), "name": meta::name(object), "uid": meta::text(object, "uid"),
            "resourceVersion": meta::text(object, "resourceVersion"),
        });
        if !part.is_empty() {
            involved["fieldPath"] = part.into();
        }
        if let Some(map) = involved.as_object_mut() {
            map.retain(|_, v| !v.is_null() && v != "");
        }
        let mut message: String = message.into();
        // The API takes no more.
        if let Some((end, _)) = message.char_indices().nth(1024) {
            message.truncate(end);
        }
        let namespace = Some(meta::namespace(object))
            .filter(|ns| !ns.is_empty())
            .unwrap_or("default");
        let event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"namespace": namespace},
            "involvedObject": involved, "type": type_, "reason": reason, "message": message,
            "source": {"component": &*self.component, "host": &*self.host},
            "reportingComponent": &*self.component, "reportingInstance": &*self.host,
        });
        if self.sender.try_send(event).is_err() {
            tracing::warn!(
                "too many events are waiting; {reason} of {} is lost",
                meta::name(object)
            );
        }
    }
}

struct Sent {
    name: String,
    count: u64,
}

async fn send_all(client: Client, mut receiver: mpsc::Receiver<Value>) {
    let sent: Mutex<HashMap<String, Sent>> = Mutex::default();
    while let Some(event) = receiver.recv().await {
        if let Err(error) = send(&client, event, &sent).await
            && !error.is_namespace_terminating()
            && !error.is_not_found()
        {
            tracing::warn!("an event could not be written: {error}");
        }
    }
}

/// Writes a new Event, or counts an old one up when the same was said of the same object before.
async fn send(
    client: &Client,
    mut event: Value,
    sent: &Mutex<HashMap<String, Sent>>,
) -> Result<(), crate::error::Error> {
    let now = OffsetDateTime::now_utc();
    let stamp = now
        .replace_nanosecond(0)
        .unwrap_or(now)
        .format(&Rfc3339)
        .unwrap_or_default();
    let mut same = event.clone();
    if let Some(involved) = same["involvedObject"].as_object_mut() {
        involved.remove("resourceVersion");
    }
    let same = same.to_string();
    let namespace = meta::namespace(&event).to_string();
    let seen = {
        let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.get(&same).map(|s| (s.name.clone(), s.count + 1))
    };
    let remember = |name: String, count: u64| {
        let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() >= REMEMBERED {
            sent.clear();
        }
        sent.insert(same.clone(), Sent { name, count });
    };
    if let Some((name, count)) = seen {
        let patch = json!({"count": count, "lastTimestamp": stamp});
        match client
            .patch(&EVENTS, (&namespace, &name), "", PatchType::Merge, &patch)
            .await
        {
            Ok(_) => {
                remember(name, count);
                return Ok(());
            }
            // It may have expired; then it is told anew.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    let involved = event["involvedObject"]["name"].as_str().unwrap_or("object");
    let name = format!("{involved}.{:x}", now.unix_timestamp_nanos());
    event["metadata"]["name"] = name.clone().into();
    event["firstTimestamp"] = stamp.clone().into();
    event["lastTimestamp"] = stamp.into();
    event["count"] = 1.into();
    client.create(&EVENTS, &event).await?;
    remember(name, 1);
    Ok(())
}
