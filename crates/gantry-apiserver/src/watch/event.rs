//! What all watchers of an event share: the fields that selectors read, and its encodings, each made once.

use crate::filter::Picker;
use crate::negotiate::Format;
use crate::stored::{Head, decode_as};
use crate::view::{self, Include, View};
use bytes::Bytes;
use gantry_api::kind::Kind;
use gantry_api::selector::text_at;
use gantry_api::status::Status;
use gantry_store::{Entry, Event, EventKind, Index, Revision};
use serde_json::{Value, json};
use smol_str::SmolStr;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// What was made of an event so far.
#[derive(Default)]
pub struct Memo {
    picked: Mutex<Vec<(SmolStr, Arc<Picked>)>>,
    frames: Mutex<Vec<(FrameKey, Bytes)>>,
}

/// An event's selectable fields.
pub struct Picked {
    /// Before.
    pub old: Option<Value>,
    /// After; nothing in a deletion.
    pub new: Option<Value>,
}

/// How events of a kind are read.
pub struct Reader {
    kind: Arc<Kind>,
    head: Head,
    picker: Picker,
}

impl Reader {
    /// The kind.
    pub fn kind(&self) -> &Arc<Kind> {
        &self.kind
    }

    /// Whether an object is served in the very form in which it is stored.
    pub fn is_served_as_stored(&self, entry: &Entry) -> bool {
        self.head.is_of(entry)
    }

    /// Reads events of `kind`.
    pub fn of(kind: &Arc<Kind>) -> Self {
        Reader {
            kind: kind.clone(),
            head: Head::of(kind),
            picker: Picker::of(kind),
        }
    }
}

/// Tells watches apart by a field that they demand a value of.
pub struct FieldIndex {
    /// The kind's version and the field.
    pub name: String,
    /// The field.
    pub path: String,
    /// How to read it.
    pub reader: Arc<Reader>,
}

impl Index for FieldIndex {
    fn name(&self) -> &str {
        &self.name
    }

    fn values(&self, event: &Event) -> Option<[String; 2]> {
        // What cannot be read is told to everybody, and ends their watches with an error.
        let picked = memo(event).picked(&self.reader, event).ok()?;
        let text = |object: &Option<Value>| object.as_ref().map_or(String::new(), |o| text_at(o, &self.path));
        Some([text(&picked.old), text(&picked.new)])
    }
}

#[derive(Clone, PartialEq)]
struct FrameKey {
    type_: &'static str,
    version: SmolStr,
    format: Format,
    view: View,
    columns_told: bool,
}

/// What was made of an event so far.
pub fn memo(event: &Event) -> &Memo {
    let memo = event.memo.get_or_init(|| Box::new(Memo::default()));
    match memo.downcast_ref() {
        Some(memo) => memo,
        None => unreachable!("only watches make memos"),
    }
}

impl Memo {
    /// Its selectable fields.
    pub fn picked(&self, reader: &Reader, event: &Event) -> Result<Arc<Picked>, Status> {
        // Kinds of several groups and versions may share stored objects.
        let key = SmolStr::from(reader.kind.api_version());
        let mut all = self.picked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, picked)) = all.iter().find(|(k, _)| *k == key) {
            return Ok(picked.clone());
        }
        let pick = |entry: &Entry| reader.picker.pick(&reader.kind, &reader.head, entry);
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

    /// It as a client is told of it.
    pub fn frame(&self, type_: &'static str, encoder: &Encoder, event: &Event) -> Result<Bytes, Status> {
        let key = FrameKey {
            type_,
            version: encoder.reader.kind.api_version().into(),
            format: encoder.format,
            view: encoder.view,
            columns_told: encoder.columns_told,
        };
        let mut all = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, frame)) = all.iter().find(|(k, _)| *k == key) {
            return Ok(frame.clone());
        }
        let mut frame = Vec::new();
        // An object that is gone is told as it was last, at the revision at which it went.
        let entry = Entry {
            mod_revision: event.entry.mod_revision,
            ..object(type_, event).clone()
        };
        encoder.frame(type_, &entry, &mut frame)?;
        let frame = Bytes::from(frame);
        all.push((key, frame.clone()));
        Ok(frame)
    }
}

/// The object that an event is told of, but for its revision, which is the event's.
pub fn object<'a>(type_: &str, event: &'a Event) -> &'a Entry {
    match (&event.prev, type_) {
        (Some(prev), "DELETED") => prev,
        _ => &event.entry,
    }
}

/// Writes events as the client wants them.
pub struct Encoder {
    /// The objects' kind.
    pub reader: Arc<Reader>,
    /// The events' format.
    pub format: Format,
    /// The objects' look.
    pub view: View,
    /// Whether a table told its columns, which it does once.
    pub columns_told: bool,
}

impl Encoder {
    /// Appends an event about an object as it is stored.
    pub fn frame(&self, type_: &str, entry: &Entry, out: &mut Vec<u8>) -> Result<(), Status> {
        let Reader { kind, head, .. } = &*self.reader;
        if self.view == View::Whole && self.format != Format::Protobuf && head.is_of(entry) {
            out.extend_from_slice(b"{\"type\":\"");
            out.extend_from_slice(type_.as_bytes());
            out.extend_from_slice(b"\",\"object\":");
            head.write(entry, out);
            out.extend_from_slice(b"}\n");
            return Ok(());
        }
        let object = decode_as(kind, entry)?;
        let frame = self.format.frame(type_, &self.shown(&object));
        out.extend_from_slice(&frame);
        Ok(())
    }

    /// An object as the client wants to see it.
    pub fn shown<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        let mut shown = self.view.one(&self.reader.kind, object);
        if self.columns_told && matches!(self.view, View::Table(..)) {
            shown.to_mut()["columnDefinitions"] = Value::Null;
        }
        shown
    }

    /// The news that everything up to a revision was told; perhaps that this was what existed first.
    pub fn bookmark(&self, revision: Revision, initial_end: bool) -> Value {
        let kind = &self.reader.kind;
        let mut object = json!({
            "kind": kind.kind, "apiVersion": kind.api_version(),
            "metadata": {"resourceVersion": revision.to_string()},
        });
        if initial_end {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let mut shown = self.shown(&object).into_owned();
        if let View::Table(Include::None, meta) = self.view
            && initial_end
        {
            // Rows without objects would not tell what the annotation does.
            shown["rows"][0]["object"] = view::metadata(&object, meta);
        }
        shown
    }
}
