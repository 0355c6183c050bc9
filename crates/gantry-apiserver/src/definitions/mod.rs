//! CustomResourceDefinitions at work: their names are accepted, their kinds served, and their objects deleted with them.
//!
//! One task reads the definitions' events from the store and takes each in turn. The status it writes comes back as
//! an event; a definition is served when its Established condition has come back. Whoever makes or changes a
//! definition is answered after that, so that the next request finds its kind ([`Definitions::settled`]).
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/controller and pkg/apiserver/customresource_handler.go.

mod cleanup;
mod names;

use crate::local::Local;
use crate::request::Served;
use crate::stored::decode;
use bytes::Bytes;
use gantry_api::custom_resource::{self, has_condition};
use gantry_api::kind::Kind;
use gantry_api::meta;
use gantry_api::status::Status;
use gantry_store::{EventKind, RangeRequest, Revision, Store};
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const PLACE: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const PREFIX: &str = "/registry/apiextensions.k8s.io/customresourcedefinitions/";
/// The pause before what failed is tried again.
const PAUSE: Duration = Duration::from_millis(200);
/// A writer is answered after this long, even if its definition is not served by then.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far definitions have been taken in.
#[derive(Default)]
pub struct Definitions {
    /// The resource version of each definition that stands as it will until it is written again.
    settled: watch::Sender<BTreeMap<String, Revision>>,
}

impl Definitions {
    /// Waits until a definition as of a revision, or a later one, is served, or refused.
    pub async fn settled(&self, name: &str, revision: Revision) {
        let mut settled = self.settled.subscribe();
        let done = settled.wait_for(|all| all.get(name).is_some_and(|r| *r >= revision));
        // Who waits too long finds out by the definition's conditions, as everybody may.
        let _ = tokio::time::timeout(PATIENCE, done).await;
    }
}

/// One definition and what it makes.
struct Known {
    object: Value,
    kinds: Vec<Arc<Kind>>,
}

struct Task {
    own: Local,
    served: Arc<Served>,
    definitions: Arc<Definitions>,
    known: BTreeMap<String, Known>,
    /// The UIDs of definitions that are cleaned up after.
    cleaned: BTreeSet<String>,
}

/// Follows the definitions for as long as the server lives. Those that are there are served when this returns.
pub async fn start(own: Local, served: Arc<Served>, definitions: Arc<Definitions>, store: Arc<dyn Store>) {
    let mut task = Task {
        own,
        served,
        definitions,
        known: BTreeMap::new(),
        cleaned: BTreeSet::new(),
    };
    let read = task.read(&store).await;
    tokio::spawn(task.run(store, read));
}

impl Task {
    /// Takes in all definitions; the revision they stood at, if they could be read.
    async fn read(&mut self, store: &Arc<dyn Store>) -> Option<Revision> {
        let found = match store.range(RangeRequest::all(PREFIX.as_bytes())).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!("the definitions cannot be read, trying again: {error}");
                return None;
            }
        };
        let all: Vec<Value> = found
            .entries
            .iter()
            .filter_map(|entry| decode(entry).ok())
            .collect();
        let gone = |name: &String| !all.iter().any(|object| meta::name(object) == name);
        let gone: Vec<String> = self.known.keys().filter(|name| gone(name)).cloned().collect();
        gone.iter().for_each(|name| self.remove(name));
        // Names that others have must be known before any is judged.
        for object in &all {
            self.serve(object.clone());
        }
        for object in all {
            self.take(object).await;
        }
        Some(found.revision)
    }

    async fn run(mut self, store: Arc<dyn Store>, mut read: Option<Revision>) {
        loop {
            if let Some(after) = read
                && let Ok(mut watch) = store.watch(PREFIX.into(), after).await
            {
                while let Ok(Some(events)) = watch.next().await {
                    for event in events {
                        match event.kind {
                            EventKind::Put => match decode(&event.entry) {
                                Ok(object) => self.take(object).await,
                                Err(status) => tracing::error!("a definition cannot be read: {status}"),
                            },
                            EventKind::Delete => {
                                let key = String::from_utf8_lossy(&event.entry.key).into_owned();
                                let name = key.trim_start_matches(PREFIX);
                                self.remove(name);
                                self.free(name).await;
                            }
                        }
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
            read = self.read(&store).await;
        }
    }

    /// Takes in a definition as it is now: judges its names, and serves it once they are accepted.
    async fn take(&mut self, object: Value) {
        let name = meta::name(&object).to_string();
        let revision = crate::registry::revision_of(&object);
        self.serve(object.clone());
        let others = self
            .known
            .iter()
            .filter(|(other, _)| **other != name)
            .map(|(_, known)| &known.object);
        if let Some(judged) = names::judge(&object, others) {
            if let Err(status) = write_status(&self.own, &judged).await {
                tracing::warn!("the status of the definition {name} cannot be written: {status}");
            }
            // It comes again as it was written, by this or by another server.
            return;
        }
        self.definitions.settled.send_modify(|all| {
            all.insert(name.clone(), revision);
        });
        if cleanup::is_due(&object) && self.cleaned.insert(meta::text(&object, "uid").to_string()) {
            tokio::spawn(cleanup::run(self.own.clone(), object));
        }
    }

    /// Serves the kinds of a definition, or those it made before when it makes the same.
    fn serve(&mut self, object: Value) {
        let name = meta::name(&object).to_string();
        let served = has_condition(&object, "Established");
        let makes = |object: &Value| {
            let terminating = has_condition(object, "Terminating");
            (
                object["spec"].clone(),
                object["status"]["acceptedNames"].clone(),
                terminating,
            )
        };
        let known = self.known.remove(&name);
        let kinds = match known {
            Some(known) if served && !known.kinds.is_empty() && makes(&known.object) == makes(&object) => {
                known.kinds
            }
            _ if served => custom_resource::kinds(&object)
                .into_iter()
                .map(Arc::new)
                .collect(),
            _ => Vec::new(),
        };
        self.known.insert(name, Known { object, kinds });
        self.publish();
    }

    fn remove(&mut self, name: &str) {
        if let Some(known) = self.known.remove(name) {
            self.cleaned.remove(meta::text(&known.object, "uid"));
        }
        self.definitions.settled.send_modify(|all| {
            all.remove(name);
        });
        self.publish();
    }

    fn publish(&self) {
        self.served
            .set_custom(self.known.values().flat_map(|known| known.kinds.iter().cloned()));
    }

    /// Judges the others of a group anew: names are free again.
    async fn free(&mut self, name: &str) {
        let group = name.split_once('.').map_or("", |(_, group)| group);
        let waiting = self.known.values().filter(|k| k.object["spec"]["group"] == group);
        let waiting: Vec<Value> = waiting.map(|k| k.object.clone()).collect();
        for object in waiting {
            self.take(object).await;
        }
    }
}

async fn write_status(own: &Local, object: &Value) -> Result<(), Status> {
    let path = format!("{PLACE}/{}/status", meta::name(object));
    match call(own, Method::PUT, &path, Some(object)).await? {
        // It has been written or deleted meanwhile, and comes again.
        (200 | 201 | 404 | 409, _) => Ok(()),
        (_, answer) => Err(Status::internal(
            answer["message"].as_str().unwrap_or("no message"),
        )),
    }
}

/// Sends a request as the server itself.
async fn call(own: &Local, method: Method, path: &str, body: Option<&Value>) -> Result<(u16, Value), Status> {
    let body = body.map_or_else(Bytes::new, |b| b.to_string().into());
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header("user-agent", "kube-apiserver")
        .body(body)
        .map_err(Status::internal)?;
    let response = own.send(request).await;
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(Status::internal)?;
    let answer = match code {
        // A page of text, where a group has gone with its last kind.
        404 => Value::Null,
        _ => serde_json::from_slice(&body.to_bytes()).map_err(Status::internal)?,
    };
    Ok((code, answer))
}
