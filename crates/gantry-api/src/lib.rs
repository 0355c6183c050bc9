//! The Kubernetes API as data: kinds, schema tables, codecs, patches, selectors. No I/O.
//!
//! Objects are JSON trees ([`serde_json::Value`]); a [`kind::Kind`] says what is served under which names, its
//! [`kind::Hooks`] give a kind its own behaviour, and [`schema`] knows every field's type. Start reading there.

pub mod apply;
pub mod cron;
pub mod custom_resource;
pub mod duration;
pub mod features;
pub mod field;
pub mod flowcontrol;
pub mod json;
pub mod kind;
pub mod kinds;
pub mod meta;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod structural;
pub mod version;
pub mod version_priority;
pub mod x509;

pub use gantry_formats::formats;
