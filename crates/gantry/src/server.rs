//! `gantry server`: opens the store, prepares the certificates, serves the API, and starts the components on it.

use crate::agent;
use crate::cluster_dns;
use crate::datastore::DatastoreError;
use crate::options::Options;
use crate::renewal::Renewal;
use gantry_api::features::{self, GateError, Gates, SetTooLate};
use gantry_apiserver::services::{Range, RangeError};
use gantry_apiserver::{Config, KubeletIdentity, ServeError, Server, TlsFiles};
use gantry_auth::{MASTERS, User};
use gantry_client::Informers;
use gantry_cluster::{kubeconfig, pki};
use gantry_scheduler::Scheduler;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory could not be made.
    #[error("the data directory {0} cannot be used: {1}; run as root or choose another with --data-dir")]
    DataDir(String, std::io::Error),
    /// An option is wrong.
    #[error("--service-cidr: {0}")]
    ServiceRange(#[from] RangeError),
    /// Features do not fit together.
    #[error("--feature-gates: {0}")]
    FeatureGates(#[from] GateError),
    /// Something depended on a feature already.
    #[error(transparent)]
    FeatureGatesTooLate(#[from] SetTooLate),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] DatastoreError),
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
    /// The cluster's DNS has no Service.
    #[error(
        "the Service kube-system/kube-dns cannot be made: {0}; --service-cidr must be what it was at the first start"
    )]
    ClusterDns(gantry_client::Error),
    /// The node could not start.
    #[error(transparent)]
    Agent(#[from] agent::AgentError),
    /// The system refused threads or signals.
    #[error("the runtime could not start: {0}")]
    Runtime(std::io::Error),
}

/// Allows this process as many open files as it may allow itself: the common limit of 1,024 is for programs that cannot
/// do with more. Connections take no more than half of them.
fn allow_files() {
    // SAFETY: both calls read or write the value they are given and change only this process's own settings.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Runs until SIGTERM or SIGINT.
pub fn run(options: Options) -> Result<(), Error> {
    allow_files();
    features::set(Gates::new(&options.feature_gates)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> Result<(), Error> {
    let data = &options.data_dir;
    let service_range = Range::parse(&options.service_cidr)?;
    std::fs::create_dir_all(data).map_err(|e| Error::DataDir(data.display().to_string(), e))?;
    let store = options.datastore.open(data).await?;
    let address = SocketAddr::new(options.bind_address, options.https_port);
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| Error::Listen(address, e))?;
    let names = server_names(&options, service_range);
    let pki = pki::Pki::open(&data.join("pki"), &names)?;
    let identity = pki.server();
    let kubelet_client = pki.issue_client("kube-apiserver-kubelet-client", &[MASTERS])?;
    let config = Config {
        tls: TlsFiles {
            certificate: &identity.certificate_pem,
            key: &identity.key_pem,
            client_ca: pki.ca_pem(),
        },
        service_account_key: pki.service_account_key_pem(),
        service_range,
        advertise: (options.advertised(), options.https_port),
        cluster_domain: &options.cluster_domain,
        external_address: SocketAddr::new(options.advertised(), options.https_port).to_string(),
        join_token: options.token.clone(),
        kubelet_client: Some(KubeletIdentity {
            certificate_pem: kubelet_client.certificate_pem,
            key_pem: kubelet_client.key_pem,
            ca_pem: pki.ca_pem().into(),
        }),
    };
    let server = Server::serving(store, config, &options.runtime_config)
        .await?
        .limited(
            options.max_requests_inflight,
            options.max_mutating_requests_inflight,
        );
    let url = format!(
        "https://{}",
        SocketAddr::new(options.local_address(), options.https_port)
    );
    let renewal = Renewal {
        folder: data.join("pki"),
        names,
        kubeconfig: data.join("admin.kubeconfig"),
        url,
    };
    renewal.write_kubeconfig(&pki)?;
    tokio::spawn(renewal.run(server.certificate()));
    let client = server
        .local(User::new("system:gantry", &[MASTERS]))
        .client("gantry");
    cluster_dns::ensure(&client, service_range.nth(10))
        .await
        .map_err(Error::ClusterDns)?;
    let informers = Informers::new(client.clone());
    let _scheduler = Scheduler::start(&client, &informers, gantry_scheduler::Config::default());
    let controllers = gantry_controllers::start(
        client.clone(),
        informers.clone(),
        gantry_controllers::Config {
            cluster_ca_pem: pki.ca_pem().to_string(),
            tokens: Some(server.tokens()),
            cluster_cidr: Some(options.cluster_cidr.clone()),
            ..Default::default()
        },
    );
    server.add_metrics(controllers.metrics());
    let agent = match options.disable_agent {
        true => None,
        false => Some(agent::start(&options, service_range, &pki, &server, informers).await?),
    };
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
    controllers.stop().await;
    if let Some(agent) = agent {
        agent.stop().await;
    }
    Ok(())
}

/// The names and addresses clients may use for the server.
fn server_names(options: &Options, services: Range) -> pki::ServerNames {
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
        ips: vec![
            Ipv4Addr::LOCALHOST.into(),
            services.nth(1).into(),
            options.advertised(),
            options.local_address(),
        ],
    };
    for name in &options.tls_san {
        match name.parse() {
            Ok(ip) => names.ips.push(ip),
            Err(_) => names.dns.push(name.clone()),
        }
    }
    names.ips.sort();
    names.ips.dedup();
    names
}
