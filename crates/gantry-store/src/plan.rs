//! Writes that are decided but not committed yet.

use crate::state::State;
use crate::{Entry, Event, EventKind, Precondition, WriteError};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// A write, before it is known whether it may happen.
#[derive(Clone)]
pub(crate) enum Op {
    Put {
        key: Bytes,
        value: Bytes,
        pre: Option<Precondition>,
    },
    Delete {
        key: Bytes,
        pre: Option<Precondition>,
    },
}

impl Op {
    pub(crate) fn is_put(&self) -> bool {
        matches!(self, Op::Put { .. })
    }

    /// The bytes it carries.
    pub(crate) fn len(&self) -> usize {
        match self {
            Op::Put { key, value, .. } => key.len() + value.len(),
            Op::Delete { key, .. } => key.len(),
        }
    }
}

/// Each write sees those decided before it; readers see none of them.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) events: Vec<Arc<Event>>,
    latest: HashMap<Bytes, Option<Entry>>,
    size: u64,
}

impl Plan {
    /// Decides one write against the state and the plan so far. `None`: a delete of nothing.
    pub(crate) fn add(&mut self, state: &State, op: Op) -> Result<Option<Arc<Event>>, WriteError> {
        let (key, value, pre) = match op {
            Op::Put { key, value, pre } => (key, Some(value), pre),
            Op::Delete { key, pre } => (key, None, pre),
        };
        let current = match self.latest.get(&key) {
            Some(pending) => pending.clone(),
            None => state.get(&key),
        };
        let holds = match pre {
            None => true,
            Some(Precondition::Absent) => current.is_none(),
            Some(Precondition::ModRevision(r)) => current.as_ref().is_some_and(|e| e.mod_revision == r),
        };
        if !holds {
            return Err(WriteError::Precondition { current });
        }
        // The key's bytes as they are held already, not one more copy.
        let key = current.as_ref().map_or(key, |e| e.key.clone());
        let mod_revision = state.revision + self.events.len() as u64 + 1;
        let (kind, entry) = match value {
            Some(value) => {
                let entry = Entry {
                    key,
                    value,
                    create_revision: current.as_ref().map_or(mod_revision, |e| e.create_revision),
                    mod_revision,
                    version: current.as_ref().map_or(1, |e| e.version + 1),
                };
                (EventKind::Put, entry)
            }
            None if current.is_none() => return Ok(None),
            None => {
                let gone = Entry {
                    key,
                    value: Bytes::new(),
                    create_revision: 0,
                    mod_revision,
                    version: 0,
                };
                (EventKind::Delete, gone)
            }
        };
        let (size, cost) = (state.size() + self.size, state.cost_of(&entry.key, &entry.value));
        if kind == EventKind::Put && size.saturating_add(cost) > state.limit() {
            return Err(WriteError::Full {
                size,
                limit: state.limit(),
            });
        }
        self.size += cost;
        self.latest
            .insert(entry.key.clone(), (kind == EventKind::Put).then(|| entry.clone()));
        let event = Arc::new(Event::new(kind, entry, current));
        self.events.push(event.clone());
        Ok(Some(event))
    }
}
