//! A watch, as the client sees it.

use crate::client::{ListOptions, typed};
use crate::error::Error;
use crate::resource::Resource;
use crate::shared::{Shared, SharedEvent, SharedEvents};
use crate::transport::{Body, Told};
use crate::trimmed::Trimmed;
use bytes::BytesMut;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::vec;

/// A line of a watch may be this long.
const LINE_LIMIT: usize = 16 << 20;
/// What the bookmark after the objects there were is marked with.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// What to watch, and from where on.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// Which objects.
    pub list: ListOptions,
    /// Where it begins.
    pub begin: Begin,
}

/// Where a watch begins.
#[derive(Clone, Debug)]
pub enum Begin {
    /// With all objects there are, as added, and [`EventType::Listed`] after them.
    Existing,
    /// After a revision.
    After(String),
}

impl WatchOptions {
    pub(crate) fn query(&self) -> String {
        let list = self.list.query();
        match &self.begin {
            Begin::Existing => {
                format!(
                    "allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&{list}"
                )
            }
            Begin::After(revision) => format!("allowWatchBookmarks=true&resourceVersion={revision}&{list}"),
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// The object is there, or has come to match.
    Added,
    /// The object changed.
    Modified,
    /// The object is gone, or no longer matches.
    Deleted,
    /// Nothing but the revision moved on.
    Bookmark,
    /// Nothing but the revision moved on, and what was there at the start has been told.
    Listed,
}

/// An event as it comes in a line.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    type_: Cow<'a, str>,
    object: Trimmed,
}

/// An object as it comes. Who owns which field is left out: components do not ask, and it is much to keep.
#[derive(Debug)]
pub enum Object {
    /// As a tree.
    Tree(Value),
    /// As the server holds it.
    Shared(Shared),
}

impl Object {
    /// The object as a tree, and the JSON that the server holds of it.
    pub fn into_tree(self) -> Result<(Value, Option<Shared>), Error> {
        match self {
            Object::Tree(tree) => Ok((tree, None)),
            Object::Shared(shared) => Ok((shared.read().map_err(unreadable)?, Some(shared))),
        }
    }

    /// An object with the metadata alone.
    pub fn outline(self) -> Result<Value, Error> {
        match self {
            Object::Tree(mut tree) => Ok(json!({"metadata": tree["metadata"].take()})),
            Object::Shared(shared) => shared.outline().map_err(unreadable),
        }
    }
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::Answer(error.to_string())
}

/// One event of a watch.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub type_: EventType,
    /// The object after it, or the last there was.
    pub object: Object,
}

/// A running watch.
pub struct Watch {
    resource: Resource,
    source: Source,
}

enum Source {
    Lines(Body, BytesMut),
    Shared(Box<dyn SharedEvents>, vec::IntoIter<SharedEvent>),
}

impl Watch {
    pub(crate) fn new(resource: Resource, told: Told) -> Self {
        let source = match told {
            Told::Lines(body) => Source::Lines(body, BytesMut::new()),
            Told::Shared(events) => Source::Shared(events, Vec::new().into_iter()),
        };
        Watch { resource, source }
    }

    /// The next event; `None` when the server has ended the watch, which it does from time to time.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        match &mut self.source {
            Source::Lines(body, buffer) => {
                let Some(line) = next_line(body, buffer).await? else {
                    return Ok(None);
                };
                let Line { type_, object } = serde_json::from_slice(&line).map_err(unreadable)?;
                let object = typed(&self.resource, object.0);
                event(&type_, Object::Tree(object)).map(Some)
            }
            Source::Shared(events, ready) => loop {
                if let Some(SharedEvent { type_, object }) = ready.next() {
                    return event(type_, Object::Shared(object)).map(Some);
                }
                match events.next().await {
                    Some(more) => *ready = more.into_iter(),
                    None => return Ok(None),
                }
            },
        }
    }
}

async fn next_line(body: &mut Body, buffer: &mut BytesMut) -> Result<Option<BytesMut>, Error> {
    loop {
        if let Some(end) = buffer.iter().position(|b| *b == b'\n') {
            return Ok(Some(buffer.split_to(end + 1)));
        }
        if buffer.len() > LINE_LIMIT {
            return Err(Error::Answer("an event of the watch is too long".into()));
        }
        match body.frame().await {
            None => return Ok(None),
            Some(Err(e)) => return Err(Error::Answer(e.to_string())),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    buffer.extend_from_slice(data);
                }
            }
        }
    }
}

fn event(type_: &str, object: Object) -> Result<Event, Error> {
    let type_ = match type_ {
        "ADDED" => EventType::Added,
        "MODIFIED" => EventType::Modified,
        "DELETED" => EventType::Deleted,
        "BOOKMARK" => {
            let outline = object.outline()?;
            let listed = outline["metadata"]["annotations"][INITIAL_END] == "true";
            return Ok(Event {
                type_: if listed {
                    EventType::Listed
                } else {
                    EventType::Bookmark
                },
                object: Object::Tree(outline),
            });
        }
        "ERROR" => {
            let (status, _) = object.into_tree()?;
            let code = status["code"].as_u64().and_then(|c| u16::try_from(c).ok());
            return Err(Error::of_status(code.unwrap_or(500), &status));
        }
        other => {
            return Err(Error::Answer(format!(
                "a watch event has the unknown type {other:?}"
            )));
        }
    };
    Ok(Event { type_, object })
}
