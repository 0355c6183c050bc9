//! All controllers against the API server, in memory and without nodes.

mod cluster;
mod deployments;
mod nodes;
mod owners;
mod roles;
mod service_cidrs;
mod services;
mod storage;
mod tokens;
