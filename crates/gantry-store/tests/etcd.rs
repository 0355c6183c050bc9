//! What only the etcd backend promises: several stores over one etcd, and what they do when it goes away.

mod common;

use bytes::Bytes;
use common::EtcdServer;
use gantry_store::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Fails a test that would hang.
const LIMIT: Duration = Duration::from_secs(60);

fn b(s: &str) -> Bytes {
    Bytes::copy_from_slice(s.as_bytes())
}

/// Reads until a revision came; returns all revisions.
async fn until(watch: &mut Box<dyn Watch>, last: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        let next = tokio::time::timeout(LIMIT, watch.next()).await;
        let events = next.expect("the watch is silent").unwrap().expect("it ended");
        seen.extend(events.iter().map(|e| e.entry.mod_revision));
    }
    seen
}

/// A way to etcd that can be blocked.
struct Way {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Way {
    async fn to(port: u16) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut state = state.clone();
                tokio::spawn(async move {
                    if !*state.borrow() {
                        return;
                    }
                    let mut there = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
                        _ = state.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Way { address, open }
    }
}

/// Each store reads, at once, what the other wrote.
async fn see_each_other(a: &Etcd, c: &Etcd) {
    for i in 0..50u64 {
        let (writer, reader) = if i % 2 == 0 { (a, c) } else { (c, a) };
        let entry = writer
            .put(b("/registry/x"), b(&i.to_string()), None)
            .await
            .unwrap();
        assert_eq!(reader.get(b"/registry/x").await.unwrap().as_ref(), Some(&entry));
        let all = reader.range(RangeRequest::all(b"/registry/")).await.unwrap();
        assert!(all.revision >= entry.mod_revision);
        assert_eq!(all.entries, [entry]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_see_each_other_through_tls() {
    let Some(server) = EtcdServer::start_tls() else {
        return;
    };
    let a = server.connect().await;
    let mut watch = a.watch(b(""), 1).await.unwrap();
    let c = server.connect().await;
    see_each_other(&a, &c).await;
    assert_eq!(until(&mut watch, 51).await, (2..=51).collect::<Vec<_>>());
    // Without a certificate etcd lets nobody in.
    let mut options = server.options();
    options.tls.identity = None;
    options.patience = Duration::ZERO;
    let refused = Etcd::connect(options).await.err().unwrap();
    assert!(refused.to_string().contains("its certificates"), "{refused}");
}

#[tokio::test]
async fn wrong_options_are_named() {
    let check = async |endpoint: &str, part: &str| {
        let mut options = EtcdOptions::new(vec![endpoint.into()], Tls::default());
        options.patience = Duration::ZERO;
        let error = Etcd::connect(options).await.err().unwrap().to_string();
        assert!(error.contains(part), "{endpoint}: {error}");
    };
    check("10.0.0.1:2379", "is no endpoint of etcd").await;
    check("ftp://10.0.0.1:2379", "is no endpoint of etcd").await;
    check("https://10.0.0.1:2379", "needs the CA").await;
    check("http://127.0.0.1:1", "http://127.0.0.1:1/: ").await;
}

/// Keys of others count as revisions and are otherwise left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_others() {
    let Some(server) = EtcdServer::start() else { return };
    let everything = server.connect().await;
    let mut options = server.options();
    options.prefix = b("/registry/");
    let store = Etcd::connect(options.clone()).await.unwrap();
    let mut watch = store.watch(b("/registry/"), 1).await.unwrap();
    for key in ["/other/a", "/registry/a", "/registry/b", "/registryx"] {
        everything.put(b(key), b("1"), None).await.unwrap(); // 2 to 5
    }
    let all = store.range(RangeRequest::all(b"/")).await.unwrap();
    let keys: Vec<_> = all.entries.iter().map(|e| e.key.clone()).collect();
    assert_eq!(
        (keys, all.revision),
        (vec![b("/registry/a"), b("/registry/b")], 5)
    );
    assert_eq!(until(&mut watch, 4).await, [3, 4]);
    assert_eq!(watch.progress(), Some(5));
    let refused = store.put(b("/other/a"), b("2"), None).await;
    assert!(matches!(refused, Err(WriteError::Backend(_))), "{refused:?}");

    // A store that came later asks etcd for what was before it.
    let later = Etcd::connect(options).await.unwrap();
    let mut request = RangeRequest::all(b"/registry/");
    (request.revision, request.limit, request.count) = (Some(3), 5, true);
    let then = later.range(request).await.unwrap();
    assert_eq!((then.entries.len(), then.count, then.more), (1, Some(1), false));
    assert!(matches!(
        later.watch(b("/registry/"), 3).await,
        Err(ReadError::Compacted {
            requested: 3,
            oldest: 5
        })
    ));
}

/// A broken connection costs watchers nothing, unless etcd has forgotten by then what they missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections() {
    let Some(server) = EtcdServer::start() else { return };
    let direct = server.connect().await;
    let way = Way::to(server.port()).await;
    let mut options = server.options();
    // The first endpoint is one where nothing listens.
    options.endpoints = vec!["http://127.0.0.1:1".into(), format!("http://{}", way.address)];
    let store = Etcd::connect(options).await.unwrap();
    let mut watch = store.watch(b(""), 1).await.unwrap();
    let put = async |n: u64| {
        for i in 0..n {
            direct
                .put(b(&format!("k/{}", i % 9)), b("v"), None)
                .await
                .unwrap();
        }
        direct.revision()
    };
    let first = put(20).await;
    assert_eq!(until(&mut watch, first).await.len(), 20);

    way.open.send_replace(false);
    let missed = put(200).await;
    let error = store.put(b("k/1"), b("x"), None).await.unwrap_err();
    assert!(error.to_string().contains("etcd"), "{error}");
    way.open.send_replace(true);
    let seen = until(&mut watch, missed).await;
    assert_eq!(
        seen,
        (first + 1..=missed).collect::<Vec<_>>(),
        "after the first break"
    );

    way.open.send_replace(false);
    direct.delete(b("k/3"), None).await.unwrap();
    let missed = put(2).await;
    direct.compact(missed).await.unwrap();
    way.open.send_replace(true);
    let after = tokio::time::timeout(LIMIT, watch.next()).await.unwrap();
    assert!(after.unwrap().is_none(), "nothing comes after a gap");
    assert!(matches!(
        store.watch(b(""), missed - 1).await,
        Err(ReadError::Compacted { .. })
    ));
    assert!(store.get(b"k/3").await.unwrap().is_none());
    let mut watch = store.watch(b(""), missed).await.unwrap();
    let entry = store
        .put(b("k/3"), b("y"), Some(Precondition::Absent))
        .await
        .unwrap();
    assert_eq!(until(&mut watch, missed + 1).await, [missed + 1]);
    assert_eq!(direct.get(b"k/3").await.unwrap(), Some(entry));
}

/// etcd is killed and comes back: what it acknowledged is there, and watches go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_restarts() {
    let Some(mut server) = EtcdServer::start() else {
        return;
    };
    let store = Arc::new(server.connect().await);
    let mut watch = store.watch(b(""), 1).await.unwrap();
    let mut acked = BTreeMap::new();
    for round in 0..3 {
        for i in 0..20 {
            let key = b(&format!("k/{round}/{i}"));
            // While etcd starts, writes may be refused.
            let entry = loop {
                match store.put(key.clone(), b("v"), None).await {
                    Ok(entry) => break entry,
                    Err(WriteError::Backend(_)) => tokio::task::yield_now().await,
                    Err(other) => panic!("{other}"),
                }
            };
            acked.insert(entry.mod_revision, key);
        }
        server.restart();
    }
    let last = *acked.keys().last().unwrap();
    let found = store.range(RangeRequest::all(b"k/")).await.unwrap();
    assert_eq!(found.entries.len(), 60);
    assert_eq!(until(&mut watch, last).await, (2..=last).collect::<Vec<_>>());
}

/// Of two servers one compacts at a time, and both forget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_compact_together() {
    let Some(server) = EtcdServer::start() else { return };
    let mut options = server.options();
    options.history.every = Duration::from_millis(100);
    let (a, c) = tokio::join!(Etcd::connect(options.clone()), Etcd::connect(options));
    let stores = [a.unwrap(), c.unwrap()];
    let mut watch = stores[0].watch(b("compact_rev_key"), 1).await.unwrap();
    let mut marks = Vec::new();
    while marks.len() < 6 {
        stores[1].put(b("k"), b("v"), None).await.unwrap();
        let Ok(next) = tokio::time::timeout(Duration::from_millis(1), watch.next()).await else {
            continue;
        };
        for event in next.unwrap().unwrap() {
            marks.push(
                String::from_utf8(event.entry.value.to_vec())
                    .unwrap()
                    .parse::<u64>()
                    .unwrap(),
            );
        }
    }
    assert!(marks.is_sorted(), "{marks:?}");
    let last = *marks.iter().rev().nth(1).unwrap();
    assert!(last > 1, "{marks:?}");
    for store in &stores {
        store.get(b"k").await.unwrap();
        let gone = store.watch(b(""), last - 1).await;
        assert!(matches!(gone, Err(ReadError::Compacted { .. })), "{marks:?}");
        let mut request = RangeRequest::all(b"k");
        request.revision = Some(last - 1);
        let gone = store.range(request).await;
        assert!(
            matches!(gone, Err(ReadError::Compacted { .. })),
            "{marks:?}: {gone:?}"
        );
    }
}
