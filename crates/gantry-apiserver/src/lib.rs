//! The API server: one path parser, one pipeline, one handler per verb, for every kind.
//!
//! A request's way: [`server`] terminates TLS, [`authenticate`] names the user, [`request`] parses the path, [`handler`]
//! authorizes it and picks the verb, [`verbs`] run it against the [`registry`], [`respond`] writes the answer.

mod accept;
mod admission;
mod answered;
mod api_services;
mod apply;
mod authenticate;
mod authz;
mod binding;
mod body;
mod bootstrap;
mod call;
mod change;
mod component_status;
mod compress;
mod connect;
mod connection;
pub mod decoders;
mod definitions;
mod deletion;
mod discovery;
mod disruption;
mod documents;
mod eviction;
mod filter;
mod follow;
mod group_priority;
mod guard;
mod handler;
mod health;
mod kubernetes_service;
mod limits;
mod list;
mod list_options;
mod local;
mod lookups;
mod metrics;
mod negotiate;
mod options;
mod pipeline;
mod registry;
mod request;
mod respond;
mod reviews;
mod runtime_config;
mod scale;
pub mod server;
pub mod services;
mod stored;
mod table;
mod tls;
mod token_request;
mod verbs;
mod view;
mod warnings;
mod watch;
mod yaml;

pub use connect::{KubeletIdentity, KubeletIdentityError};
pub use local::Local;
pub use respond::Body;
pub use runtime_config::{RuntimeConfig, RuntimeConfigError};
pub use server::{Config, ServeError, Server};
pub use tls::{Certificate, TlsError, TlsFiles};
