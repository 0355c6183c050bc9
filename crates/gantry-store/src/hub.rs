//! Watchers, and how they are told: those that watch the same share one feed, so that an event costs the same for one
//! of them and for a thousand. A slow one costs only itself: it may fall behind so far and no further.
//!
//! Watchers are found by what they watch, and by an index's value if they narrow it, so that an event costs only those
//! who want it: of a thousand nodes that watch their pods, a pod's event reaches one.

use crate::{Event, Events, Index, Only, ReadError, Revision};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::Notify;

/// Events a watcher may fall behind before it is closed.
const BUFFER: usize = 8192;
/// Bytes of events a watcher may fall behind before it is closed.
const BUFFER_BYTES: usize = 32 << 20;

/// A place in a feed. What is told once is a chain that watchers walk along, each from where it began; what all have passed
/// is gone.
struct Place {
    /// What the feed has told up to here.
    total: Total,
    next: OnceLock<Step>,
}

/// What one commit made that the watchers of a feed want, and the place after it.
struct Step {
    events: Arc<[Arc<Event>]>,
    to: Arc<Place>,
}

#[derive(Clone, Copy, Default)]
struct Total {
    events: usize,
    bytes: usize,
}

impl Total {
    /// How far one is behind another.
    fn since(self, earlier: Total) -> Total {
        Total {
            events: self.events - earlier.events,
            bytes: self.bytes - earlier.bytes,
        }
    }

    /// The lesser of two places of one feed.
    fn least(self, other: Total) -> Total {
        match self.events <= other.events {
            true => self,
            false => other,
        }
    }

    fn is_too_much(self) -> bool {
        self.events > BUFFER || self.bytes > BUFFER_BYTES
    }
}

impl Place {
    fn after(total: Total) -> Arc<Place> {
        Arc::new(Place {
            total,
            next: OnceLock::new(),
        })
    }
}

/// Place by place: a long chain would be too deep to drop one within the other.
impl Drop for Place {
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(step) = next {
            next = Arc::into_inner(step.to).and_then(|mut place| place.next.take());
        }
    }
}

fn size(event: &Event) -> usize {
    event.entry.value.len() + event.prev.as_ref().map_or(0, |e| e.value.len())
}

/// What a feed's watchers wait for.
#[derive(Default)]
struct Signal {
    news: Notify,
    closed: AtomicBool,
}

/// How far a watcher has come; nowhere once it was too slow.
struct Cursor(Mutex<Option<Arc<Place>>>);

impl Cursor {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Place>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far a watcher has come; lets go of one that is too far from the end. What one commit told may be as much as it
    /// likes.
    fn reached(&self, end: &Arc<Place>) -> Option<Total> {
        let mut at = self.lock();
        let is_next = |place: &Place| place.next.get().is_some_and(|step| Arc::ptr_eq(&step.to, end));
        let is_slow = |place: &Arc<Place>| end.total.since(place.total).is_too_much() && !is_next(place);
        if at.as_ref().is_some_and(is_slow) {
            *at = None;
        }
        at.as_ref().map(|place| place.total)
    }
}

/// A watcher's place in a feed, and where the hub has it.
pub(crate) struct Registered {
    pub(crate) prefix: Bytes,
    cursor: Arc<Cursor>,
    signal: Arc<Signal>,
    after: Revision,
    only: Option<Only>,
}

impl Registered {
    /// What has come: at most about `most` events, none if nothing has.
    fn take(&self, most: usize) -> Result<Events, ReadError> {
        let mut found = Vec::new();
        let mut count = 0;
        let mut cursor = self.cursor.lock();
        while count < most {
            let place = cursor.as_ref().ok_or(ReadError::Lagged)?;
            let Some(Step { events, to }) = place.next.get() else {
                break;
            };
            count += events.len();
            let is_new = |event: &Arc<Event>| event.entry.mod_revision > self.after;
            match events.iter().all(is_new) {
                true => found.push(events.clone()),
                false => found.push(events.iter().filter(|e| is_new(e)).cloned().collect()),
            }
            *cursor = Some(to.clone());
        }
        Ok(Events(found))
    }

    /// The next events, about so many at most; none once the store closed.
    pub(crate) async fn next(&self, most: usize) -> Result<Option<Events>, ReadError> {
        loop {
            let news = self.signal.news.notified();
            // What comes before it closes is there when it has closed.
            let closed = self.signal.closed.load(Ordering::Acquire);
            let found = self.take(most)?;
            if !found.is_empty() {
                return Ok(Some(found));
            }
            if closed {
                return Ok(None);
            }
            news.await;
        }
    }

    /// Whether all that was published has been taken. Only while the hub is locked does that stay so.
    pub(crate) fn is_idle(&self) -> bool {
        let cursor = self.cursor.lock();
        let closed = self.signal.closed.load(Ordering::Acquire);
        !closed && cursor.as_ref().is_some_and(|place| place.next.get().is_none())
    }
}

/// Watchers that are told the same.
struct Feed {
    end: Arc<Place>,
    signal: Arc<Signal>,
    cursors: Vec<Arc<Cursor>>,
    /// Of the commit that is being published.
    pending: Vec<Arc<Event>>,
    /// No watcher is behind this.
    slowest: Total,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed {
            end: Place::after(Total::default()),
            signal: Arc::default(),
            cursors: Vec::new(),
            pending: Vec::new(),
            slowest: Total::default(),
        }
    }
}

impl Feed {
    /// Tells what is pending.
    fn tell(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let events: Arc<[Arc<Event>]> = std::mem::take(&mut self.pending).into();
        let before = self.end.total;
        let to = Place::after(Total {
            events: before.events + events.len(),
            bytes: before.bytes + events.iter().map(|e| size(e)).sum::<usize>(),
        });
        // Nobody else tells.
        let _ = self.end.next.set(Step {
            events,
            to: to.clone(),
        });
        self.end = to;
        if self.end.total.since(self.slowest).is_too_much() {
            let (end, mut slowest) = (&self.end, self.end.total);
            self.cursors.retain(|cursor| {
                let reached = cursor.reached(end);
                slowest = reached.into_iter().fold(slowest, Total::least);
                reached.is_some()
            });
            self.slowest = slowest;
        }
        self.signal.news.notify_waiters();
    }

    fn close(&self) {
        self.signal.closed.store(true, Ordering::Release);
        self.signal.news.notify_waiters();
    }
}

/// The watchers of one prefix.
#[derive(Default)]
struct Group {
    all: Feed,
    narrowed: Vec<Narrowed>,
}

/// Those that narrow it by the same index, by its value.
struct Narrowed {
    index: Arc<dyn Index>,
    feeds: HashMap<String, Feed>,
}

impl Group {
    fn of(&mut self, only: Option<&Only>) -> &mut Feed {
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
                feeds: HashMap::new(),
            });
            self.narrowed.len() - 1
        });
        self.narrowed[at].feeds.entry(only.value.clone()).or_default()
    }

    fn offer(&mut self, event: &Arc<Event>) {
        if !self.all.cursors.is_empty() {
            self.all.pending.push(event.clone());
        }
        for narrowed in &mut self.narrowed {
            match narrowed.index.values(event) {
                Some([old, new]) => {
                    narrowed.offer(&old, event);
                    if new != old {
                        narrowed.offer(&new, event);
                    }
                }
                None => {
                    for feed in narrowed.feeds.values_mut() {
                        feed.pending.push(event.clone());
                    }
                }
            }
        }
    }

    fn feeds(&mut self) -> impl Iterator<Item = &mut Feed> {
        let narrowed = self.narrowed.iter_mut().flat_map(|n| n.feeds.values_mut());
        [&mut self.all].into_iter().chain(narrowed)
    }

    fn remove(&mut self, registered: &Registered) {
        let same = &registered.cursor;
        self.of(registered.only.as_ref())
            .cursors
            .retain(|c| !Arc::ptr_eq(c, same));
        for narrowed in &mut self.narrowed {
            narrowed.feeds.retain(|_, feed| !feed.cursors.is_empty());
        }
        self.narrowed.retain(|n| !n.feeds.is_empty());
    }
}

impl Narrowed {
    fn offer(&mut self, value: &str, event: &Arc<Event>) {
        if let Some(feed) = self.feeds.get_mut(value) {
            feed.pending.push(event.clone());
        }
    }
}

/// All running watchers.
pub(crate) struct Hub {
    published: Revision,
    groups: HashMap<Bytes, Group>,
}

impl Hub {
    pub(crate) fn new(published: Revision) -> Hub {
        Hub {
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
        let group = self.groups.entry(prefix.clone()).or_default();
        let feed = group.of(only.as_ref());
        let cursor = Arc::new(Cursor(Mutex::new(Some(feed.end.clone()))));
        feed.cursors.push(cursor.clone());
        Registered {
            prefix,
            cursor,
            signal: feed.signal.clone(),
            after,
            only,
        }
    }

    /// Removes a watcher.
    pub(crate) fn remove(&mut self, registered: &Registered) {
        if let Some(group) = self.groups.get_mut(&registered.prefix) {
            group.remove(registered);
            if group.all.cursors.is_empty() && group.narrowed.is_empty() {
                self.groups.remove(&registered.prefix);
            }
        }
    }

    /// Notes that nothing more comes up to a revision.
    pub(crate) fn advance(&mut self, revision: Revision) {
        self.published = revision;
    }

    /// Hands events to every watcher that wants them, and lets go of those that are too slow.
    pub(crate) fn publish(&mut self, events: &[Arc<Event>]) {
        let mut touched: Vec<Bytes> = Vec::new();
        for event in events {
            self.published = event.entry.mod_revision;
            let key = &event.entry.key;
            let folders = key.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let own = (!key.is_empty() && !key.ends_with(b"/")).then_some(key.len());
            for end in [0].into_iter().chain(folders.map(|(at, _)| at + 1)).chain(own) {
                if let Some(group) = self.groups.get_mut(&key[..end]) {
                    group.offer(event);
                    if !touched.iter().any(|prefix| *prefix == key[..end]) {
                        touched.push(key.slice(..end));
                    }
                }
            }
        }
        for prefix in touched {
            if let Some(group) = self.groups.get_mut(&prefix) {
                group.feeds().for_each(Feed::tell);
            }
        }
    }

    /// Ends all watches.
    pub(crate) fn close(&mut self) {
        for (_, mut group) in self.groups.drain() {
            group.feeds().for_each(|feed| feed.close());
        }
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
