//! The store: keys, bytes and revisions, with etcd's semantics behind one narrow trait.
//!
//! There is one monotonic revision for the whole store. Every successful write takes the next one. A key
//! remembers the revision that created it, the one that changed it last, and how many writes it has seen since
//! it was created. History is kept until it is compacted, so that a range can be read as of a past revision and
//! a watch can start from one. Start reading at [`Store`]; every backend passes the same suite.

mod embedded;
mod hub;
mod memory;
mod mvcc;

pub use embedded::{Embedded, OpenError};
pub use memory::Memory;

use async_trait::async_trait;
use bytes::Bytes;

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

/// One change to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether the key was written or deleted.
    pub kind: EventKind,
    /// The key after the change.
    pub entry: Entry,
    /// The key before the change; `None` when the change created it.
    pub prev: Option<Entry>,
}

/// The two kinds of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The key was created or replaced.
    Put,
    /// The key was removed.
    Delete,
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
}

/// The answer to a [`RangeRequest`], in key order.
#[derive(Clone, Debug)]
pub struct RangeResult {
    /// The entries found.
    pub entries: Vec<Entry>,
    /// How many keys the whole range holds at that revision, whatever the limit was.
    pub count: usize,
    /// The store's newest revision when the range was read.
    pub revision: Revision,
}

/// Why a write was refused.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The precondition did not hold. `current` is the key as it stands, if it exists.
    #[error("the key does not stand as the write demanded")]
    Precondition {
        /// The key as it stands; `None` if it does not exist.
        current: Option<Entry>,
    },
    /// The store reached its size ceiling.
    #[error("the store is full ({size} of {limit} bytes): delete objects, or raise the limit")]
    Full {
        /// Bytes in use.
        size: u64,
        /// The ceiling.
        limit: u64,
    },
    /// The backend failed; the write may or may not have happened.
    #[error("the store failed to write: {0}")]
    Backend(String),
}

/// Why a read was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The revision asked for was compacted away.
    #[error("revision {requested} was compacted; the oldest kept is {oldest}")]
    Compacted {
        /// The revision asked for.
        requested: Revision,
        /// The oldest revision that can still be read.
        oldest: Revision,
    },
    /// The revision asked for has not happened yet.
    #[error("revision {requested} is in the future; the newest is {current}")]
    Future {
        /// The revision asked for.
        requested: Revision,
        /// The newest revision.
        current: Revision,
    },
    /// A watcher fell too far behind and was closed; start again from a list.
    #[error("the watcher was too slow and was closed")]
    Lagged,
    /// The backend failed.
    #[error("the store failed to read: {0}")]
    Backend(String),
}

/// A running watch. Dropping it ends it.
#[async_trait]
pub trait Watch: Send {
    /// The next events, all of one or more whole revisions, in order. `Ok(None)` when the store closed.
    async fn next(&mut self) -> Result<Option<Vec<Event>>, ReadError>;
}

/// A key-value store with etcd's revision semantics.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes a key. Returns it as it now stands, once the write is durable.
    async fn put(&self, key: Bytes, value: Bytes, pre: Option<Precondition>) -> Result<Entry, WriteError>;

    /// Deletes a key. Returns the delete event's entry with the key's last value in `prev`, once durable;
    /// `Ok(None)` when there was no such key and the write demanded nothing.
    async fn delete(&self, key: Bytes, pre: Option<Precondition>) -> Result<Option<Event>, WriteError>;

    /// Reads one key as it stands.
    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, ReadError>;

    /// Reads a range of keys.
    async fn range(&self, request: RangeRequest) -> Result<RangeResult, ReadError>;

    /// Watches all keys that begin with `prefix`: every event with a revision greater than `after`, in order.
    async fn watch(&self, prefix: Bytes, after: Revision) -> Result<Box<dyn Watch>, ReadError>;

    /// Forgets history older than `revision`; what stands at `revision` can still be read.
    async fn compact(&self, revision: Revision) -> Result<(), ReadError>;

    /// The newest durable revision.
    fn revision(&self) -> Revision;
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
