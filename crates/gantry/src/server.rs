//! `gantry server`: opens the store, prepares the certificates, serves the API.

use gantry_apiserver::{Config, ServeError, Server, TlsFiles};
use gantry_cluster::{kubeconfig, pki};
use gantry_store::{Embedded, OpenError};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The store's ceiling on kept data, in bytes.
const STORE_LIMIT: u64 = 8 << 30;

/// Options of `gantry server`.
#[derive(clap::Args)]
pub struct Options {
    /// Where the cluster's data lives.
    #[arg(long, default_value = "/var/lib/gantry")]
    data_dir: PathBuf,
    /// Address the API listens on.
    #[arg(long, default_value = "0.0.0.0")]
    bind_address: IpAddr,
    /// Port the API listens on.
    #[arg(long, default_value_t = 6443)]
    https_port: u16,
    /// Address that clients use; the kubeconfig names it.
    #[arg(long, default_value = "127.0.0.1")]
    advertise_address: IpAddr,
    /// A further name or address the server's certificate covers. May be repeated.
    #[arg(long)]
    tls_san: Vec<String>,
    /// The cluster's DNS domain.
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
    /// The secret that machines show to join the cluster. Whoever has it is in the group system:bootstrappers.
    #[arg(long, env = "GANTRY_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory could not be made.
    #[error("the data directory {0} cannot be used: {1}; run as root or choose another with --data-dir")]
    DataDir(String, std::io::Error),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The certificates could not be made.
    #[error(transparent)]
    Pki(#[from] pki::PkiError),
    /// The kubeconfig could not be written.
    #[error(transparent)]
    Kubeconfig(#[from] kubeconfig::KubeconfigError),
    /// The address could not be bound.
    #[error("cannot listen on {0}: {1}; end what uses the port, or choose another with --https-port")]
    Listen(SocketAddr, std::io::Error),
    /// The API server could not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The system refused threads or signals.
    #[error("the runtime could not start: {0}")]
    Runtime(std::io::Error),
}

/// Runs until SIGTERM or SIGINT.
pub fn run(options: Options) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> Result<(), Error> {
    let data = &options.data_dir;
    std::fs::create_dir_all(data).map_err(|e| Error::DataDir(data.display().to_string(), e))?;
    let store = Arc::new(Embedded::open(&data.join("store.redb"), STORE_LIMIT)?);
    let address = SocketAddr::new(options.bind_address, options.https_port);
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| Error::Listen(address, e))?;
    let names = server_names(&options);
    let pki = pki::Pki::open(&data.join("pki"), &names)?;
    let identity = pki.server();
    let external_address = SocketAddr::new(options.advertise_address, options.https_port).to_string();
    let url = format!("https://{external_address}");
    let config = Config {
        tls: TlsFiles {
            certificate: &identity.certificate_pem,
            key: &identity.key_pem,
            client_ca: pki.ca_pem(),
        },
        service_account_key: pki.service_account_key_pem(),
        cluster_domain: &options.cluster_domain,
        external_address,
        join_token: options.token.clone(),
    };
    let server = Server::new(store, config).await?;
    let admin = kubeconfig::Client {
        common_name: "system:admin",
        organizations: &["system:masters"],
    };
    kubeconfig::ensure(&data.join("admin.kubeconfig"), &url, &pki, &admin)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
    server
        .serve(listener, async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    Ok(())
}

/// The names and addresses clients may use for the server.
fn server_names(options: &Options) -> pki::ServerNames {
    let service = format!("kubernetes.default.svc.{}", options.cluster_domain);
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        &service,
    ];
    let mut names = pki::ServerNames {
        dns: names.map(String::from).to_vec(),
        ips: vec![Ipv4Addr::LOCALHOST.into(), options.advertise_address],
    };
    for name in &options.tls_san {
        match name.parse() {
            Ok(ip) => names.ips.push(ip),
            Err(_) => names.dns.push(name.clone()),
        }
    }
    names
}
