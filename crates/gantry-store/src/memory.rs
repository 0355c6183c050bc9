//! The backend that keeps nothing: for tests, and for clusters meant to be thrown away.

use crate::plan::{Op, Plan};
use crate::reader::Core;
use crate::retention::{Limits, Retention};
use crate::state::State;
use crate::{
    Entry, Event, Only, Precondition, RangeRequest, RangeResult, ReadError, Revision, Store, Watch,
    WriteError,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A store that lives and dies with the process.
pub struct Memory {
    core: Arc<Core>,
    retention: Mutex<Retention>,
}

impl Memory {
    /// An empty store, at revision 1.
    pub fn new() -> Memory {
        Memory::with_limits(Limits {
            bytes: 64 << 20,
            ..Limits::default()
        })
    }

    /// An empty store that keeps this much history.
    pub fn with_limits(limits: Limits) -> Memory {
        Memory {
            core: Core::new(State::new(1, 0, u64::MAX, true), None),
            retention: Mutex::new(Retention::new(limits, Instant::now())),
        }
    }

    fn write(&self, op: Op) -> Result<Option<Arc<Event>>, WriteError> {
        // Held throughout, so that one write is published before the next is made.
        let mut retention = self.retention.lock().unwrap_or_else(PoisonError::into_inner);
        let mut plan = Plan::default();
        let event = plan.add(&self.core.read(), op)?;
        self.core.apply(&plan.events);
        let mut state = self.core.write();
        if let Some(at) = retention.due(Instant::now(), &state) {
            state
                .compact(at)
                .map_err(|e| WriteError::Backend(e.to_string()))?;
        }
        Ok(event)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Memory::new()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.core.hub().close();
    }
}

#[async_trait]
impl Store for Memory {
    async fn put(&self, key: Bytes, value: Bytes, pre: Option<Precondition>) -> Result<Entry, WriteError> {
        let event = self.write(Op::Put { key, value, pre })?;
        event
            .map(|e| e.entry.clone())
            .ok_or_else(|| WriteError::Backend("a put made no event".into()))
    }

    async fn delete(&self, key: Bytes, pre: Option<Precondition>) -> Result<Option<Arc<Event>>, WriteError> {
        self.write(Op::Delete { key, pre })
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, ReadError> {
        Ok(self.core.get(key))
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResult, ReadError> {
        self.core.range(&request)
    }

    async fn watch_only(
        &self,
        prefix: Bytes,
        after: Revision,
        only: Option<Only>,
    ) -> Result<Box<dyn Watch>, ReadError> {
        self.core.watch(prefix, after, only)
    }

    async fn compact(&self, revision: Revision) -> Result<(), ReadError> {
        self.core.write().compact(revision).map(drop)
    }

    fn revision(&self) -> Revision {
        self.core.read().revision
    }
}
