//! The disk: a log of what was written, in files of about a size, oldest first. In memory stands where each kept revision
//! is. Here it is read; `appender.rs` writes it.

use super::folder::LogFile;
use super::segment;
use crate::reader::Records;
use crate::{Entry, ReadError, Revision};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Where a record is: the file's number, and the offset within it in units of eight bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u64);

impl Place {
    const OFFSET_BITS: u32 = 32;

    pub(super) fn new(number: u64, offset: u64) -> Place {
        Place((number << Place::OFFSET_BITS) | (offset / 8))
    }

    fn number(self) -> u64 {
        self.0 >> Place::OFFSET_BITS
    }

    fn offset(self) -> u64 {
        (self.0 & ((1 << Place::OFFSET_BITS) - 1)) * 8
    }
}

pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) file: Arc<dyn LogFile>,
    /// Where its batches end.
    pub(super) end: u64,
    /// How long the file is.
    pub(super) len: u64,
}

/// What is on the disk.
#[derive(Default)]
pub(super) struct Parts {
    /// The last is the one that is written.
    pub(super) segments: VecDeque<Segment>,
    pub(super) places: BTreeMap<Revision, Place>,
}

impl Parts {
    pub(super) fn len(&self) -> u64 {
        self.segments.iter().map(|s| s.len).sum()
    }

    fn file(&self, number: u64) -> Option<Arc<dyn LogFile>> {
        let first = self.segments.front()?.number;
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        Some(self.segments.get(at)?.file.clone())
    }

    /// Takes in a batch of a file.
    pub(super) fn note(
        &mut self,
        number: u64,
        puts: impl Iterator<Item = (Revision, u64)>,
        erased: &[Revision],
    ) {
        for (revision, offset) in puts {
            self.places.insert(revision, Place::new(number, offset));
        }
        for revision in erased {
            self.places.remove(revision);
        }
    }
}

/// The log, to read from.
pub(super) struct Log {
    pub(super) path: PathBuf,
    pub(super) parts: RwLock<Parts>,
}

impl Log {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Parts> {
        self.parts.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Parts> {
        self.parts.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn say(&self, error: &io::Error) -> String {
        let path = self.path.display();
        match error.kind() {
            io::ErrorKind::StorageFull => {
                format!("no space is left on the disk of {path}: free some; writing goes on by itself")
            }
            _ => format!("{path}: {error}"),
        }
    }

    /// The record of a revision that is kept; none if compaction came first.
    pub(super) fn entry(&self, revision: Revision) -> Result<Option<Entry>, String> {
        let found = {
            let parts = self.read();
            let place = parts.places.get(&revision);
            place.and_then(|place| Some((parts.file(place.number())?, place.offset())))
        };
        let Some((file, offset)) = found else {
            return Ok(None);
        };
        match segment::read_record(&*file, offset, revision).map_err(|e| self.say(&e))? {
            Some(entry) => Ok(Some(entry)),
            None => Err(format!("{}: {}", self.path.display(), damaged(revision))),
        }
    }
}

pub(super) fn damaged(revision: Revision) -> String {
    format!("the record of revision {revision} is missing or damaged")
}

impl Records for Log {
    fn values(&self, revisions: &[Revision]) -> Result<Vec<Option<Bytes>>, ReadError> {
        let value = |revision: &Revision| Ok(self.entry(*revision)?.map(|entry| entry.value));
        revisions
            .iter()
            .map(value)
            .collect::<Result<_, _>>()
            .map_err(ReadError::Backend)
    }
}
