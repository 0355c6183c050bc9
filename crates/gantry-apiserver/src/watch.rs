//! The watch verb: a stream of events, filtered by the request's selectors.

use crate::negotiate::Format;
use crate::registry::{decode_as, read_error};
use crate::respond::{self, Body};
use crate::table;
use crate::verbs::{Api, Filter};
use bytes::Bytes;
use gantry_api::kind::Kind;
use gantry_api::meta;
use gantry_api::status::Status;
use gantry_store::{Event, EventKind, Watch};
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a watch request asks for.
pub struct Request {
    /// The kind watched.
    pub kind: Arc<Kind>,
    /// The store's key prefix.
    pub prefix: String,
    /// The selectors.
    pub filter: Filter,
    /// Start after this revision; `None` sends what exists first.
    pub after: Option<u64>,
    /// Mark the end of what existed with a bookmark.
    pub mark_initial: bool,
    /// Send bookmarks.
    pub bookmarks: bool,
    /// Send tables instead of objects.
    pub table: bool,
    /// The events' format.
    pub format: Format,
    /// End the watch after this long.
    pub timeout: Duration,
}

struct Stream {
    request: Request,
    watch: Box<dyn Watch>,
    ready: VecDeque<Bytes>,
    seen: u64,
    ends: Instant,
    ended: bool,
}

/// Starts a watch.
pub async fn start(api: &Api, request: Request) -> Result<Response<Body>, Status> {
    let mut initial = Vec::new();
    let after = match request.after {
        Some(revision) => revision,
        None => {
            let page = api
                .registry
                .list(&request.kind, &request.prefix, None, 0, None)
                .await?;
            initial = page.objects;
            page.revision
        }
    };
    let prefix = Bytes::copy_from_slice(request.prefix.as_bytes());
    let ends = Instant::now() + request.timeout;
    let mut ready = VecDeque::new();
    let watch = match api.registry.store().watch(prefix, after).await {
        Ok(watch) => watch,
        Err(error) => {
            let frame = request.format.frame("ERROR", &read_error(&error).to_object());
            return Ok(respond::with_type(200, request.format.stream_type(), frame));
        }
    };
    for object in initial.iter().filter(|o| request.filter.matches(o)) {
        ready.push_back(frame(&request, "ADDED", object));
    }
    if request.mark_initial {
        ready.push_back(bookmark(&request, after, true));
    }
    let stream = Stream {
        request,
        watch,
        ready,
        seen: after,
        ends,
        ended: false,
    };
    let content_type = stream.request.format.stream_type();
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

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if self.ended {
                return None;
            }
            let pause = (Instant::now() + Duration::from_secs(60)).min(self.ends);
            match tokio::time::timeout_at(pause, self.watch.next()).await {
                Err(_) => {
                    self.ended = Instant::now() >= self.ends;
                    if self.request.bookmarks {
                        self.ready.push_back(bookmark(&self.request, self.seen, false));
                    }
                }
                Ok(Ok(Some(events))) => events.iter().for_each(|event| self.push(event)),
                Ok(Ok(None)) => return None,
                Ok(Err(error)) => {
                    self.ended = true;
                    self.ready.push_back(
                        self.request
                            .format
                            .frame("ERROR", &read_error(&error).to_object()),
                    );
                }
            }
        }
    }

    /// An object that comes to match is ADDED and one that no longer does is DELETED, whatever happened to it.
    fn push(&mut self, event: &Event) {
        self.seen = event.entry.mod_revision;
        let kind = self.request.kind.clone();
        let read = |entry| decode_as(&kind, entry).ok();
        let old = event
            .prev
            .as_ref()
            .and_then(read)
            .filter(|o| self.request.filter.matches(o));
        let new = match event.kind {
            EventKind::Put => read(&event.entry).filter(|o| self.request.filter.matches(o)),
            EventKind::Delete => None,
        };
        let (type_, object) = match (old, new) {
            (None, Some(new)) => ("ADDED", new),
            (Some(_), Some(new)) => ("MODIFIED", new),
            (Some(mut old), None) => {
                old["metadata"]["resourceVersion"] = event.entry.mod_revision.to_string().into();
                ("DELETED", old)
            }
            (None, None) => return,
        };
        self.ready.push_back(frame(&self.request, type_, &object));
    }
}

fn frame(request: &Request, type_: &str, object: &Value) -> Bytes {
    match request.table {
        true => request.format.frame(type_, &table::of_one(&request.kind, object)),
        false => request.format.frame(type_, object),
    }
}

fn bookmark(request: &Request, revision: u64, initial_end: bool) -> Bytes {
    let kind = &request.kind;
    let mut object = json!({
        "kind": kind.kind, "apiVersion": kind.api_version(), "metadata": {"resourceVersion": revision.to_string()},
    });
    if initial_end {
        object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    debug_assert!(!meta::text(&object, "resourceVersion").is_empty());
    request.format.frame("BOOKMARK", &object)
}
