//! Takes over the store of an earlier version: formats 1 and 2 were one redb file, with a table `meta` of format, newest
//! revision and compaction, and a table `history` of a record per revision.

use super::OpenError;
use super::appender::{Appender, Batch};
use super::folder::Directory;
use super::record;
use crate::{Event, EventKind, Revision};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const HISTORY: TableDefinition<Revision, &[u8]> = TableDefinition::new("history");
/// The formats that such files have.
const OLDEST: u64 = 1;
const NEWEST: u64 = 2;
/// Records in one batch.
const BATCH: usize = 1000;

/// Makes the store's folder from the file beside it, if there is one. Cut short, it begins anew the next time: the folder
/// gets its name last, and then the file goes.
pub(super) fn import(folder: &Path) -> Result<(), OpenError> {
    let file = folder.with_extension("redb");
    let other = |reason: String| OpenError::Other {
        path: file.display().to_string(),
        reason,
    };
    if !file.try_exists().map_err(|e| other(e.to_string()))? {
        return Ok(());
    }
    if !folder.try_exists().map_err(|e| other(e.to_string()))? {
        let unfinished = folder.with_extension("importing");
        let begin = || match std::fs::remove_dir_all(&unfinished) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
        let database = open(&file)?;
        begin().map_err(|e| other(e.to_string()))?;
        copy(&database, &file, &unfinished)?;
        std::fs::rename(&unfinished, folder).map_err(|e| other(e.to_string()))?;
        tracing::info!("{} was taken over into {}", file.display(), folder.display());
    }
    let finish = || -> io::Result<()> {
        let parent = File::open(folder.parent().unwrap_or(Path::new("/")))?;
        parent.sync_all()?;
        std::fs::remove_file(&file)?;
        parent.sync_all()
    };
    finish().map_err(|e| other(e.to_string()))
}

fn open(file: &Path) -> Result<Database, OpenError> {
    let name = || file.display().to_string();
    Database::builder().open(file).map_err(|e| match e {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Locked(name()),
        DatabaseError::Storage(StorageError::Io(e)) if e.kind() == io::ErrorKind::PermissionDenied => {
            OpenError::Permission(name())
        }
        e => OpenError::Other {
            path: name(),
            reason: e.to_string(),
        },
    })
}

fn meta(database: &Database, name: &str) -> Result<u64, redb::Error> {
    let table = database.begin_read()?.open_table(META)?;
    Ok(table.get(name)?.map_or(0, |v| v.value()))
}

/// Copies all records, in order.
fn copy(database: &Database, file: &Path, folder: &Path) -> Result<(), OpenError> {
    let path = || file.display().to_string();
    let other = |reason: String| OpenError::Other { path: path(), reason };
    let redb = |e: redb::Error| other(e.to_string());
    let found = meta(database, "format").map_err(redb)?;
    if !(OLDEST..=NEWEST).contains(&found) {
        return Err(OpenError::Format {
            path: path(),
            found,
            oldest: OLDEST,
            known: NEWEST,
        });
    }
    let (newest, compacted) = (
        meta(database, "revision").map_err(redb)?,
        meta(database, "compacted").map_err(redb)?,
    );
    let mut appender =
        Appender::open(Box::new(Directory::open(folder)?), folder, u64::MAX, u64::MAX)?.appender;
    let mut events = Vec::new();
    let mut flush = |events: &mut Vec<Arc<Event>>| {
        let done = appender.commit(&Batch {
            events,
            erase: &[],
            newest,
            compacted,
            used: u64::MAX,
        });
        events.clear();
        done.map_err(|failure| other(failure.why()))
    };
    let table = || -> Result<_, redb::Error> { Ok(database.begin_read()?.open_table(HISTORY)?) };
    let table = table().map_err(redb)?;
    for row in table.iter().map_err(|e| redb(e.into()))? {
        let (revision, bytes) = row.map_err(|e| redb(e.into()))?;
        let revision = revision.value();
        let entry = record::decode(revision, bytes.value())
            .ok_or_else(|| other(format!("the record of revision {revision} is damaged")))?;
        let kind = match entry.version {
            0 => EventKind::Delete,
            _ => EventKind::Put,
        };
        events.push(Arc::new(Event::new(kind, entry, None)));
        if events.len() == BATCH {
            flush(&mut events)?;
        }
    }
    // The newest revision may be one that was erased.
    flush(&mut events)?;
    flush(&mut events)
}
