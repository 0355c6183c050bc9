//! Writes as etcd's transactions, and what comes of them.

use super::client::Failure;
use super::proto::compare::{CompareTarget, TargetUnion};
use super::proto::request_op::Request;
use super::proto::response_op::Response;
use super::proto::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
};
use crate::plan::Op;
use crate::{Entry, Event, EventKind, Precondition, Revision, WriteError};
use bytes::Bytes;

/// A key-value pair of etcd's as an entry.
pub(super) fn entry(kv: KeyValue) -> Entry {
    Entry {
        key: kv.key.into(),
        value: kv.value.into(),
        create_revision: kv.create_revision as u64,
        mod_revision: kv.mod_revision as u64,
        version: kv.version as u64,
    }
}

/// The entry of a deletion.
pub(super) fn tombstone(key: Bytes, revision: Revision) -> Entry {
    Entry {
        key,
        value: Bytes::new(),
        create_revision: 0,
        mod_revision: revision,
        version: 0,
    }
}

/// The transaction that makes a write if it may be made, and otherwise reads how the key stands.
pub(super) fn request(op: Op) -> TxnRequest {
    let (key, value, pre) = match op {
        Op::Put { key, value, pre } => (key, Some(value), pre),
        Op::Delete { key, pre } => (key, None, pre),
    };
    let read = |keys_only| {
        Request::RequestRange(RangeRequest {
            key: key.to_vec(),
            keys_only,
            ..RangeRequest::default()
        })
    };
    let write = match value {
        // The read after the write tells what etcd made of it: the revision of creation and the version.
        Some(value) => vec![
            Request::RequestPut(PutRequest {
                key: key.to_vec(),
                value: value.to_vec(),
            }),
            read(true),
        ],
        None => vec![Request::RequestDeleteRange(DeleteRangeRequest {
            key: key.to_vec(),
            prev_kv: true,
        })],
    };
    let op = |request| RequestOp {
        request: Some(request),
    };
    let demand = pre.map(|pre| Compare {
        target: CompareTarget::Mod.into(),
        key: key.to_vec(),
        target_union: Some(TargetUnion::ModRevision(match pre {
            Precondition::Absent => 0,
            // No key has revision 1 or less; to etcd 0 would be a key that is not there.
            Precondition::ModRevision(revision) => revision.max(1) as i64,
        })),
        ..Compare::default()
    });
    TxnRequest {
        compare: demand.into_iter().collect(),
        success: write.into_iter().map(op).collect(),
        failure: vec![op(read(false))],
    }
}

/// What a transaction came to, and the revision it left the store at. `None`: a deletion of nothing.
pub(super) fn outcome(
    key: Bytes,
    value: Option<Bytes>,
    answer: TxnResponse,
) -> (Revision, Result<Option<Event>, WriteError>) {
    let revision = answer.header.map_or(0, |h| h.revision as u64);
    let mut found = answer.responses.into_iter().filter_map(|r| match r.response? {
        Response::ResponseRange(range) => range.kvs.into_iter().next(),
        Response::ResponseDeleteRange(gone) => gone.prev_kvs.into_iter().next(),
        Response::ResponsePut(_) => None,
    });
    let found = found.next().map(entry);
    let outcome = match (answer.succeeded, value) {
        (false, _) => Err(WriteError::Precondition { current: found }),
        (true, Some(value)) => match found {
            Some(found) => {
                let entry = Entry { value, ..found };
                Ok(Some(Event::new(EventKind::Put, entry, None)))
            }
            None => Err(WriteError::Backend("etcd did not say what it wrote".into())),
        },
        (true, None) => Ok(found.map(|prev| {
            let gone = tombstone(key, revision);
            Event::new(EventKind::Delete, gone, Some(prev))
        })),
    };
    (revision, outcome)
}

/// Why a write failed.
pub(super) fn failure(failure: &Failure) -> WriteError {
    match failure.is_full() {
        true => WriteError::Quota,
        false => WriteError::Backend(failure.to_string()),
    }
}
