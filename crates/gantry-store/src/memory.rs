//! The backend that keeps nothing: for tests, and for clusters meant to be thrown away.

use crate::mvcc::{Op, Plan, State};
use crate::{
    Entry, Event, Precondition, RangeRequest, RangeResult, ReadError, Revision, Store, Watch, WriteError,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A store that lives and dies with the process.
pub struct Memory {
    state: Mutex<State>,
}

impl Memory {
    /// An empty store, at revision 1.
    pub fn new() -> Memory {
        Memory {
            state: Mutex::new(State::new(1, 0, u64::MAX)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, op: Op) -> Result<Option<Event>, WriteError> {
        let mut state = self.lock();
        let mut plan = Plan::new();
        let event = plan.add(&state, op)?;
        state.apply(&plan.events);
        Ok(event)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Memory::new()
    }
}

#[async_trait]
impl Store for Memory {
    async fn put(&self, key: Bytes, value: Bytes, pre: Option<Precondition>) -> Result<Entry, WriteError> {
        let event = self.write(Op::Put { key, value, pre })?;
        event
            .map(|e| e.entry)
            .ok_or_else(|| WriteError::Backend("a put made no event".into()))
    }

    async fn delete(&self, key: Bytes, pre: Option<Precondition>) -> Result<Option<Event>, WriteError> {
        self.write(Op::Delete { key, pre })
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, ReadError> {
        Ok(self.lock().get(key).cloned())
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResult, ReadError> {
        self.lock().range(&request)
    }

    async fn watch(&self, prefix: Bytes, after: Revision) -> Result<Box<dyn Watch>, ReadError> {
        self.lock().watch(prefix, after)
    }

    async fn compact(&self, revision: Revision) -> Result<(), ReadError> {
        let mut state = self.lock();
        let doomed = state.doomed(revision)?;
        state.compact(revision, &doomed);
        Ok(())
    }

    fn revision(&self) -> Revision {
        self.lock().revision
    }
}
