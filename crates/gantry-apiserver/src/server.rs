//! Listening: TLS, HTTP/1.1 and HTTP/2, and who is at the other end.

use crate::authenticate::{self, Authenticator};
use crate::authz::Authorizer;
use crate::connect::{Connect, KubeletIdentity, KubeletIdentityError, Peer};
use crate::definitions::{self, Definitions};
use crate::handler::Handler;
use crate::negotiate::Format;
use crate::registry::Registry;
use crate::request::Served;
use crate::respond::{self, Body};
use crate::tls::{self, Certificate, TlsError, TlsFiles};
use crate::verbs::Api;
use crate::{binding, bootstrap, component_status, kubernetes_service, reviews, services};
use bytes::Bytes;
use gantry_api::status::Status;
use gantry_auth::service_account::{KeyError, Keys, Tokens};
use gantry_auth::{User, x509};
use gantry_store::Store;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Connections open at once; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 10_000;
/// A TLS handshake must be done after this long, and so must a request's head.
const HANDSHAKE: Duration = Duration::from_secs(10);

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
}

impl Server {
    /// Prepares a server over `store`: makes the cluster's first objects and reads the rules of who may do what.
    pub async fn new(store: Arc<dyn Store>, config: Config<'_>) -> Result<Self, ServeError> {
        let (acceptor, certificate) = tls::acceptor(&config.tls)?;
        let issuer = format!("https://kubernetes.default.svc.{}", config.cluster_domain);
        let keys = Keys::from_pem(config.service_account_key, &[])?;
        let tokens = Arc::new(Tokens::new(issuer, keys));
        let connect = Connect::new(config.kubelet_client.as_ref())?;
        let mut kinds = gantry_api::kinds::builtin();
        kinds.extend(reviews::kinds());
        kinds.extend([binding::kind(), component_status::kind()]);
        let kinds = Arc::new(Served::new(kinds));
        let registry = Registry::new(store.clone());
        bootstrap::run(&registry, &kinds.now(), config.tls.client_ca).await?;
        let authorizer = Authorizer::start(&store, &kinds.now()).await?;
        let services = services::Allocator::start(store, config.service_range).await?;
        let address = services.range().nth(1);
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
                documents: Default::default(),
                jwks_uri: format!("https://{}/openid/v1/jwks", config.external_address),
                api: Api {
                    kinds: kinds.clone(),
                    registry: registry.clone(),
                    authorizer,
                    services,
                    tokens,
                    definitions: definitions.clone(),
                },
            }),
            acceptor,
            certificate,
        };
        let own = server.local(User::new("system:apiserver", &["system:masters"]));
        kubernetes_service::ensure(&own, address, config.advertise).await?;
        definitions::start(own, kinds, definitions, registry.store().clone()).await;
        Ok(server)
    }

    /// The certificate that new connections are shown, to replace it before it ends.
    pub fn certificate(&self) -> Arc<Certificate> {
        self.certificate.clone()
    }

    /// What signs the service accounts' tokens.
    pub fn tokens(&self) -> Arc<Tokens> {
        self.handler.api.tokens.clone()
    }

    /// The way in for a component of the same process that acts as `user`.
    pub fn local(&self, user: User) -> Local {
        Local {
            handler: self.handler.clone(),
            user: Arc::new(user),
        }
    }

    /// Serves until `shutdown` completes. What is passed on to nodes and pods ends then; other open connections are
    /// dropped with the runtime.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let accept = async {
            loop {
                let Ok(slot) = slots.clone().acquire_owned().await else {
                    return;
                };
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        let (handler, acceptor) = (self.handler.clone(), self.acceptor.clone());
                        tokio::spawn(async move {
                            connection(handler, acceptor, stream, Peer(peer.ip())).await;
                            drop(slot);
                        });
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

/// Requests of one user without a connection: the same handler, authorization and pipeline.
#[derive(Clone)]
pub struct Local {
    handler: Arc<Handler>,
    user: Arc<User>,
}

impl Local {
    /// Answers one request.
    pub async fn send(&self, request: Request<Bytes>) -> Response<Body> {
        let request = request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
        self.handler.answer(self.user.clone(), request).await
    }
}

async fn connection(handler: Arc<Handler>, acceptor: TlsAcceptor, stream: TcpStream, peer: Peer) {
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
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (handler, user) = (handler.clone(), user.clone());
        async move {
            let answer = answer(&handler, user.as_ref(), request).await;
            Ok::<_, Infallible>(answer.unwrap_or_else(|status| respond::error(&status, Format::Json)))
        }
    });
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(250)
        .keep_alive_interval(Duration::from_secs(30));
    if let Err(error) = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await
    {
        tracing::debug!("a connection ended: {error}");
    }
}

/// Finds out who asks, and answers.
async fn answer(
    handler: &Handler,
    certificate: Option<&Arc<User>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let (mut head, body) = request.into_parts();
    let user = handler.authenticator.authenticate(certificate, &mut head).await?;
    let user = authenticate::impersonate(user, &mut head.headers, &handler.api.authorizer)?;
    let body = body.map_err(Into::into).boxed_unsync();
    Ok(handler.answer(user, Request::from_parts(head, body)).await)
}
