//! One connection: TLS, then HTTP/1.1 or HTTP/2, within bounds for everything that the other end may do.
//!
//! Source of the numbers: k8s.io/apiserver/pkg/server/secure_serving.go. What is not set here, the HTTP libraries bound
//! themselves: unread answers to pings and settings, frames of one head, frames without content, the compression's tables.

use crate::authenticate;
use crate::connect::Peer;
use crate::connection::{Connection, End, Patience};
use crate::handler::Handler;
use crate::limits::Limits;
use crate::negotiate::Format;
use crate::outgoing;
use crate::respond::{self, Body};
use gantry_api::status::Status;
use gantry_auth::{User, x509};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A request's head may be this large over HTTP/2, as upstream's. Over HTTP/1.1 the buffer it is read into is smaller:
/// 400 KiB.
const HEAD_LIMIT: u32 = 1 << 20;
/// A request may have so many headers. Upstream counts none: whoever acts as another sends one for each of its groups,
/// of which directories allow about a thousand. Some hundred thousand empty ones would cost more than they say.
const HEADERS: usize = 2_000;
/// Over HTTP/1.1, room for so many is made anew for each head: what is still cheap.
const HEADERS_OVER_HTTP1: usize = 1_000;
/// Requests under way at once on one HTTP/2 connection, as upstream's.
const STREAMS: u32 = 100;
/// Requests that may be taken back before they are looked at; then the connection ends, as it does upstream.
const TAKEN_BACK: usize = 4 * STREAMS as usize;
/// What a client may send of one request's body before it is read, as upstream's.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What it may send so of all requests' bodies together.
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
/// What is kept of one answer until the client takes it, beside its last piece.
const ANSWER_BUFFER: usize = 64 * 1024;
/// How often a client is asked whether it is still there, and how long it has to say so.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);
/// How often the kernel asks whether a silent client is still there, as upstream's does.
const KEEP_ALIVE: Duration = Duration::from_secs(180);

/// What a connection's requests need.
#[derive(Clone)]
pub struct Way {
    /// Who answers.
    pub handler: Arc<Handler>,
    /// How much at once.
    pub limits: Arc<Limits>,
    /// Whose they are.
    pub peer: Peer,
}

/// Serves a connection until it ends.
pub async fn serve(
    way: Way,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    connection: Connection,
    patience: Patience,
) {
    let _ = stream.set_nodelay(true);
    let keep_alive = socket2::TcpKeepalive::new().with_time(KEEP_ALIVE);
    let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keep_alive);
    let connection = Arc::new(connection);
    let stream = Traffic {
        stream,
        connection: connection.clone(),
    };
    // Whoever cannot finish a handshake learns why from TLS itself.
    let Ok(Ok(stream)) = tokio::time::timeout(patience.handshake, acceptor.accept(stream)).await else {
        return;
    };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    connection.activity().speaks(http2);
    let user = user(&stream);
    let activity = connection.activity().clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(way.peer);
        let (way, user, busy) = (way.clone(), user.clone(), activity.begin());
        async move {
            let answer = answer(&way, user.as_ref(), request).await;
            let mut answer = answer.unwrap_or_else(|status| respond::error(&status, Format::Json));
            // What only some may read is not for caches between here and them.
            let private = HeaderValue::from_static("no-cache, private");
            answer.headers_mut().entry(CACHE_CONTROL).or_insert(private);
            Ok::<_, Infallible>(outgoing::watched(answer, busy))
        }
    });
    let stream = TokioIo::new(stream);
    // Both have the same methods, but nothing else in common.
    macro_rules! to_its_end {
        ($served:expr) => {{
            let mut served = std::pin::pin!($served);
            let mut closing = false;
            loop {
                tokio::select! {
                    ended = served.as_mut() => break ended,
                    end = connection.over(closing) => {
                        if closing || end == End::Stuck {
                            tracing::debug!("a connection was cut off: {end:?}");
                            return;
                        }
                        closing = true;
                        connection.activity().closing();
                        served.as_mut().graceful_shutdown();
                    }
                }
            }
        }};
    }
    let ended = match http2 {
        true => to_its_end!(http2_settings().serve_connection(stream, service)),
        false => {
            let served = http1_settings().serve_connection(stream, service);
            to_its_end!(served.with_upgrades())
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}

fn http1_settings() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // `Patience` has it, which tells a head that does not end from a connection without a request.
        .header_read_timeout(None)
        .max_headers(HEADERS_OVER_HTTP1);
    builder
}

fn http2_settings() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(TAKEN_BACK)
        .max_local_error_reset_streams(TAKEN_BACK)
        .max_header_list_size(HEAD_LIMIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(ANSWER_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    builder
}

/// Whom the client's certificate names.
fn user(stream: &TlsStream<Traffic>) -> Option<Arc<User>> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    match x509::user_from_certificate(certificate) {
        Ok(user) => Some(Arc::new(user)),
        Err(error) => {
            tracing::warn!("a client certificate names no user: {error}");
            None
        }
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
    if head.headers.len() > HEADERS {
        return Ok(respond::plain_error(431, "431 Request Header Fields Too Large"));
    }
    let user = handler.authenticator.authenticate(certificate, &mut head).await?;
    let user = authenticate::impersonate(user, &mut head.headers, &handler.api.authorizer)?;
    let body = body.map_err(Into::into).boxed_unsync();
    let request = Request::from_parts(head, body);
    Ok(handler.answer(user, request, Some(&way.limits)).await)
}

/// A connection's bytes, which tell what happens on it. Whoever has them has the connection's place.
struct Traffic {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Traffic {
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.connection.activity().wrote(written.is_ready());
        written
    }
}

impl AsyncRead for Traffic {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.connection.activity().received();
        }
        read
    }
}

impl AsyncWrite for Traffic {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
