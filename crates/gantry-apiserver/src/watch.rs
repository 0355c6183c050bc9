//! The watch verb: a stream of events, filtered by the request's selectors.
//!
//! Source: k8s.io/apiserver/pkg/storage/cacher. What exists is streamed like a list; only then does the watch itself
//! start, from the revision of that list, so that nothing queues up meanwhile.

use crate::filter::{Filter, Picker};
use crate::list::{Keys, Objects};
use crate::list_options::{ListOptions, Match, WatchOptions};
use crate::negotiate::Format;
use crate::registry::read_error;
use crate::respond::{self, Body};
use crate::stored::{Head, decode_as};
use crate::table;
use crate::verbs::{Api, Call};
use bytes::Bytes;
use gantry_api::kind::Kind;
use gantry_api::status::Status;
use gantry_store::{Entry, Event, EventKind, ReadError, Revision, Store, Watch};
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use rand::Rng;
use serde_json::{Value, json};
use smol_str::SmolStr;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often a watch is told how far it has come, if it wants to know; also this long before it ends.
const BOOKMARKS: Duration = Duration::from_secs(60);
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// A watch without a timeout of its own ends after this long, up to twice as long.
const TIMEOUT: Duration = Duration::from_secs(1800);
/// What exists is sent in chunks of about this size.
const CHUNK: usize = 64 * 1024;

/// Starts a watch.
pub async fn start(
    api: &Api,
    call: &Call,
    filter: Filter,
    keys: &Keys,
    options: &WatchOptions,
) -> Result<Response<Body>, Status> {
    let store = api.registry.store().clone();
    let timeout = match call.options.number("timeoutSeconds")? {
        None | Some(0) => TIMEOUT.mul_f64(rand::rng().random_range(1.0..2.0)),
        Some(seconds) => Duration::from_secs(seconds),
    };
    let now = Instant::now();
    let encoder = Encoder {
        kind: call.target.kind.clone(),
        head: Head::of(&call.target.kind),
        format: call.format,
        table: table::wanted(&call.accept),
    };
    let (start, _) = keys.range();
    let picker = Picker::of(&call.target.kind);
    let mut stream = Stream {
        filter: Arc::new(filter),
        picker,
        encoder,
        prefix: start,
        stage: Stage::Over,
        seen: 0,
        bookmarks: options.bookmarks,
        bookmark_at: now,
        ends: now.checked_add(timeout).unwrap_or(now + TIMEOUT),
        store,
    };
    stream.next_bookmark();
    // Once a watch was understood, what is wrong with it is told as an event.
    match stream.begin(call, keys, options).await {
        Ok(stage) => stream.stage = stage,
        Err(status) => stream.stage = Stage::Error(status),
    }
    let content_type = stream.encoder.format.stream_type();
    let frames = futures::stream::unfold(stream, |mut stream| async move {
        let bytes = stream.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), stream))
    });
    let mut response = respond::with_type(200, content_type, "");
    *response.body_mut() = StreamBody::new(frames)
        .map_err(|never| match never {})
        .boxed_unsync();
    Ok(response)
}

/// How far a watch has come.
enum Stage {
    /// Sending what exists, then perhaps a bookmark that says so.
    Initial(Box<Objects>),
    /// Sending what happens.
    Live(Box<dyn Watch>),
    /// About to end with this error.
    Error(Status),
    /// At its end.
    Over,
}

struct Stream {
    store: Arc<dyn Store>,
    filter: Arc<Filter>,
    picker: Picker,
    encoder: Encoder,
    prefix: Bytes,
    stage: Stage,
    /// The revision up to which everything was sent.
    seen: Revision,
    bookmarks: bool,
    bookmark_at: Instant,
    ends: Instant,
}

impl Stream {
    async fn begin(&mut self, call: &Call, keys: &Keys, options: &WatchOptions) -> Result<Stage, Status> {
        if options.initial {
            let list = ListOptions {
                version: Match::NotOlderThan(options.version.unwrap_or(0)),
                limit: 0,
            };
            let objects = Objects::start(&self.store, call, self.filter.clone(), keys, &list).await?;
            self.seen = objects.revision();
            return Ok(Stage::Initial(Box::new(objects)));
        }
        self.seen = match options.version {
            None | Some(0) => self.store.revision(),
            Some(version) => version,
        };
        self.live().await
    }

    async fn live(&mut self) -> Result<Stage, Status> {
        let watch = self.store.watch(self.prefix.clone(), self.seen).await;
        watch.map(Stage::Live).map_err(|e| read_error(&e))
    }

    /// The next part of the answer; `None` at its end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let mut out = Vec::new();
            let stage = std::mem::replace(&mut self.stage, Stage::Over);
            let next = match stage {
                Stage::Initial(objects) => self.initial(objects, &mut out).await,
                Stage::Live(watch) => self.events(watch, &mut out).await,
                Stage::Error(status) => {
                    return Some(self.encoder.format.frame("ERROR", &status.to_object()));
                }
                Stage::Over => return None,
            };
            self.stage = next.unwrap_or_else(Stage::Error);
            if !out.is_empty() {
                return Some(out.into());
            }
        }
    }

    /// Sends a part of what exists.
    async fn initial(&mut self, mut objects: Box<Objects>, out: &mut Vec<u8>) -> Result<Stage, Status> {
        while out.len() < CHUNK {
            let Some(entry) = objects.next().await? else {
                if self.bookmarks {
                    out.extend_from_slice(&self.encoder.bookmark(self.seen, true));
                }
                return self.live().await;
            };
            self.encoder.frame("ADDED", &entry, out)?;
        }
        Ok(Stage::Initial(objects))
    }

    /// Waits for what happens next, or for the time of a bookmark or of the end.
    async fn events(&mut self, mut watch: Box<dyn Watch>, out: &mut Vec<u8>) -> Result<Stage, Status> {
        let pause = match self.bookmarks {
            true => self.bookmark_at.min(self.ends),
            false => self.ends,
        };
        match tokio::time::timeout_at(pause, watch.next()).await {
            Ok(Ok(Some(events))) => {
                for event in &events {
                    self.seen = event.entry.mod_revision;
                    self.push(event, out)?;
                }
            }
            // The store closed, or the client was too slow: it may come again from where it is.
            Ok(Ok(None) | Err(ReadError::Lagged)) => return Ok(Stage::Over),
            Ok(Err(error)) => return Err(read_error(&error)),
            Err(_) if Instant::now() >= self.ends => return Ok(Stage::Over),
            Err(_) => {
                self.seen = watch.progress().unwrap_or(self.seen);
                out.extend_from_slice(&self.encoder.bookmark(self.seen, false));
                self.next_bookmark();
            }
        }
        Ok(Stage::Live(watch))
    }

    fn next_bookmark(&mut self) {
        let now = Instant::now();
        let last = self.ends.checked_sub(LAST_BOOKMARK).unwrap_or(now);
        self.bookmark_at = match (now + BOOKMARKS).min(last) {
            // There is none after the last.
            at if at <= now => self.ends,
            at => at,
        };
    }

    /// An object that comes to match is ADDED and one that no longer does is DELETED, whatever happened to it.
    fn push(&self, event: &Event, out: &mut Vec<u8>) -> Result<(), Status> {
        let memo = memo(event);
        let (old, new) = match self.filter.is_empty() {
            true => (event.prev.is_some(), event.kind == EventKind::Put),
            false => {
                let picked = memo.picked(&self.picker, &self.encoder, event)?;
                let wanted = |o: &Option<Value>| o.as_ref().is_some_and(|o| self.filter.matches(o));
                (wanted(&picked.old), wanted(&picked.new))
            }
        };
        let type_ = match (old, new) {
            (false, false) => return Ok(()),
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        out.extend_from_slice(&memo.frame(type_, &self.encoder, event)?);
        Ok(())
    }
}

/// What all watchers of an event share: the fields that selectors read, and its encodings.
#[derive(Default)]
struct Memo {
    picked: Mutex<Vec<(SmolStr, Arc<Picked>)>>,
    frames: Mutex<Vec<(FrameKey, Bytes)>>,
}

/// An event's selectable fields, before and after.
struct Picked {
    old: Option<Value>,
    new: Option<Value>,
}

#[derive(Clone, PartialEq)]
struct FrameKey {
    type_: &'static str,
    group: SmolStr,
    format: Format,
    table: bool,
}

fn memo(event: &Event) -> &Memo {
    let memo = event.memo.get_or_init(|| Box::new(Memo::default()));
    match memo.downcast_ref() {
        Some(memo) => memo,
        None => unreachable!("only watches make memos"),
    }
}

impl Memo {
    fn picked(&self, picker: &Picker, encoder: &Encoder, event: &Event) -> Result<Arc<Picked>, Status> {
        // Kinds of several groups and versions may share stored objects.
        let key = SmolStr::from(encoder.kind.api_version());
        let mut all = self.picked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, picked)) = all.iter().find(|(k, _)| *k == key) {
            return Ok(picked.clone());
        }
        let pick = |entry: &Entry| picker.pick(&encoder.kind, &encoder.head, entry);
        let picked = Arc::new(Picked {
            old: event.prev.as_ref().map(pick).transpose()?,
            new: match event.kind {
                EventKind::Put => Some(pick(&event.entry)?),
                EventKind::Delete => None,
            },
        });
        all.push((key, picked.clone()));
        Ok(picked)
    }

    fn frame(&self, type_: &'static str, encoder: &Encoder, event: &Event) -> Result<Bytes, Status> {
        let key = FrameKey {
            type_,
            group: encoder.kind.api_version().into(),
            format: encoder.format,
            table: encoder.table,
        };
        let mut all = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, frame)) = all.iter().find(|(k, _)| *k == key) {
            return Ok(frame.clone());
        }
        let mut frame = Vec::new();
        match (&event.prev, type_) {
            // The object as it was last, at the revision at which it went.
            (Some(prev), "DELETED") => {
                let gone = Entry {
                    mod_revision: event.entry.mod_revision,
                    ..prev.clone()
                };
                encoder.frame(type_, &gone, &mut frame)?;
            }
            _ => encoder.frame(type_, &event.entry, &mut frame)?,
        }
        let frame = Bytes::from(frame);
        all.push((key, frame.clone()));
        Ok(frame)
    }
}

/// Writes events as the client wants them.
struct Encoder {
    kind: Arc<Kind>,
    head: Head,
    format: Format,
    table: bool,
}

impl Encoder {
    fn frame(&self, type_: &str, entry: &Entry, out: &mut Vec<u8>) -> Result<(), Status> {
        if !self.table && self.format != Format::Protobuf && self.head.is_of(entry) {
            out.extend_from_slice(b"{\"type\":\"");
            out.extend_from_slice(type_.as_bytes());
            out.extend_from_slice(b"\",\"object\":");
            self.head.write(entry, out);
            out.extend_from_slice(b"}\n");
            return Ok(());
        }
        let object = decode_as(&self.kind, entry)?;
        let frame = match self.table {
            true => self.format.frame(type_, &table::of_one(&self.kind, &object)),
            false => self.format.frame(type_, &object),
        };
        out.extend_from_slice(&frame);
        Ok(())
    }

    fn bookmark(&self, revision: Revision, initial_end: bool) -> Bytes {
        let mut object = json!({
            "kind": self.kind.kind, "apiVersion": self.kind.api_version(),
            "metadata": {"resourceVersion": revision.to_string()},
        });
        if initial_end {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        self.format.frame("BOOKMARK", &object)
    }
}
