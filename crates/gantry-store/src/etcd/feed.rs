//! Keeps the copy of etcd's state: reads all of it once, then follows one watch.
//!
//! The watch is of every key, also of those that are not the store's: as each of etcd's revisions changes some key, the
//! copy is at a revision once the watch has told of it. With a watch of the store's keys alone, nothing would tell that
//! a revision changed none of them, but progress notifications, which many versions of etcd send too early.

use super::client::{Client, Failure};
use super::proto::event::EventType;
use super::proto::{Event as Change, RangeRequest, WatchCreateRequest};
use super::txn::{entry, tombstone};
use super::{COMPACTED, Shared, header};
use crate::retention::{Limits, Retention};
use crate::state::State;
use crate::{Entry, Event, EventKind, Revision, prefix_end};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Keys read at once.
const PAGE: i64 = 500;
/// Before the watch is started again: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// etcd's way to say "from the first key on" and "to the last".
const EDGE: &[u8] = b"\0";

/// Everything under a prefix, as it stands, and the cluster it is from.
pub(super) async fn load(client: &Client, prefix: &Bytes) -> Result<(State, u64), Failure> {
    let mut request = RangeRequest {
        key: prefix.to_vec(),
        range_end: prefix_end(prefix).to_vec(),
        limit: PAGE,
        ..RangeRequest::default()
    };
    if prefix.is_empty() {
        request.key = EDGE.to_vec();
        request.range_end = EDGE.to_vec();
    }
    let mut loaded: Option<(State, u64)> = None;
    loop {
        let page = client.range(request.clone()).await?;
        let (revision, cluster) = header(page.header.as_ref());
        // What went before is not known here; etcd is asked for it.
        let (state, _) =
            loaded.get_or_insert_with(|| (State::new(revision, revision, u64::MAX, true), cluster));
        request.revision = state.revision as i64;
        if let (true, Some(last)) = (page.more, page.kvs.last()) {
            request.key = [&last.key[..], b"\0"].concat();
        }
        for kv in page.kvs {
            state.load(entry(kv));
        }
        if !page.more {
            break;
        }
    }
    loaded.ok_or_else(|| Failure::Unreachable("nothing was read".into()))
}

/// Why a watch ended.
enum End {
    /// It broke, or something else has to be tried; what follows can be watched from where it was.
    Broken(Failure),
    /// Readers wait for a revision that does not come.
    Stalled,
    /// What follows is no longer kept, or this is another cluster.
    Lost(String),
}

/// Follows etcd for as long as the store is there.
pub(super) struct Feed {
    pub(super) shared: Arc<Shared>,
    retention: Retention,
    /// Stalls since anything came.
    stalls: u32,
}

impl Feed {
    /// A feed that keeps as much history as `limits` say; when it is to be forgotten, the compactor says.
    pub(super) fn new(shared: Arc<Shared>, limits: Limits) -> Feed {
        let limits = Limits {
            every: Duration::MAX,
            ..limits
        };
        Feed {
            shared,
            retention: Retention::new(limits, Instant::now()),
            stalls: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let mut pause = PAUSES.0;
        loop {
            let before = self.shared.core.read().revision;
            let end = self.follow().await;
            let revision = self.shared.core.read().revision;
            if revision > before {
                pause = PAUSES.0;
            }
            let end = match end {
                End::Stalled if self.stalls > 1 => End::Lost("a revision does not come".into()),
                end => end,
            };
            match end {
                End::Stalled => tracing::warn!("etcd's watch lags at revision {revision}: trying another"),
                End::Broken(why) if pause == PAUSES.0 => {
                    tracing::warn!("etcd's watch broke at revision {revision}, going on from there: {why}");
                }
                End::Broken(why) => tracing::debug!("etcd's watch broke again: {why}"),
                End::Lost(why) => {
                    tracing::warn!(
                        "etcd cannot be followed from revision {revision}, reading all of it: {why}"
                    );
                    if let Err(why) = self.reload().await {
                        tracing::warn!("reading all failed: {why}");
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Watches from where the copy is until the watch ends.
    async fn follow(&mut self) -> End {
        let shared = self.shared.clone();
        let request = WatchCreateRequest {
            key: EDGE.to_vec(),
            range_end: EDGE.to_vec(),
            start_revision: shared.core.read().revision as i64 + 1,
            fragment: true,
        };
        let mut watch = match shared.client.watch(request).await {
            Ok(watch) => watch,
            Err(failure) => return End::Broken(failure),
        };
        // The parts of a message that came in several.
        let mut parts = Vec::new();
        let end = loop {
            let message = tokio::select! {
                message = watch.next() => message,
                () = shared.stalled.notified() => {
                    self.stalls += 1;
                    break End::Stalled;
                }
            };
            let message = match message {
                Ok(message) => message,
                Err(failure) => break End::Broken(failure),
            };
            if message.compact_revision > 0 {
                return End::Lost(format!("etcd compacted up to {}", message.compact_revision));
            }
            if message.canceled {
                let status = tonic::Status::unavailable(message.cancel_reason);
                break End::Broken(Failure::Status(Box::new(status)));
            }
            if header(message.header.as_ref()).1 != shared.cluster.load(Ordering::Acquire) {
                return End::Lost("it is another cluster".into());
            }
            parts.extend(message.events);
            if !message.fragment && !parts.is_empty() {
                self.stalls = 0;
                self.take_in(std::mem::take(&mut parts));
            }
        };
        watch.failed().await;
        end
    }

    /// Applies changes, which are of whole revisions.
    fn take_in(&mut self, changes: Vec<Change>) {
        let core = &self.shared.core;
        let known = core.read().revision;
        let mut events: Vec<Arc<Event>> = Vec::new();
        let mut latest: HashMap<Bytes, Option<Entry>> = HashMap::new();
        let (mut newest, mut compacted) = (known, None);
        for change in changes {
            let kind = match change.r#type() {
                EventType::Put => EventKind::Put,
                EventType::Delete => EventKind::Delete,
            };
            let Some(now) = change.kv.map(entry) else { continue };
            // A member that lagged behind may tell again what another has told.
            if now.mod_revision <= known {
                continue;
            }
            newest = newest.max(now.mod_revision);
            if now.key == COMPACTED {
                compacted = std::str::from_utf8(&now.value).ok().and_then(|v| v.parse().ok());
            }
            if !now.key.starts_with(&self.shared.prefix) {
                continue;
            }
            let prev = match latest.get(&now.key) {
                Some(pending) => pending.clone(),
                None => core.get(&now.key),
            };
            // The key's bytes as they are held already, not one more copy.
            let key = prev.as_ref().map_or(now.key, |e| e.key.clone());
            let now = match kind {
                EventKind::Put => Entry { key, ..now },
                EventKind::Delete => tombstone(key, now.mod_revision),
            };
            let stands = (kind == EventKind::Put).then(|| now.clone());
            latest.insert(now.key.clone(), stands);
            events.push(Arc::new(Event::new(kind, now, prev)));
        }
        core.apply(&events);
        core.advance(newest);
        self.shared.arrivals.arrived(newest);
        self.forget(compacted);
    }

    /// Forgets history that etcd is about to, or that is more than the copy may hold.
    fn forget(&mut self, compacted: Option<Revision>) {
        let core = &self.shared.core;
        let due = self.retention.due(Instant::now(), &core.read());
        for at in [compacted, due].into_iter().flatten() {
            // What is refused was forgotten before, or never known.
            let _ = core.write().compact(at);
        }
    }

    /// Reads everything anew. All watches end; those that start again from before it are told that it is gone.
    async fn reload(&mut self) -> Result<(), Failure> {
        let (state, cluster) = load(&self.shared.client, &self.shared.prefix).await?;
        let revision = state.revision;
        self.shared.core.replace(state);
        self.shared.cluster.store(cluster, Ordering::Release);
        self.shared.arrivals.arrived(revision);
        self.stalls = 0;
        Ok(())
    }
}
