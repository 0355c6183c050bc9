//! kill -9 at random moments: whatever was acknowledged must be there afterwards.
//!
//! The writer keeps little history, so that compaction and erasing run under fire as well. SIGKILL shows that the
//! process loses nothing; what a power cut does to the disk is played through in `embedded/power_cut.rs`.

use bytes::Bytes;
use gantry_store::{Embedded, Limits, Options, RangeRequest, ReadError, Store};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const CHILD: &str = "GANTRY_CRASH_CHILD";
const ROUNDS: u32 = 100;
const WRITERS: u64 = 8;
const KEYS: u64 = 40;
/// Changes that are always kept: half of the bound.
const HISTORY: usize = 1000;

fn open(path: &Path) -> Embedded {
    let options = Options {
        history: Limits {
            events: HISTORY,
            ..Limits::default()
        },
        ..Options::default()
    };
    Embedded::open_with(path, options).unwrap()
}

/// The writer: puts and now and then deletes. Does nothing unless the harness started it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let store = Arc::new(open(path.as_ref()));
    let tasks = (0..WRITERS).map(|w| {
        let store = store.clone();
        tokio::spawn(async move {
            for i in 0u64.. {
                let key = format!("k/{w}/{}", i % KEYS);
                let (revision, value) = match i % 7 {
                    3 => match store.delete(key.clone().into(), None).await.unwrap() {
                        Some(event) => (event.entry.mod_revision, String::new()),
                        None => continue,
                    },
                    _ => {
                        let value = format!("{w}-{i}-{}", "x".repeat((i * 37 % 900) as usize));
                        let bytes = Bytes::from(value.clone());
                        (
                            store
                                .put(key.clone().into(), bytes, None)
                                .await
                                .unwrap()
                                .mod_revision,
                            value,
                        )
                    }
                };
                // One write call per line, so that lines of several writers do not mix.
                let line = format!("\nACK {revision} {key} {value}\n");
                std::io::stderr().write_all(line.as_bytes()).unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

fn random(below: u64) -> u64 {
    let mut x = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    x % below
}

/// What was acknowledged: key and value by revision; an empty value is a deletion.
type Acks = BTreeMap<u64, (String, String)>;

/// Starts a writer, kills it, and returns what it acknowledged.
fn run_and_kill(path: &Path) -> Acks {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pipe = BufReader::new(child.stderr.take().unwrap());
    let (started, first) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut acks = Acks::new();
        for line in pipe.lines().map_while(Result::ok) {
            let parts: Vec<&str> = line.split(' ').collect();
            if let ["ACK", revision, key, value] = parts[..] {
                let revision = revision.parse().unwrap();
                let twice = acks.insert(revision, (key.to_string(), value.to_string()));
                assert_eq!(twice, None, "revision {revision} was acknowledged twice");
                let _ = started.send(());
            }
        }
        acks
    });
    first
        .recv_timeout(Duration::from_secs(30))
        .expect("the child acknowledged nothing");
    std::thread::sleep(Duration::from_micros(random(120_000)));
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    reader.join().unwrap()
}

#[tokio::test]
async fn acknowledged_writes_survive_sigkill() {
    if std::env::var_os(CHILD).is_some() {
        return;
    }
    let start = Instant::now();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (mut before, mut compacted, mut total) = (1, 0, 0);
    // The last write of each key, over all rounds.
    let mut last: HashMap<String, (u64, String)> = HashMap::new();
    for round in 0..ROUNDS {
        let acks = run_and_kill(&path);
        let (oldest, newest) = (*acks.keys().next().unwrap(), *acks.keys().last().unwrap());
        assert!(oldest > before, "round {round}: a revision was used twice");
        for (revision, (key, value)) in &acks {
            last.insert(key.clone(), (*revision, value.clone()));
        }

        let store = open(&path);
        before = store.revision();
        assert!(
            before >= newest,
            "round {round}: {before} after {newest} was acknowledged"
        );
        let told;
        (compacted, told) = check_history(&store, &acks, compacted, before, round).await;
        // The writes that were under way may have become durable unacknowledged; history tells which.
        for (revision, (key, value)) in told {
            let entry = last.entry(key).or_default();
            if entry.0 < revision {
                *entry = (revision, value);
            }
        }
        check_state(&store, &last, round).await;
        total += acks.len();
    }
    println!(
        "{ROUNDS} rounds, {total} acknowledged writes, {:?}",
        start.elapsed()
    );
    assert!(compacted > 1, "nothing was ever compacted");
}

/// A watch from the oldest revision kept tells every later one once, acknowledged ones as they were. Returns the oldest,
/// and what was told.
async fn check_history(
    store: &Embedded,
    acks: &Acks,
    compacted: u64,
    newest: u64,
    round: u32,
) -> (u64, Acks) {
    let oldest = match store.watch(Bytes::new(), 0).await {
        Err(ReadError::Compacted { oldest, .. }) => oldest,
        _ => panic!("round {round}: revision 0 can be read"),
    };
    assert!(oldest >= compacted, "round {round}: compacted history is back");
    let mut watch = store.watch(Bytes::new(), oldest).await.unwrap();
    let mut told = Acks::new();
    let mut seen = oldest;
    while seen < newest {
        for event in watch.next().await.unwrap().expect("the watch ended") {
            let entry = &event.entry;
            assert_eq!(entry.mod_revision, seen + 1, "round {round}: history has a hole");
            seen = entry.mod_revision;
            let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
            told.insert(seen, (text(&entry.key), text(&entry.value)));
            if let Some(acked) = acks.get(&seen) {
                assert_eq!(&told[&seen], acked, "round {round}: revision {seen}");
            }
        }
    }
    (oldest, told)
}

/// Each key stands as its last write left it.
async fn check_state(store: &Embedded, last: &HashMap<String, (u64, String)>, round: u32) {
    let found = store.range(RangeRequest::all(b"k/")).await.unwrap();
    let found: HashMap<&[u8], _> = found.entries.iter().map(|e| (&e.key[..], e)).collect();
    for (key, (revision, value)) in last {
        let stands = found
            .get(key.as_bytes())
            .map(|e| (e.mod_revision, e.value.to_vec()));
        let expected = (!value.is_empty()).then(|| (*revision, value.as_bytes().to_vec()));
        assert_eq!(
            stands, expected,
            "round {round}: {key}, last written at {revision}"
        );
    }
}
