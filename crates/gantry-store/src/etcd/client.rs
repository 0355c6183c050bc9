//! The connection to etcd: one of several endpoints at a time, the next one when it fails.

use super::Tls;
use super::proto::kv_client::KvClient;
use super::proto::watch_client::WatchClient;
use super::proto::{
    CompactionRequest, RangeRequest, RangeResponse, TxnRequest, TxnResponse, WatchCreateRequest,
    WatchRequest, WatchResponse, watch_request,
};
use futures::StreamExt;
use std::error::Error;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status, Streaming};

/// To connect to one endpoint.
const CONNECT: Duration = Duration::from_secs(5);
/// For one answer; an election of etcd's takes a second or two.
const ANSWER: Duration = Duration::from_secs(10);
/// Reads are tried again this long, with pauses from the first to the second.
const READ_FOR: Duration = Duration::from_secs(5);
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// A dead connection is noticed after this long, as upstream's server does.
const ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// The longest message taken, as by etcd's own client. What the store asks for comes in parts that are far shorter.
const MESSAGE: usize = i32::MAX as usize;
const WINDOW: u32 = 4 << 20;

/// Why etcd gave no good answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No endpoint could be reached; nothing was sent.
    #[error("etcd cannot be reached: {0}")]
    Unreachable(String),
    /// etcd refused, or the connection broke.
    #[error("etcd: {}", .0.message())]
    Status(Box<Status>),
}

impl Failure {
    fn of(status: Status) -> Failure {
        Failure::Status(Box::new(status))
    }

    fn code(&self) -> Option<Code> {
        match self {
            Failure::Unreachable(_) => None,
            Failure::Status(status) => Some(status.code()),
        }
    }

    /// Whether another endpoint, or the same a little later, may do better.
    fn passes(&self) -> bool {
        matches!(
            self.code(),
            None | Some(
                Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal | Code::DeadlineExceeded
            )
        )
    }

    /// Whether the revision asked for is no longer kept, or not yet there: etcd has one code for both.
    pub(super) fn is_out_of_range(&self) -> bool {
        self.code() == Some(Code::OutOfRange)
    }

    /// Whether etcd's database has reached its quota.
    pub(super) fn is_full(&self) -> bool {
        self.code() == Some(Code::ResourceExhausted)
            && matches!(self, Failure::Status(s) if s.message().contains("space exceeded"))
    }
}

/// An address or a certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("{0:?} is no endpoint of etcd: give one such as https://10.0.0.1:2379")]
    Endpoint(String),
    #[error("{0} needs the CA of etcd's certificate")]
    NoCa(String),
    #[error("the certificates for etcd cannot be used: {0}")]
    Tls(String),
}

#[derive(Default)]
struct Current {
    channel: Option<Channel>,
    /// The endpoint in use, or to be tried next.
    at: usize,
    /// Counts connections, so that a late report of failure does not end a newer one.
    generation: u64,
    /// When connecting failed last, and why.
    failed: Option<(Instant, Failure)>,
}

/// The connection.
pub(super) struct Client {
    endpoints: Vec<Endpoint>,
    current: Mutex<Current>,
}

impl Client {
    /// Checks addresses and certificates; connects to nothing yet.
    pub(super) fn new(endpoints: &[String], tls: &Tls) -> Result<Client, SetupError> {
        let endpoints = endpoints.iter().map(|address| endpoint(address.trim(), tls));
        Ok(Client {
            endpoints: endpoints.collect::<Result<_, _>>()?,
            current: Mutex::default(),
        })
    }

    /// The open connection, or a new one to the first endpoint that takes it.
    async fn channel(&self) -> Result<(Channel, u64), Failure> {
        let arrived = Instant::now();
        let mut current = self.current.lock().await;
        if let Some(channel) = &current.channel {
            return Ok((channel.clone(), current.generation));
        }
        // Those who waited for an attempt share what came of it.
        if let Some((at, failure)) = &current.failed
            && *at >= arrived
        {
            return Err(failure.clone());
        }
        let mut reasons = Vec::new();
        for n in 0..self.endpoints.len() {
            let at = (current.at + n) % self.endpoints.len();
            match self.endpoints[at].connect().await {
                Ok(channel) => {
                    current.channel = Some(channel.clone());
                    current.at = at;
                    current.generation += 1;
                    return Ok((channel, current.generation));
                }
                Err(error) => reasons.push(format!("{}: {}", self.endpoints[at].uri(), whole(&error))),
            }
        }
        let failure = Failure::Unreachable(reasons.join("; "));
        current.failed = Some((Instant::now(), failure.clone()));
        Err(failure)
    }

    /// Leaves a connection that failed for the next endpoint, unless that has happened.
    async fn leave(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if current.generation == generation && current.channel.take().is_some() {
            current.at = (current.at + 1) % self.endpoints.len();
        }
    }

    /// Makes one call.
    async fn call<T, F>(&self, act: impl FnOnce(Channel) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let (channel, generation) = self.channel().await?;
        let answer = match tokio::time::timeout(ANSWER, act(channel)).await {
            Ok(answer) => answer.map_err(Failure::of),
            Err(_) => Err(Failure::of(Status::deadline_exceeded("no answer in time"))),
        };
        if let Err(failure) = &answer
            && failure.passes()
        {
            self.leave(generation).await;
        }
        answer.map(tonic::Response::into_inner)
    }

    /// Reads, as of the newest revision unless the request names one; tries again what may pass.
    pub(super) async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Failure> {
        let started = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            let request = request.clone();
            let answer = self
                .call(|channel| async move { kv(channel).range(request).await })
                .await;
            match answer {
                Err(failure) if failure.passes() && started.elapsed() < READ_FOR => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                answer => return answer,
            }
        }
    }

    /// Writes. It is not tried again: after a failure it is not known whether it happened.
    pub(super) async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Failure> {
        self.call(|channel| async move { kv(channel).txn(request).await })
            .await
    }

    /// Makes etcd forget history.
    pub(super) async fn compact(&self, revision: u64) -> Result<(), Failure> {
        let request = CompactionRequest {
            revision: revision as i64,
        };
        self.call(|channel| async move { kv(channel).compact(request).await })
            .await
            .map(drop)
    }

    /// Watches. When the stream ends, [`Follow::failed`] leaves its connection.
    pub(super) async fn watch(&self, request: WatchCreateRequest) -> Result<Follow<'_>, Failure> {
        let create = WatchRequest {
            request_union: Some(watch_request::RequestUnion::CreateRequest(request)),
        };
        // etcd ends the watch when this side does.
        let requests = futures::stream::once(async { create }).chain(futures::stream::pending());
        let mut request = Request::new(requests);
        // A member that lost its leader must not keep a silent watch.
        request
            .metadata_mut()
            .insert("hasleader", tonic::metadata::MetadataValue::from_static("true"));
        let (_, generation) = self.channel().await?;
        let stream = self
            .call(|channel| async move {
                WatchClient::new(channel)
                    .max_decoding_message_size(MESSAGE)
                    .watch(request)
                    .await
            })
            .await?;
        Ok(Follow {
            client: self,
            stream,
            generation,
        })
    }
}

/// A running watch.
pub(super) struct Follow<'a> {
    client: &'a Client,
    stream: Streaming<WatchResponse>,
    generation: u64,
}

impl Follow<'_> {
    /// The next message; an end is a failure.
    pub(super) async fn next(&mut self) -> Result<WatchResponse, Failure> {
        match self.stream.message().await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(Failure::of(Status::unavailable("the watch ended"))),
            Err(status) => Err(Failure::of(status)),
        }
    }

    /// Leaves the connection, so that the next watch goes to another endpoint.
    pub(super) async fn failed(self) {
        self.client.leave(self.generation).await;
    }
}

fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(MESSAGE)
}

fn endpoint(address: &str, tls: &Tls) -> Result<Endpoint, SetupError> {
    let wrong = || SetupError::Endpoint(address.into());
    let endpoint = Endpoint::from_shared(address.to_string()).map_err(|_| wrong())?;
    let secure = match endpoint.uri().scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong()),
    };
    let endpoint = endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(ALIVE.0)
        .keep_alive_timeout(ALIVE.1)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW);
    if !secure {
        return Ok(endpoint);
    }
    let ca = tls.ca.as_ref().ok_or_else(|| SetupError::NoCa(address.into()))?;
    let mut config = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ca))
        .timeout(CONNECT);
    if let Some((certificate, key)) = &tls.identity {
        config = config.identity(Identity::from_pem(certificate, key));
    }
    endpoint
        .tls_config(config)
        .map_err(|error| SetupError::Tls(whole(&error)))
}

/// An error with what caused it.
fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
