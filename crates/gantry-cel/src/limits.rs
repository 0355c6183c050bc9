//! How much expressions may cost, and how large data may be.

/// The largest request, in bytes: what bounds data of which the schema says nothing.
pub const REQUEST_SIZE: u64 = 3 * 1024 * 1024;

/// What one evaluation may cost.
pub const PER_CALL: u64 = 1_000_000;

/// What all evaluations of the rules for one object may cost together.
pub const PER_OBJECT: u64 = 10_000_000;
