//! An API server in this process.

use gantry_apiserver::services::Range;
use gantry_apiserver::{Config, Server, TlsFiles};
use gantry_auth::{MASTERS, User};
use gantry_client::Client;
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Store;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// A client of a new server over `store`, which keeps its certificates in `folder`.
pub async fn client(folder: &Path, store: Arc<dyn Store>) -> Client {
    let pki = Pki::open(folder, &ServerNames::default()).expect("certificates are made");
    let identity = pki.server();
    let config = Config {
        tls: TlsFiles {
            certificate: &identity.certificate_pem,
            key: &identity.key_pem,
            client_ca: pki.ca_pem(),
        },
        service_account_key: pki.service_account_key_pem(),
        service_range: Range::parse("10.43.0.0/16").expect("it is a range"),
        advertise: ([192, 0, 2, 1].into(), 6443),
        cluster_domain: "cluster.local",
        external_address: "192.0.2.1:6443".into(),
        join_token: None,
        kubelet_client: None,
    };
    let server = Server::new(store, config).await.expect("the server starts");
    let local = server.local(User::new("system:gantry", &[MASTERS]));
    let client = local.client("test");
    // Pods need their account, which a controller would make.
    let account = json!({"metadata": {"namespace": "default", "name": "default"}});
    client
        .create(&gantry_client::resource::SERVICE_ACCOUNTS, &account)
        .await
        .expect("the account is created");
    client
}
