//! Finds a node for every pod.
//!
//! The [`Scheduler`] keeps a compact picture of nodes and pods ([`cache`]), fed by informers. It takes pods from its
//! [`queue`] one by one, asks the [`plugins`] which nodes fit and which fits best, counts the pod there at once, and
//! binds it through the API in the background. A pod that fits nowhere may make others leave ([`preemption`]), or waits
//! until something changes that may help it.

mod cache;
mod framework;
mod info;
mod metrics;
mod plugins;
mod preemption;
mod queue;
mod relations;
mod resources;
mod scheduler;
mod selector;

pub use scheduler::{Config, Scheduler};
