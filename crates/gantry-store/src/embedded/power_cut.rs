//! A power cut at any moment: what was acknowledged is there afterwards, whatever became of writes that no fsync had
//! confirmed. The disk may keep any of those, in any order, and tear them between sectors.
//!
//! A run is recorded as what the store asked of its folder. For many moments of it a folder is made as a disk could hold
//! it then, and opened.

use super::folder::{Directory, Folder, LogFile};
use super::{Embedded, Options};
use crate::{Limits, RangeRequest, Store};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What a disk writes at once.
const SECTOR: usize = 512;
const CUTS: usize = 150;
const WRITERS: usize = 4;
const WRITES: usize = 400;
const KEYS: usize = 12;

/// What was asked of the disk.
#[derive(Clone, Debug)]
enum Asked {
    Create(u64),
    Remove(u64),
    Write(u64, u64, Vec<u8>),
    Length(u64, u64),
    /// An fsync of a file that succeeded: all before it stays.
    Sync(u64),
    /// An fsync of the folder that succeeded.
    SyncFolder,
    /// A write of this key was acknowledged, with the revision and the value; none if it was deleted.
    Acknowledged(String, u64, Option<String>),
}

type Journal = Arc<Mutex<Vec<Asked>>>;

/// A folder that notes what is asked of it.
struct Recorder {
    directory: Directory,
    journal: Journal,
}

struct RecordedFile {
    file: Arc<dyn LogFile>,
    number: u64,
    journal: Journal,
}

impl Recorder {
    fn recorded(&self, number: u64, file: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        let journal = self.journal.clone();
        Arc::new(RecordedFile {
            file,
            number,
            journal,
        })
    }
}

impl Folder for Recorder {
    fn list(&self) -> io::Result<Vec<u64>> {
        self.directory.list()
    }

    fn open(&self, number: u64) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.recorded(number, self.directory.open(number)?))
    }

    fn create(&self, number: u64) -> io::Result<Arc<dyn LogFile>> {
        self.journal.lock().unwrap().push(Asked::Create(number));
        Ok(self.recorded(number, self.directory.create(number)?))
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        self.journal.lock().unwrap().push(Asked::Remove(number));
        self.directory.remove(number)
    }

    fn sync(&self) -> io::Result<()> {
        self.directory.sync()?;
        self.journal.lock().unwrap().push(Asked::SyncFolder);
        Ok(())
    }
}

impl RecordedFile {
    fn note(&self, asked: Asked) {
        self.journal.lock().unwrap().push(asked);
    }
}

impl LogFile for RecordedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.note(Asked::Write(self.number, offset, bytes.to_vec()));
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(Asked::Length(self.number, len));
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()?;
        self.note(Asked::Sync(self.number));
        Ok(())
    }
}

/// Little history, so that compaction and erasing are cut short as well.
fn options() -> Options {
    Options {
        history: Limits {
            events: 100,
            ..Limits::default()
        },
        // Files of 64 KB, so that many are begun, swept and removed.
        limit_bytes: 4 << 20,
    }
}

/// Puts and deletes by several writers, and all that was asked of the folder meanwhile.
async fn record(folder: &Path) -> Vec<Asked> {
    let (path, journal) = (folder.join("store"), Journal::default());
    let recorder = Recorder {
        directory: Directory::open(&path).unwrap(),
        journal: journal.clone(),
    };
    let store = Arc::new(Embedded::start(Box::new(recorder), &path, options()).unwrap());
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

/// Whether any such request comes later.
fn is_followed(asked: &[Asked], n: usize, sync: impl Fn(&Asked) -> bool) -> bool {
    asked[n..].iter().any(sync)
}

/// The files as a disk could hold them if the power failed after these requests.
fn image(asked: &[Asked], rng: &mut StdRng) -> BTreeMap<u64, Vec<u8>> {
    let mut files: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let put = |offset: u64, data: &[u8], file: &mut Vec<u8>| {
        let offset = usize::try_from(offset).unwrap();
        let end = offset + data.len();
        file.resize(file.len().max(end), 0);
        file[offset..end].copy_from_slice(data);
    };
    // Of what no fsync confirmed, whole requests or single sectors are lost.
    let (loses, tears) = (rng.random_range(0.0..1.0), rng.random_bool(0.5));
    let (mut never_made, mut still_there) = (Vec::new(), Vec::new());
    for (n, request) in asked.iter().enumerate() {
        let mut lost = |confirmed: bool| !confirmed && rng.random_bool(loses);
        match request {
            Asked::Create(number) => {
                if lost(is_followed(asked, n, |a| matches!(a, Asked::SyncFolder))) {
                    never_made.push(*number);
                }
                files.insert(*number, Vec::new());
            }
            Asked::Remove(number) => {
                if lost(is_followed(asked, n, |a| matches!(a, Asked::SyncFolder))) {
                    still_there.push(*number);
                } else {
                    files.remove(number);
                }
            }
            Asked::Length(number, _) | Asked::Write(number, ..) => {
                let synced = is_followed(asked, n, |a| matches!(a, Asked::Sync(s) if s == number));
                let Some(file) = files.get_mut(number) else {
                    continue;
                };
                match request {
                    Asked::Length(_, length) if !lost(synced) => {
                        file.resize(usize::try_from(*length).unwrap(), 0);
                    }
                    Asked::Write(_, offset, data) if tears && !synced => {
                        for (at, sector) in data.chunks(SECTOR).enumerate() {
                            if !lost(false) {
                                put(offset + (at * SECTOR) as u64, sector, file);
                            }
                        }
                    }
                    Asked::Write(_, offset, data) if !lost(synced) => put(*offset, data, file),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    files.retain(|number, _| !never_made.contains(number));
    files
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
    let removed = asked.iter().filter(|a| matches!(a, Asked::Remove(_))).count();
    assert!(removed > 3, "files were swept: {removed}");
    for seed in 0..CUTS as u64 {
        let mut rng = StdRng::seed_from_u64(seed);
        let cut = rng.random_range(first..asked.len());
        let path = folder.path().join(format!("cut-{seed}"));
        std::fs::create_dir(&path).unwrap();
        for (number, bytes) in image(&asked[..cut], &mut rng) {
            std::fs::write(path.join(format!("{number:016}.log")), bytes).unwrap();
        }
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
