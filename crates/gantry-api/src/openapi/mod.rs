//! OpenAPI 2.0 and 3.0 documents, derived from the kinds and the schema tables. `kubectl explain`, `apply` and
//! client generators read them.
//!
//! `paths` and `groups` say what is served, in neither version's form; `schemas` what objects look like; `v2` and `v3` write both
//! down, in JSON and in protobuf (`gnostic`). Equal to upstream's documents in content, save for descriptions (short and our own), CBOR (not served) and
//! `x-kubernetes-unions` (no client reads them).

mod gnostic;
mod groups;
mod parameters;
mod paths;
mod schemas;
mod v2;
mod v2_protobuf;
mod v3;
mod v3_protobuf;

pub use v2::v2;
pub use v2_protobuf::v2_protobuf;
pub use v3::{places, v3};
pub use v3_protobuf::v3_protobuf;

#[cfg(test)]
mod tests;
