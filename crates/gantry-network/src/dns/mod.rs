//! The cluster's DNS, on every node.
//!
//! A request comes in through `serve.rs` and is judged in `handler.rs`. What is asked about the cluster's domain is
//! answered by `zone.rs` from `model.rs`, which follows the API through informers; the rest goes to the node's own name
//! servers through `forward.rs`.
//!
//! Source of the rules: the Kubernetes DNS specification 1.1, and CoreDNS with the Corefile that kubeadm writes.

mod address;
mod cache;
mod exchange;
mod forward;
mod handler;
mod message;
mod model;
mod resolv_conf;
mod reverse;
mod serve;
mod zone;

use forward::Forwarder;
use gantry_client::{Change, Informer, Informers, resource};
use handler::Handler;
use hickory_server::proto::rr::Name;
use ipnet::IpNet;
use model::Model;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;
use tokio::task::JoinSet;
use zone::Zone;

/// What the server needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address that pods ask: the service's, which this machine takes on when it is not its own yet.
    pub address: IpAddr,
    /// 53, or 0 for any.
    pub port: u16,
    /// The cluster's domain, such as `cluster.local`.
    pub domain: String,
    /// The range of the services' addresses.
    pub service_cidr: String,
    /// The range of the pods' addresses, over all nodes.
    pub pod_cidr: String,
    /// Names the servers for all other names. It may come and change later.
    pub resolv_conf: PathBuf,
}

/// Why there is no DNS.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The domain is not one.
    #[error(
        "{0:?} is no domain for a cluster: give labels of a-z, 0-9 and - joined by dots, such as cluster.local"
    )]
    Domain(String),
    /// A range is not one.
    #[error("{0:?} is no range of addresses: give one such as 10.42.0.0/16")]
    Range(String),
    /// The address cannot become one of the machine's.
    #[error("{0} cannot be added to the interface lo: {1}; run as root, with the command ip from iproute2")]
    Address(IpAddr, String),
    /// The address cannot be taken away.
    #[error(
        "{0} cannot be removed from the interface lo: {1}; run as root, with the command ip from iproute2"
    )]
    Remove(IpAddr, String),
    /// Someone else listens.
    #[error(
        "{0} is taken: find who has it with ss -lpn 'sport = :{port}' and stop it, or let it listen elsewhere",
        port = .0.port()
    )]
    Taken(SocketAddr),
    /// The address cannot be listened on.
    #[error("{0} cannot be listened on: {1}; run as root, or with the capability CAP_NET_BIND_SERVICE")]
    Bind(SocketAddr, std::io::Error),
}

/// A running server.
pub struct Dns {
    address: SocketAddr,
    synced: watch::Receiver<bool>,
    tasks: JoinSet<()>,
    // Informers keep their handlers, which hold this weakly: it goes with the server.
    _model: Arc<RwLock<Model>>,
}

impl Dns {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it answers for the cluster's names; before, it answers them with SERVFAIL.
    pub async fn synced(&self) {
        // An error means that the server has stopped, and there is nothing left to wait for.
        let _ = self.synced.clone().wait_for(|synced| *synced).await;
    }

    /// Ends it and closes its sockets. The address stays; see [`teardown`].
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Takes the service's address from the machine; it is fine when it is not there.
pub fn teardown(address: IpAddr) -> Result<(), DnsError> {
    address::remove(address)
}

/// Listens on UDP and TCP, and answers from what the informers know. They must be allowed to list and watch
/// namespaces, services and endpointslices. Needs a tokio runtime around it.
pub fn start(config: Config, informers: Informers) -> Result<Dns, DnsError> {
    let apex = domain(&config.domain)?;
    let range = |text: &str| {
        text.parse::<IpNet>()
            .map_err(|_| DnsError::Range(text.to_string()))
    };
    let ranges = vec![range(&config.service_cidr)?, range(&config.pod_cidr)?];
    let address = SocketAddr::new(config.address, config.port);
    let (udp, tcp) = address::bind(address)?;
    let failed = |error| DnsError::Bind(address, error);
    let address = udp.local_addr().map_err(failed)?;
    let udp = tokio::net::UdpSocket::from_std(udp).map_err(failed)?;
    let tcp = tokio::net::TcpListener::from_std(tcp).map_err(failed)?;

    let model: Arc<RwLock<Model>> = Arc::default();
    let (sender, synced) = watch::channel(false);
    // A file that cannot be read is no reason not to start; who follows it tells of it.
    let servers = resolv_conf::read(&config.resolv_conf, address).unwrap_or_default();
    let forwarder = Arc::new(Forwarder::new(servers));
    let handler = Arc::new(Handler {
        zone: Zone::new(apex, config.address),
        model: model.clone(),
        synced: synced.clone(),
        ranges,
        forwarder: forwarder.clone(),
    });
    let followed = follow(&informers, &model);
    let mut tasks = JoinSet::new();
    tasks.spawn(resolv_conf::follow(config.resolv_conf, address, forwarder));
    tasks.spawn(serve::udp(udp, handler.clone()));
    tasks.spawn(serve::tcp(tcp, handler));
    tasks.spawn(async move {
        for informer in followed {
            informer.synced().await;
        }
        sender.send_replace(true);
        tracing::info!("DNS answers on {address}");
        // The server's end closes the channel.
        sender.closed().await;
    });
    Ok(Dns {
        address,
        synced,
        tasks,
        _model: model,
    })
}

fn domain(text: &str) -> Result<Name, DnsError> {
    let bad = || DnsError::Domain(text.to_string());
    let bare = text.trim_end_matches('.');
    gantry_api::meta::validate_subdomain(bare).map_err(|_| bad())?;
    let mut name = Name::from_ascii(bare).map_err(|_| bad())?;
    name.set_fqdn(true);
    Ok(name)
}

/// Lets the model follow what it is made of.
fn follow(informers: &Informers, model: &Arc<RwLock<Model>>) -> [Arc<Informer>; 3] {
    type Take = fn(&mut Model, Option<&Value>, Option<&Value>);
    let sources: [(_, Take); 3] = [
        (resource::NAMESPACES, Model::namespace_changed),
        (resource::SERVICES, Model::service_changed),
        (resource::ENDPOINT_SLICES, Model::slice_changed),
    ];
    sources.map(|(resource, take)| {
        let informer = informers.of(&resource);
        let model = Arc::downgrade(model);
        informer.on_change(move |change: Change<'_>| {
            if let Some(model) = model.upgrade() {
                let mut model = model.write().unwrap_or_else(PoisonError::into_inner);
                take(
                    &mut model,
                    change.old.map(AsRef::as_ref),
                    change.new.map(AsRef::as_ref),
                );
            }
        });
        informer
    })
}

#[cfg(test)]
mod tests;
