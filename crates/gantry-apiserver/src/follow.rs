//! Keeps something in memory up to date with the objects under a prefix of the store.

use gantry_store::{Entry, EventKind, RangeRequest, ReadError, Store};
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long to wait before reading again after an error.
const PAUSE: Duration = Duration::from_millis(200);

/// What is kept up to date.
pub trait Sink: Send + Sync + 'static {
    /// Takes in the object under `key` as it is stored now; `None` when it is gone.
    fn set(&self, key: &str, entry: Option<&Entry>);
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
        let result = self
            .store
            .range(RangeRequest::all(self.prefix.as_bytes()))
            .await?;
        let mut found = BTreeSet::new();
        for entry in &result.entries {
            let key = String::from_utf8_lossy(&entry.key).into_owned();
            sink.set(&key, Some(entry));
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
                        let entry = match event.kind {
                            EventKind::Put => Some(&event.entry),
                            EventKind::Delete => None,
                        };
                        sink.set(&key, entry);
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

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_store::Memory;
    use std::sync::{Mutex, PoisonError};
    use tokio::sync::mpsc;

    /// Tells what it is given, one line each.
    struct Told(Mutex<mpsc::UnboundedSender<String>>);

    impl Sink for Told {
        fn set(&self, key: &str, entry: Option<&Entry>) {
            let name = entry.map_or("gone".into(), |e| String::from_utf8_lossy(&e.value).into_owned());
            let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            told.send(format!("{key} {name}")).expect("somebody listens");
        }
    }

    #[tokio::test]
    async fn a_sink_is_told_of_everything_under_its_prefix() {
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let put = async |key: &'static str, value: String| {
            store.put(key.into(), value.into(), None).await.unwrap();
        };
        put("/a/1", "one".into()).await;
        put("/b/1", "other".into()).await;
        let (send, mut heard) = mpsc::unbounded_channel();
        let sink = Arc::new(Told(Mutex::new(send)));
        start(&sink, &store, "/a/".into()).await.unwrap();
        put("/a/2", "two".into()).await;
        put("/b/2", "other".into()).await;
        store.delete("/a/1".into(), None).await.unwrap();
        for expected in ["/a/1 one", "/a/2 two", "/a/1 gone"] {
            assert_eq!(heard.recv().await.as_deref(), Some(expected));
        }
    }

    #[tokio::test]
    async fn reading_again_finds_what_went() {
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        store.put("/a/1".into(), "x".into(), None).await.unwrap();
        let (send, mut heard) = mpsc::unbounded_channel();
        let sink = Arc::new(Told(Mutex::new(send)));
        let mut follower = Follower {
            sink: Arc::downgrade(&sink),
            store: store.clone(),
            prefix: "/a/".into(),
            known: BTreeSet::from(["/a/0".to_owned()]),
        };
        follower.read(&*sink).await.unwrap();
        for expected in ["/a/1 x", "/a/0 gone"] {
            assert_eq!(heard.recv().await.as_deref(), Some(expected));
        }
    }
}
