//! The backend for several API servers: an etcd, with a copy of its state in each server.
//!
//! The copy is what the other backends have as their state (`reader.rs`), kept by one watch (`feed.rs`). A read first
//! asks etcd how far it is (`newest.rs`), and is answered from the copy once that is as far; so it sees every write that
//! was acknowledged before, by whichever server. A write is a transaction (`txn.rs`), acknowledged when the copy has it.
//! docs/decisions/0005-etcd.md says why.

mod arrivals;
mod client;
mod compactor;
mod feed;
mod newest;
mod txn;

#[allow(missing_docs, clippy::all)]
mod proto {
    tonic::include_proto!("etcdserverpb");
}

use crate::plan::Op;
use crate::reader::Core;
use crate::{
    Entry, Event, Limits, Only, Precondition, RangeRequest, RangeResult, ReadError, Revision, Store, Watch,
    WriteError,
};
use arrivals::Arrivals;
use async_trait::async_trait;
use bytes::Bytes;
use client::{Client, Failure, SetupError};
use feed::Feed;
use newest::Newest;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

/// The key by which API servers agree on compactions; upstream's name for it.
const COMPACTED: &[u8] = b"compact_rev_key";
/// How long a reader waits for the copy to come up to a revision, as in upstream's watch cache.
const BEHIND: Duration = Duration::from_secs(3);
/// Writes under way at once.
const WRITES: usize = 1024;

/// Certificates for etcd, in PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// The CA of etcd's certificates.
    pub ca: Option<Vec<u8>>,
    /// The certificate to show etcd, and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// How etcd is reached and what is kept of it.
#[derive(Clone)]
pub struct EtcdOptions {
    /// URLs of the cluster's members; one is used until it fails.
    pub endpoints: Vec<String>,
    /// Certificates.
    pub tls: Tls,
    /// Only keys that begin so are the store's; an empty one makes it all keys.
    pub prefix: Bytes,
    /// How much history the copy keeps, and how often etcd is made to forget what is older.
    pub history: Limits,
    /// How long etcd may take to be there at the start.
    pub patience: Duration,
}

impl EtcdOptions {
    /// Options for a cluster's data where upstream's API server keeps it.
    pub fn new(endpoints: Vec<String>, tls: Tls) -> EtcdOptions {
        EtcdOptions {
            endpoints,
            tls,
            prefix: Bytes::from_static(b"/registry/"),
            history: Limits {
                bytes: 64 << 20,
                ..Limits::default()
            },
            patience: Duration::from_secs(30),
        }
    }
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An option is wrong.
    #[error("{0}")]
    Options(String),
    /// etcd could not be read.
    #[error("{0}; check that it runs at the endpoints given, and its certificates")]
    Etcd(String),
}

/// What the store's parts share.
struct Shared {
    client: Arc<Client>,
    core: Arc<Core>,
    prefix: Bytes,
    /// The etcd cluster's ID.
    cluster: AtomicU64,
    arrivals: Arrivals,
    /// Told when a reader waited in vain.
    stalled: Notify,
}

/// A store in an etcd cluster.
pub struct Etcd {
    shared: Arc<Shared>,
    newest: Newest,
    writes: Semaphore,
    /// They end with the store.
    _tasks: JoinSet<()>,
}

impl Etcd {
    /// Reads all of the store's keys, and follows them from then on.
    pub async fn connect(options: EtcdOptions) -> Result<Etcd, ConnectError> {
        let wrong = |e: SetupError| ConnectError::Options(e.to_string());
        let client = Arc::new(Client::new(&options.endpoints, &options.tls).map_err(wrong)?);
        let started = Instant::now();
        let (state, cluster) = loop {
            match feed::load(&client, &options.prefix).await {
                Ok(loaded) => break loaded,
                Err(failure) if started.elapsed() < options.patience => {
                    tracing::warn!("waiting for etcd: {failure}");
                }
                Err(failure) => return Err(ConnectError::Etcd(failure.to_string())),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let shared = Arc::new(Shared {
            arrivals: Arrivals::new(state.revision),
            core: Core::new(state, None),
            cluster: AtomicU64::new(cluster),
            client: client.clone(),
            prefix: options.prefix,
            stalled: Notify::new(),
        });
        let (newest, answer) = Newest::new(client.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(answer);
        tasks.spawn(Feed::new(shared.clone(), options.history).run());
        tasks.spawn(compactor::run(client, options.history.every));
        Ok(Etcd {
            shared,
            newest,
            writes: Semaphore::new(WRITES),
            _tasks: tasks,
        })
    }

    /// Waits until the copy has come to a revision.
    async fn reach(&self, revision: Revision) -> Result<(), ReadError> {
        let arrived = tokio::time::timeout(BEHIND, self.shared.arrivals.reach(revision)).await;
        arrived.map_err(|_| {
            self.shared.stalled.notify_one();
            ReadError::Future {
                requested: revision,
                current: self.revision(),
            }
        })
    }

    /// Waits until the copy has all that was written before this was called, by whichever server.
    async fn catch_up(&self) -> Result<(), ReadError> {
        let newest = self.newest.get().await.map_err(unreadable)?;
        self.reach(newest).await
    }

    async fn write(&self, op: Op) -> Result<Option<Event>, WriteError> {
        let (key, value) = match &op {
            Op::Put { key, value, .. } => (key.clone(), Some(value.clone())),
            Op::Delete { key, .. } => (key.clone(), None),
        };
        if !key.starts_with(&self.shared.prefix) {
            let key = String::from_utf8_lossy(&key).into_owned();
            return Err(WriteError::Backend(format!(
                "{key} is not under the store's prefix"
            )));
        }
        let _place = self.writes.acquire().await;
        let answer = self.shared.client.txn(txn::request(op)).await;
        let (revision, outcome) = txn::outcome(key, value, answer.map_err(|e| txn::failure(&e))?);
        if let Ok(Some(_)) = outcome {
            // It is durable; a copy that lags behind only delays those who read it.
            let _ = self.reach(revision).await;
        }
        outcome
    }

    /// Reads from etcd itself, for history that the copy does not have.
    async fn range_of_etcd(&self, request: &RangeRequest, gone: ReadError) -> Result<RangeResult, ReadError> {
        if request.start >= request.end {
            return Err(gone);
        }
        let key = match request.start.is_empty() {
            true => b"\0".to_vec(),
            false => request.start.to_vec(),
        };
        let answer = self
            .shared
            .client
            .range(proto::RangeRequest {
                key,
                range_end: request.end.to_vec(),
                limit: request.limit as i64,
                revision: request.revision.unwrap_or_default() as i64,
                ..proto::RangeRequest::default()
            })
            .await;
        match answer {
            Ok(answer) => Ok(RangeResult {
                revision: header(answer.header.as_ref()).0,
                entries: answer.kvs.into_iter().map(txn::entry).collect(),
                count: request.count.then_some(answer.count as usize),
                more: answer.more,
            }),
            Err(failure) if failure.is_out_of_range() => Err(gone),
            Err(failure) => Err(unreadable(failure)),
        }
    }
}

fn unreadable(failure: Failure) -> ReadError {
    ReadError::Backend(failure.to_string())
}

/// The revision and the cluster an answer is from.
fn header(header: Option<&proto::ResponseHeader>) -> (Revision, u64) {
    header.map_or((0, 0), |h| (h.revision as u64, h.cluster_id))
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.shared.core.hub().close();
    }
}

#[async_trait]
impl Store for Etcd {
    async fn put(&self, key: Bytes, value: Bytes, pre: Option<Precondition>) -> Result<Entry, WriteError> {
        let event = self.write(Op::Put { key, value, pre }).await?;
        event
            .map(|e| e.entry)
            .ok_or_else(|| WriteError::Backend("a put made no event".into()))
    }

    async fn delete(&self, key: Bytes, pre: Option<Precondition>) -> Result<Option<Arc<Event>>, WriteError> {
        Ok(self.write(Op::Delete { key, pre }).await?.map(Arc::new))
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, ReadError> {
        self.catch_up().await?;
        Ok(self.shared.core.get(key))
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResult, ReadError> {
        // What stood at a revision that the copy has come to does not change.
        if request.revision.is_none_or(|at| at > self.revision()) {
            self.catch_up().await?;
        }
        match self.shared.core.range(&request) {
            Err(gone @ ReadError::Compacted { .. }) => self.range_of_etcd(&request, gone).await,
            result => result,
        }
    }

    async fn watch_only(
        &self,
        prefix: Bytes,
        after: Revision,
        only: Option<Only>,
    ) -> Result<Box<dyn Watch>, ReadError> {
        self.shared.core.watch(prefix, after, only)
    }

    async fn compact(&self, revision: Revision) -> Result<(), ReadError> {
        self.catch_up().await?;
        self.shared.core.read().check(revision)?;
        match self.shared.client.compact(revision).await {
            Err(failure) if !failure.is_out_of_range() => return Err(unreadable(failure)),
            // It was compacted there before, or further.
            _ => {}
        }
        self.shared.core.write().compact(revision).map(drop)
    }

    fn revision(&self) -> Revision {
        self.shared.core.read().revision
    }
}
