//! Control loops: each brings what is to what should be.
