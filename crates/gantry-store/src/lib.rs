//! The store: keys, bytes and revisions, with etcd's semantics behind one narrow trait.
//!
//! There is one monotonic revision for the whole store. Every successful write takes the next one. A key
//! remembers the revision that created it, the one that changed it last, and how many writes it has seen since
//! it was created. History is kept until it is compacted, so that a range can be read as of a past revision and
//! a watch can start from one. Start reading at [`Store`]; every backend passes the same suite.

mod embedded;
mod error;
mod etcd;
mod hub;
mod memory;
mod plan;
mod reader;
mod retention;
mod state;

pub use embedded::{Embedded, OpenError, Options};
pub use error::{ReadError, WriteError};
pub use etcd::{ConnectError, Etcd, EtcdOptions, Tls};
pub use memory::Memory;
pub use retention::Limits;

use async_trait::async_trait;
use bytes::Bytes;
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// A position in the store's history. The empty store is at revision 1, as etcd's is.
pub type Revision = u64;

/// One key as it stood at some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The whole key.
    pub key: Bytes,
    /// The value; empty in the entry of a delete event.
    pub value: Bytes,
    /// The revision of the write that created the key.
    pub create_revision: Revision,
    /// The revision of the last write to the key; of the deletion, in a delete event.
    pub mod_revision: Revision,
    /// Writes since creation, the creating one included; 0 in a delete event.
    pub version: u64,
}

/// What a write demands of the key it touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The key must not exist.
    Absent,
    /// The key must exist and have been changed last at this revision.
    ModRevision(Revision),
}

/// One change to one key. All watchers are handed the same one.
#[derive(Debug)]
pub struct Event {
    /// Whether the key was written or deleted.
    pub kind: EventKind,
    /// The key after the change.
    pub entry: Entry,
    /// The key before the change; `None` when the change created it.
    pub prev: Option<Entry>,
    /// What the first watcher made of the event, so that the others need not make it again.
    pub memo: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Event {
    pub(crate) fn new(kind: EventKind, entry: Entry, prev: Option<Entry>) -> Event {
        Event {
            kind,
            entry,
            prev,
            memo: OnceLock::new(),
        }
    }
}

/// The memo is no part of what happened.
impl PartialEq for Event {
    fn eq(&self, other: &Event) -> bool {
        (self.kind, &self.entry, &self.prev) == (other.kind, &other.entry, &other.prev)
    }
}

/// The two kinds of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The key was created or replaced.
    Put,
    /// The key was removed.
    Delete,
}

/// Events in order, shared by all who are told the same.
#[derive(Clone, Debug, Default)]
pub struct Events(pub(crate) Vec<Arc<[Arc<Event>]>>);

impl Events {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|some| some.is_empty())
    }

    /// Each in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.0.iter().flat_map(|some| some.iter())
    }
}

impl From<Vec<Arc<Event>>> for Events {
    fn from(events: Vec<Arc<Event>>) -> Events {
        Events(vec![events.into()])
    }
}

impl IntoIterator for Events {
    type Item = Arc<Event>;
    type IntoIter = std::vec::IntoIter<Arc<Event>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter().cloned().collect::<Vec<_>>().into_iter()
    }
}

/// Which keys to read, and as of when.
#[derive(Clone, Debug)]
pub struct RangeRequest {
    /// The first key wanted.
    pub start: Bytes,
    /// The first key no longer wanted.
    pub end: Bytes,
    /// At most this many entries; 0 means all.
    pub limit: usize,
    /// Read as of this revision; `None` reads the newest.
    pub revision: Option<Revision>,
    /// Count all keys of the range, beyond the limit too. It costs a walk over them.
    pub count: bool,
}

impl RangeRequest {
    /// All keys that begin with `prefix`, as they stand.
    pub fn all(prefix: &[u8]) -> RangeRequest {
        RangeRequest {
            start: Bytes::copy_from_slice(prefix),
            end: prefix_end(prefix),
            limit: 0,
            revision: None,
            count: false,
        }
    }
}

/// The answer to a [`RangeRequest`], in key order.
#[derive(Clone, Debug)]
pub struct RangeResult {
    /// The entries found.
    pub entries: Vec<Entry>,
    /// How many keys the whole range holds at that revision, if it was asked to be counted.
    pub count: Option<usize>,
    /// Whether the limit left keys out.
    pub more: bool,
    /// The store's newest revision when the range was read.
    pub revision: Revision,
}

/// Something by which watches of the same keys can be told apart: the value of a field.
pub trait Index: Send + Sync {
    /// Its name. Indexes of the same name are the same.
    fn name(&self) -> &str;

    /// The value in an event's object before and after; `None` if they cannot be read, which concerns everybody.
    fn values(&self, event: &Event) -> Option<[String; 2]>;
}

/// Narrows a watch to the events in which an index has this value, before or after. It only spares work: a backend may
/// yield others as well.
#[derive(Clone)]
pub struct Only {
    /// The index.
    pub index: Arc<dyn Index>,
    /// Its value.
    pub value: String,
}

/// A running watch. Dropping it ends it.
#[async_trait]
pub trait Watch: Send {
    /// The next events, all of one or more whole revisions, in order. `Ok(None)` when the store closed.
    async fn next(&mut self) -> Result<Option<Events>, ReadError>;

    /// The store's newest revision, if everything up to it was yielded: nobody need ask for what came before.
    fn progress(&self) -> Option<Revision>;
}

/// A key-value store with etcd's revision semantics.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes a key. Returns it as it now stands, once the write is durable.
    async fn put(&self, key: Bytes, value: Bytes, pre: Option<Precondition>) -> Result<Entry, WriteError>;

    /// Deletes a key. Returns the delete event with the key's last value in `prev`, once durable;
    /// `Ok(None)` when there was no such key and the write demanded nothing.
    async fn delete(&self, key: Bytes, pre: Option<Precondition>) -> Result<Option<Arc<Event>>, WriteError>;

    /// Reads one key as it stands.
    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, ReadError>;

    /// Reads a range of keys.
    async fn range(&self, request: RangeRequest) -> Result<RangeResult, ReadError>;

    /// Watches every event with a revision greater than `after`, in order: of all keys below `prefix` when it ends
    /// with a slash, of all keys when it is empty, of the one key otherwise.
    async fn watch(&self, prefix: Bytes, after: Revision) -> Result<Box<dyn Watch>, ReadError> {
        self.watch_only(prefix, after, None).await
    }

    /// Watches as [`Store::watch`] does, narrowed by an index.
    async fn watch_only(
        &self,
        prefix: Bytes,
        after: Revision,
        only: Option<Only>,
    ) -> Result<Box<dyn Watch>, ReadError>;

    /// Forgets history older than `revision`; what stands at `revision` can still be read.
    async fn compact(&self, revision: Revision) -> Result<(), ReadError>;

    /// The newest durable revision.
    fn revision(&self) -> Revision;

    /// How many bytes the store's files have; none if it has no files of its own.
    fn size(&self) -> Option<u64> {
        None
    }
}

/// The first key after all keys that begin with `prefix`.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return Bytes::from(end);
        }
    }
    Bytes::from_static(b"\xff")
}
