//! Clients whose requests depend on a seed, and watchers that stall, start again and lose history.

use super::{Ask, Log, Random, Record, Seen, Told, answer_line, call_line};
use bytes::Bytes;
use gantry_store::*;
use std::sync::Arc;
use tokio::sync::watch;

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn seen(entry: Option<&Entry>) -> Seen {
    entry.map(|e| (e.mod_revision, text(&e.value)))
}

async fn ask(store: &dyn Store, key: &str, ask: &Ask) -> Told {
    let demand = |pre: &Option<u64>| {
        pre.map(|pre| match pre {
            0 => Precondition::Absent,
            revision => Precondition::ModRevision(revision),
        })
    };
    let refused = |error: WriteError| match error {
        WriteError::Precondition { current } => Told::Stands(seen(current.as_ref())),
        _ => Told::Unknown,
    };
    let key: Bytes = key.to_string().into();
    match ask {
        Ask::Put { pre, value } => match store.put(key, value.clone().into(), demand(pre)).await {
            Ok(entry) => Told::Wrote(entry.mod_revision, None),
            Err(error) => refused(error),
        },
        Ask::Delete { pre } => match store.delete(key, demand(pre)).await {
            Ok(Some(event)) => Told::Wrote(event.entry.mod_revision, seen(event.prev.as_ref())),
            Ok(None) => Told::Stands(None),
            Err(error) => refused(error),
        },
        Ask::Get => match store.get(&key).await {
            Ok(entry) => Told::Stands(seen(entry.as_ref())),
            Err(_) => Told::Unknown,
        },
        Ask::Range => match store.range(RangeRequest::all(b"k/")).await {
            Ok(all) => {
                let entries = all.entries.iter().map(|e| (text(&e.key), seen(Some(e)).unwrap()));
                Told::All(all.revision, entries.collect())
            }
            Err(_) => Told::Unknown,
        },
    }
}

/// One client: `count` requests about `keys` keys, each recorded before it is made and when it is answered.
pub async fn client(store: Arc<dyn Store>, name: String, seed: u64, keys: u64, count: u64, record: Record) {
    let mut random = Random(seed);
    // What it was told last of each key, to demand it.
    let mut last = vec![0; keys as usize];
    for i in 0..count {
        let n = random.below(keys);
        let (key, id) = (format!("k/{n}"), format!("{name}.{i}"));
        let demand = match random.below(3) {
            0 => None,
            _ => Some(last[n as usize]),
        };
        let request = match random.below(20) {
            0..9 => Ask::Put {
                pre: demand,
                value: id.clone(),
            },
            9..12 => Ask::Delete {
                pre: demand.filter(|r| *r > 0),
            },
            12..18 => Ask::Get,
            _ => Ask::Range,
        };
        record(call_line(&id, &key, &request));
        let told = ask(&*store, &key, &request).await;
        record(answer_line(&id, &told));
        match told {
            Told::Wrote(revision, None) => last[n as usize] = revision,
            Told::Wrote(..) | Told::Stands(None) => last[n as usize] = 0,
            Told::Stands(Some((revision, _))) => last[n as usize] = revision,
            Told::All(..) => {}
            // The store is away; nothing is learnt by asking it over and over.
            Told::Unknown => while store.get(b"k/0").await.is_err() {},
        }
    }
}

/// Everything that happened, read from the store; it must be there from the first revision on.
pub async fn log(store: &dyn Store) -> Log {
    let newest = store.range(RangeRequest::all(b"k/")).await.unwrap().revision;
    let mut watch = store.watch(Bytes::new(), 1).await.unwrap();
    let mut log = Log::new();
    while log.last_key_value().map_or(1, |(r, _)| *r) < newest {
        for event in watch.next().await.unwrap().expect("the watch ended") {
            let value = (event.kind == EventKind::Put).then(|| text(&event.entry.value));
            log.insert(event.entry.mod_revision, (text(&event.entry.key), value));
        }
    }
    log
}

/// Events by revision, each with what was there before.
pub type Story = std::collections::BTreeMap<u64, Arc<Event>>;

/// What a watcher came to in its time.
#[derive(Debug, Default)]
pub struct Path {
    pub compacted: usize,
    pub lagged: usize,
    pub resumed: usize,
}

/// A watcher of what `scope` covers until an event of `end`. It stalls and starts again as its seed has it, and proves
/// that it sees every change once and in order, except what it is told is compacted: `changes` counts them.
pub async fn watcher(
    store: Arc<dyn Store>,
    (scope, end): (&'static str, &'static str),
    seed: u64,
    mut changes: watch::Receiver<u64>,
    total: u64,
) -> (Path, Vec<(u64, u64)>, Story) {
    let mut random = Random(seed);
    let (mut path, mut story) = (Path::default(), Story::new());
    // From which revision to which it saw everything.
    let mut spans = Vec::new();
    let (mut start, mut at) = (1, 1);
    loop {
        let mut watch = match store.watch(scope.into(), at).await {
            Ok(watch) => watch,
            Err(ReadError::Compacted { oldest, .. }) => {
                path.compacted += 1;
                spans.push((start, at));
                assert!(
                    oldest > at,
                    "revision {at} is said to be compacted, and {oldest} is kept"
                );
                // As clients do: list, and go on from there.
                let list = store.range(RangeRequest::all(scope.as_bytes())).await.unwrap();
                (start, at) = (list.revision, list.revision);
                if list.entries.iter().any(|e| e.key == end) {
                    return (path, spans, story);
                }
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let mut left = 1 + random.below(3000);
        while left > 0 {
            let events = match watch.next().await {
                Ok(Some(events)) => events,
                Ok(None) => break,
                Err(ReadError::Lagged) => {
                    path.lagged += 1;
                    break;
                }
                Err(ReadError::Compacted { .. }) => break,
                Err(error) => panic!("{error}"),
            };
            for event in events {
                let revision = event.entry.mod_revision;
                assert!(revision > at, "{scope:?}: {revision} after {at}");
                at = revision;
                left = left.saturating_sub(1);
                let over = event.entry.key == end;
                story.insert(revision, event);
                if over {
                    spans.push((start, at));
                    return (path, spans, story);
                }
            }
            if random.below(12) == 0 {
                let until = (*changes.borrow() + random.below(total)).min(total);
                changes.wait_for(|n| *n >= until).await.unwrap();
            }
        }
        path.resumed += 1;
    }
}
