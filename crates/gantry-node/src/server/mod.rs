//! The node's own HTTPS server, which upstream calls the kubelet API: logs, commands in containers, ports of pods,
//! and what pods use. The API server asks it on behalf of users.
//!
//! `route.rs` reads paths, `access.rs` says who may ask, and each endpoint has a file.

mod access;
mod configz;
mod logs;
mod memory;
mod metrics;
mod relay;
mod respond;
mod route;
mod streams;
mod tls;

pub use tls::TlsError;

use crate::config::Config;
use crate::pod::manager::Manager;
use crate::shared::Shared;
use crate::stats::Stats;
use access::Access;
use gantry_auth::User;
use http::header::ALLOW;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use relay::Stop;
use respond::{Body, Refusal};
use route::{Query, Route};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Connections open at once, each at most one stream; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 1000;
/// A TLS handshake must be done after this long, and so must a request's head.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The pause after a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The certificate, key or authority is unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address could not be bound.
    #[error("the node's server cannot listen on {0}: {1}; end what uses the port")]
    Listen(SocketAddr, #[source] io::Error),
}

/// A server that has its port, but does not answer yet.
pub struct Bound {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    address: SocketAddr,
}

/// Takes the port that the node was told.
pub async fn bind(config: &Config) -> Result<Bound, ServerError> {
    let acceptor = tls::acceptor(&config.server)?;
    let wanted = SocketAddr::new(config.address, config.port);
    let failed = |e| ServerError::Listen(wanted, e);
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound {
        listener,
        acceptor,
        address,
    })
}

/// What the endpoints need.
pub struct Api {
    /// What the node's parts share.
    pub shared: Arc<Shared>,
    /// The node's pods.
    pub manager: Arc<Manager>,
    /// Measures what they use.
    pub stats: Stats,
    /// Knows who may ask.
    pub access: Access,
}

impl Api {
    /// What the endpoints need, of the node's parts.
    pub fn new(shared: Arc<Shared>, manager: Arc<Manager>) -> Self {
        Api {
            stats: Stats::new(shared.clone()),
            access: Access::new(shared.client.clone(), &shared.config.name),
            shared,
            manager,
        }
    }
}

impl Bound {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is aborted; all connections and streams end with it.
    pub async fn serve(self, api: Arc<Api>) {
        let (alive, stop) = watch::channel(());
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(slot) = slots.clone().acquire_owned().await else {
                break;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let (api, acceptor, stop) = (api.clone(), self.acceptor.clone(), Stop(stop.clone()));
                    connections.spawn(async move {
                        connection(&api, &acceptor, stream, stop).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!("a connection to the node's server could not be accepted: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(alive);
    }
}

async fn connection(api: &Arc<Api>, acceptor: &TlsAcceptor, stream: TcpStream, stop: Stop) {
    // A delay only; the connection works without.
    let _ = stream.set_nodelay(true);
    // Whoever cannot finish a handshake learns why from TLS itself.
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        return;
    };
    let user = Arc::new(tls::user(&stream));
    let service = service_fn(move |request: Request<Incoming>| {
        let (api, user, stop) = (api.clone(), user.clone(), stop.clone());
        async move {
            let answer = answer(&api, user.as_ref().as_ref(), request, stop).await;
            Ok::<_, Infallible>(answer.unwrap_or_else(|refusal| refusal.response()))
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!("a connection to the node's server ended: {error}");
    }
}

async fn answer(
    api: &Arc<Api>,
    user: Option<&User>,
    request: Request<Incoming>,
    stop: Stop,
) -> Result<Response<Body>, Refusal> {
    let uri = request.uri().clone();
    let user = api.access.user(user, request.headers()).await;
    api.access
        .check(user.as_ref(), request.method(), uri.path())
        .await?;
    let Some(route) = Route::parse(uri.path()) else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "404: Page Not Found"));
    };
    if !route.takes(request.method()) {
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
        let mut response = refusal.response();
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET"));
        return Ok(response);
    }
    let query = Query::parse(uri.query().unwrap_or(""));
    match route {
        Route::Healthz => Ok(respond::text(StatusCode::OK, "ok")),
        Route::Pods => Ok(respond::json(&pod_list(
            api.manager.pods().into_iter().map(|p| p.object()),
        ))),
        Route::RunningPods => Ok(respond::json(&pod_list(running(&api.manager)))),
        Route::Configz => Ok(respond::json(&configz::make(&api.shared.config))),
        Route::Summary => {
            let only = query.flag("only_cpu_and_memory");
            Ok(respond::json(&api.stats.summary(&api.manager, only).await))
        }
        Route::Metrics => Ok(metrics::process(api)),
        Route::ResourceMetrics => Ok(metrics::resource(api)),
        Route::Logs(container) => logs::answer(api, container, &query).await,
        Route::Exec(container) => streams::exec(api, container, &query, request, stop).await,
        Route::Attach(container) => streams::attach(api, container, &query, request, stop).await,
        Route::PortForward(pod) => streams::port_forward(api, pod, &query, request, stop).await,
    }
}

fn pod_list(items: impl Iterator<Item = Value>) -> Value {
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items.collect::<Vec<_>>()})
}

/// Pods with containers that run, as far as the runtime knows them.
fn running(manager: &Manager) -> impl Iterator<Item = Value> {
    manager.pods().into_iter().filter_map(|known| {
        let meta = &known.pod["metadata"];
        let containers: Vec<Value> = known
            .state
            .running()
            .map(|c| json!({"name": c.name, "image": c.image_ref, "resources": {}}))
            .collect();
        (!containers.is_empty()).then(|| {
            json!({
                "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
                "spec": {"containers": containers}, "status": {},
            })
        })
    })
}
