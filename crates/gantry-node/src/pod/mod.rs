//! Pods. Start at `manager.rs`, which gives each pod a worker (`worker.rs`). A worker looks at what runs
//! (`state.rs`), decides what to do (`plan.rs`), does it (`sandbox.rs`, `container.rs`, `kill.rs`), and tells
//! (`status.rs`, `writer.rs`).

pub mod backoff;
pub mod cgroup;
mod container;
mod dns;
mod garbage;
mod hosts;
mod kill;
mod lifecycle;
pub mod manager;
mod mounts;
pub mod plan;
pub mod resources;
mod sandbox;
mod security;
pub mod spec;
mod start;
pub mod state;
pub mod status;
mod worker;
mod writer;

pub use container::ConfigError;
