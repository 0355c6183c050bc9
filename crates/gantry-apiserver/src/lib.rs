//! gantry-apiserver
