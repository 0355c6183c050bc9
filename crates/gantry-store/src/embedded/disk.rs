//! The file: two redb tables. `meta` holds format, newest revision and compaction; `history` a record per revision.

use super::OpenError;
use super::ceiling::{Bounded, Ceiling};
use super::record::{self, FORMAT, OLDEST};
use crate::reader::Records;
use crate::state::State;
use crate::{Entry, Event, ReadError, Revision};
use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError, TableDefinition,
};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const HISTORY: TableDefinition<Revision, &[u8]> = TableDefinition::new("history");
/// redb's page cache. The newest values are in memory anyway; the cache serves commits and history.
const CACHE: usize = 8 << 20;

/// One durable transaction.
pub(super) struct Batch<'a> {
    pub(super) events: &'a [Arc<Event>],
    pub(super) erase: &'a [Revision],
    pub(super) compacted: Revision,
}

/// How the file is opened; tests watch what is written to it.
pub(super) type Opener = Box<dyn Fn(&Path) -> Result<Box<dyn StorageBackend>, DatabaseError> + Send + Sync>;

/// The open file; closed while a failed commit is being recovered from.
pub(super) struct Disk {
    path: PathBuf,
    opener: Opener,
    limit: u64,
    ceiling: Arc<Ceiling>,
    database: RwLock<Option<Database>>,
}

fn decode(mod_revision: Revision, record: &[u8]) -> Result<Entry, redb::Error> {
    record::decode(mod_revision, record).ok_or_else(|| damaged(mod_revision))
}

fn damaged(revision: Revision) -> redb::Error {
    redb::Error::Corrupted(format!("the record of revision {revision} is missing or damaged"))
}

/// The commit failed; whether it took effect is known after [`Disk::reopen`].
#[derive(Debug)]
pub(super) enum Failure {
    /// The file would have grown beyond its limit.
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

impl Disk {
    pub(super) fn open(path: &Path, limit: u64) -> Result<Disk, OpenError> {
        Disk::open_by(Box::new(file), path, limit)
    }

    pub(super) fn open_by(opener: Opener, path: &Path, limit: u64) -> Result<Disk, OpenError> {
        let name = || path.display().to_string();
        let other = |reason: String| OpenError::Other { path: name(), reason };
        let ceiling = Ceiling::new(u64::MAX);
        let database = open(&opener, path, &ceiling).map_err(|e| match e {
            DatabaseError::DatabaseAlreadyOpen => OpenError::Locked(name()),
            DatabaseError::Storage(StorageError::Io(e)) if e.kind() == io::ErrorKind::PermissionDenied => {
                OpenError::Permission(name())
            }
            e => other(e.to_string()),
        })?;
        // The file's name must survive a power cut as well as what is in it, also if the last start was cut short.
        sync_folders(path).map_err(|e| other(e.to_string()))?;
        initialise(&database).map_err(|e| other(e.to_string()))?;
        let found = meta(&database, "format").map_err(|e| other(e.to_string()))?;
        match found {
            FORMAT => {}
            // Its records are read as they are; those who know them alone must no longer open the file.
            OLDEST..FORMAT => set_format(&database).map_err(|e| other(e.to_string()))?,
            _ => {
                return Err(OpenError::Format {
                    path: name(),
                    found,
                    oldest: OLDEST,
                    known: FORMAT,
                });
            }
        }
        Ok(Disk {
            path: path.to_path_buf(),
            opener,
            // redb grows files by whole powers of two, and needs a little for itself beside them.
            limit: limit.saturating_add(limit / 32),
            ceiling,
            database: RwLock::new(Some(database)),
        })
    }

    /// Reads everything: the state, and the revisions that a compaction had not got around to erase.
    pub(super) fn load(&self, budget: u64) -> Result<(State, Vec<Revision>), OpenError> {
        self.with(|database| {
            let (revision, compacted) = (meta(database, "revision")?, meta(database, "compacted")?);
            let mut state = State::new(revision, compacted, budget, false);
            let mut doomed = Vec::new();
            for row in database.begin_read()?.open_table(HISTORY)?.iter()? {
                let (revision, record) = row?;
                doomed.extend(state.load(decode(revision.value(), record.value())?));
            }
            match state.events() as u64 == revision.saturating_sub(state.compacted) {
                true => Ok((state, doomed)),
                false => Err(damaged(compacted + 1)),
            }
        })
        .map_err(|reason| OpenError::Other {
            path: self.path.display().to_string(),
            reason,
        })
    }

    /// Commits durably: redb returns after fsync.
    pub(super) fn commit(&self, batch: Batch<'_>) -> Result<(), Failure> {
        // What makes room is let through: it needs new pages before it frees old ones.
        let grows = batch.events.iter().any(|e| e.entry.version > 0);
        self.ceiling.set(if grows { self.limit } else { u64::MAX });
        let done = self.with(|database| {
            let tx = database.begin_write()?;
            {
                let mut history = tx.open_table(HISTORY)?;
                for event in batch.events {
                    history.insert(event.entry.mod_revision, record::encode(&event.entry).as_slice())?;
                }
                for revision in batch.erase {
                    history.remove(revision)?;
                }
                let mut meta = tx.open_table(META)?;
                if let Some(last) = batch.events.last() {
                    meta.insert("revision", last.entry.mod_revision)?;
                }
                meta.insert("compacted", batch.compacted)?;
            }
            tx.commit()?;
            Ok(())
        });
        done.map_err(|why| match self.ceiling.was_hit() {
            true => Failure::Ceiling,
            false => Failure::Other(why),
        })
    }

    /// Opens the file anew after a failed commit, which redb and the kernel leave in an unknown state. Returns what the
    /// disk holds after `known`: a commit whose failure came too late.
    pub(super) fn reopen(&self, known: Revision) -> Result<Vec<Entry>, String> {
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Closing writes, too, and must not fail for want of room.
        self.ceiling.set(u64::MAX);
        *slot = None;
        let database = open(&self.opener, &self.path, &self.ceiling).map_err(|e| self.say(e.into()))?;
        let read = || -> Result<Vec<Entry>, redb::Error> {
            let newest = meta(&database, "revision")?;
            let rows = database.begin_read()?.open_table(HISTORY)?;
            let rows = rows.range(known + 1..newest + 1)?;
            rows.map(|row| {
                let (revision, record) = row?;
                decode(revision.value(), record.value())
            })
            .collect()
        };
        let late = read().map_err(|e| self.say(e))?;
        *slot = Some(database);
        Ok(late)
    }

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, String> {
        let slot = self.database.read().unwrap_or_else(PoisonError::into_inner);
        match slot.as_ref() {
            Some(database) => act(database).map_err(|e| self.say(e)),
            None => Err(format!("{} could not be opened again", self.path.display())),
        }
    }

    fn say(&self, error: redb::Error) -> String {
        let path = self.path.display();
        match error {
            redb::Error::Io(e) if e.kind() == io::ErrorKind::StorageFull => {
                format!("no space is left on the disk of {path}: free some; writing goes on by itself")
            }
            error => format!("{path}: {error}"),
        }
    }
}

impl Records for Disk {
    fn values(&self, revisions: &[Revision]) -> Result<Vec<Option<Bytes>>, ReadError> {
        self.with(|database| {
            let history = database.begin_read()?.open_table(HISTORY)?;
            let one = |revision: &Revision| match history.get(revision)? {
                Some(record) => Ok(Some(decode(*revision, record.value())?.value)),
                None => Ok(None),
            };
            revisions.iter().map(one).collect()
        })
        .map_err(ReadError::Backend)
    }
}

fn file(path: &Path) -> Result<Box<dyn StorageBackend>, DatabaseError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(StorageError::Io)?;
    Ok(Box::new(FileBackend::new(file)?))
}

fn open(opener: &Opener, path: &Path, ceiling: &Arc<Ceiling>) -> Result<Database, DatabaseError> {
    let backend = Bounded {
        file: opener(path)?,
        ceiling: ceiling.clone(),
    };
    Database::builder()
        .set_cache_size(CACHE)
        .create_with_backend(backend)
}

/// Makes the names of the file and of the folders it is in durable. Those above its own folder may be closed to us; then
/// they are not ours.
fn sync_folders(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let mut folders = path.ancestors().skip(1);
    if let Some(own) = folders.next() {
        File::open(own)?.sync_all()?;
    }
    for folder in folders {
        match File::open(folder).and_then(|f| f.sync_all()) {
            Err(e) if e.kind() != io::ErrorKind::PermissionDenied => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

fn set_format(database: &Database) -> Result<(), redb::Error> {
    let tx = database.begin_write()?;
    tx.open_table(META)?.insert("format", FORMAT)?;
    tx.commit()?;
    Ok(())
}

/// Gives a new file its tables; leaves one with any table alone.
fn initialise(database: &Database) -> Result<(), redb::Error> {
    let tx = database.begin_write()?;
    if tx.list_tables()?.next().is_some() {
        tx.abort()?;
        return Ok(());
    }
    {
        let mut meta = tx.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("revision", 1)?;
        meta.insert("compacted", 0)?;
        tx.open_table(HISTORY)?;
    }
    tx.commit()?;
    Ok(())
}

fn meta(database: &Database, name: &str) -> Result<u64, redb::Error> {
    let tx = database.begin_read()?;
    match tx.open_table(META) {
        Ok(table) => Ok(table.get(name)?.map_or(0, |v| v.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(0),
        Err(e) => Err(e.into()),
    }
}
