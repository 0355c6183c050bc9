//! What clients send that mean harm, or are broken, over real connections: it costs them, and never the others.

mod bodies;
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod connections;
mod frames;
mod heads;
mod requests;
