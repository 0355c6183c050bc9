//! How components talk to the API: the same way as anyone else, whether they share the server's process or not.
//!
//! A [`Client`] sends requests through a [`Transport`]: HTTPS, or a call into the server of the same process.
//! [`Informers`] keep one copy of what components watch and share it between them; a [`Queue`] holds the keys
//! a component has to look at again; a [`Recorder`] writes Events.

mod client;
mod error;
mod event;
mod held;
mod https;
mod informer;
mod queue;
pub mod ready;
pub mod resource;
mod shared;
mod transport;
mod trimmed;
mod watch;

pub use client::{Client, List, ListOptions, Pages, PatchType};
pub use error::Error;
pub use event::Recorder;
pub use https::{Https, Identity};
pub use informer::{Change, Informer, Informers, key_of};
pub use queue::Queue;
pub use resource::Resource;
pub use shared::{Shared, SharedEvent, SharedEvents};
pub use transport::{Body, Told, Transport, TransportError};
pub use watch::{Begin, Event, EventType, Object, Watch, WatchOptions};
