//! Writes the log.
//!
//! A commit appends one batch and waits for one fdatasync. The file it goes to was filled with zeros before, so that the
//! disk need only write what is new, not where it is.
//!
//! Room comes back from the oldest file: what of it is still kept is appended once more, a little with each commit, and
//! then the file goes (`sweep`). Always the oldest goes first: that a revision was erased is written after the revision
//! itself, so it is still known for as long as the revision is on the disk.

use super::OpenError;
use super::folder::{Folder, LogFile};
use super::log::{Log, Parts, Place, Segment, damaged};
use super::segment::{self, BadHead, Builder, Found, Reader};
use crate::state::{State, cost};
use crate::{Event, Revision};
use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock};

/// A new file is begun once one is this long.
const SEGMENT: u64 = 16 << 20;
/// The smallest store has so many of them.
const SEGMENTS: u64 = 64;
/// So many are kept for deletions, and for what is moved before the file goes that it was in.
const RESERVE: u64 = 2;
/// A file is filled with zeros this far ahead.
const AHEAD: u64 = 1 << 20;
static ZEROS: [u8; AHEAD as usize] = [0; AHEAD as usize];
/// With each commit so much of the oldest file is looked through, or so many times what is committed if that is more.
const SWEEP: u64 = 256 << 10;
const SWEEP_TIMES: u64 = 4;
/// A larger buffer is not kept for the next batch.
const BUFFER: usize = 1 << 20;

/// One durable step.
pub(super) struct Batch<'a> {
    pub(super) events: &'a [Arc<Event>],
    pub(super) erase: &'a [Revision],
    pub(super) compacted: Revision,
    /// The newest revision before the events.
    pub(super) newest: Revision,
    /// What the records take that are to be kept.
    pub(super) used: u64,
}

/// The commit did not happen.
#[derive(Debug)]
pub(super) enum Failure {
    /// The files would have grown beyond their limit.
    Ceiling,
    /// Anything else, in words.
    Other(String),
}

impl Failure {
    pub(super) fn why(&self) -> String {
        match self {
            Failure::Ceiling => "the store reached its limit".into(),
            Failure::Other(why) => why.clone(),
        }
    }
}

/// What an open log holds.
pub(super) struct Opened {
    pub(super) log: Arc<Log>,
    pub(super) appender: Appender,
    pub(super) state: State,
    /// Revisions that a compaction had not got around to erase.
    pub(super) doomed: Vec<Revision>,
}

/// Writes the log. There is one.
pub(super) struct Appender {
    log: Arc<Log>,
    folder: Box<dyn Folder>,
    limit: u64,
    segment: u64,
    /// Up to where the oldest file was swept.
    swept: u64,
    /// Whether it goes with the next commit: nothing of it is kept there any more.
    empty: bool,
    buffer: Vec<u8>,
}

impl Appender {
    /// Opens the log that is in a folder, or begins one. Its files take at most `limit` bytes, of which records may fill
    /// `budget`.
    pub(super) fn open(
        folder: Box<dyn Folder>,
        path: &Path,
        limit: u64,
        budget: u64,
    ) -> Result<Opened, OpenError> {
        let log = Arc::new(Log {
            path: path.to_path_buf(),
            parts: RwLock::default(),
        });
        let mut appender = Appender {
            log: log.clone(),
            folder,
            limit,
            segment: SEGMENT.min(limit / SEGMENTS),
            swept: segment::HEAD,
            empty: false,
            buffer: Vec::new(),
        };
        let other = |reason: String| OpenError::Other {
            path: path.display().to_string(),
            reason,
        };
        let (newest, compacted) = appender.load()?;
        let mut state = State::new(newest, compacted, budget, false);
        let mut doomed = Vec::new();
        let revisions: Vec<Revision> = log.read().places.keys().copied().collect();
        for revision in revisions {
            let entry = log.entry(revision).map_err(other)?;
            doomed.extend(entry.map(|e| state.load(e)).unwrap_or_default());
        }
        if state.events() as u64 != newest.saturating_sub(state.compacted) {
            return Err(other(damaged(compacted + 1)));
        }
        Ok(Opened {
            log,
            appender,
            state,
            doomed,
        })
    }

    /// Reads all files. Returns the newest revision and the compaction.
    fn load(&mut self) -> Result<(Revision, Revision), OpenError> {
        let path = self.log.path.display().to_string();
        let failed = |e: &io::Error| OpenError::Other {
            path: path.clone(),
            reason: e.to_string(),
        };
        let mut numbers = self.folder.list().map_err(|e| failed(&e))?;
        let (mut newest, mut compacted) = (1, 0);
        let mut parts = Parts::default();
        while let Some(number) = numbers.first().copied() {
            numbers.remove(0);
            let is_last = numbers.is_empty();
            if let Some(before) = parts.segments.back()
                && before.number + 1 != number
            {
                let gone = before.number + 1;
                return Err(failed(&io::Error::other(format!("its file {gone} is missing"))));
            }
            let file = self.folder.open(number).map_err(|e| failed(&e))?;
            let mut head = vec![0; segment::HEAD as usize];
            let read = file.read_at(&mut head, 0).map_err(|e| failed(&e))?;
            match segment::check_head(number, &head[..read]) {
                Ok(()) => {}
                Err(BadHead::Format(found)) => {
                    return Err(OpenError::Format {
                        path,
                        found: found.into(),
                        oldest: 1,
                        known: segment::FORMAT.into(),
                    });
                }
                // It was made, and the power failed before its head was written.
                Err(BadHead::Damaged) if is_last && head.iter().all(|b| *b == 0) => {
                    self.folder.remove(number).map_err(|e| failed(&e))?;
                    break;
                }
                Err(BadHead::Damaged) => {
                    return Err(failed(&io::Error::other(format!(
                        "the head of its file {number} is damaged"
                    ))));
                }
            }
            let mut reader = Reader::new(&*file, number, segment::HEAD);
            while let Found::Batch(batch) = reader.next().map_err(|e| failed(&e))? {
                (newest, compacted) = (batch.newest, batch.compacted);
                parts.note(
                    number,
                    batch.puts.iter().map(|p| (p.revision, p.offset)),
                    &batch.erased,
                );
            }
            let (end, len) = (reader.offset, file.len().map_err(|e| failed(&e))?);
            // A batch that the power's failure cut short is the last. Files before the last end with their last batch.
            if (!is_last && end < len) || reader.finds_another().map_err(|e| failed(&e))? {
                return Err(failed(&io::Error::other(format!(
                    "its file {number} is damaged at byte {end}"
                ))));
            }
            parts.segments.push_back(Segment {
                number,
                file,
                end,
                len,
            });
        }
        *self.log.write() = parts;
        let is_new = self.log.read().segments.is_empty();
        let done = if is_new { self.begin() } else { self.trim() };
        done.map_err(|e| failed(&e))?;
        Ok((newest, compacted))
    }

    /// Cuts off what is beyond the last whole batch.
    fn trim(&self) -> io::Result<()> {
        let mut parts = self.log.write();
        if let Some(last) = parts.segments.back_mut() {
            last.file.set_len(last.end)?;
            last.file.sync()?;
            last.len = last.end;
        }
        Ok(())
    }

    /// Begins another file.
    fn begin(&self) -> io::Result<()> {
        self.trim()?;
        let number = self.log.read().segments.back().map_or(1, |s| s.number + 1);
        let file = self.folder.create(number)?;
        file.write_at(&segment::head(number), 0)?;
        file.sync()?;
        self.folder.sync()?;
        self.log.write().segments.push_back(Segment {
            number,
            file,
            end: segment::HEAD,
            len: segment::HEAD,
        });
        Ok(())
    }

    /// After a failed commit, which leaves it unknown what the disk holds: it is as if it had never been tried.
    pub(super) fn recover(&mut self) -> Result<(), String> {
        self.trim().map_err(|e| self.log.say(&e))
    }

    /// How long all files are.
    pub(super) fn len(&self) -> u64 {
        self.log.read().len()
    }

    /// Whether the oldest file should be swept: too little of the whole is kept.
    pub(super) fn should_sweep(&self, used: u64) -> bool {
        let parts = self.log.read();
        let (len, ahead) = (parts.len(), parts.segments.back().map_or(0, |s| s.len - s.end));
        let waste = len.saturating_sub(used).saturating_sub(ahead);
        parts.segments.len() > 1
            && (self.empty
                || waste > used.max(4 * self.segment)
                || (len > self.limit / 4 * 3 && waste > 2 * self.segment))
    }

    /// Commits durably.
    pub(super) fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Failure> {
        let size = |e: &Arc<Event>| cost(e.entry.key.len(), e.entry.value.len());
        let size = batch.events.iter().map(size).sum::<u64>();
        let sweep = self.should_sweep(batch.used);
        self.write(batch, sweep.then(|| SWEEP.max(SWEEP_TIMES * size)))
    }

    /// Sweeps whole files until this much room is left below the limit, or all were swept once.
    pub(super) fn squeeze(&mut self, room: u64, batch: &Batch<'_>) -> Result<(), Failure> {
        let last = self.log.read().segments.back().map_or(0, |s| s.number);
        let room = room + RESERVE * self.segment;
        while self.len().saturating_add(room) > self.limit
            && self.log.read().segments.front().is_some_and(|s| s.number < last)
        {
            self.write(batch, Some(self.segment))?;
        }
        Ok(())
    }

    fn write(&mut self, batch: &Batch<'_>, sweep: Option<u64>) -> Result<(), Failure> {
        self.append(batch, sweep).map_err(|refused| match refused {
            Refused::Ceiling => Failure::Ceiling,
            Refused::Io(e) => Failure::Other(self.log.say(&e)),
        })
    }

    /// Appends a batch, with what is kept of a part of the oldest file that is `sweep` bytes long.
    fn append(&mut self, batch: &Batch<'_>, sweep: Option<u64>) -> Result<(), Refused> {
        let mut builder = Builder::new(std::mem::take(&mut self.buffer));
        let mut puts = Vec::with_capacity(batch.events.len());
        for event in batch.events {
            puts.push((event.entry.mod_revision, builder.put(&event.entry)));
        }
        let swept = match sweep {
            Some(bytes) if !self.empty => self.sweep(bytes, batch.erase, &mut builder, &mut puts)?,
            _ => None,
        };
        batch.erase.iter().for_each(|revision| builder.erase(*revision));
        let len = builder.len();
        let grows = batch.events.iter().any(|e| e.entry.version > 0);
        if grows && self.len() + len + RESERVE * self.segment > self.limit {
            return Err(Refused::Ceiling);
        }
        let is_full = |s: &Segment| s.end > segment::HEAD && s.end + len > self.segment;
        if self.log.read().segments.back().is_some_and(is_full) {
            self.begin()?;
        }
        let target = {
            let parts = self.log.read();
            let last = parts.segments.back();
            last.map(|s| (s.number, s.file.clone(), s.end, s.len))
        };
        let Some((number, file, start, allotted)) = target else {
            return Err(io::Error::other("the log has no file").into());
        };
        let newest = batch.events.last().map_or(batch.newest, |e| e.entry.mod_revision);
        let bytes = builder.finish(number, newest, batch.compacted);
        let end = start + len;
        file.write_at(&bytes, start)?;
        let allotted = match end > allotted {
            true => self.allot(&*file, end)?,
            false => allotted,
        };
        file.sync()?;
        bytes.capacity().le(&BUFFER).then(|| self.buffer = bytes);
        {
            let mut parts = self.log.write();
            let puts = puts.into_iter().map(|(revision, at)| (revision, start + at));
            parts.note(number, puts, batch.erase);
            if let Some(last) = parts.segments.back_mut() {
                (last.end, last.len) = (end, allotted);
            }
        }
        if let Some(swept) = swept {
            (self.swept, self.empty) = swept;
        }
        // The batch is durable already; what cannot be removed now is tried again with the next one.
        if self.empty
            && let Err(e) = self.drop_oldest()
        {
            tracing::warn!("a file that is not needed stays: {}", self.log.say(&e));
        }
        Ok(())
    }

    /// Fills a file with zeros beyond its end, as far as there is room. Returns how long it is now.
    fn allot(&self, file: &dyn LogFile, end: u64) -> io::Result<u64> {
        let zeros = AHEAD.min(self.segment.saturating_sub(end));
        match file.write_at(&ZEROS[..zeros as usize], end) {
            Ok(()) => Ok(end + zeros),
            Err(_) => {
                file.set_len(end)?;
                Ok(end)
            }
        }
    }

    /// Copies what is kept of the next part of the oldest file. Returns up to where, and whether that is all of it.
    fn sweep(
        &self,
        bytes: u64,
        erased: &[Revision],
        builder: &mut Builder,
        puts: &mut Vec<(Revision, u64)>,
    ) -> io::Result<Option<(u64, bool)>> {
        let parts = self.log.read();
        let Some(oldest) = parts.segments.front().filter(|_| parts.segments.len() > 1) else {
            return Ok(None);
        };
        let mut erased = erased.to_vec();
        erased.sort_unstable();
        let until = self.swept.saturating_add(bytes);
        let mut reader = Reader::new(&*oldest.file, oldest.number, self.swept);
        while reader.offset < until {
            let batch = match reader.next()? {
                Found::Batch(batch) => batch,
                Found::End => break,
                Found::Broken => {
                    let (number, at) = (oldest.number, reader.offset);
                    let why = format!("the log's file {number} is damaged at byte {at}");
                    return Err(io::Error::other(why));
                }
            };
            for put in batch.puts {
                let place = Place::new(oldest.number, put.offset);
                let is_kept = parts.places.get(&put.revision) == Some(&place);
                if is_kept && erased.binary_search(&put.revision).is_err() {
                    puts.push((put.revision, builder.copy(put.revision, put.record)));
                }
            }
        }
        Ok(Some((reader.offset, reader.offset >= oldest.end)))
    }

    /// Removes the oldest file.
    fn drop_oldest(&mut self) -> io::Result<()> {
        let Some(number) = self.log.read().segments.front().map(|s| s.number) else {
            return Ok(());
        };
        match self.folder.remove(number) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => self.folder.sync()?,
        }
        self.log.write().segments.pop_front();
        (self.swept, self.empty) = (segment::HEAD, false);
        Ok(())
    }
}

/// Why a batch was not written.
enum Refused {
    Ceiling,
    Io(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Refused {
        Refused::Io(error)
    }
}
