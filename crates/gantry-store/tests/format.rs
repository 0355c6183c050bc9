//! Stores of other versions, and damaged ones: older ones are taken over, newer ones refused, damage is named.

use bytes::Bytes;
use gantry_store::*;
use redb::{Database, TableDefinition};
use std::path::Path;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const HISTORY: TableDefinition<u64, &[u8]> = TableDefinition::new("history");

/// Writes a file as format 1 was written. Frozen: do not follow changes of the store.
fn write_format_1(path: &Path, compacted: u64, records: &[(u64, u64, u64, &str, &str)]) {
    let database = Database::create(path).unwrap();
    let tx = database.begin_write().unwrap();
    {
        let mut meta = tx.open_table(META).unwrap();
        meta.insert("format", 1).unwrap();
        meta.insert("revision", records.last().unwrap().0).unwrap();
        meta.insert("compacted", compacted).unwrap();
        let mut history = tx.open_table(HISTORY).unwrap();
        for (revision, create_revision, version, key, value) in records {
            let mut record = create_revision.to_be_bytes().to_vec();
            record.extend(version.to_be_bytes());
            record.extend((key.len() as u32).to_be_bytes());
            record.extend(key.as_bytes());
            record.extend(value.as_bytes());
            history.insert(revision, record.as_slice()).unwrap();
        }
    }
    tx.commit().unwrap();
}

async fn history(store: &Embedded, after: u64, n: usize) -> Vec<(u64, Bytes, Option<Bytes>)> {
    let mut watch = store.watch(Bytes::new(), after).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < n {
        for event in watch.next().await.unwrap().unwrap() {
            let before = event.prev.as_ref().map(|e| e.value.clone());
            seen.push((event.entry.mod_revision, event.entry.value.clone(), before));
        }
    }
    seen
}

/// A store of format 1 beside the folder that is opened.
fn beside(path: &Path) -> std::path::PathBuf {
    path.with_extension("redb")
}

#[tokio::test]
async fn format_1_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let records = [
        (3, 2, 2, "a", "two"),
        (4, 4, 1, "gone", "x"),
        (5, 0, 0, "gone", ""),
        (6, 2, 3, "a", "three"),
        (7, 7, 1, "b", "one"),
    ];
    write_format_1(&beside(&path), 3, &records);
    // What an import left that was cut short does not matter.
    std::fs::create_dir_all(path.with_extension("importing")).unwrap();
    std::fs::write(path.with_extension("importing").join("0000000000000001.log"), "x").unwrap();
    for round in 0..2 {
        let store = Embedded::open(&path, u64::MAX).unwrap();
        let a = store.get(b"a").await.unwrap().unwrap();
        assert_eq!((a.create_revision, a.mod_revision, a.version), (2, 6, 3));
        assert!(store.get(b"gone").await.unwrap().is_none());
        assert!(store.size().is_some_and(|size| size > 0));
        let told = history(&store, 3, 4).await;
        assert_eq!(told[2], (6, "three".into(), Some("two".into())), "round {round}");
        assert!(matches!(
            store.watch(Bytes::new(), 2).await,
            Err(ReadError::Compacted { oldest: 3, .. })
        ));
        let entry = store.put("b".into(), "new".into(), None).await.unwrap();
        assert_eq!((entry.mod_revision, entry.version), (8 + round, 2 + round));
        drop(store);
        assert!(!beside(&path).exists() && !path.with_extension("importing").exists());
    }
}

/// The file is left if its removal was cut short; what was written since counts.
#[tokio::test]
async fn a_store_is_taken_over_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    write_format_1(&beside(&path), 1, &[(2, 2, 1, "a", "one")]);
    let left = std::fs::read(beside(&path)).unwrap();
    let store = Embedded::open(&path, u64::MAX).unwrap();
    store.put("a".into(), "two".into(), None).await.unwrap();
    drop(store);
    std::fs::write(beside(&path), left).unwrap();
    let store = Embedded::open(&path, u64::MAX).unwrap();
    assert_eq!(store.get(b"a").await.unwrap().unwrap().value, "two");
    assert!(!beside(&path).exists());
}

fn check_refused(path: &Path, expected: &str) {
    let refused = Embedded::open(path, u64::MAX).err().unwrap();
    assert!(matches!(refused, OpenError::Format { .. }), "{refused}");
    let line = refused.to_string();
    assert!(line.contains(expected) && !line.contains('\n'), "{line}");
}

#[test]
fn unknown_formats_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    for unknown in [0, 3, 99] {
        write_format_1(&beside(&path), 1, &[(2, 2, 1, "a", "one")]);
        let database = Database::create(beside(&path)).unwrap();
        let tx = database.begin_write().unwrap();
        tx.open_table(META).unwrap().insert("format", unknown).unwrap();
        tx.commit().unwrap();
        drop(database);
        let expected = format!("has store format {unknown}, and this gantry knows 1 to 2");
        check_refused(&path, &expected);
        assert!(!path.exists() && beside(&path).exists(), "it is left as it was");
    }
    std::fs::remove_file(beside(&path)).unwrap();
    drop(Embedded::open(&path, u64::MAX).unwrap());
    let file = first_file(&path);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[11] = 4;
    std::fs::write(&file, bytes).unwrap();
    check_refused(&path, "has store format 4, and this gantry knows 1 to 3");
}

fn first_file(path: &Path) -> std::path::PathBuf {
    path.join("0000000000000001.log")
}

/// What the disk changed is not served as if it were whole, and what follows it is not dropped as if it had never been
/// written. Only what an interrupted write left at the end is.
#[tokio::test]
async fn damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = Embedded::open(&path, u64::MAX).unwrap();
    for key in ["a", "b", "c"] {
        store.put(key.into(), "value".into(), None).await.unwrap();
    }
    drop(store);
    let whole = std::fs::read(first_file(&path)).unwrap();
    let end = whole.iter().rposition(|b| *b != 0).unwrap() + 1;
    // The head of the file, and three batches of a length.
    let batch = (end - 32).div_ceil(3).next_multiple_of(8);
    for at in (0..end).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        std::fs::write(first_file(&path), bytes).unwrap();
        let opened = Embedded::open(&path, u64::MAX);
        if at >= 32 + 2 * batch {
            let store = opened.unwrap_or_else(|e| panic!("byte {at}: {e}"));
            assert_eq!(
                store.revision(),
                3,
                "byte {at}: the last was not written to its end"
            );
            continue;
        }
        let why = opened
            .err()
            .unwrap_or_else(|| panic!("byte {at}: not noticed"))
            .to_string();
        let expected = match at {
            8..12 => "has store format",
            0..32 => "the head of its file 1 is damaged",
            _ => &format!("its file 1 is damaged at byte {}", 32 + (at - 32) / batch * batch),
        };
        assert!(why.contains(expected), "byte {at}: {why}");
    }
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = Embedded::open(&path, 16 << 20).unwrap();
    for n in 0..20 {
        let value = Bytes::from(vec![b'x'; 100_000]);
        store.put(format!("k/{n}").into(), value, None).await.unwrap();
    }
    drop(store);
    std::fs::remove_file(path.join("0000000000000002.log")).unwrap();
    let why = Embedded::open(&path, 16 << 20).err().unwrap().to_string();
    assert!(why.contains("its file 2 is missing"), "{why}");
}
