//! Listening: TLS, HTTP/1.1 and HTTP/2, and who is at the other end.

use crate::admission;
use crate::authenticate::Authenticator;
use crate::authz::Authorizer;
use crate::connect::{Connect, KubeletIdentity, KubeletIdentityError, Peer};
use crate::connection::{Connections, Patience};
use crate::definitions::{self, Definitions};
use crate::handler::Handler;
use crate::limits::{Limits, MUTATING_REQUESTS, REQUESTS};
use crate::local::Local;
use crate::registry::Registry;
use crate::request::Served;
use crate::runtime_config::{RuntimeConfig, RuntimeConfigError};
use crate::tls::{self, Certificate, TlsError, TlsFiles};
use crate::verbs::Api;
use crate::wire::{self, Way};
use crate::{answered, api_services, bootstrap, kubernetes_service, services};
use gantry_api::status::Status;
use gantry_auth::User;
use gantry_auth::service_account::{KeyError, Keys, Tokens};
use gantry_store::Store;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What a server is started with.
pub struct Config<'a> {
    /// Its certificate and whose clients it believes.
    pub tls: TlsFiles<'a>,
    /// The key that signs service accounts' tokens: P-256, PKCS #8, PEM.
    pub service_account_key: &'a str,
    /// The Services' addresses.
    pub service_range: services::Range,
    /// Where pods reach this server.
    pub advertise: (IpAddr, u16),
    /// The cluster's DNS domain, which the tokens' issuer is named after.
    pub cluster_domain: &'a str,
    /// Host and port under which clients reach the server.
    pub external_address: String,
    /// The token of machines that are about to join; none joins without one.
    pub join_token: Option<String>,
    /// Who the server is to nodes; without it, no log is read and no command run on them.
    pub kubelet_client: Option<KubeletIdentity>,
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The certificate, key or authority is unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The key of the service accounts' tokens is unusable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate for nodes is unusable.
    #[error(transparent)]
    Kubelet(#[from] KubeletIdentityError),
    /// What is to be served is not what there is.
    #[error(transparent)]
    RuntimeConfig(#[from] RuntimeConfigError),
    /// The first objects could not be made.
    #[error("the cluster's first objects could not be stored: {0}")]
    Bootstrap(#[from] Status),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] gantry_store::ReadError),
}

/// An API server, ready to serve.
pub struct Server {
    handler: Arc<Handler>,
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
    limits: Arc<Limits>,
    connections: Arc<Connections>,
}

impl Server {
    /// Prepares a server over `store`: makes the cluster's first objects and reads the rules of who may do what.
    pub async fn new(store: Arc<dyn Store>, config: Config<'_>) -> Result<Self, ServeError> {
        Server::serving(store, config, &RuntimeConfig::default()).await
    }

    /// As [`Server::new`], with the API versions that `runtime_config` says.
    pub async fn serving(
        store: Arc<dyn Store>,
        config: Config<'_>,
        runtime_config: &RuntimeConfig,
    ) -> Result<Self, ServeError> {
        let (acceptor, certificate) = tls::acceptor(&config.tls)?;
        let issuer = format!("https://kubernetes.default.svc.{}", config.cluster_domain);
        let keys = Keys::from_pem(config.service_account_key, &[])?;
        let tokens = Arc::new(Tokens::new(issuer, keys));
        let connect = Connect::new(config.kubelet_client.as_ref())?;
        let mut kinds = runtime_config.served(gantry_api::kinds::builtin())?;
        kinds.extend(answered::kinds());
        let kinds = Arc::new(Served::new(kinds));
        let registry = Registry::new(store.clone());
        let now = kinds.now();
        bootstrap::run(&registry, &now, config.tls.client_ca).await?;
        api_services::run(&registry, &now).await?;
        let authorizer = Authorizer::start(&store, &now).await?;
        let range = config.service_range;
        services::ensure_default_cidr(&registry, &now, range).await?;
        let services = services::Allocator::start(&registry, &now).await?;
        services.repair().await?;
        let definitions = Arc::new(Definitions::default());
        let server = Server {
            handler: Arc::new(Handler {
                authenticator: Authenticator::new(
                    tokens.clone(),
                    kinds.clone(),
                    registry.clone(),
                    config.join_token,
                ),
                connect,
                requests: Default::default(),
                more_metrics: Default::default(),
                documents: Default::default(),
                jwks_uri: format!("https://{}/openid/v1/jwks", config.external_address),
                api: Api {
                    kinds: kinds.clone(),
                    registry: registry.clone(),
                    authorizer,
                    services,
                    tokens,
                    admissions: admission::measures(),
                    healthchecks: Default::default(),
                    watches: Default::default(),
                    definitions: definitions.clone(),
                },
            }),
            acceptor,
            certificate,
            limits: Arc::new(Limits::new(REQUESTS, MUTATING_REQUESTS)),
            connections: Arc::default(),
        };
        let own = server.local(User::new("system:apiserver", &["system:masters"]));
        services::keep_default_cidr(own.clone(), range).await;
        kubernetes_service::keep(own.clone(), range.nth(1), config.advertise).await?;
        definitions::start(own, kinds, definitions, registry.store().clone()).await;
        Ok(server)
    }

    /// Limits the requests from outside that are under way at once; 0 for no limit.
    #[must_use]
    pub fn limited(self, requests: usize, mutating: usize) -> Self {
        Server {
            limits: Arc::new(Limits::new(requests, mutating)),
            ..self
        }
    }

    /// Has another patience with clients.
    #[must_use]
    pub fn patient(self, patience: Patience) -> Self {
        Server {
            connections: Arc::new(Connections::with(patience)),
            ..self
        }
    }

    /// The certificate that new connections are shown, to replace it before it ends.
    pub fn certificate(&self) -> Arc<Certificate> {
        self.certificate.clone()
    }

    /// Writes what `more` counts behind the server's own metrics: those of components of the same process.
    pub fn add_metrics(&self, more: impl Fn() -> String + Send + Sync + 'static) {
        // Called once, before anyone asks.
        let _ = self.handler.more_metrics.set(Box::new(more));
    }

    /// What signs the service accounts' tokens.
    pub fn tokens(&self) -> Arc<Tokens> {
        self.handler.api.tokens.clone()
    }

    /// The way in for a component of the same process that acts as `user`.
    pub fn local(&self, user: User) -> Local {
        Local::new(self.handler.clone(), user)
    }

    /// Serves until `shutdown` completes. What is passed on to nodes and pods ends then; other open connections are
    /// dropped with the runtime.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let accept = async {
            let mut failing = false;
            loop {
                let place = self.connections.place().await;
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        failing = false;
                        // Who has half of all connections already gets no more: the others need theirs.
                        let Some(connection) = place.of(peer.ip()) else {
                            continue;
                        };
                        let way = Way {
                            handler: self.handler.clone(),
                            limits: self.limits.clone(),
                            peer: Peer(peer.ip()),
                        };
                        let patience = self.connections.patience();
                        tokio::spawn(wire::serve(
                            way,
                            self.acceptor.clone(),
                            stream,
                            connection,
                            patience,
                        ));
                    }
                    // Who comes waits for a moment in which there are files again, or whatever else is short.
                    Err(error) => {
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!("connections cannot be accepted, which is tried again: {error}");
                        }
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accept => {}
            () = shutdown => {}
        }
        self.handler.connect.end();
    }
}
