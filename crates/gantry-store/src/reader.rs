//! Reading, for all backends: the state in memory, with what history holds on disk filled in.

use crate::hub::{Hub, Registered, covers};
use crate::state::{Side, State};
use crate::{Entry, Event, Events, Only, RangeRequest, RangeResult, ReadError, Revision, Watch};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Events handed over at once.
const CHUNK: usize = 256;
/// Revisions looked at under one lock.
const LOOK: usize = 8192;

/// Where the values of history are.
pub(crate) trait Records: Send + Sync {
    /// The values written at these revisions; `None` where compaction came first.
    fn values(&self, revisions: &[Revision]) -> Result<Vec<Option<Bytes>>, ReadError>;
}

/// The committed state, its watchers, and where the values of history are if it does not hold them itself.
///
/// Who takes both locks takes the hub's first.
pub(crate) struct Core {
    state: RwLock<State>,
    hub: Mutex<Hub>,
    records: Option<Arc<dyn Records>>,
}

impl Core {
    pub(crate) fn new(state: State, records: Option<Arc<dyn Records>>) -> Arc<Core> {
        Arc::new(Core {
            hub: Mutex::new(Hub::new(state.revision)),
            state: RwLock::new(state),
            records,
        })
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes committed events visible to readers, then to watchers. Only one thread at a time may.
    pub(crate) fn apply(&self, events: &[Arc<Event>]) {
        self.write().apply(events);
        self.hub().publish(events);
    }

    /// Says that everything up to a revision is visible, though the last revisions changed nothing here.
    pub(crate) fn advance(&self, revision: Revision) {
        self.write().revision = revision;
        self.hub().advance(revision);
    }

    /// Puts another state in place of this one, with which no watch can go on: all end.
    pub(crate) fn replace(&self, state: State) {
        let mut hub = self.hub();
        hub.close();
        hub.advance(state.revision);
        *self.write() = state;
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Entry> {
        self.read().get(key)
    }

    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResult, ReadError> {
        let (mut result, missing) = self.read().range(request)?;
        let revisions: Vec<_> = missing.iter().map(|m| m.revision).collect();
        for (missing, value) in missing.iter().zip(self.values(&revisions, request.revision)?) {
            result.entries[missing.place].value = value;
        }
        Ok(result)
    }

    /// The values of history, or that compaction came first to one of them.
    fn values(&self, revisions: &[Revision], at: Option<Revision>) -> Result<Vec<Bytes>, ReadError> {
        let Some(records) = self.records.as_ref().filter(|_| !revisions.is_empty()) else {
            return Ok(Vec::new());
        };
        let found = records.values(revisions)?;
        let compacted = || ReadError::Compacted {
            requested: at.unwrap_or_default(),
            oldest: self.read().compacted,
        };
        found.into_iter().map(|v| v.ok_or_else(compacted)).collect()
    }

    /// Starts a watch. History is told up to the revision that stands when it is registered; what is published later but
    /// is not newer is left out. So there is neither gap nor duplicate.
    pub(crate) fn watch(
        self: &Arc<Self>,
        prefix: Bytes,
        after: Revision,
        only: Option<Only>,
    ) -> Result<Box<dyn Watch>, ReadError> {
        let mut hub = self.hub();
        let state = self.read();
        state.check_kept(after)?;
        let until = state.revision;
        Ok(Box::new(Stream {
            core: self.clone(),
            cursor: after,
            until,
            registered: hub.register(prefix, after.max(until), only),
        }))
    }

    /// A part of history after `cursor`, and how far it reaches.
    fn past(
        &self,
        prefix: &[u8],
        cursor: Revision,
        until: Revision,
    ) -> Result<(Vec<Arc<Event>>, Revision), ReadError> {
        let mut past = self
            .read()
            .past(cursor, until, (CHUNK, LOOK), |key| covers(prefix, key))?;
        let revisions: Vec<_> = past.missing.iter().map(|m| m.revision).collect();
        let values = self.values(&revisions, Some(cursor))?;
        for (missing, value) in past.missing.iter().zip(values) {
            match missing.place {
                Side::New(at) => past.events[at].entry.value = value,
                Side::Old(at) => {
                    if let Some(prev) = &mut past.events[at].prev {
                        prev.value = value;
                    }
                }
            }
        }
        Ok((past.events.into_iter().map(Arc::new).collect(), past.seen))
    }
}

/// A watch: first history, read as the watcher comes along, then what its buffer receives.
struct Stream {
    core: Arc<Core>,
    cursor: Revision,
    until: Revision,
    registered: Registered,
}

#[async_trait]
impl Watch for Stream {
    async fn next(&mut self) -> Result<Option<Events>, ReadError> {
        while self.cursor < self.until {
            let (events, seen) = self.core.past(&self.registered.prefix, self.cursor, self.until)?;
            self.cursor = seen;
            if !events.is_empty() {
                return Ok(Some(events.into()));
            }
            tokio::task::yield_now().await;
        }
        self.registered.next(CHUNK).await
    }

    fn progress(&self) -> Option<Revision> {
        // Nothing is published while the lock is held, so none is on its way.
        let hub = self.core.hub();
        let idle = self.cursor >= self.until && self.registered.is_idle();
        idle.then(|| hub.published())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.core.hub().remove(&self.registered);
    }
}
