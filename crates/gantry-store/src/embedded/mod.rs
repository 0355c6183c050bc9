//! The durable backend: a log on disk holds every kept version; memory holds the newest ones and the index.
//!
//! One thread writes (`writer.rs`). It takes what has queued up, decides it in order, appends it to the log, waits until
//! that is durable, and only then shows it to readers and acknowledges it; so nothing visible can be lost. Readers never
//! wait for a commit.
//!
//! `appender.rs` writes the log and keeps its size, `log.rs` reads it, `segment.rs` knows what is in its files, `record.rs`
//! how a key is held, `folder.rs` is what touches the disk, and `import.rs` takes over the stores of earlier versions.

mod appender;
mod folder;
mod import;
mod log;
#[cfg(test)]
mod power_cut;
mod record;
mod segment;
mod writer;

use crate::plan::Op;
use crate::reader::Core;
use crate::{
    Entry, Event, Limits, Only, Precondition, RangeRequest, RangeResult, ReadError, Revision, Store, Watch,
    WriteError,
};
use appender::Appender;
use async_trait::async_trait;
use bytes::Bytes;
use folder::{Directory, Folder};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use writer::{QUEUE, Reply, Request, Writer};

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the file open.
    #[error("{0} is in use by another gantry: stop it, or choose another data directory")]
    Locked(String),
    /// The file system refused.
    #[error("no permission to open {0}: run as the user who owns it, or change its mode")]
    Permission(String),
    /// It was written in a format this version does not know.
    #[error(
        "{path} has store format {found}, and this gantry knows {oldest} to {known}: use the gantry that wrote it"
    )]
    Format {
        /// The folder, or the file.
        path: String,
        /// The format it declares; 0 if none.
        found: u64,
        /// The oldest format this version reads.
        oldest: u64,
        /// The format this version writes.
        known: u64,
    },
    /// Anything else.
    #[error("cannot open {path}: {reason}; check the disk, or restore the file from a backup")]
    Other {
        /// The folder, or the file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// How a store is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The files grow no longer than this altogether. Objects and history get half of it, so that room is left for what
    /// waits to be swept; deletions are always taken.
    pub limit_bytes: u64,
    /// How much history is kept.
    pub history: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            limit_bytes: 8 << 30,
            history: Limits::default(),
        }
    }
}

/// A store in a folder.
pub struct Embedded {
    path: PathBuf,
    core: Arc<Core>,
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl Embedded {
    /// Opens the folder, or creates it. `limit_bytes` bounds its files.
    pub fn open(path: &Path, limit_bytes: u64) -> Result<Embedded, OpenError> {
        Embedded::open_with(
            path,
            Options {
                limit_bytes,
                ..Options::default()
            },
        )
    }

    /// Opens the folder, or creates it. A store of an earlier version, in a file beside it that ends in `.redb`, is taken
    /// over.
    pub fn open_with(path: &Path, options: Options) -> Result<Embedded, OpenError> {
        import::import(path)?;
        Embedded::start(Box::new(Directory::open(path)?), path, options)
    }

    fn start(folder: Box<dyn Folder>, path: &Path, options: Options) -> Result<Embedded, OpenError> {
        let limit = options.limit_bytes;
        let opened = Appender::open(folder, path, limit, limit / 2)?;
        let core = Core::new(opened.state, Some(opened.log));
        let (queue, receiver) = mpsc::channel(QUEUE);
        let writer = Writer::new(
            core.clone(),
            opened.appender,
            receiver,
            opened.doomed,
            options.history,
        );
        let writer = std::thread::Builder::new()
            .name("gantry-store".into())
            .spawn(move || writer.run())
            .map_err(|e| OpenError::Other {
                path: path.display().to_string(),
                reason: e.to_string(),
            })?;
        Ok(Embedded {
            path: path.to_path_buf(),
            core,
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

    async fn write(&self, op: Op) -> Result<Option<Arc<Event>>, WriteError> {
        let (reply, answer): (Reply, _) = oneshot::channel();
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
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

#[async_trait]
impl Store for Embedded {
    async fn put(&self, key: Bytes, value: Bytes, pre: Option<Precondition>) -> Result<Entry, WriteError> {
        let event = self.write(Op::Put { key, value, pre }).await?;
        event
            .map(|e| e.entry.clone())
            .ok_or_else(|| WriteError::Backend("a put made no event".into()))
    }

    async fn delete(&self, key: Bytes, pre: Option<Precondition>) -> Result<Option<Arc<Event>>, WriteError> {
        self.write(Op::Delete { key, pre }).await
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
        let (reply, answer) = oneshot::channel();
        self.send(Request::Compact(revision, reply))
            .await
            .map_err(ReadError::Backend)?;
        answer
            .await
            .map_err(|_| ReadError::Backend("the store's writer stopped".into()))?
    }

    fn revision(&self) -> Revision {
        self.core.read().revision
    }

    fn size(&self) -> Option<u64> {
        let files = std::fs::read_dir(&self.path).ok()?;
        Some(
            files
                .flatten()
                .filter_map(|file| Some(file.metadata().ok()?.len()))
                .sum(),
        )
    }
}
