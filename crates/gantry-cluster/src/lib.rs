//! gantry-cluster
