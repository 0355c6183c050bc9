//! What the store does on this machine's disk: `cargo bench -p gantry-store`.
//!
//! The disk's own rate of fsyncs stands first, since it is what group commit is measured against. The files are made in
//! the folder named by GANTRY_BENCH_DIR, or in the system's temporary one, which may not be a disk.

use bytes::Bytes;
use gantry_store::{Embedded, Limits, Options, RangeRequest, Store};
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECONDS: u64 = 3;
const VALUE: usize = 1024;
const OBJECTS: usize = 100_000;
/// Set for the process that only opens what another has filled.
const OPEN: &str = "GANTRY_BENCH_OPEN";

fn main() {
    let base = std::env::var_os("GANTRY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(base).expect("a folder for the files");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    if let Some(path) = std::env::var_os(OPEN) {
        return runtime.block_on(at_rest(Path::new(&path)));
    }
    let syncs = syncs(dir.path());
    println!("{:<46}{syncs:>10.0}/s", "fdatasync of 4 KiB");
    runtime.block_on(async {
        for writers in [1, 32, 256] {
            commits(dir.path(), writers, syncs).await;
        }
        churn(dir.path()).await;
        fill(&dir.path().join("objects")).await;
    });
    // In a process of its own, so that memory shows what opening takes.
    let program = std::env::current_exe().expect("this program's path");
    let status = Command::new(program)
        .env(OPEN, dir.path().join("objects"))
        .status()
        .expect("this program again");
    assert!(status.success(), "{status}");
}

fn syncs(dir: &Path) -> f64 {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(dir.join("sync"))
        .expect("a file");
    let block = [7; 4096];
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(1) {
        file.write_all_at(&block, count % 1024 * 4096).expect("a write");
        file.sync_data().expect("an fdatasync");
        count += 1;
    }
    count as f64 / start.elapsed().as_secs_f64()
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn used(path: &Path) -> f64 {
    let files = std::fs::read_dir(path).into_iter().flatten().flatten();
    megabytes(
        files
            .filter_map(|f| f.metadata().ok())
            .map(|m| m.blocks() * 512)
            .sum(),
    )
}

/// This process's memory that is no file's.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Creates, each waiting until it is durable.
async fn commits(dir: &Path, writers: usize, syncs: f64) {
    let path = dir.join(format!("commits-{writers}"));
    let store = Arc::new(Embedded::open(&path, 8 << 30).expect("a store"));
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let tasks: Vec<_> = (0..writers)
        .map(|w| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < end {
                    let key = format!("/registry/configmaps/default/{w}-{}", times.len());
                    let start = Instant::now();
                    let put = store.put(key.into(), Bytes::from(vec![b'x'; VALUE]), None);
                    put.await.expect("a write");
                    times.push(start.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a writer"));
    }
    times.sort();
    let rate = times.len() as f64 / SECONDS as f64;
    println!(
        "{:<46}{rate:>10.0}/s   p50 {:>8.2?}   p99 {:>8.2?}   {:.1} per fdatasync",
        format!("durable creates of {VALUE} bytes, {writers} at once"),
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        rate / syncs,
    );
}

/// Overwrites of the same keys: the file must stop growing.
async fn churn(dir: &Path) {
    let path = dir.join("churn");
    let options = Options {
        history: Limits {
            events: 20_000,
            ..Limits::default()
        },
        ..Options::default()
    };
    let store = Arc::new(Embedded::open_with(&path, options).expect("a store"));
    let mut sizes = Vec::new();
    for _ in 0..4 {
        for round in 0..100u8 {
            let puts = (0..500).map(|i| {
                let value = Bytes::from(vec![round; VALUE]);
                store.put(format!("/registry/leases/ns/{i}").into(), value, None)
            });
            for put in futures::future::join_all(puts).await {
                put.expect("a write");
            }
        }
        sizes.push(format!("{:.0}", used(&path)));
    }
    println!(
        "{:<46}{:>10} MB after each 50000 overwrites of 500 keys",
        "size of the files under churn",
        sizes.join(", ")
    );
}

async fn fill(path: &Path) {
    let store = Embedded::open(path, 8 << 30).expect("a store");
    for chunk in (0..OBJECTS).collect::<Vec<_>>().chunks(1000) {
        let puts = chunk.iter().map(|i| {
            let key = format!("/registry/configmaps/default/object-{i:08}");
            store.put(key.into(), Bytes::from(vec![b'x'; VALUE]), None)
        });
        for put in futures::future::join_all(puts).await {
            put.expect("a write");
        }
    }
}

/// Memory, opening and reading with many objects.
async fn at_rest(path: &Path) {
    let before = memory();
    let start = Instant::now();
    let store = Embedded::open(path, 8 << 30).expect("a store");
    let opened = start.elapsed();
    let per_object = (memory().saturating_sub(before)) as f64 / OBJECTS as f64;
    println!(
        "{:<46}{opened:>10.0?}     {:.0} MB on disk",
        format!("opening {OBJECTS} objects"),
        used(path)
    );
    println!(
        "{:<46}{:>10.0} bytes besides its value of {VALUE}",
        "memory of an object",
        per_object - VALUE as f64
    );
    let start = Instant::now();
    let (mut next, mut read) = (RangeRequest::all(b"/registry/configmaps/"), 0);
    next.limit = 256;
    loop {
        let page = store.range(next.clone()).await.expect("a page");
        read += page.entries.len();
        let Some(last) = page.entries.last().filter(|_| page.more) else {
            break;
        };
        next.start = [&last.key[..], b"\0"].concat().into();
    }
    println!(
        "{:<46}{:>10.1} million/s",
        "objects read by reference, in pages",
        read as f64 / start.elapsed().as_secs_f64() / 1e6
    );
    let start = Instant::now();
    for i in 0..OBJECTS {
        let key = format!("/registry/configmaps/default/object-{i:08}");
        assert!(store.get(key.as_bytes()).await.expect("a read").is_some());
    }
    println!(
        "{:<46}{:>10.1} million/s",
        "single objects read by reference",
        OBJECTS as f64 / start.elapsed().as_secs_f64() / 1e6
    );
}
