//! What all watchers of an event share: the fields that selectors read, and its encodings, each made once.

use crate::filter::{Filter, Picker};
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
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What was made of an event so far.
#[derive(Default)]
pub struct Memo {
    picked: Made<SmolStr, Arc<Picked>>,
    types: Made<(SmolStr, Arc<str>), Option<&'static str>>,
    frames: Made<FrameKey, Bytes>,
}

/// What is made but once for all who want the same. Mostly all do, so the first is found without a lock.
struct Made<K, V> {
    first: OnceLock<(K, V)>,
    others: Mutex<Vec<(K, V)>>,
}

/// So many others are kept; to look through more would take longer than to make them.
const OTHERS: usize = 16;

impl<K, V> Default for Made<K, V> {
    fn default() -> Self {
        Made {
            first: OnceLock::new(),
            others: Mutex::default(),
        }
    }
}

impl<K: PartialEq + Clone, V: Clone> Made<K, V> {
    fn get(&self, key: &K, make: impl FnOnce() -> Result<V, Status>) -> Result<V, Status> {
        self.with(key, make, V::clone)
    }

    /// Uses it where it is: to count a reference to what a thousand use at a time costs more than to use it.
    fn with<R>(
        &self,
        key: &K,
        make: impl FnOnce() -> Result<V, Status>,
        act: impl FnOnce(&V) -> R,
    ) -> Result<R, Status> {
        if let Some((_, made)) = self.first.get().filter(|(k, _)| k == key) {
            return Ok(act(made));
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have made it meanwhile.
        let known = self
            .first
            .get()
            .into_iter()
            .chain(&*others)
            .find(|(k, _)| k == key);
        if let Some((_, made)) = known {
            return Ok(act(made));
        }
        let made = make()?;
        let done = act(&made);
        if let Err(entry) = self.first.set((key.clone(), made))
            && others.len() < OTHERS
        {
            others.push(entry);
        }
        Ok(done)
    }
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
    /// Kinds of several groups and versions may share stored objects.
    version: SmolStr,
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
            version: kind.api_version().into(),
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
        self.picked.get(&reader.version, || {
            let pick = |entry: &Entry| reader.picker.pick(&reader.kind, &reader.head, entry);
            Ok(Arc::new(Picked {
                old: event.prev.as_ref().map(pick).transpose()?,
                new: match event.kind {
                    EventKind::Put => Some(pick(&event.entry)?),
                    EventKind::Delete => None,
                },
            }))
        })
    }

    /// What it is to those who select by a filter: an object that comes to match is ADDED and one that no longer does is
    /// DELETED, whatever happened to it. None if it does not concern them.
    pub fn type_for(
        &self,
        reader: &Reader,
        filter: &Filter,
        event: &Event,
    ) -> Result<Option<&'static str>, Status> {
        if filter.is_empty() {
            return Ok(type_of(event.prev.is_some(), event.kind == EventKind::Put));
        }
        let key = (reader.version.clone(), filter.text().clone());
        self.types.get(&key, || {
            let picked = self.picked(reader, event)?;
            let wanted = |o: &Option<Value>| o.as_ref().is_some_and(|o| filter.matches(o));
            Ok(type_of(wanted(&picked.old), wanted(&picked.new)))
        })
    }

    /// Appends it as a client is told of it.
    pub fn frame(
        &self,
        type_: &'static str,
        encoder: &Encoder,
        event: &Event,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        let key = FrameKey {
            type_,
            version: encoder.reader.version.clone(),
            format: encoder.format,
            view: encoder.view,
            columns_told: encoder.columns_told,
        };
        let make = || {
            let mut frame = Vec::new();
            // An object that is gone is told as it was last, at the revision at which it went.
            let entry = Entry {
                mod_revision: event.entry.mod_revision,
                ..object(type_, event).clone()
            };
            encoder.frame(type_, &entry, &mut frame)?;
            Ok(Bytes::from(frame))
        };
        self.frames.with(&key, make, |frame| out.extend_from_slice(frame))
    }
}

/// What an event is to those who want the object as it was before, or as it is after.
fn type_of(old: bool, new: bool) -> Option<&'static str> {
    match (old, new) {
        (false, false) => None,
        (false, true) => Some("ADDED"),
        (true, true) => Some("MODIFIED"),
        (true, false) => Some("DELETED"),
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
    /// Whether no columns need be told: a table tells them once.
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
