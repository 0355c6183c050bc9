//! Concurrent histories, recorded and then proved right, on every backend and across kills.
//!
//! The load is bounded in number and depends on seeds; how it interleaves is the machine's choice.

mod common;
mod history;

use bytes::Bytes;
use common::EtcdServer;
use gantry_store::*;
use history::load::{Path, client, log, watcher};
use history::{Log, Random, Record, check, memory, requests};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio::sync::watch;

const CLIENTS: u64 = 6;
const KEYS: u64 = 5;

/// All of history is kept, so that the log is whole.
fn all() -> Limits {
    Limits {
        events: usize::MAX,
        bytes: u64::MAX,
        ..Limits::default()
    }
}

fn open(path: &std::path::Path) -> Embedded {
    let options = Options {
        history: all(),
        ..Options::default()
    };
    Embedded::open_with(path, options).unwrap()
}

/// Starts the clients on several stores in turn; for several servers over one etcd.
async fn clients(stores: &[Arc<dyn Store>], seed: u64, count: u64, record: &Record) {
    let tasks = (0..CLIENTS).map(|c| {
        let store = stores[c as usize % stores.len()].clone();
        let name = format!("{seed}.{c}");
        tokio::spawn(client(store, name, seed * 100 + c, KEYS, count, record.clone()))
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

fn prove(name: &str, lines: &[String], log: &Log) {
    let requests = requests(lines);
    let unknown = requests
        .iter()
        .filter(|r| r.told == history::Told::Unknown)
        .count();
    println!(
        "{name}: {} requests, {unknown} of them without an answer, {} revisions",
        requests.len(),
        log.len()
    );
    if let Err(wrong) = check::history(&requests, log) {
        panic!("{name}: {wrong}");
    }
}

async fn linearizable(name: &str, stores: Vec<Arc<dyn Store>>) {
    let (record, lines) = memory();
    clients(&stores, 1, 250, &record).await;
    let log = log(&*stores[0]).await;
    prove(name, &lines.lock().unwrap(), &log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_linearizable() {
    linearizable("memory", vec![Arc::new(Memory::with_limits(all()))]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_is_linearizable() {
    let dir = tempfile::tempdir().unwrap();
    linearizable("embedded", vec![Arc::new(open(&dir.path().join("db")))]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_is_linearizable_through_two_servers() {
    let Some(server) = EtcdServer::start() else { return };
    let (one, two) = (server.connect().await, server.connect().await);
    linearizable("etcd", vec![Arc::new(one), Arc::new(two)]).await;
}

/// etcd is killed under the clients, three times; a watcher sees every change all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_is_linearizable_across_kills() {
    let Some(mut server) = EtcdServer::start() else {
        return;
    };
    let stores: Vec<Arc<dyn Store>> =
        vec![Arc::new(server.connect().await), Arc::new(server.connect().await)];
    let (keep, lines) = memory();
    let (count, mut answers) = watch::channel(0);
    let record: Record = Arc::new(move |line: String| {
        if line.starts_with("ANSWER") {
            count.send_modify(|n| *n += 1);
        }
        keep(line);
    });
    let mut whole = stores[1].watch(Bytes::new(), 1).await.unwrap();
    let load = clients(&stores, 2, 150, &record);
    let killer = async {
        for round in 1..=3 {
            answers.wait_for(|n| *n >= round * 200).await.unwrap();
            server.restart();
        }
    };
    tokio::join!(load, killer);
    let log = log(&*stores[0]).await;
    prove("etcd, killed", &lines.lock().unwrap(), &log);
    let mut seen = Vec::new();
    while seen.last() != log.keys().last() {
        let events = whole.next().await.unwrap().expect("the watch ended");
        seen.extend(events.iter().map(|e| e.entry.mod_revision));
    }
    assert!(seen.iter().eq(log.keys()), "the watch was told {seen:?}");
}

const CHILD: &str = "GANTRY_HISTORY_CHILD";

/// The process that is killed: clients, and a watcher that goes on where it was. Does nothing unless it was started so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let [round, after, path] = told.splitn(3, ' ').collect::<Vec<_>>()[..] else {
        panic!("{told}");
    };
    let store = Arc::new(open(path.as_ref()));
    // One write call per line, so that lines do not mix.
    let record: Record = Arc::new(|line| {
        std::io::stderr()
            .write_all(format!("\n{line}\n").as_bytes())
            .unwrap();
    });
    let mut watch = store.watch(Bytes::new(), after.parse().unwrap()).await.unwrap();
    let tell = record.clone();
    tokio::spawn(async move {
        while let Ok(Some(events)) = watch.next().await {
            for event in events {
                let value = String::from_utf8(event.entry.value.to_vec()).unwrap();
                let key = String::from_utf8(event.entry.key.to_vec()).unwrap();
                tell(format!("SAW {} {key} {value}", event.entry.mod_revision));
            }
        }
    });
    clients(&[store], round.parse().unwrap(), u64::MAX, &record).await;
}

/// Runs a child until it answered `answers` requests, and kills it; returns its lines.
fn run_and_kill(child: &str, answers: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, child)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pipe = BufReader::new(child.stderr.take().unwrap());
    let (mut lines, mut answered) = (Vec::new(), 0);
    for line in pipe.lines().map_while(Result::ok) {
        answered += u64::from(line.starts_with("ANSWER"));
        if answered == answers {
            child.kill().unwrap(); // SIGKILL; what it wrote before is still to be read.
        }
        lines.push(line);
    }
    assert!(answered >= answers, "the child ended by itself: {lines:?}");
    child.wait().unwrap();
    lines
}

#[tokio::test]
async fn embedded_is_linearizable_across_kills() {
    if std::env::var_os(CHILD).is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let mut random = Random(7);
    let (mut lines, mut after) = (Vec::new(), 1);
    let mut seen = Log::new();
    for round in 0..15 {
        let child = format!("{round} {after} {}", path.display());
        for line in run_and_kill(&child, 20 + random.below(150)) {
            if let ["SAW", revision, key, value] = line.split(' ').collect::<Vec<_>>()[..] {
                let revision = revision.parse().unwrap();
                assert_eq!(
                    revision,
                    after + 1,
                    "round {round}: the watcher missed or repeated something"
                );
                after = revision;
                let value = (!value.is_empty()).then(|| value.to_string());
                seen.insert(revision, (key.to_string(), value));
            }
            lines.push(line);
        }
        lines.push("KILLED".into());
    }
    let log = log(&open(&path)).await;
    prove("embedded, killed", &lines, &log);
    for (revision, event) in &seen {
        assert_eq!(log.get(revision), Some(event), "watchers saw what did not last");
    }
    assert!(seen.len() > 100, "the watcher saw only {}", seen.len());
}

const WRITERS: u64 = 16;
const WRITES: u64 = 900;

/// A key, its value unless it was deleted, and how it stood before.
type Change = (String, Option<String>, history::Seen);

fn with_previous(log: Log) -> BTreeMap<u64, Change> {
    let mut stands = BTreeMap::new();
    let change = |(revision, (key, value)): (u64, (String, Option<String>))| {
        let now = value.clone().map(|value| (revision, value));
        let before = std::mem::replace(stands.entry(key.clone()).or_insert(None), now);
        (revision, (key, value, before))
    };
    log.into_iter().map(change).collect()
}

fn told(event: &Event) -> Change {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let value = (event.kind == EventKind::Put).then(|| text(&event.entry.value));
    let before = event.prev.as_ref().map(|e| (e.mod_revision, text(&e.value)));
    (text(&event.entry.key), value, before)
}

/// Many writers and watchers, with history compacted under them.
async fn watches(name: &str, store: Arc<dyn Store>) {
    let total = WRITERS * WRITES;
    let (count, changes) = watch::channel(0);
    let count = Arc::new(count);
    let writers = (0..WRITERS).map(|w| {
        let (store, count) = (store.clone(), count.clone());
        tokio::spawn(async move {
            let mut random = Random(w);
            let mut wrote = Log::new();
            for i in 0..WRITES {
                let scope = ["p", "q"][random.below(2) as usize];
                let (key, value) = (format!("{scope}/{}", random.below(50)), format!("{w}.{i}"));
                let bytes = Bytes::from(key.clone());
                if random.below(4) > 0 {
                    let entry = store.put(bytes, value.clone().into(), None).await.unwrap();
                    wrote.insert(entry.mod_revision, (key, Some(value)));
                } else if let Some(event) = store.delete(bytes, None).await.unwrap() {
                    wrote.insert(event.entry.mod_revision, (key, None));
                }
                count.send_modify(|n| *n += 1);
                tokio::task::yield_now().await;
            }
            wrote
        })
    });
    let writers: Vec<_> = writers.collect();
    let scopes = [("", "q/end"), ("p/", "p/end"), ("q/", "q/end")];
    let watchers = (0..12).map(|n| {
        let scope = scopes[n as usize % 3];
        tokio::spawn(watcher(store.clone(), scope, 1000 + n, changes.clone(), total))
    });
    let watchers: Vec<_> = watchers.collect();
    let mut random = Random(5);
    for done in (0..total).step_by(1500) {
        changes.clone().wait_for(|n| *n >= done).await.unwrap();
        let newest = store.revision();
        let at = newest.saturating_sub(random.below(600)).max(1);
        match store.compact(at).await {
            Ok(()) | Err(ReadError::Compacted { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let mut wrote = Log::new();
    for writer in writers {
        wrote.extend(writer.await.unwrap());
    }
    for end in ["p/end", "q/end"] {
        let entry = store.put(end.into(), "".into(), None).await.unwrap();
        wrote.insert(entry.mod_revision, (end.into(), Some(String::new())));
    }
    let newest = *wrote.keys().last().unwrap();
    assert!(
        wrote.keys().copied().eq(2..=newest),
        "{name}: a revision was nobody's, or two writers'"
    );
    let wrote = with_previous(wrote);
    let mut sum = Path::default();
    for (n, watcher) in watchers.into_iter().enumerate() {
        let (path, spans, story) = watcher.await.unwrap();
        let scope = scopes[n % 3].0;
        let within = |revision: u64| {
            spans
                .iter()
                .any(|(after, last)| *after < revision && revision <= *last)
        };
        let expected = wrote
            .iter()
            .filter(|(revision, change)| change.0.starts_with(scope) && within(**revision));
        let story: BTreeMap<u64, Change> = story.iter().map(|(r, event)| (*r, told(event))).collect();
        assert!(
            story.iter().eq(expected),
            "{name}: watcher {n} of {scope:?} saw something else"
        );
        sum.compacted += path.compacted;
        sum.lagged += path.lagged;
        sum.resumed += path.resumed;
    }
    println!("{name}: {} changes, watchers: {sum:?}", wrote.len());
    assert!(sum.compacted > 0 && sum.resumed > 0, "{name}: {sum:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_watches() {
    watches("memory", Arc::new(Memory::with_limits(all()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_watches() {
    let dir = tempfile::tempdir().unwrap();
    watches("embedded", Arc::new(open(&dir.path().join("db")))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_watches() {
    let Some(server) = EtcdServer::start() else { return };
    watches("etcd", Arc::new(server.connect().await)).await;
}
