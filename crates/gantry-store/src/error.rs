//! Why the store refuses.

use crate::{Entry, Revision};

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
    #[error(
        "database space exceeded: objects and their history use about {size} of {limit} bytes; delete objects, which still works, or raise the limit"
    )]
    Full {
        /// Bytes in use, as estimated from what is kept.
        size: u64,
        /// What they may use.
        limit: u64,
    },
    /// The database of the etcd below reached its quota.
    #[error(
        "etcdserver: mvcc: database space exceeded; raise etcd's quota, or compact and defragment it, then disarm its alarm"
    )]
    Quota,
    /// The backend failed; the write may or may not have happened.
    #[error("the store cannot write: {0}")]
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
    #[error("the store cannot read: {0}")]
    Backend(String),
}
