//! The list verb. A list streams: it is read from the store page by page at one revision and written chunk by chunk, so
//! that it takes the memory of a page, however long it is.

mod shape;

use crate::call::Call;
use crate::filter::Filter;
use crate::list_options::{ListOptions, Match, WatchOptions, read_token, write_token};
use crate::negotiate::Format;
use crate::registry::read_error;
use crate::respond::{self, Body, BodyError};
use crate::stored::{Head, decode_as};
use crate::verbs::Api;
use crate::view::View;
use crate::{table, watch};
use bytes::Bytes;
use gantry_api::kind::{Kind, Scope};
use gantry_api::protobuf;
use gantry_api::status::Status;
use gantry_store::{Entry, RangeRequest, ReadError, Revision, Store, prefix_end};
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use shape::{Shape, list_of};
use std::sync::Arc;

/// Objects read from the store at once.
const PAGE: usize = 256;
/// A chunk of an answer is sent once it is this long.
const CHUNK: usize = 64 * 1024;
/// A list in protobuf, whose length must be known first, is written twice if it is longer than this.
const WHOLE: usize = 4 << 20;

/// The keys a list or watch is about.
pub struct Keys {
    /// What all keys begin with; continue tokens are relative to it.
    pub prefix: String,
    /// The one name, if only one is asked for.
    pub name: Option<String>,
}

impl Keys {
    fn of(call: &Call, filter: &Filter) -> Self {
        let kind = &call.target.kind;
        let one = kind.scope == Scope::Cluster || call.namespace().is_some();
        Keys {
            prefix: kind.prefix(call.namespace()),
            name: filter.name().filter(|_| one).map(str::to_string),
        }
    }

    /// The keys as a range.
    pub fn range(&self) -> (Bytes, Bytes) {
        let start = format!("{}{}", self.prefix, self.name.as_deref().unwrap_or(""));
        match self.name {
            Some(_) => (start.clone().into(), format!("{start}\0").into()),
            None => (start.clone().into(), prefix_end(start.as_bytes())),
        }
    }
}

impl Api {
    /// list, and watch of a collection
    pub async fn list(&self, call: &Call) -> Result<Response<Body>, Status> {
        let filter = Filter::of(call)?;
        let keys = Keys::of(call, &filter);
        if call.options.flag("watch") {
            let options = WatchOptions::read(&call.options)?;
            return watch::start(self, call, filter, &keys, &options).await;
        }
        let options = ListOptions::read(&call.options)?;
        let filter = Arc::new(filter);
        let objects = Objects::start(self.registry.store(), call, filter, &keys, &options).await?;
        objects.answer(call).await
    }
}

impl Objects {
    /// The objects as the client wants them.
    async fn answer(self, call: &Call) -> Result<Response<Body>, Status> {
        let objects = self;
        let view = call.view(true)?;
        if call.format == Format::Protobuf
            && let Some(answer) = in_protobuf(&objects, view).await?
        {
            return Ok(answer);
        }
        let shape = Shape {
            view,
            yaml: call.format == Format::Yaml,
            now: table::now(),
        };
        let type_ = shape.content_type();
        let mut writer = Writer::new(objects, shape);
        // What fits in one chunk is sent whole, with its length.
        let first = writer.chunk().await?.unwrap_or_default();
        if writer.done {
            return Ok(respond::with_type(200, type_, first));
        }
        Ok(streamed(type_, Some(first), writer))
    }
}

/// An answer that is written as it is read. Should that fail, the connection ends and the client knows.
fn streamed(type_: &'static str, first: Option<Bytes>, source: impl Chunks + 'static) -> Response<Body> {
    let frames = futures::stream::unfold((first, Some(source)), |(first, source)| async move {
        if let Some(first) = first {
            return Some((Ok(Frame::data(first)), (None, source)));
        }
        let mut source = source?;
        match source.chunk().await {
            Ok(Some(bytes)) => Some((Ok(Frame::data(bytes)), (None, Some(source)))),
            Ok(None) => None,
            Err(status) => {
                tracing::warn!("a list ends early: {status}");
                Some((Err(BodyError::from(status.to_string())), (None, None)))
            }
        }
    });
    let mut response = respond::with_type(200, type_, "");
    *response.body_mut() = StreamBody::new(frames).boxed_unsync();
    response
}

/// Writes an answer in parts.
trait Chunks: Send {
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, Status>> + Send;
}

/// The objects of a list, read as they are needed. A clone reads them again.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn Store>,
    kind: Arc<Kind>,
    head: Arc<Head>,
    filter: Arc<Filter>,
    revision: Revision,
    ready: std::vec::IntoIter<Entry>,
    rest: Option<(Bytes, Bytes)>,
    continue_token: Option<String>,
    left: Option<usize>,
    /// What is ready has been through the filter, and is all.
    filled: bool,
}

impl Objects {
    /// All objects that a request's selectors choose, as they stand.
    pub async fn matching(store: &Arc<dyn Store>, call: &Call, filter: Filter) -> Result<Self, Status> {
        let keys = Keys::of(call, &filter);
        let options = ListOptions {
            version: Match::NotOlderThan(0),
            limit: 0,
        };
        Objects::start(store, call, Arc::new(filter), &keys, &options).await
    }

    /// The answer with other objects, of a revision, in their place.
    pub async fn answer_these(
        mut self,
        call: &Call,
        entries: Vec<Entry>,
        revision: Revision,
    ) -> Result<Response<Body>, Status> {
        (self.ready, self.rest) = (entries.into_iter(), None);
        (self.revision, self.filled) = (revision, true);
        self.answer(call).await
    }

    /// Reads the first page.
    pub async fn start(
        store: &Arc<dyn Store>,
        call: &Call,
        filter: Arc<Filter>,
        keys: &Keys,
        options: &ListOptions,
    ) -> Result<Self, Status> {
        let (mut start, end) = keys.range();
        let token = call.options.text("continue");
        let mut revision = match options.version {
            Match::Exact(revision) => Some(revision),
            Match::NotOlderThan(_) => None,
        };
        if !token.is_empty() {
            let (from, at) = read_token(token, &keys.prefix)?;
            start = start.max(from.into());
            revision = at;
        }
        let first = RangeRequest {
            limit: match options.limit {
                0 => PAGE,
                limit if filter.is_empty() => limit,
                limit => limit.max(PAGE),
            },
            count: options.limit > 0 && filter.is_empty(),
            start: start.clone(),
            end: end.clone(),
            revision,
        };
        let page = store.range(first).await.map_err(|e| match e {
            ReadError::Compacted { .. } => too_old(token, &start, &keys.prefix),
            e => read_error(&e),
        })?;
        if let Match::NotOlderThan(wanted) = options.version
            && wanted > page.revision
        {
            return Err(Status::too_large_resource_version(wanted, page.revision));
        }
        let mut objects = Objects {
            store: store.clone(),
            kind: call.target.kind.clone(),
            head: Arc::new(Head::of(&call.target.kind)),
            filter,
            revision: revision.unwrap_or(page.revision),
            rest: page.more.then(|| (after(&page.entries), end)),
            left: page.count.map(|count| count - page.entries.len()),
            ready: page.entries.into_iter(),
            continue_token: None,
            filled: false,
        };
        if options.limit > 0 {
            objects.fill(options.limit, &keys.prefix).await?;
        }
        Ok(objects)
    }

    /// Reads on until there are as many objects as asked for, and says where the rest begins.
    async fn fill(&mut self, limit: usize, prefix: &str) -> Result<(), Status> {
        let mut kept = Vec::new();
        let mut last = None;
        while kept.len() < limit {
            let Some(entry) = self.entry().await? else { break };
            last = Some(entry.key.clone());
            if self.filter.matches_entry(&self.kind, &self.head, &entry)? {
                kept.push(entry);
            }
        }
        if let Some(last) = last.filter(|_| self.ready.len() > 0 || self.rest.is_some()) {
            let next = [&last[..], b"\0"].concat();
            self.continue_token = Some(write_token(&next, prefix, Some(self.revision))?);
        }
        self.left = self
            .left
            .filter(|left| *left > 0 && self.continue_token.is_some());
        self.rest = None;
        self.ready = kept.into_iter();
        self.filled = true;
        Ok(())
    }

    /// The next entry, wanted or not.
    async fn entry(&mut self) -> Result<Option<Entry>, Status> {
        loop {
            if let Some(entry) = self.ready.next() {
                return Ok(Some(entry));
            }
            let Some((start, end)) = self.rest.take() else {
                return Ok(None);
            };
            let request = RangeRequest {
                start,
                end: end.clone(),
                limit: PAGE,
                revision: Some(self.revision),
                count: false,
            };
            let page = self.store.range(request).await.map_err(|e| read_error(&e))?;
            self.rest = page.more.then(|| (after(&page.entries), end));
            self.ready = page.entries.into_iter();
        }
    }

    /// The revision they are read at.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The next object that is wanted.
    pub async fn next(&mut self) -> Result<Option<Entry>, Status> {
        while let Some(entry) = self.entry().await? {
            if self.filled || self.filter.matches_entry(&self.kind, &self.head, &entry)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if let Some(token) = &self.continue_token {
            metadata["continue"] = token.as_str().into();
        }
        if let Some(left) = self.left {
            metadata["remainingItemCount"] = left.into();
        }
        metadata
    }

    /// The list's own object, without its items.
    fn list(&self) -> Value {
        let mut metadata = self.metadata();
        // Upstream's lists of custom resources always show it.
        if self.kind.custom.is_some() && metadata["continue"].is_null() {
            metadata["continue"] = "".into();
        }
        json!({
            "kind": self.kind.list_kind, "apiVersion": self.kind.api_version(), "metadata": metadata,
        })
    }
}

fn after(entries: &[Entry]) -> Bytes {
    let last = entries.last().map_or(&b""[..], |e| &e.key[..]);
    [last, b"\0"].concat().into()
}

/// The refusal of a list at a revision that is no longer there. A page can be gone on with, at what stands now.
fn too_old(token: &str, start: &[u8], prefix: &str) -> Status {
    if token.is_empty() {
        return Status::expired("The resourceVersion for the provided list is too old.");
    }
    const MESSAGE: &str = "The provided continue parameter is too old to display a consistent list result. You can \
        start a new list without the continue parameter, or use the continue token in this response to retrieve the \
        remainder of the results. Continuing with the provided token results in an inconsistent list - objects that \
        were created, modified, or deleted between the time the first chunk was returned and now may show up in the \
        list.";
    match write_token(start, prefix, None) {
        Ok(token) => {
            let mut status = Status::expired(MESSAGE);
            status.continue_token = Some(token);
            status
        }
        Err(status) => status,
    }
}

/// Writes a list whose length need not be known first.
struct Writer {
    objects: Objects,
    shape: Shape,
    head: Option<String>,
    tail: String,
    empty: bool,
    done: bool,
}

impl Writer {
    fn new(objects: Objects, shape: Shape) -> Self {
        let (head, tail) = shape.frame(&objects);
        Writer {
            objects,
            shape,
            head: Some(head),
            tail,
            empty: true,
            done: false,
        }
    }
}

impl Chunks for Writer {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Status> {
        if self.done {
            return Ok(None);
        }
        let mut out = self.head.take().map(String::into_bytes).unwrap_or_default();
        while out.len() < CHUNK {
            let Some(entry) = self.objects.next().await? else {
                out.extend_from_slice(self.shape.end(self.empty).as_bytes());
                out.extend_from_slice(self.tail.as_bytes());
                self.done = true;
                break;
            };
            // Entries vary in size; most fill a chunk after many.
            out.reserve(entry.value.len() + 64);
            self.shape.write(&self.objects, &entry, self.empty, &mut out)?;
            self.empty = false;
        }
        Ok(Some(out.into()))
    }
}

/// A list in protobuf; `None` for kinds without a form in it. Its length comes first on the wire, so a long one is
/// written twice: once to count, once to send.
async fn in_protobuf(objects: &Objects, view: View) -> Result<Option<Response<Body>>, Status> {
    let list = list_of(objects, view);
    if !protobuf::has_form(&list) {
        return Ok(None);
    }
    let mut counting = Items {
        objects: objects.clone(),
        view,
        tail: None,
    };
    let (mut total, mut kept) = (0, Some(Vec::new()));
    while let Some(items) = counting.chunk().await? {
        total += items.len();
        if let Some(whole) = kept.as_mut() {
            whole.extend_from_slice(&items);
        }
        kept = kept.filter(|whole| whole.len() <= WHOLE);
    }
    let (head, tail) = protobuf::encode_list_frame(&list, total).map_err(Status::internal)?;
    let type_ = Format::Protobuf.content_type();
    Ok(Some(match kept {
        Some(items) => respond::with_type(200, type_, [head, items, tail].concat()),
        None => {
            let sending = Items {
                objects: objects.clone(),
                view,
                tail: Some(tail),
            };
            streamed(type_, Some(head.into()), sending)
        }
    }))
}

/// Writes the items of a list in protobuf.
struct Items {
    objects: Objects,
    view: View,
    tail: Option<Vec<u8>>,
}

impl Chunks for Items {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Status> {
        let mut out = Vec::new();
        while out.len() < CHUNK {
            let Some(entry) = self.objects.next().await? else {
                out.extend(self.tail.take().unwrap_or_default());
                break;
            };
            let object = decode_as(&self.objects.kind, &entry)?;
            let object = self.view.one(&self.objects.kind, &object);
            protobuf::encode_item(&object, &mut out).map_err(Status::internal)?;
        }
        Ok(Some(out).filter(|out| !out.is_empty()).map(Bytes::from))
    }
}
