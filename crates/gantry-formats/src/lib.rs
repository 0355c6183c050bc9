//! What texts may look like: names and addresses ([`formats`]), the formats of OpenAPI ([`openapi`]), Go's patterns
//! ([`Pattern`]). Pure.

pub mod formats;
pub mod openapi;
mod pattern;

pub use pattern::Pattern;
