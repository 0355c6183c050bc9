//! The node agent: runs the pods of one node through CRI.
