//! Keeps something in memory up to date with the objects under a prefix of the store.

use crate::registry::decode;
use gantry_store::{EventKind, RangeRequest, ReadError, Store, prefix_end};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long to wait before reading again after an error.
const PAUSE: Duration = Duration::from_millis(200);

/// What is kept up to date.
pub trait Sink: Send + Sync + 'static {
    /// Takes in the object under `key` as it is now; `None` when it is gone or cannot be read.
    fn set(&self, key: &str, object: Option<Value>);
}

struct Follower<S> {
    sink: Weak<S>,
    store: Arc<dyn Store>,
    prefix: String,
    /// The keys the sink has been given, to tell it what went while nobody watched.
    known: BTreeSet<String>,
}

/// Reads everything under `prefix` into `sink`, then follows the changes for as long as the sink lives.
pub async fn start<S: Sink>(sink: &Arc<S>, store: &Arc<dyn Store>, prefix: String) -> Result<(), ReadError> {
    let mut follower = Follower {
        sink: Arc::downgrade(sink),
        store: store.clone(),
        prefix,
        known: BTreeSet::new(),
    };
    let after = follower.read(&**sink).await?;
    tokio::spawn(follower.run(after));
    Ok(())
}

impl<S: Sink> Follower<S> {
    /// Reads everything; returns the revision it stood at.
    async fn read(&mut self, sink: &S) -> Result<u64, ReadError> {
        let request = RangeRequest {
            start: self.prefix.as_bytes().to_vec().into(),
            end: prefix_end(self.prefix.as_bytes()),
            limit: 0,
            revision: None,
        };
        let result = self.store.range(request).await?;
        let mut found = BTreeSet::new();
        for entry in &result.entries {
            let key = String::from_utf8_lossy(&entry.key).into_owned();
            sink.set(&key, decode(entry).ok());
            found.insert(key);
        }
        for gone in self.known.difference(&found) {
            sink.set(gone, None);
        }
        self.known = found;
        Ok(result.revision)
    }

    /// Applies changes as they come. After any error it reads everything again.
    async fn run(mut self, mut after: u64) {
        loop {
            if let Ok(mut watch) = self.store.watch(self.prefix.clone().into(), after).await {
                while let Ok(Some(events)) = watch.next().await {
                    let Some(sink) = self.sink.upgrade() else { return };
                    for event in events {
                        let key = String::from_utf8_lossy(&event.entry.key).into_owned();
                        let object = match event.kind {
                            EventKind::Put => decode(&event.entry).ok(),
                            EventKind::Delete => None,
                        };
                        sink.set(&key, object);
                        match event.kind {
                            EventKind::Put => self.known.insert(key),
                            EventKind::Delete => self.known.remove(&key),
                        };
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
            let Some(sink) = self.sink.upgrade() else { return };
            match self.read(&sink).await {
                Ok(revision) => after = revision,
                Err(error) => {
                    tracing::warn!(
                        "the objects under {} cannot be read, trying again: {error}",
                        self.prefix
                    );
                }
            }
        }
    }
}
