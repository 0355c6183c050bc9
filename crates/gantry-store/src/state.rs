//! The committed state both backends share: the index of every kept version of every key.
//!
//! The newest version of a key holds its value: this is the process's one copy of the cluster's state, handed out by
//! reference. What older versions held is read from disk when somebody asks, unless there is no disk.

use crate::{Entry, Event, EventKind, RangeRequest, RangeResult, ReadError, Revision, WriteError};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// What a version takes on disk besides key and value.
const RECORD_HEAD: usize = 45;

/// One version of a key; `version == 0` is a tombstone.
struct Version {
    create_revision: Revision,
    mod_revision: Revision,
    version: u64,
    cost: u64,
    /// `None` once it is history and on disk.
    value: Option<Bytes>,
}

/// The kept versions of a key, oldest first.
struct Versions {
    older: Vec<Version>,
    newest: Version,
}

impl Versions {
    fn iter(&self) -> impl DoubleEndedIterator<Item = &Version> {
        self.older.iter().chain([&self.newest])
    }

    /// The version that stood at a revision.
    fn at(&self, revision: Revision) -> Option<&Version> {
        self.iter().rev().find(|v| v.mod_revision <= revision)
    }
}

/// A value that is on disk: where it belongs, and the revision that wrote it.
pub(crate) struct Missing<P> {
    pub(crate) place: P,
    pub(crate) revision: Revision,
}

/// Which entry of an event lacks its value.
pub(crate) enum Side {
    New(usize),
    Old(usize),
}

/// A part of history, on the way to a watcher.
pub(crate) struct Past {
    pub(crate) events: Vec<Event>,
    pub(crate) missing: Vec<Missing<Side>>,
    /// The last revision looked at.
    pub(crate) seen: Revision,
}

/// The committed state.
pub(crate) struct State {
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
    keys: BTreeMap<Bytes, Versions>,
    /// What each revision after `compacted` touched, in order. In etcd, revisions may touch no key of ours, or several.
    log: VecDeque<(Revision, Bytes)>,
    live: u64,
    history: u64,
    limit: u64,
    keep_old: bool,
}

/// What a version takes on disk.
pub(crate) fn cost(key: usize, value: usize) -> u64 {
    (RECORD_HEAD + key + value).next_multiple_of(8) as u64
}

impl State {
    /// An empty state. `keep_old` keeps the values of history in memory.
    pub(crate) fn new(revision: Revision, compacted: Revision, limit: u64, keep_old: bool) -> State {
        State {
            revision,
            // There is no history before the empty store's revision.
            compacted: compacted.max(1),
            keys: BTreeMap::new(),
            log: VecDeque::new(),
            live: 0,
            history: 0,
            limit,
            keep_old,
        }
    }

    /// How many changes history holds.
    pub(crate) fn events(&self) -> usize {
        self.log.len()
    }

    /// The revision at the middle of history.
    pub(crate) fn middle(&self) -> Revision {
        let change = self.log.get(self.log.len().saturating_sub(1) / 2);
        change.map_or(self.compacted, |(revision, _)| *revision)
    }

    /// About how many bytes on disk only history needs.
    pub(crate) fn history(&self) -> u64 {
        self.history
    }

    /// About how many bytes are in use on disk.
    pub(crate) fn size(&self) -> u64 {
        self.live + self.history
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The refusal of a write for which there is no room.
    pub(crate) fn full(&self) -> WriteError {
        WriteError::Full {
            size: self.size(),
            limit: self.limit,
        }
    }

    /// Whether history should make room.
    pub(crate) fn is_pressed(&self) -> bool {
        self.history > 0 && self.size() >= self.limit - self.limit / 8
    }

    /// What writing an entry would add.
    pub(crate) fn cost_of(&self, key: &[u8], value: &[u8]) -> u64 {
        cost(key.len(), value.len())
    }

    /// Adds a version read from disk, in order of revision. Returns the one it supersedes if compaction should have
    /// erased that, or its own revision if that is a tombstone compaction should have erased.
    pub(crate) fn load(&mut self, entry: Entry) -> Vec<Revision> {
        let mut doomed = Vec::new();
        let (key, revision) = (entry.key.clone(), entry.mod_revision);
        let tombstone = entry.version == 0;
        if revision > self.compacted {
            self.log.push_back((revision, self.shared_key(&key)));
        }
        self.insert(entry);
        if revision <= self.compacted {
            if let Some(versions) = self.keys.get_mut(&key) {
                for old in versions.older.drain(..) {
                    self.history -= old.cost;
                    doomed.push(old.mod_revision);
                }
            }
            if tombstone {
                if let Some(gone) = self.keys.remove(&key) {
                    self.history -= gone.newest.cost;
                }
                doomed.push(revision);
            }
        }
        doomed
    }

    /// The key as it is held already, so that its bytes are held once.
    fn shared_key(&self, key: &Bytes) -> Bytes {
        self.keys.get_key_value(key).map_or(key, |(k, _)| k).clone()
    }

    fn insert(&mut self, entry: Entry) {
        let cost = cost(entry.key.len(), entry.value.len());
        let tombstone = entry.version == 0;
        let version = Version {
            create_revision: entry.create_revision,
            mod_revision: entry.mod_revision,
            version: entry.version,
            cost,
            value: Some(entry.value),
        };
        match tombstone {
            true => self.history += cost,
            false => self.live += cost,
        }
        match self.keys.get_mut(&entry.key) {
            None => {
                self.keys.insert(
                    entry.key,
                    Versions {
                        older: Vec::new(),
                        newest: version,
                    },
                );
            }
            Some(versions) => {
                let mut old = std::mem::replace(&mut versions.newest, version);
                if old.version > 0 {
                    self.live -= old.cost;
                    self.history += old.cost;
                    if !self.keep_old {
                        old.value = None;
                    }
                }
                versions.older.push(old);
            }
        }
    }

    /// The key as it stands.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Entry> {
        let (key, versions) = self.keys.get_key_value(key)?;
        (versions.newest.version > 0).then(|| entry(key, &versions.newest).0)
    }

    /// Takes in committed events.
    pub(crate) fn apply(&mut self, events: &[Arc<Event>]) {
        for event in events {
            self.revision = event.entry.mod_revision;
            self.log
                .push_back((event.entry.mod_revision, event.entry.key.clone()));
            self.insert(event.entry.clone());
        }
    }

    /// Reads a range, but for the values that are on disk.
    pub(crate) fn range(
        &self,
        request: &RangeRequest,
    ) -> Result<(RangeResult, Vec<Missing<usize>>), ReadError> {
        let at = request.revision.unwrap_or(self.revision);
        self.check(at)?;
        let mut missing = Vec::new();
        let mut result = RangeResult {
            entries: Vec::new(),
            count: None,
            more: false,
            revision: self.revision,
        };
        let mut count = 0;
        let range = (request.start < request.end).then(|| {
            let bounds = (
                Bound::Included(&request.start[..]),
                Bound::Excluded(&request.end[..]),
            );
            self.keys.range::<[u8], _>(bounds)
        });
        for (key, versions) in range.into_iter().flatten() {
            let Some(version) = versions.at(at).filter(|v| v.version > 0) else {
                continue;
            };
            count += 1;
            if request.limit > 0 && count > request.limit {
                result.more = true;
                match request.count {
                    true => continue,
                    false => break,
                }
            }
            let (found, complete) = entry(key, version);
            if !complete {
                missing.push(Missing {
                    place: result.entries.len(),
                    revision: version.mod_revision,
                });
            }
            result.entries.push(found);
        }
        result.count = request.count.then_some(count);
        Ok((result, missing))
    }

    /// Whether a revision can be read.
    pub(crate) fn check(&self, at: Revision) -> Result<(), ReadError> {
        if at > self.revision {
            return Err(ReadError::Future {
                requested: at,
                current: self.revision,
            });
        }
        self.check_kept(at)
    }

    /// Whether what followed a revision can still be told.
    pub(crate) fn check_kept(&self, at: Revision) -> Result<(), ReadError> {
        match at < self.compacted {
            true => Err(ReadError::Compacted {
                requested: at,
                oldest: self.compacted,
            }),
            false => Ok(()),
        }
    }

    /// What happened after one revision up to another to the keys that are wanted: at most `found` events, after a
    /// look at no more than `looked` revisions.
    pub(crate) fn past(
        &self,
        after: Revision,
        until: Revision,
        (found, looked): (usize, usize),
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Past, ReadError> {
        self.check_kept(after)?;
        let mut past = Past {
            events: Vec::new(),
            missing: Vec::new(),
            seen: after,
        };
        let until = until.min(self.revision);
        let start = self.log.partition_point(|(revision, _)| *revision <= after);
        for (n, (revision, key)) in self.log.range(start..).enumerate() {
            if *revision > until {
                break;
            }
            // Whole revisions only.
            if *revision > past.seen && (n >= looked || past.events.len() >= found) {
                return Ok(past);
            }
            past.seen = *revision;
            if wanted(key) {
                self.push_event(*revision, key, &mut past);
            }
        }
        past.seen = until.max(after);
        Ok(past)
    }

    fn push_event(&self, revision: Revision, key: &Bytes, past: &mut Past) {
        let place = past.events.len();
        let mut old = None;
        let Some(versions) = self.keys.get(key) else {
            return;
        };
        for version in versions.iter() {
            if version.mod_revision < revision {
                old = Some(version);
                continue;
            }
            if version.mod_revision > revision {
                return;
            }
            let (new, complete) = entry(key, version);
            if !complete {
                let place = Side::New(place);
                past.missing.push(Missing { place, revision });
            }
            let prev = old.filter(|v| v.version > 0).map(|v| {
                let (prev, complete) = entry(key, v);
                if !complete {
                    past.missing.push(Missing {
                        place: Side::Old(place),
                        revision: v.mod_revision,
                    });
                }
                prev
            });
            let kind = match version.version {
                0 => EventKind::Delete,
                _ => EventKind::Put,
            };
            past.events.push(Event::new(kind, new, prev));
            return;
        }
    }

    /// Compacts at a revision. Returns the revisions whose records nobody can read any more, in order: versions that
    /// others had superseded by then, and tombstones up to it. It walks what changed, not what there is.
    pub(crate) fn compact(&mut self, at: Revision) -> Result<Vec<Revision>, ReadError> {
        self.check(at)?;
        let mut doomed = Vec::new();
        let end = self.log.partition_point(|(revision, _)| *revision <= at);
        for (_, key) in self.log.drain(..end) {
            let Some(versions) = self.keys.get_mut(&key) else {
                continue;
            };
            // The last version up to the revision is what can be read there.
            let last_is_newest = versions.newest.mod_revision <= at;
            let old = versions.older.partition_point(|v| v.mod_revision <= at);
            let superseded = if last_is_newest {
                old
            } else {
                old.saturating_sub(1)
            };
            for version in versions.older.drain(..superseded) {
                self.history -= version.cost;
                doomed.push(version.mod_revision);
            }
            if last_is_newest && versions.newest.version == 0 {
                self.history -= versions.newest.cost;
                doomed.push(versions.newest.mod_revision);
                self.keys.remove(&key);
            } else if let Some(base) = versions.older.first()
                && base.version == 0
                && base.mod_revision <= at
            {
                self.history -= base.cost;
                doomed.push(base.mod_revision);
                versions.older.remove(0);
            }
            if let Some(versions) = self.keys.get_mut(&key) {
                versions.older.shrink_to_fit();
            }
        }
        self.log.shrink_to(self.log.len() * 2);
        self.compacted = at;
        doomed.sort_unstable();
        Ok(doomed)
    }
}

/// A version as it is handed out, and whether its value is there.
fn entry(key: &Bytes, version: &Version) -> (Entry, bool) {
    let entry = Entry {
        key: key.clone(),
        value: version.value.clone().unwrap_or_default(),
        create_revision: version.create_revision,
        mod_revision: version.mod_revision,
        version: version.version,
    };
    (entry, version.value.is_some() || version.version == 0)
}
