//! The committed state both backends share: every kept version of every key, and the watchers.

use crate::hub::Hub;
use crate::{
    Entry, Event, EventKind, Precondition, RangeRequest, RangeResult, ReadError, Revision, Watch, WriteError,
};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

/// What one record costs besides its key and value; an estimate.
const OVERHEAD: u64 = 64;

/// A write, before it is known whether it may happen.
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

/// The committed state. A version with `version == 0` is a tombstone.
pub(crate) struct State {
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
    keys: BTreeMap<Bytes, Vec<Entry>>,
    /// Which key each kept revision touched.
    log: BTreeMap<Revision, Bytes>,
    size: u64,
    limit: u64,
    hub: Hub,
}

fn cost(entry: &Entry) -> u64 {
    (entry.key.len() + entry.value.len()) as u64 + OVERHEAD
}

impl State {
    pub(crate) fn new(revision: Revision, compacted: Revision, limit: u64) -> State {
        State {
            revision,
            compacted,
            keys: BTreeMap::new(),
            log: BTreeMap::new(),
            size: 0,
            limit,
            hub: Hub::default(),
        }
    }

    /// Adds a version read from disk or just committed; they must come in order of revision.
    pub(crate) fn insert(&mut self, entry: Entry) {
        self.size += cost(&entry);
        self.log.insert(entry.mod_revision, entry.key.clone());
        self.keys.entry(entry.key.clone()).or_default().push(entry);
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.keys
            .get(key)
            .and_then(|v| v.last())
            .filter(|e| e.version > 0)
    }

    /// Makes committed events visible to readers, then to watchers.
    pub(crate) fn apply(&mut self, events: &[Event]) {
        for event in events {
            self.revision = event.entry.mod_revision;
            self.insert(event.entry.clone());
        }
        self.hub.publish(events);
    }

    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResult, ReadError> {
        let at = request.revision.unwrap_or(self.revision);
        self.check(at)?;
        let mut result = RangeResult {
            entries: Vec::new(),
            count: 0,
            revision: self.revision,
        };
        if request.start >= request.end {
            return Ok(result);
        }
        for versions in self
            .keys
            .range(request.start.clone()..request.end.clone())
            .map(|(_, v)| v)
        {
            let seen = versions.partition_point(|e| e.mod_revision <= at);
            let Some(entry) = seen
                .checked_sub(1)
                .map(|i| &versions[i])
                .filter(|e| e.version > 0)
            else {
                continue;
            };
            result.count += 1;
            if request.limit == 0 || result.entries.len() < request.limit {
                result.entries.push(entry.clone());
            }
        }
        Ok(result)
    }

    fn check(&self, at: Revision) -> Result<(), ReadError> {
        if at > self.revision {
            return Err(ReadError::Future {
                requested: at,
                current: self.revision,
            });
        }
        if at < self.compacted {
            return Err(ReadError::Compacted {
                requested: at,
                oldest: self.compacted,
            });
        }
        Ok(())
    }

    /// Starts a watch. History is read under the lock that registers, so there is neither gap nor duplicate.
    pub(crate) fn watch(&mut self, prefix: Bytes, after: Revision) -> Result<Box<dyn Watch>, ReadError> {
        if after < self.compacted {
            return Err(ReadError::Compacted {
                requested: after,
                oldest: self.compacted,
            });
        }
        let backlog = self
            .log
            .range((Bound::Excluded(after), Bound::Unbounded))
            .filter(|(_, key)| key.starts_with(&prefix))
            .filter_map(|(revision, key)| self.event(*revision, key))
            .collect();
        Ok(self.hub.register(prefix, after, backlog))
    }

    fn event(&self, revision: Revision, key: &Bytes) -> Option<Event> {
        let versions = self.keys.get(key)?;
        let at = versions
            .binary_search_by_key(&revision, |e| e.mod_revision)
            .ok()?;
        let entry = versions[at].clone();
        let kind = if entry.version == 0 {
            EventKind::Delete
        } else {
            EventKind::Put
        };
        let prev = at
            .checked_sub(1)
            .map(|i| versions[i].clone())
            .filter(|e| e.version > 0);
        Some(Event { kind, entry, prev })
    }

    /// The revisions a compaction at `at` makes unreadable: superseded versions and tombstones up to it.
    pub(crate) fn doomed(&self, at: Revision) -> Result<Vec<Revision>, ReadError> {
        self.check(at)?;
        let mut doomed = Vec::new();
        for versions in self.keys.values() {
            let old = &versions[..versions.partition_point(|e| e.mod_revision <= at)];
            let Some((base, superseded)) = old.split_last() else {
                continue;
            };
            doomed.extend(superseded.iter().map(|e| e.mod_revision));
            if base.version == 0 {
                doomed.push(base.mod_revision);
            }
        }
        Ok(doomed)
    }

    /// Carries out a compaction whose `doomed` revisions are gone from disk.
    pub(crate) fn compact(&mut self, at: Revision, doomed: &[Revision]) {
        self.compacted = at;
        for revision in doomed {
            let Some(key) = self.log.remove(revision) else {
                continue;
            };
            let Some(versions) = self.keys.get_mut(&key) else {
                continue;
            };
            if let Ok(i) = versions.binary_search_by_key(revision, |e| e.mod_revision) {
                self.size -= cost(&versions.remove(i));
            }
            if versions.is_empty() {
                self.keys.remove(&key);
            }
        }
    }
}

/// Writes decided but not yet committed: each sees those before it, readers see none of them.
pub(crate) struct Plan {
    pub(crate) events: Vec<Event>,
    latest: HashMap<Bytes, Option<Entry>>,
    size: u64,
}

impl Plan {
    pub(crate) fn new() -> Plan {
        Plan {
            events: Vec::new(),
            latest: HashMap::new(),
            size: 0,
        }
    }

    /// Decides one write against the state and the plan so far. `None`: a delete of nothing.
    pub(crate) fn add(&mut self, state: &State, op: Op) -> Result<Option<Event>, WriteError> {
        let (key, value, pre) = match op {
            Op::Put { key, value, pre } => (key, Some(value), pre),
            Op::Delete { key, pre } => (key, None, pre),
        };
        let current = match self.latest.get(&key) {
            Some(pending) => pending.clone(),
            None => state.get(&key).cloned(),
        };
        let holds = match pre {
            None => true,
            Some(Precondition::Absent) => current.is_none(),
            Some(Precondition::ModRevision(r)) => current.as_ref().is_some_and(|e| e.mod_revision == r),
        };
        if !holds {
            return Err(WriteError::Precondition { current });
        }
        let revision = state.revision + self.events.len() as u64 + 1;
        let (kind, entry) = match value {
            Some(value) => {
                let create_revision = current.as_ref().map_or(revision, |e| e.create_revision);
                let version = current.as_ref().map_or(1, |e| e.version + 1);
                (
                    EventKind::Put,
                    Entry {
                        key,
                        value,
                        create_revision,
                        mod_revision: revision,
                        version,
                    },
                )
            }
            None if current.is_none() => return Ok(None),
            None => {
                let gone = Entry {
                    key,
                    value: Bytes::new(),
                    create_revision: 0,
                    mod_revision: revision,
                    version: 0,
                };
                (EventKind::Delete, gone)
            }
        };
        let size = state.size + self.size;
        if kind == EventKind::Put && size + cost(&entry) > state.limit {
            return Err(WriteError::Full {
                size,
                limit: state.limit,
            });
        }
        self.size += cost(&entry);
        self.latest
            .insert(entry.key.clone(), (kind == EventKind::Put).then(|| entry.clone()));
        let event = Event {
            kind,
            entry,
            prev: current,
        };
        self.events.push(event.clone());
        Ok(Some(event))
    }
}
