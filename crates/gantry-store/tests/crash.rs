//! kill -9 at random moments: whatever was acknowledged must be there afterwards.
//!
//! SIGKILL shows that the process loses nothing; it cannot show what a power cut does to the disk.

use bytes::Bytes;
use gantry_store::{Embedded, Store};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const CHILD: &str = "GANTRY_CRASH_CHILD";
const WRITERS: u64 = 4;

/// The writer. Does nothing unless the harness started it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let store = Arc::new(Embedded::open(path.as_ref(), u64::MAX).unwrap());
    let tasks: Vec<_> = (0..WRITERS)
        .map(|w| {
            let store = store.clone();
            tokio::spawn(async move {
                for i in 0u64.. {
                    let key = format!("k/{w}/{}", i % 50);
                    let e = store
                        .put(key.clone().into(), Bytes::from(format!("{w}-{i}")), None)
                        .await
                        .unwrap();
                    // One write call per line, so that lines of several writers do not mix.
                    let line = format!("\nACK {} {key} {w}-{i}\n", e.mod_revision);
                    std::io::stderr().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for t in tasks {
        t.await.unwrap();
    }
}

fn random(below: u64) -> u64 {
    let mut x = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    x % below
}

#[tokio::test]
async fn acknowledged_writes_survive_sigkill() {
    if std::env::var_os(CHILD).is_some() {
        return;
    }
    let rounds: u32 =
        std::env::var("GANTRY_CRASH_ROUNDS").map_or(20, |r| r.parse().expect("a number of rounds"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let mut acked: Vec<(u64, String, String)> = Vec::new();
    let mut before = 1;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pipe = BufReader::new(child.stderr.take().unwrap());
        let (started, first) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut acks = Vec::new();
            for line in pipe.lines().map_while(Result::ok) {
                let parts: Vec<&str> = line.split(' ').collect();
                if let ["ACK", revision, key, value] = parts[..] {
                    acks.push((revision.parse().unwrap(), key.to_string(), value.to_string()));
                    let _ = started.send(());
                }
            }
            acks
        });
        first
            .recv_timeout(Duration::from_secs(30))
            .expect("the child acknowledged nothing");
        std::thread::sleep(Duration::from_micros(random(150_000)));
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        let acks = reader.join().unwrap();
        let newest = acks.iter().map(|a: &(u64, String, String)| a.0).max().unwrap();
        assert!(
            acks.iter().all(|a| a.0 > before),
            "round {round}: a revision was used twice"
        );
        acked.extend(acks);

        let store = Embedded::open(&path, u64::MAX).unwrap();
        assert!(
            store.revision() >= newest,
            "round {round}: {} after {newest} was acknowledged",
            store.revision()
        );
        before = store.revision();
        // Nothing is compacted, so history must hold every revision once, and every acknowledged write as it was.
        let events = store
            .watch(Bytes::new(), 1)
            .await
            .unwrap()
            .next()
            .await
            .unwrap()
            .unwrap();
        assert!(
            events.iter().map(|e| e.entry.mod_revision).eq(2..=before),
            "round {round}: history has a hole"
        );
        for (revision, key, value) in &acked {
            let e = &events[*revision as usize - 2].entry;
            assert_eq!(
                (&e.key[..], &e.value[..]),
                (key.as_bytes(), value.as_bytes()),
                "round {round}"
            );
        }
    }
    println!("{rounds} rounds, {} acknowledged writes", acked.len());
}
