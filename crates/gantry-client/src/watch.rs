//! A watch, as the client sees it.

use crate::client::{ListOptions, typed};
use crate::error::Error;
use crate::resource::Resource;
use crate::transport::Body;
use crate::trimmed::Trimmed;
use bytes::BytesMut;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

/// A line of a watch may be this long.
const LINE_LIMIT: usize = 16 << 20;

/// What to watch, and from where on.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Which objects.
    pub list: ListOptions,
    /// Send what follows this revision; empty sends what exists first.
    pub revision: String,
}

impl WatchOptions {
    pub(crate) fn query(&self) -> String {
        format!(
            "allowWatchBookmarks=true&resourceVersion={}&{}",
            self.revision,
            self.list.query()
        )
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
}

/// An event as it comes.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    type_: Cow<'a, str>,
    object: Trimmed,
}

/// One event of a watch. Who owns which field is left out of its object: components do not ask, and it is much to keep.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub type_: EventType,
    /// The object after it, or the last there was.
    pub object: Value,
}

/// A running watch.
pub struct Watch {
    resource: Resource,
    body: Body,
    buffer: BytesMut,
}

impl Watch {
    pub(crate) fn new(resource: Resource, body: Body) -> Self {
        Watch {
            resource,
            body,
            buffer: BytesMut::new(),
        }
    }

    /// The next event; `None` when the server has ended the watch, which it does from time to time.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return self.read(&line).map(Some);
            }
            if self.buffer.len() > LINE_LIMIT {
                return Err(Error::Answer("an event of the watch is too long".into()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(e)) => return Err(Error::Answer(e.to_string())),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }

    fn read(&self, line: &[u8]) -> Result<Event, Error> {
        let line: Line = serde_json::from_slice(line).map_err(|e| Error::Answer(e.to_string()))?;
        let object = line.object.0;
        let type_ = match &*line.type_ {
            "ADDED" => EventType::Added,
            "MODIFIED" => EventType::Modified,
            "DELETED" => EventType::Deleted,
            "BOOKMARK" => EventType::Bookmark,
            "ERROR" => {
                let code = object["code"]
                    .as_u64()
                    .and_then(|c| u16::try_from(c).ok())
                    .unwrap_or(500);
                return Err(Error::of_status(code, &object));
            }
            other => {
                return Err(Error::Answer(format!(
                    "a watch event has the unknown type {other:?}"
                )));
            }
        };
        Ok(Event {
            type_,
            object: typed(&self.resource, object),
        })
    }
}
