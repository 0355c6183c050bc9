//! Makes etcd forget history, as upstream's API servers do and together with them.
//!
//! Source: k8s.io/apiserver/pkg/storage/etcd3/compact.go. Of several servers one compacts in each period: the one that
//! first raises the version of a key they share. Its value is the revision compacted at, which tells the others.

use super::client::{Client, Failure};
use super::proto::compare::{CompareTarget, TargetUnion};
use super::proto::request_op::Request;
use super::proto::response_op::Response;
use super::proto::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest};
use super::{COMPACTED, header};
use crate::Revision;
use std::sync::Arc;
use std::time::Duration;

/// What this server knows of compactions.
#[derive(Default)]
struct Compactor {
    /// The shared key's version: how many there were.
    times: i64,
    /// etcd's newest revision one period ago.
    mark: Revision,
}

/// Compacts once a period for as long as the store is there.
pub(super) async fn run(client: Arc<Client>, every: Duration) {
    let mut compactor = Compactor::default();
    loop {
        tokio::time::sleep(every).await;
        match compactor.round(&client).await {
            Ok(Some(at)) => tracing::debug!("etcd's history was compacted at revision {at}"),
            Ok(None) => {}
            // Another compacted further, by hand.
            Err(failure) if failure.is_out_of_range() => {}
            Err(failure) => tracing::warn!("etcd's history could not be compacted: {failure}"),
        }
    }
}

impl Compactor {
    /// Compacts at the mark unless another server has compacted since the last round. Returns the revision if it did.
    async fn round(&mut self, client: &Client) -> Result<Option<Revision>, Failure> {
        let op = |request| RequestOp {
            request: Some(request),
        };
        let answer = client
            .txn(TxnRequest {
                compare: vec![Compare {
                    target: CompareTarget::Version.into(),
                    key: COMPACTED.to_vec(),
                    target_union: Some(TargetUnion::Version(self.times)),
                    ..Compare::default()
                }],
                success: vec![op(Request::RequestPut(PutRequest {
                    key: COMPACTED.to_vec(),
                    value: self.mark.to_string().into_bytes(),
                }))],
                failure: vec![op(Request::RequestRange(RangeRequest {
                    key: COMPACTED.to_vec(),
                    ..RangeRequest::default()
                }))],
            })
            .await?;
        let at = std::mem::replace(&mut self.mark, header(answer.header.as_ref()).0);
        if !answer.succeeded {
            let found = answer.responses.into_iter().find_map(|r| match r.response? {
                Response::ResponseRange(range) => range.kvs.into_iter().next(),
                _ => None,
            });
            self.times = found.map_or(0, |kv| kv.version);
            return Ok(None);
        }
        self.times += 1;
        if at == 0 {
            return Ok(None);
        }
        client.compact(at).await?;
        Ok(Some(at))
    }
}
