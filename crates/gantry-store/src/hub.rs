//! Watchers: each has its own bounded buffer, so that a slow one costs only itself.
//!
//! Events are shared by reference; a watcher's buffer holds them, not copies. Watchers are found by what they watch,
//! so that an event costs only those who want it.

use crate::{Event, Revision};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Events a watcher may fall behind before it is closed.
const BUFFER: usize = 8192;
/// Bytes of events a watcher may fall behind before it is closed.
const BUFFER_BYTES: usize = 32 << 20;

/// How far a watcher is behind.
#[derive(Default)]
pub(crate) struct Load {
    bytes: AtomicUsize,
    lagged: AtomicBool,
}

impl Load {
    /// The watcher has taken an event.
    pub(crate) fn taken(&self, event: &Event) {
        self.bytes.fetch_sub(size(event), Ordering::Relaxed);
    }

    /// Whether the watcher was closed for being slow.
    pub(crate) fn lagged(&self) -> bool {
        self.lagged.load(Ordering::Acquire)
    }
}

fn size(event: &Event) -> usize {
    event.entry.value.len() + event.prev.as_ref().map_or(0, |e| e.value.len())
}

struct Watcher {
    id: u64,
    after: Revision,
    sender: mpsc::Sender<Arc<Event>>,
    load: Arc<Load>,
}

impl Watcher {
    /// Hands over an event; `false` when the watcher is too slow for it.
    fn offer(&self, event: &Arc<Event>) -> bool {
        if event.entry.mod_revision <= self.after {
            return true;
        }
        let size = size(event);
        let behind = self.load.bytes.fetch_add(size, Ordering::Relaxed);
        // A single event may be as large as it likes.
        let fits = behind == 0 || behind + size <= BUFFER_BYTES;
        let taken = fits && self.sender.try_send(event.clone()).is_ok();
        if !taken {
            self.load.lagged.store(true, Ordering::Release);
        }
        taken
    }
}

/// A watcher's end of its buffer.
pub(crate) struct Registered {
    pub(crate) id: u64,
    pub(crate) receiver: mpsc::Receiver<Arc<Event>>,
    pub(crate) load: Arc<Load>,
}

/// All running watchers. Lives under the state's lock, so registering and publishing never interleave.
#[derive(Default)]
pub(crate) struct Hub {
    next: u64,
    watchers: HashMap<Bytes, Vec<Watcher>>,
}

impl Hub {
    /// Adds a watcher of what `prefix` covers, for events after a revision.
    pub(crate) fn register(&mut self, prefix: Bytes, after: Revision) -> Registered {
        let (sender, receiver) = mpsc::channel(BUFFER);
        let load = Arc::<Load>::default();
        self.next += 1;
        self.watchers.entry(prefix).or_default().push(Watcher {
            id: self.next,
            after,
            sender,
            load: load.clone(),
        });
        Registered {
            id: self.next,
            receiver,
            load,
        }
    }

    /// Removes a watcher.
    pub(crate) fn remove(&mut self, prefix: &Bytes, id: u64) {
        if let Some(same) = self.watchers.get_mut(prefix) {
            same.retain(|w| w.id != id);
            if same.is_empty() {
                self.watchers.remove(prefix);
            }
        }
    }

    /// Hands an event to every watcher that wants it, and drops those that are too slow.
    pub(crate) fn publish(&mut self, event: &Arc<Event>) {
        if self.watchers.is_empty() {
            return;
        }
        let key = &event.entry.key[..];
        self.offer(b"", event);
        for (at, byte) in key.iter().enumerate() {
            if *byte == b'/' {
                self.offer(&key[..=at], event);
            }
        }
        if !key.is_empty() && !key.ends_with(b"/") {
            self.offer(key, event);
        }
    }

    fn offer(&mut self, prefix: &[u8], event: &Arc<Event>) {
        if let Some(same) = self.watchers.get_mut(prefix) {
            same.retain(|w| w.offer(event));
        }
    }

    /// Ends all watches.
    pub(crate) fn close(&mut self) {
        self.watchers.clear();
    }
}

/// Whether a watch of `prefix` covers a key.
pub(crate) fn covers(prefix: &[u8], key: &[u8]) -> bool {
    match prefix.last() {
        None => true,
        Some(b'/') => key.starts_with(prefix),
        Some(_) => key == prefix,
    }
}
