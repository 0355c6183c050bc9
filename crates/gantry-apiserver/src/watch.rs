//! The watch verb: a stream of events, filtered by the request's selectors.
//!
//! Source: k8s.io/apiserver/pkg/storage/cacher. What exists is streamed like a list; only then does the watch itself
//! start, from the revision of that list, so that nothing queues up meanwhile.

mod event;
mod pace;
mod told;

use crate::call::Call;
use crate::filter::Filter;
use crate::list::{Keys, Objects};
use crate::list_options::{ListOptions, Match, WatchOptions};
use crate::negotiate::Format;
use crate::registry::read_error;
use crate::request::Served;
use crate::respond::{self, Body};
use crate::verbs::Api;
use crate::view::View;
use async_trait::async_trait;
use bytes::Bytes;
use event::{Encoder, FieldIndex, Reader, memo};
use gantry_api::protobuf;
use gantry_api::status::Status;
use gantry_client::{SharedEvent, SharedEvents};
use gantry_store::{Event, Only, ReadError, Revision, Store, Watch};
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use pace::Counted;
pub use pace::Watches;
use rand::Rng;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
pub use told::Handover;
use told::{Objects as Shared, Told};

/// How often a watch is told how far it has come, if it wants to know; also this long before it ends.
const BOOKMARKS: Duration = Duration::from_secs(60);
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// A watch without a timeout of its own ends after this long, up to twice as long.
const TIMEOUT: Duration = Duration::from_secs(1800);

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
        Some(seconds @ 1..) => Duration::from_secs(seconds.unsigned_abs()),
        _ => TIMEOUT.mul_f64(rand::rng().random_range(1.0..2.0)),
    };
    let now = Instant::now();
    let kind = &call.target.kind;
    let reader = Arc::new(Reader::of(kind));
    let only = filter.one_value(kind).map(|(path, value)| Only {
        index: Arc::new(FieldIndex {
            name: format!("{} {path}", kind.api_version()),
            path: path.to_string(),
            reader: reader.clone(),
        }),
        value: value.to_string(),
    });
    // What is sent are objects, whichever of the two looks was asked for.
    let view = call.view(false).or_else(|_| call.view(true))?;
    // Kinds that have no protobuf form go as JSON.
    let shown = view
        .one(
            kind,
            &json!({"apiVersion": kind.api_version(), "kind": kind.kind}),
        )
        .into_owned();
    let plain = call.format == Format::Protobuf && !protobuf::has_form(&shown);
    let encoder = Encoder {
        reader,
        format: if plain { Format::Json } else { call.format },
        view,
        columns_told: !matches!(view, View::Table(..)),
    };
    let (start, _) = keys.range();
    let mut stream = Stream {
        served: api.kinds.clone(),
        filter: Arc::new(filter),
        only,
        encoder,
        prefix: start,
        stage: Stage::Over,
        seen: 0,
        counted: api.watches.count(),
        told: now,
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
    let mut response = respond::with_type(200, content_type, "");
    if let Some(handover) = &call.handover {
        handover.leave(Box::new(stream));
        return Ok(response);
    }
    let frames = futures::stream::unfold(stream, |mut stream| async move {
        let bytes: Vec<u8> = stream.tell().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes.into())), stream))
    });
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
    served: Arc<Served>,
    filter: Arc<Filter>,
    /// Spares what the filter would drop.
    only: Option<Only>,
    encoder: Encoder,
    prefix: Bytes,
    stage: Stage,
    /// The revision up to which everything was sent.
    seen: Revision,
    counted: Counted,
    /// When it was last told of events.
    told: Instant,
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
        let only = self.only.clone();
        let watch = self.store.watch_only(self.prefix.clone(), self.seen, only);
        watch.await.map(Stage::Live).map_err(|e| read_error(&e))
    }

    /// What is told next; `None` at its end.
    async fn tell<T: Told>(&mut self) -> Option<T> {
        loop {
            let mut told = T::default();
            let stage = std::mem::replace(&mut self.stage, Stage::Over);
            let next = match stage {
                Stage::Initial(objects) => self.initial(objects, &mut told).await,
                Stage::Live(watch) => self.events(watch, &mut told).await,
                Stage::Error(status) => {
                    told.error(&self.encoder, &status);
                    return Some(told);
                }
                Stage::Over => return None,
            };
            self.stage = next.unwrap_or_else(Stage::Error);
            if !told.is_empty() {
                return Some(told);
            }
        }
    }

    /// Tells a part of what exists.
    async fn initial(&mut self, mut objects: Box<Objects>, told: &mut impl Told) -> Result<Stage, Status> {
        while !told.is_full() {
            let Some(entry) = objects.next().await? else {
                if self.bookmarks {
                    told.bookmark(&self.encoder, self.seen, true);
                    self.encoder.columns_told = true;
                }
                return self.live().await;
            };
            told.exists(&self.encoder, &entry)?;
            self.encoder.columns_told = true;
        }
        Ok(Stage::Initial(objects))
    }

    /// Waits for what happens next, or for the time of a bookmark or of the end.
    async fn events(&mut self, mut watch: Box<dyn Watch>, told: &mut impl Told) -> Result<Stage, Status> {
        let pause = match self.bookmarks {
            true => self.bookmark_at.min(self.ends),
            false => self.ends,
        };
        let again = self.told + self.counted.pause();
        if again > Instant::now() {
            tokio::time::sleep_until(again.min(pause)).await;
        }
        let next = tokio::select! {
            biased;
            next = tokio::time::timeout_at(pause, watch.next()) => next,
            // The client comes again, and gets the kind as it is then.
            () = self.served.replaced(self.encoder.reader.kind()) => return Ok(Stage::Over),
        };
        match next {
            Ok(Ok(Some(events))) => {
                self.told = Instant::now();
                for event in events.iter() {
                    self.seen = event.entry.mod_revision;
                    self.push(event, told)?;
                }
            }
            // The store closed, or the client was too slow: it may come again from where it is.
            Ok(Ok(None) | Err(ReadError::Lagged)) => return Ok(Stage::Over),
            Ok(Err(error)) => return Err(read_error(&error)),
            Err(_) if Instant::now() >= self.ends => return Ok(Stage::Over),
            Err(_) => {
                self.seen = watch.progress().unwrap_or(self.seen);
                told.bookmark(&self.encoder, self.seen, false);
                self.encoder.columns_told = true;
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

    fn push(&mut self, event: &Event, told: &mut impl Told) -> Result<(), Status> {
        if let Some(type_) = memo(event).type_for(&self.encoder.reader, &self.filter, event)? {
            told.event(type_, &self.encoder, event)?;
            self.encoder.columns_told = true;
        }
        Ok(())
    }
}

#[async_trait]
impl SharedEvents for Stream {
    async fn next(&mut self) -> Option<Vec<SharedEvent>> {
        self.tell::<Shared>().await.map(Shared::into_events)
    }
}
