//! Files of other versions: older ones are read, newer ones refused.

use bytes::Bytes;
use gantry_store::*;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
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

fn format(path: &Path) -> u64 {
    let database = Database::create(path).unwrap();
    let meta = database.begin_read().unwrap().open_table(META).unwrap();
    meta.get("format").unwrap().unwrap().value()
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
    write_format_1(&path, 3, &records);
    for round in 0..2 {
        let store = Embedded::open(&path, u64::MAX).unwrap();
        let a = store.get(b"a").await.unwrap().unwrap();
        assert_eq!((a.create_revision, a.mod_revision, a.version), (2, 6, 3));
        assert!(store.get(b"gone").await.unwrap().is_none());
        let told = history(&store, 3, 4).await;
        assert_eq!(told[2], (6, "three".into(), Some("two".into())), "round {round}");
        assert!(matches!(
            store.watch(Bytes::new(), 2).await,
            Err(ReadError::Compacted { oldest: 3, .. })
        ));
        let entry = store.put("b".into(), "new".into(), None).await.unwrap();
        assert_eq!((entry.mod_revision, entry.version), (8 + round, 2 + round));
        drop(store);
        assert_eq!(format(&path), 2);
    }
}

#[test]
fn unknown_formats_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    drop(Embedded::open(&path, u64::MAX).unwrap());
    for unknown in [0, 3, 99] {
        let database = Database::create(&path).unwrap();
        let tx = database.begin_write().unwrap();
        tx.open_table(META).unwrap().insert("format", unknown).unwrap();
        tx.commit().unwrap();
        drop(database);
        let refused = Embedded::open(&path, u64::MAX).err().unwrap();
        assert!(matches!(refused, OpenError::Format { found, known: 2, .. } if found == unknown));
        let line = refused.to_string();
        let expected = format!("has store format {unknown}, and this gantry knows 1 to 2");
        assert!(line.contains(&expected) && !line.contains('\n'), "{line}");
    }
}

/// A record that the disk changed is not served as if it were whole.
#[tokio::test]
async fn a_damaged_record_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = Embedded::open(&path, u64::MAX).unwrap();
    store.put("a".into(), "value".into(), None).await.unwrap();
    drop(store);
    let database = Database::create(&path).unwrap();
    let tx = database.begin_write().unwrap();
    {
        let mut history = tx.open_table(HISTORY).unwrap();
        let mut record = history.get(2).unwrap().unwrap().value().to_vec();
        *record.last_mut().unwrap() ^= 1;
        history.insert(2, record.as_slice()).unwrap();
    }
    tx.commit().unwrap();
    drop(database);
    let refused = Embedded::open(&path, u64::MAX).err().unwrap().to_string();
    assert!(
        refused.contains("the record of revision 2 is missing or damaged"),
        "{refused}"
    );
}
