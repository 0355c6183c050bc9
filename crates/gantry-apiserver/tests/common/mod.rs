//! What all tests of a server start from.

use gantry_apiserver::services::Range;
use gantry_apiserver::{Config, TlsFiles};
use gantry_cluster::pki::Pki;

/// A server that no node is reached from, and no machine joins.
pub fn config(pki: &Pki) -> Config<'_> {
    let identity = pki.server();
    Config {
        tls: TlsFiles {
            certificate: &identity.certificate_pem,
            key: &identity.key_pem,
            client_ca: pki.ca_pem(),
        },
        service_account_key: pki.service_account_key_pem(),
        service_range: Range::parse("10.43.0.0/16").unwrap(),
        advertise: ([127, 0, 0, 1].into(), 6443),
        cluster_domain: "cluster.local",
        external_address: "127.0.0.1:6443".into(),
        join_token: None,
        kubelet_client: None,
    }
}
