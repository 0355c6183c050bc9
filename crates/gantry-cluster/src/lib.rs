//! What a cluster keeps on disk for its identity: certificates, keys and kubeconfigs.

mod certificate;
mod file;
pub mod kubeconfig;
pub mod pki;
