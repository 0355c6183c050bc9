//! Relays an upgraded connection to the runtime's streaming server: what is said on it is between client and runtime.

use super::respond::{Body, Refusal};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::Uri;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long the runtime may take to answer.
const DIAL: Duration = Duration::from_secs(30);
/// A stream on which nothing is said for this long ends, as upstream's.
const IDLE: Duration = Duration::from_secs(4 * 3600);
/// When one end has said its last, the other has this long for its own.
const LINGER: Duration = Duration::from_secs(10);
/// What is on its way in each direction, at most.
const BUFFER: usize = 32 << 10;

/// Tells streams that the server ends.
#[derive(Clone)]
pub struct Stop(pub watch::Receiver<()>);

impl Stop {
    async fn wait(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

/// Passes a request on to `url`, and relays what follows until both ends are done.
pub async fn forward(
    mut request: Request<Incoming>,
    url: &str,
    stop: Stop,
) -> Result<Response<Body>, Refusal> {
    if !is_upgrade(request.headers()) {
        return Err(Refusal::internal("Upgrade request required"));
    }
    let url: Uri = url
        .parse()
        .map_err(|_| Refusal::internal(format!("the container runtime's address {url:?} is none")))?;
    let address = loopback(&url)?;
    let failed = |e: &dyn std::fmt::Display| {
        Refusal::internal(format!("the container runtime's streaming server failed: {e}"))
    };
    let client = hyper::upgrade::on(&mut request);
    let ask = async {
        let stream = TcpStream::connect(address).await.map_err(|e| failed(&e))?;
        // A delay only; the connection works without.
        let _ = stream.set_nodelay(true);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| failed(&e))?;
        tokio::spawn(connection.with_upgrades());
        sender
            .send_request(passed_on(&request, &url)?)
            .await
            .map_err(|e| failed(&e))
    };
    let mut answer = tokio::time::timeout(DIAL, ask)
        .await
        .map_err(|_| failed(&"it does not answer"))??;
    let status = answer.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        if status.is_client_error() || status.is_server_error() {
            return Ok(answer.map(|body| body.map_err(io::Error::other).boxed_unsync()));
        }
        let text = format!("invalid upgrade response: status code {}", status.as_u16());
        return Err(Refusal::internal(text));
    }
    let runtime = hyper::upgrade::on(&mut answer);
    tokio::spawn(async move {
        let relayed = async {
            match futures::try_join!(client, runtime) {
                Ok((client, runtime)) => relay(client, runtime).await,
                Err(error) => tracing::debug!("a stream could not be upgraded: {error}"),
            }
        };
        tokio::select! {
            () = relayed => {}
            () = stop.wait() => {}
        }
    });
    let (head, _) = answer.into_parts();
    Ok(Response::from_parts(head, super::respond::full(Bytes::new())))
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter();
    headers.contains_key(UPGRADE)
        && values.any(|v| {
            v.to_str()
                .is_ok_and(|v| v.to_ascii_lowercase().contains("upgrade"))
        })
}

/// What is said on streams is not encrypted here, so it must not leave the machine.
fn loopback(url: &Uri) -> Result<SocketAddr, Refusal> {
    let host = url.host().unwrap_or("").trim_matches(['[', ']']);
    let ip = match host {
        "localhost" => Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
        _ => host.parse().ok(),
    };
    let local = ip.filter(|ip| ip.is_loopback() && url.scheme_str() == Some("http"));
    let address = local.zip(url.port_u16());
    address.map(SocketAddr::from).ok_or_else(|| {
        Refusal::internal(format!(
            "the container runtime streams on {url}, which is not loopback: set stream_server_address to 127.0.0.1"
        ))
    })
}

/// The client's request, at the runtime's address.
fn passed_on(request: &Request<Incoming>, url: &Uri) -> Result<Request<Empty<Bytes>>, Refusal> {
    let unusable = || Refusal::internal(format!("the container runtime's address {url} is unusable"));
    let authority = url.authority().ok_or_else(unusable)?;
    let mut passed = Request::new(Empty::new());
    *passed.method_mut() = request.method().clone();
    let path = url.path_and_query().map_or("/", |p| p.as_str());
    *passed.uri_mut() = path.parse().map_err(|_| unusable())?;
    *passed.headers_mut() = request.headers().clone();
    let headers = passed.headers_mut();
    headers.remove(AUTHORIZATION);
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRANSFER_ENCODING);
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| unusable())?;
    headers.insert(HOST, host);
    Ok(passed)
}

async fn relay(client: Upgraded, runtime: Upgraded) {
    let (client_reads, client_writes) = tokio::io::split(TokioIo::new(client));
    let (runtime_reads, runtime_writes) = tokio::io::split(TokioIo::new(runtime));
    let clock = Clock::default();
    let there = copy(client_reads, runtime_writes, &clock);
    let back = copy(runtime_reads, client_writes, &clock);
    tokio::select! {
        () = both(there, back) => {}
        () = clock.idle(IDLE) => tracing::info!("a stream has been idle for {IDLE:?} and ends"),
    }
}

/// Waits for both; when one is done, the other may linger.
async fn both(there: impl Future<Output = io::Result<()>>, back: impl Future<Output = io::Result<()>>) {
    tokio::pin!(there, back);
    let first = tokio::select! {
        result = &mut there => result.map(|()| true),
        result = &mut back => result.map(|()| false),
    };
    let second = async {
        match first? {
            true => back.await,
            false => there.await,
        }
    };
    match tokio::time::timeout(LINGER, second).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!("a stream broke off: {error}"),
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    clock: &Clock,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        clock.touch();
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
    }
}

/// When something was last said.
struct Clock {
    start: Instant,
    last: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Clock {
            start: Instant::now(),
            last: AtomicU64::new(0),
        }
    }
}

impl Clock {
    fn touch(&self) {
        let now = self.start.elapsed().as_millis();
        self.last
            .store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Completes when nothing was said for `limit`.
    async fn idle(&self, limit: Duration) {
        loop {
            let end = self.start + Duration::from_millis(self.last.load(Ordering::Relaxed)) + limit;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_dialled() {
        let check = |url: &str, expected: Option<&str>| {
            let found = loopback(&url.parse().unwrap()).ok().map(|a| a.to_string());
            assert_eq!(found.as_deref(), expected, "{url}");
        };
        check("http://127.0.0.1:4000/exec/a", Some("127.0.0.1:4000"));
        check("http://[::1]:4000/exec/a", Some("[::1]:4000"));
        check("http://localhost:1/", Some("127.0.0.1:1"));
        check("http://192.0.2.1:4000/exec/a", None);
        check("https://127.0.0.1:4000/exec/a", None);
        check("/exec/a", None);
    }

    #[tokio::test]
    async fn copies_until_both_ends_are_done() {
        let (mut client, near) = tokio::io::duplex(64);
        let (far, mut runtime) = tokio::io::duplex(64);
        let clock = Clock::default();
        let (near_reads, near_writes) = tokio::io::split(near);
        let (far_reads, far_writes) = tokio::io::split(far);
        let ends = async {
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            let mut question = String::new();
            runtime.read_to_string(&mut question).await.unwrap();
            runtime.write_all(b"answer").await.unwrap();
            runtime.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            (question, answer)
        };
        let relay = both(
            copy(near_reads, far_writes, &clock),
            copy(far_reads, near_writes, &clock),
        );
        let ((), said) = tokio::join!(relay, ends);
        assert_eq!(said, ("question".to_string(), "answer".to_string()));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_streams_end() {
        let clock = Clock::default();
        let begin = Instant::now();
        clock.idle(IDLE).await;
        assert!(begin.elapsed() >= IDLE);
    }
}
