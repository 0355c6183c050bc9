//! Questions about names that are not the cluster's, passed on to the name servers of the node's resolv.conf.

use super::cache::{Cache, LONGEST};
use super::exchange;
use hickory_server::proto::op::{Message, ResponseCode};
use hickory_server::proto::rr::{LowerName, RData, Record, RecordType};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Questions under way at once: as `max_concurrent` in kubeadm's Corefile.
const CONCURRENT: usize = 1000;
/// One try with one name server.
const ATTEMPT: Duration = Duration::from_secs(2);
/// All tries together: resolvers ask again after five seconds.
const ALL_ATTEMPTS: Duration = Duration::from_secs(5);

/// What is asked of other name servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) name: LowerName,
    pub(super) type_: RecordType,
    /// Whether signatures are wanted.
    pub(super) dnssec: bool,
    /// Whether the answer is wanted though its signatures are wrong.
    pub(super) unchecked: bool,
}

/// What a name server answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    pub(super) code: ResponseCode,
    pub(super) truncated: bool,
    pub(super) authentic: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
    /// How long it may be kept, in seconds; `None` for what must not be kept.
    pub(super) lifetime: Option<u32>,
    /// Bytes of the message it came in.
    pub(super) size: usize,
}

impl Reply {
    /// Reads a message of `size` bytes. Its records live no longer than we keep them.
    pub(super) fn new(message: Message, size: usize) -> Self {
        let lifetime = lifetime(&message).map(|l| l.min(LONGEST));
        let mut reply = Reply {
            code: message.metadata.response_code,
            truncated: message.metadata.truncation,
            authentic: message.metadata.authentic_data,
            answers: message.answers,
            authorities: message.authorities,
            additionals: message.additionals,
            lifetime,
            size,
        };
        if let Some(lifetime) = lifetime {
            for record in reply.records_mut() {
                record.ttl = record.ttl.min(lifetime);
            }
        }
        reply
    }

    pub(super) fn records_mut(&mut self) -> impl Iterator<Item = &mut Record> {
        self.answers
            .iter_mut()
            .chain(&mut self.authorities)
            .chain(&mut self.additionals)
    }
}

/// What the records of an answer say of its life: RFC 2308 for those that deny.
fn lifetime(message: &Message) -> Option<u32> {
    if message.metadata.truncation {
        return None;
    }
    let denial = || {
        message.authorities.iter().find_map(|r| match &r.data {
            RData::SOA(soa) => Some(soa.minimum.min(r.ttl)),
            _ => None,
        })
    };
    match message.metadata.response_code {
        ResponseCode::NoError if !message.answers.is_empty() => message.answers.iter().map(|r| r.ttl).min(),
        ResponseCode::NoError | ResponseCode::NXDomain => denial(),
        _ => None,
    }
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForwardError {
    #[error("more than {CONCURRENT} questions wait for other name servers")]
    Busy,
    #[error("the node's resolv.conf names no other name server")]
    NoServer,
    #[error("no name server answered in time")]
    Silent,
}

/// Asks other name servers.
pub(super) struct Forwarder {
    servers: RwLock<Arc<[SocketAddr]>>,
    /// The place of the server that answered last: a dead one is not asked first each time.
    preferred: AtomicUsize,
    failing: AtomicBool,
    permits: Semaphore,
    cache: Mutex<Cache>,
}

impl Forwarder {
    /// One that asks `servers`, in their order.
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Forwarder {
            servers: RwLock::new(servers.into()),
            preferred: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            permits: Semaphore::new(CONCURRENT),
            cache: Mutex::default(),
        }
    }

    /// Asks `servers` from now on. Returns whether they are others than before.
    pub(super) fn set_servers(&self, servers: Vec<SocketAddr>) -> bool {
        let mut current = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        if **current == *servers {
            return false;
        }
        *current = servers.into();
        self.preferred.store(0, Ordering::Relaxed);
        true
    }

    #[cfg(test)]
    pub(super) fn servers(&self) -> Arc<[SocketAddr]> {
        self.servers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The answer to a question, kept or asked for.
    pub(super) async fn resolve(&self, question: &Question) -> Result<Reply, ForwardError> {
        let kept = self
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(question, Instant::now());
        if let Some(reply) = kept {
            return Ok(reply);
        }
        let _permit = self.permits.try_acquire().map_err(|_| ForwardError::Busy)?;
        let servers = self
            .servers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if servers.is_empty() {
            return Err(ForwardError::NoServer);
        }
        let asked = tokio::time::timeout(ALL_ATTEMPTS, self.ask(&servers, question)).await;
        let Ok(Some(reply)) = asked else {
            if !self.failing.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "none of the name servers {servers:?} answers: names outside of the cluster fail"
                );
            }
            return Err(ForwardError::Silent);
        };
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the name servers {servers:?} answer again");
        }
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(
            question.clone(),
            &reply,
            Instant::now(),
        );
        Ok(reply)
    }

    /// Asks one server after the other. A refusal counts only when none has more to say.
    async fn ask(&self, servers: &[SocketAddr], question: &Question) -> Option<Reply> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut refusal = None;
        for i in 0..servers.len() {
            let place = (first + i) % servers.len();
            let server = servers[place];
            let reply = match exchange::ask(server, question, ATTEMPT).await {
                Ok(reply) => reply,
                Err(error) => {
                    tracing::debug!("{server} does not answer for {}: {error}", question.name);
                    // Even when time runs out in the next try, the next question starts elsewhere.
                    self.preferred
                        .store((place + 1) % servers.len(), Ordering::Relaxed);
                    continue;
                }
            };
            match reply.code {
                ResponseCode::ServFail | ResponseCode::Refused | ResponseCode::NotImp => {
                    refusal.get_or_insert(reply);
                }
                _ => return Some(reply),
            }
        }
        refusal
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
