//! A power cut at any moment: what was acknowledged is there afterwards, whatever became of writes that no fsync had
//! confirmed. The disk may keep any of those, in any order, and tear them between sectors.
//!
//! A run is recorded as what the store asked of its file. For many moments of it a file is made as a disk could hold it
//! then, and opened.

use super::disk::Disk;
use super::{Embedded, Options};
use crate::{Limits, RangeRequest, Store};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use std::collections::{BTreeMap, HashMap};
use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What a disk writes at once.
const SECTOR: usize = 512;
const CUTS: usize = 150;
const WRITERS: usize = 4;
const WRITES: usize = 150;
const KEYS: usize = 12;

/// What was asked of the file.
#[derive(Clone, Debug)]
enum Asked {
    Write(u64, Vec<u8>),
    Length(u64),
    /// An fsync that succeeded: all before it stays.
    Sync,
    /// A write of this key was acknowledged, with the revision and the value; none if it was deleted.
    Acknowledged(String, u64, Option<String>),
}

type Journal = Arc<Mutex<Vec<Asked>>>;

/// A file that notes what is asked of it.
#[derive(Debug)]
struct Recorder {
    file: FileBackend,
    journal: Journal,
}

impl Recorder {
    fn note(&self, asked: Asked) {
        self.journal.lock().unwrap().push(asked);
    }
}

impl StorageBackend for Recorder {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(Asked::Length(len));
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        self.note(Asked::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(Asked::Write(offset, data.to_vec()));
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

/// Little history, so that compaction and erasing are cut short as well.
fn options() -> Options {
    Options {
        history: Limits {
            events: 100,
            ..Limits::default()
        },
        ..Options::default()
    }
}

/// Puts and deletes by several writers, and all that was asked of the file meanwhile.
async fn record(folder: &Path) -> Vec<Asked> {
    let (path, journal) = (folder.join("store.redb"), Journal::default());
    let noted = journal.clone();
    let opener = move |path: &Path| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(redb::StorageError::Io)?;
        let (file, journal) = (FileBackend::new(file)?, noted.clone());
        Ok(Box::new(Recorder { file, journal }) as Box<dyn StorageBackend>)
    };
    let disk = Disk::open_by(Box::new(opener), &path, options().limit_bytes).unwrap();
    let store = Arc::new(Embedded::start(disk, &path, options()).unwrap());
    let writers = (0..WRITERS).map(|writer| {
        let (store, journal) = (store.clone(), journal.clone());
        tokio::spawn(async move {
            for n in 0..WRITES {
                let key = format!("k/{writer}/{}", n % KEYS);
                let acknowledged = match n % 5 {
                    3 => {
                        let gone = store.delete(key.clone().into(), None).await.unwrap();
                        gone.map(|event| (event.entry.mod_revision, None))
                    }
                    _ => {
                        let value = format!("{writer}-{n}-{}", "x".repeat(n * 37 % 1500));
                        let entry = store
                            .put(key.clone().into(), Bytes::from(value.clone()), None)
                            .await;
                        Some((entry.unwrap().mod_revision, Some(value)))
                    }
                };
                if let Some((revision, value)) = acknowledged {
                    journal
                        .lock()
                        .unwrap()
                        .push(Asked::Acknowledged(key, revision, value));
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    drop(Arc::into_inner(store));
    Arc::into_inner(journal).map_or_else(Vec::new, |j| j.into_inner().unwrap())
}

/// A file as a disk could hold it if the power failed after these requests.
fn image(asked: &[Asked], rng: &mut StdRng) -> Vec<u8> {
    let synced = asked.iter().rposition(|a| matches!(a, Asked::Sync)).unwrap_or(0);
    let mut file: Vec<u8> = Vec::new();
    let put = |offset: u64, data: &[u8], file: &mut Vec<u8>| {
        let offset = usize::try_from(offset).unwrap();
        // What was cut off or never allotted takes no data.
        let end = (offset + data.len()).min(file.len());
        if offset < end {
            file[offset..end].copy_from_slice(&data[..end - offset]);
        }
    };
    // Of what no fsync confirmed, whole requests or single sectors are lost.
    let (loses, tears) = (rng.random_range(0.0..1.0), rng.random_bool(0.5));
    for (n, request) in asked.iter().enumerate() {
        let lost = n > synced && rng.random_bool(loses);
        match request {
            Asked::Length(length) if n <= synced || !lost => {
                file.resize(usize::try_from(*length).unwrap(), 0);
            }
            Asked::Write(offset, data) if n <= synced => put(*offset, data, &mut file),
            Asked::Write(offset, data) if tears => {
                for (at, sector) in data.chunks(SECTOR).enumerate() {
                    if !rng.random_bool(loses) {
                        put(offset + (at * SECTOR) as u64, sector, &mut file);
                    }
                }
            }
            Asked::Write(offset, data) if !lost => put(*offset, data, &mut file),
            _ => {}
        }
    }
    file
}

/// What must stand at least: the newest acknowledged write of each key.
fn acknowledged(asked: &[Asked]) -> BTreeMap<String, (u64, Option<String>)> {
    let mut newest = BTreeMap::new();
    for request in asked {
        if let Asked::Acknowledged(key, revision, value) = request {
            newest.insert(key.clone(), (*revision, value.clone()));
        }
    }
    newest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives() {
    let folder = tempfile::tempdir().unwrap();
    let asked = record(folder.path()).await;
    let written: HashMap<u64, (String, Option<String>)> = asked
        .iter()
        .filter_map(|a| match a {
            Asked::Acknowledged(key, revision, value) => Some((*revision, (key.clone(), value.clone()))),
            _ => None,
        })
        .collect();
    // Before it first stands, there is no store to lose.
    let first = asked
        .iter()
        .position(|a| matches!(a, Asked::Acknowledged(..)))
        .unwrap();
    let path = folder.path().join("cut.redb");
    for seed in 0..CUTS as u64 {
        let mut rng = StdRng::seed_from_u64(seed);
        let cut = rng.random_range(first..asked.len());
        std::fs::write(&path, image(&asked[..cut], &mut rng)).unwrap();
        let store =
            Embedded::open_with(&path, options()).unwrap_or_else(|e| panic!("seed {seed}, cut {cut}: {e}"));
        let found = store.range(RangeRequest::all(b"k/")).await.unwrap();
        let found: HashMap<String, (u64, String)> = found
            .entries
            .into_iter()
            .map(|e| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                (text(&e.key), (e.mod_revision, text(&e.value)))
            })
            .collect();
        for (key, (revision, value)) in acknowledged(&asked[..cut]) {
            // A write that was not acknowledged yet may stand in its place, and may have deleted it.
            match (found.get(&key), value) {
                (Some((at, _)), _) if *at > revision => {}
                (Some((at, now)), Some(value)) => {
                    assert_eq!((*at, now), (revision, &value), "seed {seed}, cut {cut}: {key}");
                }
                (Some((at, _)), None) => {
                    panic!("seed {seed}, cut {cut}: {key}, deleted at {revision}, stands at {at}")
                }
                (None, None) => {}
                (None, Some(_)) => {
                    let later = written
                        .iter()
                        .any(|(r, (k, v))| *r > revision && *k == key && v.is_none());
                    assert!(
                        later && store.revision() > revision,
                        "seed {seed}, cut {cut}: {key} of {revision} is lost"
                    );
                }
            }
        }
        // Nothing stands that nobody wrote.
        for (key, (revision, value)) in found {
            if let Some((at, text)) = written.get(&revision) {
                assert_eq!((at, text), (&key, &Some(value)), "seed {seed}, cut {cut}");
            }
        }
        // And it can be written again.
        store.put("k/after".into(), "x".into(), None).await.unwrap();
    }
}
