//! The durable backend: redb holds every kept version by revision, memory holds the index and a copy.
//!
//! One thread writes. It takes what has queued up, decides it in order, commits it in one durable transaction,
//! and only then shows it to readers and acknowledges it; so nothing visible can be lost.

use crate::mvcc::{Op, Plan, State};
use crate::{
    Entry, Event, Precondition, RangeRequest, RangeResult, ReadError, Revision, Store, Watch, WriteError,
};
use async_trait::async_trait;
use bytes::Bytes;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

const FORMAT: u64 = 1;
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const HISTORY: TableDefinition<u64, &[u8]> = TableDefinition::new("history");
/// Requests that may wait for the writer; beyond it callers wait to enqueue.
const QUEUE: usize = 1024;
/// Kind-free record head: create revision, version, key length.
const HEAD: usize = 20;

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the file open.
    #[error("{0} is in use by another gantry: stop it, or choose another data directory")]
    Locked(String),
    /// The file system refused.
    #[error("no permission to open {0}: run as the user who owns it, or change its mode")]
    Permission(String),
    /// The file was written in a format this version does not know.
    #[error(
        "{path} has store format {found}, and this gantry knows only {FORMAT}: use the gantry that wrote it"
    )]
    Format {
        /// The file.
        path: String,
        /// The format it declares; 0 if none.
        found: u64,
    },
    /// Anything else.
    #[error("cannot open {path}: {reason}; check the disk, or restore the file from a backup")]
    Other {
        /// The file.
        path: String,
        /// What redb said.
        reason: String,
    },
}

enum Request {
    Write(Op, oneshot::Sender<Result<Option<Event>, WriteError>>),
    Compact(Revision, oneshot::Sender<Result<(), ReadError>>),
}

/// A store in one file.
pub struct Embedded {
    state: Arc<Mutex<State>>,
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<std::thread::JoinHandle<()>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn encode(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + entry.key.len() + entry.value.len());
    out.extend(entry.create_revision.to_be_bytes());
    out.extend(entry.version.to_be_bytes());
    out.extend((entry.key.len() as u32).to_be_bytes());
    out.extend(&entry.key);
    out.extend(&entry.value);
    out
}

fn decode(mod_revision: Revision, record: &[u8]) -> Option<Entry> {
    let create_revision = u64::from_be_bytes(record.get(..8)?.try_into().ok()?);
    let version = u64::from_be_bytes(record.get(8..16)?.try_into().ok()?);
    let len = u32::from_be_bytes(record.get(16..HEAD)?.try_into().ok()?) as usize;
    let key = Bytes::copy_from_slice(record.get(HEAD..HEAD + len)?);
    let value = Bytes::copy_from_slice(record.get(HEAD + len..)?);
    Some(Entry {
        key,
        value,
        create_revision,
        mod_revision,
        version,
    })
}

impl Embedded {
    /// Opens the file, or creates it. `limit_bytes` bounds the keys and values kept, history included.
    pub fn open(path: &Path, limit_bytes: u64) -> Result<Embedded, OpenError> {
        let name = path.display().to_string();
        let db = Database::create(path).map_err(|e| match e {
            DatabaseError::DatabaseAlreadyOpen => OpenError::Locked(name.clone()),
            DatabaseError::Storage(StorageError::Io(e))
                if e.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                OpenError::Permission(name.clone())
            }
            e => OpenError::Other {
                path: name.clone(),
                reason: e.to_string(),
            },
        })?;
        let other = |e: redb::Error| OpenError::Other {
            path: name.clone(),
            reason: e.to_string(),
        };
        initialise(&db).map_err(other)?;
        let found = meta(&db, "format").map_err(other)?;
        if found != FORMAT {
            return Err(OpenError::Format { path: name, found });
        }
        let state = Arc::new(Mutex::new(load(&db, limit_bytes).map_err(other)?));
        let (queue, receiver) = mpsc::channel(QUEUE);
        let shared = state.clone();
        let writer = std::thread::Builder::new()
            .name("gantry-store".into())
            .spawn(move || run(db, shared, receiver))
            .map_err(|e| OpenError::Other {
                path: name.clone(),
                reason: e.to_string(),
            })?;
        Ok(Embedded {
            state,
            queue: Some(queue),
            writer: Some(writer),
        })
    }

    async fn send(&self, request: Request) -> Result<(), String> {
        let queue = self.queue.as_ref().ok_or("the store is closed")?;
        queue
            .send(request)
            .await
            .map_err(|_| "the store's writer stopped".to_string())
    }

    async fn write(&self, op: Op) -> Result<Option<Event>, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Write(op, reply))
            .await
            .map_err(WriteError::Backend)?;
        answer
            .await
            .map_err(|_| WriteError::Backend("the store's writer stopped".into()))?
    }
}

/// Waits for the writer, so that the file can be opened again at once.
impl Drop for Embedded {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Gives a new file its tables; leaves one with any table alone.
fn initialise(db: &Database) -> Result<(), redb::Error> {
    let tx = db.begin_write()?;
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

fn meta(db: &Database, name: &str) -> Result<u64, redb::Error> {
    let tx = db.begin_read()?;
    match tx.open_table(META) {
        Ok(table) => Ok(table.get(name)?.map_or(0, |v| v.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(0),
        Err(e) => Err(e.into()),
    }
}

fn load(db: &Database, limit: u64) -> Result<State, redb::Error> {
    let mut state = State::new(meta(db, "revision")?, meta(db, "compacted")?, limit);
    for row in db.begin_read()?.open_table(HISTORY)?.iter()? {
        let (revision, record) = row?;
        let revision = revision.value();
        let entry = decode(revision, record.value())
            .ok_or_else(|| redb::Error::Corrupted(format!("the record of revision {revision} is damaged")))?;
        state.insert(entry);
    }
    Ok(state)
}

/// The writer thread. After a failed commit it stops: what the disk holds is then unknown until reopened.
fn run(db: Database, state: Arc<Mutex<State>>, mut queue: mpsc::Receiver<Request>) {
    let mut next = None;
    while let Some(request) = next.take().or_else(|| queue.blocking_recv()) {
        let (op, reply) = match request {
            Request::Write(op, reply) => (op, reply),
            Request::Compact(at, reply) => {
                let _ = reply.send(compact(&db, &state, at));
                continue;
            }
        };
        let mut plan = Plan::new();
        let mut replies = Vec::new();
        {
            let state = lock(&state);
            replies.push((reply, plan.add(&state, op)));
            while replies.len() < QUEUE {
                match queue.try_recv() {
                    Ok(Request::Write(op, reply)) => replies.push((reply, plan.add(&state, op))),
                    Ok(compaction) => {
                        next = Some(compaction);
                        break;
                    }
                    Err(_) => break,
                }
            }
        }
        if let Err(e) = commit(&db, &plan.events) {
            tracing::error!("the store failed to commit and takes no more writes: {e}");
            for (reply, _) in replies {
                let _ = reply.send(Err(WriteError::Backend(e.to_string())));
            }
            return;
        }
        lock(&state).apply(&plan.events);
        for (reply, outcome) in replies {
            let _ = reply.send(outcome);
        }
    }
}

/// redb's default durability is immediate: commit returns after fsync.
fn commit(db: &Database, events: &[Event]) -> Result<(), redb::Error> {
    let Some(last) = events.last() else { return Ok(()) };
    let tx = db.begin_write()?;
    {
        let mut history = tx.open_table(HISTORY)?;
        for event in events {
            history.insert(event.entry.mod_revision, encode(&event.entry).as_slice())?;
        }
        tx.open_table(META)?.insert("revision", last.entry.mod_revision)?;
    }
    tx.commit()?;
    Ok(())
}

fn compact(db: &Database, state: &Mutex<State>, at: Revision) -> Result<(), ReadError> {
    let doomed = lock(state).doomed(at)?;
    let erase = || -> Result<(), redb::Error> {
        let tx = db.begin_write()?;
        {
            let mut history = tx.open_table(HISTORY)?;
            for revision in &doomed {
                history.remove(revision)?;
            }
            tx.open_table(META)?.insert("compacted", at)?;
        }
        tx.commit()?;
        Ok(())
    };
    erase().map_err(|e| ReadError::Backend(e.to_string()))?;
    lock(state).compact(at, &doomed);
    Ok(())
}

#[async_trait]
impl Store for Embedded {
    async fn put(&self, key: Bytes, value: Bytes, pre: Option<Precondition>) -> Result<Entry, WriteError> {
        let event = self.write(Op::Put { key, value, pre }).await?;
        event
            .map(|e| e.entry)
            .ok_or_else(|| WriteError::Backend("a put made no event".into()))
    }

    async fn delete(&self, key: Bytes, pre: Option<Precondition>) -> Result<Option<Event>, WriteError> {
        self.write(Op::Delete { key, pre }).await
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, ReadError> {
        Ok(lock(&self.state).get(key).cloned())
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResult, ReadError> {
        lock(&self.state).range(&request)
    }

    async fn watch(&self, prefix: Bytes, after: Revision) -> Result<Box<dyn Watch>, ReadError> {
        lock(&self.state).watch(prefix, after)
    }

    async fn compact(&self, revision: Revision) -> Result<(), ReadError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Compact(revision, reply))
            .await
            .map_err(ReadError::Backend)?;
        answer
            .await
            .map_err(|_| ReadError::Backend("the store's writer stopped".into()))?
    }

    fn revision(&self) -> Revision {
        lock(&self.state).revision
    }
}
