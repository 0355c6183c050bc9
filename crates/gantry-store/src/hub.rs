//! Watchers: each has its own bounded buffer, so that a slow one costs only itself.

use crate::{Event, ReadError, Revision, Watch};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// Batches a watcher may fall behind before it is closed.
const BUFFER: usize = 1024;

struct Watcher {
    prefix: Bytes,
    after: Revision,
    sender: mpsc::Sender<Vec<Event>>,
    lagged: Arc<AtomicBool>,
}

/// All running watchers. Lives under the state's lock, so registering and publishing never interleave.
#[derive(Default)]
pub(crate) struct Hub {
    watchers: Vec<Watcher>,
}

impl Hub {
    /// Adds a watcher that first yields `backlog`, then what is published from now on.
    pub(crate) fn register(&mut self, prefix: Bytes, after: Revision, backlog: Vec<Event>) -> Box<dyn Watch> {
        let (sender, receiver) = mpsc::channel(BUFFER);
        let lagged = Arc::new(AtomicBool::new(false));
        self.watchers.push(Watcher {
            prefix,
            after,
            sender,
            lagged: lagged.clone(),
        });
        Box::new(Stream {
            backlog,
            receiver,
            lagged,
        })
    }

    /// Hands the events to every watcher that wants them, and drops those that are gone or too slow.
    pub(crate) fn publish(&mut self, events: &[Event]) {
        self.watchers.retain(|w| {
            let wanted: Vec<Event> = events
                .iter()
                .filter(|e| e.entry.mod_revision > w.after && e.entry.key.starts_with(&w.prefix))
                .cloned()
                .collect();
            if wanted.is_empty() {
                return !w.sender.is_closed();
            }
            match w.sender.try_send(wanted) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    w.lagged.store(true, Ordering::Release);
                    false
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            }
        });
    }
}

struct Stream {
    backlog: Vec<Event>,
    receiver: mpsc::Receiver<Vec<Event>>,
    lagged: Arc<AtomicBool>,
}

#[async_trait]
impl Watch for Stream {
    async fn next(&mut self) -> Result<Option<Vec<Event>>, ReadError> {
        if !self.backlog.is_empty() {
            return Ok(Some(std::mem::take(&mut self.backlog)));
        }
        match self.receiver.recv().await {
            Some(events) => Ok(Some(events)),
            None if self.lagged.load(Ordering::Acquire) => Err(ReadError::Lagged),
            None => Ok(None),
        }
    }
}
