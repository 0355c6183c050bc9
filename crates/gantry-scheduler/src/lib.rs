//! Finds a node for every pod.
