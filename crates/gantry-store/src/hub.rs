//! Watchers: each has its own bounded buffer, so that a slow one costs only itself.
//!
//! Events are shared by reference; a watcher's buffer holds them, not copies. Watchers are found by what they watch,
//! and by an index's value if they narrow it, so that an event costs only those who want it: of a thousand nodes that
//! watch their pods, a pod's event reaches one.

use crate::{Event, Index, Only, Revision};
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

/// A watcher's end of its buffer, and where the hub has it.
pub(crate) struct Registered {
    pub(crate) prefix: Bytes,
    pub(crate) receiver: mpsc::Receiver<Arc<Event>>,
    pub(crate) load: Arc<Load>,
    id: u64,
    only: Option<Only>,
}

/// The watchers of one prefix.
#[derive(Default)]
struct Group {
    all: Vec<Watcher>,
    narrowed: Vec<Narrowed>,
}

/// Those that narrow it by the same index, by its value.
struct Narrowed {
    index: Arc<dyn Index>,
    watchers: HashMap<String, Vec<Watcher>>,
}

impl Group {
    fn of(&mut self, only: Option<&Only>) -> &mut Vec<Watcher> {
        let Some(only) = only else {
            return &mut self.all;
        };
        let found = self
            .narrowed
            .iter()
            .position(|n| n.index.name() == only.index.name());
        let at = found.unwrap_or_else(|| {
            self.narrowed.push(Narrowed {
                index: only.index.clone(),
                watchers: HashMap::new(),
            });
            self.narrowed.len() - 1
        });
        self.narrowed[at].watchers.entry(only.value.clone()).or_default()
    }

    fn offer(&mut self, event: &Arc<Event>) {
        self.all.retain(|w| w.offer(event));
        for narrowed in &mut self.narrowed {
            match narrowed.index.values(event) {
                Some([old, new]) => {
                    narrowed.offer(&old, event);
                    if new != old {
                        narrowed.offer(&new, event);
                    }
                }
                None => {
                    for same in narrowed.watchers.values_mut() {
                        same.retain(|w| w.offer(event));
                    }
                }
            }
        }
    }

    fn remove(&mut self, only: Option<&Only>, id: u64) {
        self.of(only).retain(|w| w.id != id);
        for narrowed in &mut self.narrowed {
            narrowed.watchers.retain(|_, same| !same.is_empty());
        }
        self.narrowed.retain(|n| !n.watchers.is_empty());
    }
}

impl Narrowed {
    fn offer(&mut self, value: &str, event: &Arc<Event>) {
        if let Some(same) = self.watchers.get_mut(value) {
            same.retain(|w| w.offer(event));
        }
    }
}

/// All running watchers.
pub(crate) struct Hub {
    next: u64,
    published: Revision,
    groups: HashMap<Bytes, Group>,
}

impl Hub {
    pub(crate) fn new(published: Revision) -> Hub {
        Hub {
            next: 0,
            published,
            groups: HashMap::new(),
        }
    }

    /// The last revision that was published.
    pub(crate) fn published(&self) -> Revision {
        self.published
    }

    /// Adds a watcher of what `prefix` covers, for events after a revision.
    pub(crate) fn register(&mut self, prefix: Bytes, after: Revision, only: Option<Only>) -> Registered {
        let (sender, receiver) = mpsc::channel(BUFFER);
        let load = Arc::<Load>::default();
        self.next += 1;
        let group = self.groups.entry(prefix.clone()).or_default();
        group.of(only.as_ref()).push(Watcher {
            id: self.next,
            after,
            sender,
            load: load.clone(),
        });
        Registered {
            prefix,
            receiver,
            load,
            id: self.next,
            only,
        }
    }

    /// Removes a watcher.
    pub(crate) fn remove(&mut self, registered: &Registered) {
        if let Some(group) = self.groups.get_mut(&registered.prefix) {
            group.remove(registered.only.as_ref(), registered.id);
            if group.all.is_empty() && group.narrowed.is_empty() {
                self.groups.remove(&registered.prefix);
            }
        }
    }

    /// Notes that nothing more comes up to a revision.
    pub(crate) fn advance(&mut self, revision: Revision) {
        self.published = revision;
    }

    /// Hands events to every watcher that wants them, and drops those that are too slow.
    pub(crate) fn publish(&mut self, events: &[Arc<Event>]) {
        for event in events {
            self.published = event.entry.mod_revision;
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
    }

    fn offer(&mut self, prefix: &[u8], event: &Arc<Event>) {
        if let Some(group) = self.groups.get_mut(prefix) {
            group.offer(event);
        }
    }

    /// Ends all watches.
    pub(crate) fn close(&mut self) {
        self.groups.clear();
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
