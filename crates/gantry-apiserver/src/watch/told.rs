//! What a watch tells, in the form its receiver takes: bytes on a connection, or objects shared within the process.

use super::event::{Encoder, memo, object};
use crate::stored::decode_as;
use crate::view::View;
use gantry_api::status::Status;
use gantry_client::{Shared, SharedEvent, SharedEvents};
use gantry_store::{Entry, Event, Revision};
use std::sync::{Arc, Mutex, PoisonError};

/// Takes what happened. What exists at the start of a watch is told in parts of about [`CHUNK`].
pub trait Told: Default + Send {
    /// Nothing to tell.
    fn is_empty(&self) -> bool;

    /// Whether a part is large enough to be told.
    fn is_full(&self) -> bool;

    /// Something happened to an object.
    fn event(&mut self, type_: &'static str, encoder: &Encoder, event: &Event) -> Result<(), Status>;

    /// An object exists.
    fn exists(&mut self, encoder: &Encoder, entry: &Entry) -> Result<(), Status>;

    /// Everything up to a revision was told; perhaps that was what existed first.
    fn bookmark(&mut self, encoder: &Encoder, revision: Revision, initial_end: bool);

    /// The watch ends.
    fn error(&mut self, encoder: &Encoder, status: &Status);
}

/// The size of a part, in bytes of objects.
const CHUNK: usize = 64 * 1024;

impl Told for Vec<u8> {
    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }

    fn is_full(&self) -> bool {
        self.len() >= CHUNK
    }

    fn event(&mut self, type_: &'static str, encoder: &Encoder, event: &Event) -> Result<(), Status> {
        memo(event).frame(type_, encoder, event, self)
    }

    fn exists(&mut self, encoder: &Encoder, entry: &Entry) -> Result<(), Status> {
        encoder.frame("ADDED", entry, self)
    }

    fn bookmark(&mut self, encoder: &Encoder, revision: Revision, initial_end: bool) {
        let object = encoder.bookmark(revision, initial_end);
        self.extend_from_slice(&encoder.format.frame("BOOKMARK", &object));
    }

    fn error(&mut self, encoder: &Encoder, status: &Status) {
        self.extend_from_slice(&encoder.format.frame("ERROR", &status.to_object()));
    }
}

/// Events, and the size of their objects.
#[derive(Default)]
pub struct Objects {
    events: Vec<SharedEvent>,
    bytes: usize,
}

impl Objects {
    /// What was told.
    pub fn into_events(self) -> Vec<SharedEvent> {
        self.events
    }

    fn push(&mut self, type_: &'static str, object: Shared) {
        self.events.push(SharedEvent { type_, object });
    }

    fn entry(
        &mut self,
        type_: &'static str,
        encoder: &Encoder,
        entry: &Entry,
        revision: Revision,
    ) -> Result<(), Status> {
        self.bytes += entry.value.len();
        let object = match encoder.view == View::Whole && encoder.reader.is_served_as_stored(entry) {
            true => Shared::stored(entry.value.clone(), revision),
            false => {
                let kind = encoder.reader.kind();
                let entry = Entry {
                    mod_revision: revision,
                    ..entry.clone()
                };
                let object = decode_as(kind, &entry)?;
                Shared::complete(encoder.shown(&object).to_string())
            }
        };
        self.push(type_, object);
        Ok(())
    }
}

impl Told for Objects {
    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    fn is_full(&self) -> bool {
        self.bytes >= CHUNK
    }

    fn event(&mut self, type_: &'static str, encoder: &Encoder, event: &Event) -> Result<(), Status> {
        self.entry(type_, encoder, object(type_, event), event.entry.mod_revision)
    }

    fn exists(&mut self, encoder: &Encoder, entry: &Entry) -> Result<(), Status> {
        self.entry("ADDED", encoder, entry, entry.mod_revision)
    }

    fn bookmark(&mut self, encoder: &Encoder, revision: Revision, initial_end: bool) {
        let object = encoder.bookmark(revision, initial_end);
        self.push("BOOKMARK", Shared::complete(object.to_string()));
    }

    fn error(&mut self, _: &Encoder, status: &Status) {
        self.push("ERROR", Shared::complete(status.to_object().to_string()));
    }
}

/// Goes with a request from within the process: a watch is left here instead of being written into its answer.
#[derive(Clone, Default)]
pub struct Handover(Arc<Mutex<Option<Box<dyn SharedEvents>>>>);

impl Handover {
    /// Leaves a watch.
    pub fn leave(&self, events: Box<dyn SharedEvents>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(events);
    }

    /// Takes it, if there is one.
    pub fn take(&self) -> Option<Box<dyn SharedEvents>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
