//! All controllers against the API server, in memory and without nodes.

mod cluster;
mod nodes;
mod roles;
