//! etcd's newest revision, as it certainly stands after somebody asked.
//!
//! Those who ask while a question is under way share the next one, so that a thousand concurrent reads cost etcd no
//! more than a few.

use super::client::{Client, Failure};
use super::proto::RangeRequest;
use super::{COMPACTED, header};
use crate::Revision;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Questions that may wait to be put; beyond it callers wait to ask.
const QUEUE: usize = 4096;

type Answer = Result<Revision, Failure>;

/// Where to ask.
pub(super) struct Newest(mpsc::Sender<oneshot::Sender<Answer>>);

impl Newest {
    /// Where to ask, and what answers there.
    pub(super) fn new(client: Arc<Client>) -> (Newest, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Newest(sender), answer(client, receiver))
    }

    /// The newest revision: no older than when this was called.
    pub(super) async fn get(&self) -> Answer {
        let closed = || Failure::Unreachable("the store is closed".into());
        let (sender, receiver) = oneshot::channel();
        self.0.send(sender).await.map_err(|_| closed())?;
        receiver.await.map_err(|_| closed())?
    }
}

async fn answer(client: Arc<Client>, mut questions: mpsc::Receiver<oneshot::Sender<Answer>>) {
    let mut asked = Vec::new();
    while questions.recv_many(&mut asked, QUEUE).await > 0 {
        // Any read that is not of a past revision waits until etcd's members agree on how far they are.
        let request = RangeRequest {
            key: COMPACTED.to_vec(),
            count_only: true,
            ..RangeRequest::default()
        };
        let answer = client.range(request).await.map(|a| header(a.header.as_ref()).0);
        for question in asked.drain(..) {
            // Whoever gave up waiting need not be told.
            let _ = question.send(answer.clone());
        }
    }
}
