//! Listening: TLS, HTTP/1.1 and HTTP/2, and who is at the other end.

use crate::admission;
use crate::authenticate::{self, Authenticator};
use crate::authz::Authorizer;
use crate::connect::{Connect, KubeletIdentity, KubeletIdentityError, Peer};
use crate::connection::{Connection, Connections};
use crate::definitions::{self, Definitions};
use crate::handler::Handler;
use crate::limits::{self, Limits, MUTATING_REQUESTS, REQUESTS};
use crate::local::Local;
use crate::negotiate::Format;
use crate::registry::Registry;
use crate::request::Served;
use crate::respond::{self, Body};
use crate::runtime_config::{RuntimeConfig, RuntimeConfigError};
use crate::tls::{self, Certificate, TlsError, TlsFiles};
use crate::verbs::Api;
use crate::{answered, api_services, bootstrap, kubernetes_service, services};
use gantry_api::status::Status;
use gantry_auth::service_account::{KeyError, Keys, Tokens};
use gantry_auth::{User, x509};
use gantry_store::Store;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A TLS handshake must be done after this long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A request's head must have arrived after this long, as upstream has it. Over HTTP/1.1 the time runs from the end of
/// the request before, so that idle connections end too.
const HEAD_TIME: Duration = Duration::from_secs(32);
/// A request's head may be this large, as upstream's.
const HEAD_LIMIT: u32 = 1 << 20;
/// Requests under way at once on one HTTP/2 connection, as upstream's.
const STREAMS: u32 = 100;
/// What a client may send of one request's body before it is read, as upstream's.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What it may send so of all requests' bodies together.
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;

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
            loop {
                let place = self.connections.place().await;
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        // Who has half of all connections already gets no more: the others need theirs.
                        let Some(connection) = place.of(peer.ip()) else {
                            continue;
                        };
                        let way = Way {
                            handler: self.handler.clone(),
                            limits: self.limits.clone(),
                            peer: Peer(peer.ip()),
                        };
                        tokio::spawn(serve(way, self.acceptor.clone(), stream, connection));
                    }
                    Err(error) => {
                        tracing::warn!("a connection could not be accepted: {error}");
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

/// What a connection's requests need.
#[derive(Clone)]
struct Way {
    handler: Arc<Handler>,
    limits: Arc<Limits>,
    peer: Peer,
}

async fn serve(way: Way, acceptor: TlsAcceptor, stream: TcpStream, connection: Connection) {
    let _ = stream.set_nodelay(true);
    // Whoever cannot finish a handshake learns why from TLS itself.
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        return;
    };
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first());
    let user: Option<Arc<User>> = match certificate.map(|c| x509::user_from_certificate(c)) {
        None => None,
        Some(Ok(user)) => Some(Arc::new(user)),
        Some(Err(error)) => {
            tracing::warn!("a client certificate names no user: {error}");
            None
        }
    };
    let activity = connection.activity();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(way.peer);
        let (way, user, busy) = (way.clone(), user.clone(), activity.begin());
        async move {
            let answer = answer(&way, user.as_ref(), request).await;
            let mut answer = answer.unwrap_or_else(|status| respond::error(&status, Format::Json));
            // What only some may read is not for caches between here and them.
            let private = HeaderValue::from_static("no-cache, private");
            answer.headers_mut().entry(CACHE_CONTROL).or_insert(private);
            Ok::<_, Infallible>(limits::keep(answer, None, busy))
        }
    });
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_LIMIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(Duration::from_secs(30));
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = connection.idle() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}

/// Finds out who asks, and answers.
async fn answer(
    way: &Way,
    certificate: Option<&Arc<User>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let handler = &way.handler;
    let (mut head, body) = request.into_parts();
    let user = handler.authenticator.authenticate(certificate, &mut head).await?;
    let user = authenticate::impersonate(user, &mut head.headers, &handler.api.authorizer)?;
    let body = body.map_err(Into::into).boxed_unsync();
    let request = Request::from_parts(head, body);
    Ok(handler.answer(user, request, Some(&way.limits)).await)
}
