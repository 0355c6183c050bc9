//! Objects in the store: keys, encoding, preconditions. One registry serves every kind.

use crate::pipeline::Validated;
use bytes::Bytes;
use gantry_api::kind::Kind;
use gantry_api::meta;
use gantry_api::status::Status;
use gantry_store::{Entry, Precondition, RangeRequest, ReadError, Revision, Store, WriteError, prefix_end};
use serde_json::Value;
use std::sync::Arc;

/// The objects of all kinds, over a store.
#[derive(Clone)]
pub struct Registry {
    store: Arc<dyn Store>,
}

/// A page of a list.
pub struct Page {
    /// The page's objects, in key order.
    pub objects: Vec<Value>,
    /// The revision they were read at.
    pub revision: Revision,
    /// The key to go on from, and how many keys are left; `None` on the last page.
    pub next: Option<(Bytes, usize)>,
}

impl Registry {
    /// A registry over `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Registry { store }
    }

    /// The store below, to watch.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Reads one object.
    pub async fn get(&self, kind: &Kind, namespace: Option<&str>, name: &str) -> Result<Value, Status> {
        let key = kind.key(namespace, name);
        let entry = self.store.get(key.as_bytes()).await.map_err(|e| read_error(&e))?;
        let entry = entry.ok_or_else(|| Status::not_found(&kind.group, &kind.plural, name))?;
        decode_as(kind, &entry)
    }

    /// Stores a new object.
    pub async fn create(&self, kind: &Kind, object: &Validated) -> Result<Value, Status> {
        let (namespace, name) = place(object.object());
        let key = Bytes::from(kind.key(namespace, name));
        match self
            .store
            .put(key, encode(kind, object.object())?, Some(Precondition::Absent))
            .await
        {
            Ok(entry) => decode_as(kind, &entry),
            Err(WriteError::Precondition { .. }) => {
                Err(Status::already_exists(&kind.group, &kind.plural, name))
            }
            Err(e) => Err(Status::internal(e)),
        }
    }

    /// Replaces an object that stood at `revision`; 409 when it no longer does.
    pub async fn update(&self, kind: &Kind, object: &Validated, revision: Revision) -> Result<Value, Status> {
        let (namespace, name) = place(object.object());
        let key = Bytes::from(kind.key(namespace, name));
        let pre = Some(Precondition::ModRevision(revision));
        match self.store.put(key, encode(kind, object.object())?, pre).await {
            Ok(entry) => decode_as(kind, &entry),
            Err(e) => Err(write_error(kind, name, e)),
        }
    }

    /// Removes an object that stood at `revision`; 409 when it no longer does.
    pub async fn delete(&self, kind: &Kind, object: &Value, revision: Revision) -> Result<(), Status> {
        let (namespace, name) = place(object);
        let key = Bytes::from(kind.key(namespace, name));
        match self
            .store
            .delete(key, Some(Precondition::ModRevision(revision)))
            .await
        {
            Ok(_) => Ok(()),
            Err(e) => Err(write_error(kind, name, e)),
        }
    }

    /// Reads a page: at most `limit` objects (0 means all) from `start` on, at `revision` or now.
    pub async fn list(
        &self,
        kind: &Kind,
        prefix: &str,
        start: Option<Bytes>,
        limit: usize,
        revision: Option<Revision>,
    ) -> Result<Page, Status> {
        let request = RangeRequest {
            start: start.unwrap_or_else(|| Bytes::copy_from_slice(prefix.as_bytes())),
            end: prefix_end(prefix.as_bytes()),
            limit,
            revision,
            count: limit > 0,
        };
        let result = self.store.range(request).await.map_err(|e| read_error(&e))?;
        let left = result.count.unwrap_or(0).saturating_sub(result.entries.len());
        let next = result
            .entries
            .last()
            .filter(|_| limit > 0 && left > 0)
            .map(|last| {
                let mut key = last.key.to_vec();
                key.push(0);
                (Bytes::from(key), left)
            });
        let decode = |entry| decode_as(kind, entry);
        let objects = result.entries.iter().map(decode).collect::<Result<_, _>>()?;
        Ok(Page {
            objects,
            revision: revision.unwrap_or(result.revision),
            next,
        })
    }
}

fn place(object: &Value) -> (Option<&str>, &str) {
    (
        Some(meta::namespace(object)).filter(|ns| !ns.is_empty()),
        meta::name(object),
    )
}

/// The revision an object was read at.
pub fn revision_of(object: &Value) -> Revision {
    meta::text(object, "resourceVersion").parse().unwrap_or(0)
}

/// An object as it is stored: JSON without its resourceVersion, which is the entry's own.
fn encode(kind: &Kind, object: &Value) -> Result<Bytes, Status> {
    let mut stored = object.clone();
    kind.hooks.to_storage(&mut stored);
    if let Some(metadata) = stored.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
    }
    serde_json::to_vec(&stored)
        .map(Bytes::from)
        .map_err(Status::internal)
}

/// An object in an entry, in the form of the kind it is served as.
pub fn decode_as(kind: &Kind, entry: &Entry) -> Result<Value, Status> {
    let mut object = decode(entry)?;
    kind.hooks.from_storage(&mut object);
    Ok(object)
}

/// An object as it stands in an entry.
pub fn decode(entry: &Entry) -> Result<Value, Status> {
    let mut object: Value = serde_json::from_slice(&entry.value).map_err(|e| {
        Status::internal(format!(
            "the stored object {} cannot be read: {e}",
            String::from_utf8_lossy(&entry.key)
        ))
    })?;
    object["metadata"]["resourceVersion"] = entry.mod_revision.to_string().into();
    Ok(object)
}

fn write_error(kind: &Kind, name: &str, error: WriteError) -> Status {
    match error {
        WriteError::Precondition { current: None } => Status::not_found(&kind.group, &kind.plural, name),
        WriteError::Precondition { current: Some(_) } => modified(kind, name),
        other => Status::internal(other),
    }
}

/// The conflict that tells a client to read again.
pub fn modified(kind: &Kind, name: &str) -> Status {
    Status::conflict(
        &kind.group,
        &kind.plural,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )
}

/// A failed read as the API answers it.
pub fn read_error(error: &ReadError) -> Status {
    match error {
        ReadError::Compacted { requested, oldest } => {
            Status::expired(format!("too old resource version: {requested} ({oldest})"))
        }
        ReadError::Future { requested, current } => {
            let mut status = Status::new(
                504,
                "Timeout",
                format!("Too large resource version: {requested}, current: {current}"),
            );
            status.details = Some(serde_json::json!({
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            }));
            status
        }
        ReadError::Lagged => Status::expired("the watcher was too slow; list again"),
        ReadError::Backend(_) => Status::internal(error),
    }
}
