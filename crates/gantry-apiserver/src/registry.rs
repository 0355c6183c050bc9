//! Objects in the store: keys, encoding, preconditions. One registry serves every kind.

use crate::lookups::Lookups;
use crate::pipeline::Validated;
use crate::stored::{Head, decode_as, encode};
use bytes::Bytes;
use gantry_api::kind::Kind;
use gantry_api::meta;
use gantry_api::status::Status;
use gantry_client::ready;
use gantry_store::{Entry, Precondition, RangeRequest, ReadError, Revision, Store, WriteError};
use serde_json::Value;
use std::sync::Arc;

/// The objects of all kinds, over a store.
#[derive(Clone)]
pub struct Registry {
    store: Arc<dyn Store>,
    lookups: Arc<Lookups>,
}

impl Registry {
    /// A registry over `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Registry {
            store,
            lookups: Arc::default(),
        }
    }

    /// The store below, to watch.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Reads one object.
    pub async fn get(&self, kind: &Kind, namespace: Option<&str>, name: &str) -> Result<Value, Status> {
        decode_as(kind, &self.entry(kind, namespace, name).await?)
    }

    /// Reads one object that others look up, too; only to be read.
    pub async fn look_up(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Arc<Value>, Status> {
        self.lookups.read(kind, &self.entry(kind, namespace, name).await?)
    }

    /// Reads all objects of a kind that others look up, too; only to be read.
    pub async fn look_up_all(&self, kind: &Kind) -> Result<Vec<Arc<Value>>, Status> {
        let request = RangeRequest::all(kind.prefix(None).as_bytes());
        let result = self.store.range(request).await.map_err(|e| read_error(&e))?;
        let read = |entry| self.lookups.read(kind, entry);
        result.entries.iter().map(read).collect()
    }

    /// Reads one object as it is stored.
    pub async fn entry(&self, kind: &Kind, namespace: Option<&str>, name: &str) -> Result<Entry, Status> {
        let key = kind.key(namespace, name);
        let entry = self.store.get(key.as_bytes()).await.map_err(|e| read_error(&e))?;
        entry.ok_or_else(|| Status::not_found(&kind.group, &kind.plural, name))
    }

    /// Stores a new object. Returns it as it is stored.
    pub async fn create(&self, kind: &Kind, object: Validated) -> Result<Entry, Status> {
        let name = meta::name(object.object()).to_owned();
        let put = self.put(kind, object, Precondition::Absent);
        put.await.map_err(|error| match error {
            WriteError::Precondition { .. } => Status::already_exists(&kind.group, &kind.plural, &name),
            error => write_error(kind, &name, error),
        })
    }

    /// Replaces an object that stood at `revision`; 409 when it no longer does. Returns it as it is stored.
    pub async fn update(&self, kind: &Kind, object: Validated, revision: Revision) -> Result<Entry, Status> {
        let name = meta::name(object.object()).to_owned();
        let put = self.put(kind, object, Precondition::ModRevision(revision));
        put.await.map_err(|error| write_error(kind, &name, error))
    }

    /// The same for those who go on with the object. Returns it in the form of the kind it is served as.
    pub async fn update_and_keep(
        &self,
        kind: &Kind,
        object: Validated,
        revision: Revision,
    ) -> Result<Value, Status> {
        let json = encode(kind, &object).into();
        let put = self.store.put(
            key_of(kind, object.object()),
            json,
            Some(Precondition::ModRevision(revision)),
        );
        match put.await {
            // What is stored as it is served comes back as it went in.
            Ok(entry) if Head::of(kind).is_of(&entry) => {
                let mut stored = object.into_object();
                stored["metadata"]["resourceVersion"] = entry.mod_revision.to_string().into();
                Ok(stored)
            }
            Ok(entry) => decode_as(kind, &entry),
            Err(error) => Err(write_error(kind, meta::name(object.object()), error)),
        }
    }

    /// Stores an object, and leaves its tree to whoever in this process is told of it and would have to read it again.
    async fn put(&self, kind: &Kind, object: Validated, pre: Precondition) -> Result<Entry, WriteError> {
        let key = key_of(kind, object.object());
        let json = Bytes::from(encode(kind, &object));
        if ready::is_wanted(&kind.group, &kind.plural) && Head::of(kind).begins(&json) {
            ready::offer(&json, object.into_unowned());
        }
        let put = self.store.put(key, json.clone(), Some(pre)).await;
        if put.is_err() {
            drop(ready::take(&json));
        }
        put
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

    /// Reads all objects under a prefix, in order, for uses that need them at once; lists for clients stream.
    pub async fn all(&self, kind: &Kind, prefix: &str) -> Result<Vec<Value>, Status> {
        let request = RangeRequest::all(prefix.as_bytes());
        let result = self.store.range(request).await.map_err(|e| read_error(&e))?;
        let decode = |entry| decode_as(kind, entry);
        result.entries.iter().map(decode).collect()
    }
}

fn key_of(kind: &Kind, object: &Value) -> Bytes {
    let (namespace, name) = place(object);
    kind.key(namespace, name).into()
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

fn write_error(kind: &Kind, name: &str, error: WriteError) -> Status {
    match error {
        WriteError::Precondition { current: None } => Status::not_found(&kind.group, &kind.plural, name),
        WriteError::Precondition { current: Some(_) } => modified(kind, name),
        // Upstream passes etcd's error on as it is: 500 without a reason.
        full @ (WriteError::Full { .. } | WriteError::Quota) => Status::new(500, "", full.to_string()),
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
        ReadError::Future { requested, current } => Status::too_large_resource_version(*requested, *current),
        ReadError::Lagged => Status::expired("the watcher was too slow; list again"),
        ReadError::Backend(_) => Status::internal(error),
    }
}
