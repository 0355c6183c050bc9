//! One suite for every backend, and what only the durable one promises.

mod common;

use bytes::Bytes;
use common::EtcdServer;
use gantry_store::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

type Backend = Arc<dyn Store>;
type Case = (
    &'static str,
    fn(Backend) -> Pin<Box<dyn Future<Output = ()> + Send>>,
);

const CASES: &[Case] = &[
    ("preconditions", |s| Box::pin(preconditions(s))),
    ("ranges", |s| Box::pin(ranges(s))),
    ("compaction", |s| Box::pin(compaction(s))),
    ("watch_boundary", |s| Box::pin(watch_boundary(s))),
    ("watch_prev_and_prefix", |s| Box::pin(watch_prev_and_prefix(s))),
    ("watch_future_start", |s| Box::pin(watch_future_start(s))),
    ("history_values", |s| Box::pin(history_values(s))),
    ("watch_scopes", |s| Box::pin(watch_scopes(s))),
    ("watch_narrowed", |s| Box::pin(watch_narrowed(s))),
    ("compaction_overtakes", |s| Box::pin(compaction_overtakes(s))),
    ("slow_watcher", |s| Box::pin(slow_watcher(s))),
    ("concurrent_writers", |s| Box::pin(concurrent_writers(s))),
    ("concurrent_increments", |s| Box::pin(concurrent_increments(s))),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    for (name, case) in CASES {
        println!("memory: {name}");
        case(Arc::new(Memory::new())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    for (name, case) in CASES {
        println!("embedded: {name}");
        let dir = tempfile::tempdir().unwrap();
        case(Arc::new(
            Embedded::open(&dir.path().join("db"), u64::MAX).unwrap(),
        ))
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd() {
    for (name, case) in CASES {
        let Some(server) = EtcdServer::start() else { return };
        println!("etcd: {name}");
        case(Arc::new(server.connect().await)).await;
    }
}

fn b(s: &str) -> Bytes {
    Bytes::copy_from_slice(s.as_bytes())
}

fn request(start: &str, end: &str, limit: usize, revision: Option<u64>) -> RangeRequest {
    RangeRequest {
        start: b(start),
        end: b(end),
        limit,
        revision,
        count: true,
    }
}

fn keys(result: &RangeResult) -> Vec<&str> {
    result
        .entries
        .iter()
        .map(|e| std::str::from_utf8(&e.key).unwrap())
        .collect()
}

/// Reads until `n` events came; a watch that stays silent fails the test instead of hanging it.
async fn take(watch: &mut Box<dyn Watch>, n: usize) -> Vec<Arc<Event>> {
    let mut got = Vec::new();
    while got.len() < n {
        let next = tokio::time::timeout(Duration::from_secs(10), watch.next())
            .await
            .expect("the watch is silent");
        got.extend(next.unwrap().expect("the watch closed"));
    }
    got
}

async fn preconditions(s: Backend) {
    assert_eq!(s.revision(), 1);
    assert!(s.delete(b("a"), None).await.unwrap().is_none());
    let e = s.put(b("a"), b("1"), Some(Precondition::Absent)).await.unwrap();
    assert_eq!((e.create_revision, e.mod_revision, e.version), (2, 2, 1));
    match s.put(b("a"), b("x"), Some(Precondition::Absent)).await {
        Err(WriteError::Precondition { current }) => assert_eq!(current, Some(e.clone())),
        other => panic!("{other:?}"),
    }
    let e2 = s
        .put(b("a"), b("2"), Some(Precondition::ModRevision(2)))
        .await
        .unwrap();
    assert_eq!((e2.create_revision, e2.mod_revision, e2.version), (2, 3, 2));
    let stale = Some(Precondition::ModRevision(2));
    assert!(matches!(
        s.put(b("a"), b("x"), stale).await,
        Err(WriteError::Precondition { current: Some(_) })
    ));
    assert!(matches!(
        s.delete(b("a"), stale).await,
        Err(WriteError::Precondition { current: Some(_) })
    ));
    assert!(matches!(
        s.delete(b("no"), stale).await,
        Err(WriteError::Precondition { current: None })
    ));
    assert_eq!(s.revision(), 3, "refused writes take no revision");
    let gone = s
        .delete(b("a"), Some(Precondition::ModRevision(3)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (gone.kind, gone.entry.mod_revision, gone.entry.version),
        (EventKind::Delete, 4, 0)
    );
    assert_eq!(gone.prev, Some(e2));
    assert!(s.get(b"a").await.unwrap().is_none());
    let again = s.put(b("a"), b("3"), Some(Precondition::Absent)).await.unwrap();
    assert_eq!((again.create_revision, again.version), (5, 1));
    assert_eq!(s.get(b"a").await.unwrap(), Some(again));
}

async fn ranges(s: Backend) {
    for k in ["c", "a", "b", "d"] {
        s.put(b(k), b("1"), None).await.unwrap(); // revisions 2 to 5
    }
    s.delete(b("b"), None).await.unwrap(); // 6
    s.put(b("a"), b("2"), None).await.unwrap(); // 7
    let r = s.range(request("a", "d", 0, None)).await.unwrap();
    assert_eq!(
        (keys(&r), r.count, r.more, r.revision),
        (vec!["a", "c"], Some(2), false, 7)
    );
    let r = s.range(request("a", "z", 2, Some(5))).await.unwrap();
    assert_eq!(
        (keys(&r), r.count, r.more, r.revision),
        (vec!["a", "b"], Some(4), true, 7)
    );
    assert_eq!(r.entries[0].value, b("1"));
    let r = s.range(request("a", "z", 0, Some(2))).await.unwrap();
    assert_eq!(keys(&r), ["c"]);
    assert_eq!(s.range(request("z", "a", 0, None)).await.unwrap().count, Some(0));
    let future = s.range(request("a", "z", 0, Some(8))).await;
    assert!(matches!(
        future,
        Err(ReadError::Future {
            requested: 8,
            current: 7
        })
    ));
}

async fn compaction(s: Backend) {
    for v in ["1", "2", "3"] {
        s.put(b("a"), b(v), None).await.unwrap(); // 2 to 4
    }
    s.put(b("gone"), b("1"), None).await.unwrap(); // 5
    s.delete(b("gone"), None).await.unwrap(); // 6
    s.put(b("a"), b("4"), None).await.unwrap(); // 7
    s.compact(6).await.unwrap();
    let r = s.range(request("a", "z", 0, Some(6))).await.unwrap();
    assert_eq!((keys(&r), r.entries[0].value.clone()), (vec!["a"], b("3")));
    let old = s.range(request("a", "z", 0, Some(5))).await;
    assert!(matches!(
        old,
        Err(ReadError::Compacted {
            requested: 5,
            oldest: 6
        })
    ));
    assert!(matches!(
        s.watch(b(""), 5).await,
        Err(ReadError::Compacted { .. })
    ));
    assert!(matches!(s.compact(5).await, Err(ReadError::Compacted { .. })));
    assert!(matches!(s.compact(8).await, Err(ReadError::Future { .. })));
    let mut w = s.watch(b(""), 6).await.unwrap();
    let events = take(&mut w, 1).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].entry.value, b("4"));
    assert_eq!(events[0].prev.as_ref().map(|e| e.value.clone()), Some(b("3")));
    assert_eq!(s.put(b("gone"), b("2"), None).await.unwrap().version, 1);
}

/// Starts watches in the middle of a stream of writes: each must see every later revision exactly once.
async fn watch_boundary(s: Backend) {
    let writer = s.clone();
    let task = tokio::spawn(async move {
        for i in 0..300 {
            writer
                .put(b(&format!("k/{}", i % 7)), b("v"), None)
                .await
                .unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut watches = Vec::new();
    for _ in 0..20 {
        let after = s.revision().saturating_sub(5).max(1);
        watches.push((after, s.watch(b("k/"), after).await.unwrap()));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    watches.push((1, s.watch(b("k/"), 1).await.unwrap()));
    task.await.unwrap();
    for (after, mut w) in watches {
        let want: Vec<u64> = (after + 1..=301).collect();
        let got: Vec<u64> = take(&mut w, want.len())
            .await
            .iter()
            .map(|e| e.entry.mod_revision)
            .collect();
        assert_eq!(got, want);
    }
}

async fn watch_prev_and_prefix(s: Backend) {
    let mut live = s.watch(b("p/"), 1).await.unwrap();
    s.put(b("p/a"), b("1"), None).await.unwrap();
    s.put(b("q/a"), b("1"), None).await.unwrap();
    s.put(b("p/a"), b("2"), None).await.unwrap();
    s.delete(b("p/a"), None).await.unwrap();
    s.put(b("p/a"), b("3"), None).await.unwrap();
    let seen = take(&mut live, 4).await;
    let prev: Vec<_> = seen
        .iter()
        .map(|e| e.prev.as_ref().map(|p| p.value.clone()))
        .collect();
    assert_eq!(prev, [None, Some(b("1")), Some(b("2")), None]);
    assert_eq!(seen[2].kind, EventKind::Delete);
    let mut past = s.watch(b("p/"), 1).await.unwrap();
    assert_eq!(
        take(&mut past, 4).await,
        seen,
        "history and live tell the same story"
    );
}

async fn watch_future_start(s: Backend) {
    let mut w = s.watch(b(""), 3).await.unwrap();
    for _ in 0..3 {
        s.put(b("a"), b("1"), None).await.unwrap(); // 2 to 4
    }
    assert_eq!(take(&mut w, 1).await[0].entry.mod_revision, 4);
}

async fn slow_watcher(s: Backend) {
    let mut slow = s.watch(b(""), 1).await.unwrap();
    let writes: Vec<_> = (0..10_000).map(|_| s.put(b("a"), b("1"), None)).collect();
    for result in futures::future::join_all(writes).await {
        result.unwrap();
    }
    let mut expected = 2;
    let end = loop {
        match tokio::time::timeout(Duration::from_secs(10), slow.next())
            .await
            .expect("not closed")
        {
            Ok(Some(events)) => {
                for e in events {
                    assert_eq!(e.entry.mod_revision, expected, "a gap before the lag was told");
                    expected += 1;
                }
            }
            end => break end,
        }
    };
    assert!(matches!(end, Err(ReadError::Lagged)), "{end:?}");
    let mut fresh = s.watch(b(""), expected - 1).await.unwrap();
    assert_eq!(take(&mut fresh, 1).await[0].entry.mod_revision, expected);
}

/// History is told as it was: old values, deletions and what came before, of one key, a subtree or everything.
async fn history_values(s: Backend) {
    for i in 0..300 {
        s.put(b(&format!("p/{}", i % 3)), b(&i.to_string()), None)
            .await
            .unwrap(); // 2 to 301
    }
    s.delete(b("p/1"), None).await.unwrap(); // 302
    let mut w = s.watch(b("p/1"), 2).await.unwrap();
    let events = take(&mut w, 101).await;
    for (n, event) in events[..100].iter().enumerate() {
        let i = n * 3 + 1;
        assert_eq!(event.entry.value, b(&i.to_string()));
        let prev = event.prev.as_ref().map(|e| e.value.clone());
        assert_eq!(prev, (n > 0).then(|| b(&(i - 3).to_string())));
    }
    assert_eq!(events[100].kind, EventKind::Delete);
    assert_eq!(events[100].prev.as_ref().map(|e| e.value.clone()), Some(b("298")));
    let then = s.range(request("p/", "p0", 2, Some(100))).await.unwrap();
    let values: Vec<_> = then.entries.iter().map(|e| e.value.clone()).collect();
    assert_eq!(values, [b("96"), b("97")]);
    assert!(then.more);
}

/// A watch of one key or one subtree hears of nothing else.
async fn watch_scopes(s: Backend) {
    let scopes = ["", "a/", "a/b", "a/b/"];
    let mut watches = Vec::new();
    for scope in scopes {
        watches.push(s.watch(b(scope), 1).await.unwrap());
    }
    for key in ["a/b", "a/bc", "a/b/c", "x", "a/"] {
        s.put(b(key), b("1"), None).await.unwrap();
    }
    let expected: [&[&str]; 4] = [
        &["a/b", "a/bc", "a/b/c", "x", "a/"],
        &["a/b", "a/bc", "a/b/c", "a/"],
        &["a/b"],
        &["a/b/c"],
    ];
    for ((scope, mut live), expected) in scopes.into_iter().zip(watches).zip(expected) {
        let mut past = s.watch(b(scope), 1).await.unwrap();
        for watch in [&mut live, &mut past] {
            let seen = take(watch, expected.len()).await;
            let keys: Vec<_> = seen
                .iter()
                .map(|e| std::str::from_utf8(&e.entry.key).unwrap())
                .collect();
            assert_eq!(keys, expected, "{scope:?}");
        }
    }
}

/// The part of a value before the colon.
struct ByNode;

impl Index for ByNode {
    fn name(&self) -> &str {
        "node"
    }

    fn values(&self, event: &Event) -> Option<[String; 2]> {
        let node = |entry: &Entry| {
            let text = std::str::from_utf8(&entry.value).ok()?;
            (text != "broken").then(|| text.split(':').next().unwrap_or("").to_string())
        };
        let old = event.prev.as_ref().map_or(Some(String::new()), node)?;
        Some([old, node(&event.entry)?])
    }
}

/// A narrowed watch hears of what comes to its value, changes there and leaves it, and of what nobody can read.
async fn watch_narrowed(s: Backend) {
    let narrowed = async |value: &str| {
        let only = Only {
            index: Arc::new(ByNode),
            value: value.into(),
        };
        s.watch_only(b("p/"), 1, Some(only)).await.unwrap()
    };
    let (mut n1, mut n2, n3) = (narrowed("n1").await, narrowed("n2").await, narrowed("n3").await);
    drop(n3);
    for value in ["n1:a", "n1:b", "n2:c", "n3:d"] {
        s.put(b("p/x"), b(value), None).await.unwrap(); // 2 to 5
    }
    s.put(b("p/y"), b("broken"), None).await.unwrap(); // 6
    s.put(b("p/z"), b("n2:e"), None).await.unwrap(); // 7
    s.delete(b("p/z"), None).await.unwrap(); // 8
    let revisions =
        |events: Vec<Arc<Event>>| -> Vec<u64> { events.iter().map(|e| e.entry.mod_revision).collect() };
    assert_eq!(revisions(take(&mut n1, 4).await), [2, 3, 4, 6]);
    assert_eq!(revisions(take(&mut n2, 5).await), [4, 5, 6, 7, 8]);
    assert_eq!(n1.progress(), Some(8), "what does not concern it is behind it");
}

/// A watcher that is still reading history when compaction overtakes it learns so.
async fn compaction_overtakes(s: Backend) {
    for i in 0..1000 {
        s.put(b("a"), b(&i.to_string()), None).await.unwrap();
    }
    let mut w = s.watch(b(""), 1).await.unwrap();
    take(&mut w, 1).await;
    s.compact(1000).await.unwrap();
    let end = loop {
        match w.next().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Err(ReadError::Compacted { .. })), "{end:?}");
}

async fn concurrent_writers(s: Backend) {
    let mut w = s.watch(b(""), 1).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|t| {
            let s = s.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                for i in 0..40 {
                    let e = s.put(b(&format!("{t}/{i}")), b("v"), None).await.unwrap();
                    assert!(s.revision() >= e.mod_revision, "acknowledged but not visible");
                    mine.push(e.mod_revision);
                }
                assert!(mine.is_sorted());
                mine
            })
        })
        .collect();
    let mut all = Vec::new();
    for t in tasks {
        all.extend(t.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (2..=321).collect::<Vec<u64>>());
    let seen: Vec<u64> = take(&mut w, 320)
        .await
        .iter()
        .map(|e| e.entry.mod_revision)
        .collect();
    assert_eq!(seen, all);
}

/// Optimistic increments of one key: a lost update would leave the sum short.
async fn concurrent_increments(s: Backend) {
    s.put(b("n"), b("0"), None).await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let s = s.clone();
            tokio::spawn(async move {
                let mut done = 0;
                while done < 20 {
                    let e = s.get(b"n").await.unwrap().unwrap();
                    let n: u64 = std::str::from_utf8(&e.value).unwrap().parse().unwrap();
                    let pre = Some(Precondition::ModRevision(e.mod_revision));
                    match s.put(b("n"), b(&(n + 1).to_string()), pre).await {
                        Ok(_) => done += 1,
                        Err(WriteError::Precondition { .. }) => {}
                        Err(e) => panic!("{e}"),
                    }
                }
            })
        })
        .collect();
    for t in tasks {
        t.await.unwrap();
    }
    let e = s.get(b"n").await.unwrap().unwrap();
    assert_eq!((e.value, e.version), (b("80"), 81));
}

#[tokio::test]
async fn reopen_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let s = Embedded::open(&path, u64::MAX).unwrap();
    for v in ["1", "2", "3"] {
        s.put(b("a"), b(v), None).await.unwrap(); // 2 to 4
    }
    s.put(b("z"), b("1"), None).await.unwrap(); // 5
    s.delete(b("z"), None).await.unwrap(); // 6
    s.compact(3).await.unwrap();
    let a = s.get(b"a").await.unwrap();
    let history = take(&mut s.watch(b(""), 3).await.unwrap(), 3).await;
    drop(s);
    let s = Embedded::open(&path, u64::MAX).unwrap();
    assert_eq!(s.revision(), 6);
    assert_eq!(s.get(b"a").await.unwrap(), a);
    assert!(s.get(b"z").await.unwrap().is_none());
    assert_eq!(take(&mut s.watch(b(""), 3).await.unwrap(), 3).await, history);
    assert!(matches!(
        s.watch(b(""), 2).await,
        Err(ReadError::Compacted { .. })
    ));
    // The newest revision belongs to a deletion that compaction erases; it must survive all the same.
    s.compact(6).await.unwrap();
    drop(s);
    let s = Embedded::open(&path, u64::MAX).unwrap();
    assert_eq!(s.revision(), 6);
    assert_eq!(s.put(b("b"), b("1"), None).await.unwrap().mod_revision, 7);
}

#[tokio::test]
async fn second_open_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let first = Embedded::open(&path, u64::MAX).unwrap();
    assert!(matches!(
        Embedded::open(&path, u64::MAX),
        Err(OpenError::Locked(_))
    ));
    drop(first);
    Embedded::open(&path, u64::MAX).unwrap();
}

/// How long the files of a store are.
fn used(path: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(path).unwrap();
    files.map(|f| f.unwrap().metadata().unwrap().len()).sum()
}

/// Values of every size end at the ceiling, which the files keep; deletions and compaction make room again.
#[tokio::test]
async fn full_store_still_deletes_and_recovers() {
    const LIMIT: u64 = 32 << 20;
    for size in [1000, 2500, 300_000] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let s = Embedded::open(&path, LIMIT).unwrap();
        let value = Bytes::from(vec![b'x'; size]);
        // The keys that were taken; writes made at once are taken in any order.
        let mut kept = Vec::new();
        let refused = loop {
            let keys: Vec<Bytes> = (0..200).map(|i| b(&format!("{}/{i}", kept.len()))).collect();
            let puts = keys.iter().map(|key| s.put(key.clone(), value.clone(), None));
            let results = futures::future::join_all(puts).await;
            let taken = keys.iter().zip(&results).filter(|(_, r)| r.is_ok());
            kept.extend(taken.map(|(key, _)| key.clone()));
            if let Some(refused) = results.into_iter().find_map(Result::err) {
                break refused;
            }
        };
        let written = kept.len();
        assert!(matches!(refused, WriteError::Full { .. }), "{size}: {refused}");
        let payload = (written * size) as u64;
        assert!(
            payload > LIMIT / 5,
            "{size}: full with {payload} bytes of {LIMIT}"
        );
        assert!(used(&path) <= LIMIT, "{size}: {} bytes long", used(&path));
        let deletions = kept.into_iter().map(|key| s.delete(key, None));
        for gone in futures::future::join_all(deletions).await {
            assert!(gone.unwrap().is_some(), "{size}: what was taken is gone");
        }
        s.compact(s.revision()).await.unwrap();
        let again = (0..written / 2).map(|i| s.put(b(&format!("new/{i}")), value.clone(), None));
        for put in futures::future::join_all(again).await {
            put.unwrap_or_else(|e| panic!("{size}: no room after deleting everything: {e}"));
        }
        drop(s);
        let s = Embedded::open(&path, LIMIT).unwrap();
        let found = s.range(RangeRequest::all(b"new/")).await.unwrap();
        assert_eq!(found.entries.len(), written / 2, "{size}");
    }
}

/// Writes that change the same keys over and over: the files stop growing.
#[tokio::test]
async fn churn_keeps_the_files_flat() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let options = Options {
        history: Limits {
            events: 500,
            ..Limits::default()
        },
        limit_bytes: 64 << 20,
    };
    let mut s = Embedded::open_with(&path, options).unwrap();
    // What never changes is moved on when what surrounds it goes.
    let cold = Bytes::from(vec![b'x'; 3000]);
    for i in 0..300 {
        s.put(b(&format!("cold/{i}")), cold.clone(), None).await.unwrap();
    }
    let churn = async |rounds: usize| {
        for round in 0..rounds {
            let value = Bytes::from(format!("{round:01000}"));
            let puts = (0..200).map(|i| s.put(b(&format!("k/{i}")), value.clone(), None));
            for put in futures::future::join_all(puts).await {
                put.unwrap();
            }
        }
        used(&path)
    };
    let settled = churn(30).await;
    let later = churn(100).await;
    assert!(
        later <= settled + settled / 4,
        "{settled} bytes, then {later} after three times the writes"
    );
    let compacted = s.watch(b(""), 1).await;
    assert!(matches!(compacted, Err(ReadError::Compacted { .. })));
    assert!(
        !path.join("0000000000000001.log").exists(),
        "the oldest file is gone"
    );
    for round in 0..2 {
        let kept = s.range(RangeRequest::all(b"cold/")).await.unwrap().entries;
        assert_eq!(kept.len(), 300, "round {round}");
        assert!(kept.iter().all(|e| e.value == cold && e.version == 1));
        if round == 0 {
            drop(s);
            s = Embedded::open_with(&path, options).unwrap();
        }
    }
}
