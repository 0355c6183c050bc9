//! The API server: one path parser, one pipeline, one handler per verb, for every kind.
//!
//! A request's way: [`server`] terminates TLS and names the user, [`request`] parses the path, [`handler`]
//! authorizes it and picks the verb, [`verbs`] run it against the [`registry`], [`respond`] writes the answer.

mod apply;
mod authz;
mod bootstrap;
mod discovery;
mod handler;
mod options;
mod pipeline;
mod registry;
mod request;
mod respond;
pub mod server;
mod table;
mod verbs;
mod watch;

pub use server::{ServeError, Server, TlsFiles};
