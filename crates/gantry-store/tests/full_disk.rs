//! A disk that refuses: writes fail with a reason, reads go on, and writing resumes by itself.
//!
//! The only test of its binary, for it limits how large a file of this process may grow.

use bytes::Bytes;
use gantry_store::{Embedded, RangeRequest, Store, WriteError};
use std::time::{Duration, Instant};

/// Files may not be written beyond this; SIGXFSZ is ignored, so that the write fails instead.
fn limit_files(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: both calls take plain values and change only this process's own settings.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
}

#[tokio::test]
async fn writes_resume_when_there_is_space_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = Embedded::open(&path, u64::MAX).unwrap();
    let value = Bytes::from(vec![b'x'; 100_000]);
    let put = |i: usize| store.put(format!("k/{i:05}").into(), value.clone(), None);
    put(0).await.unwrap();
    let file = path.join("0000000000000001.log");
    limit_files(std::fs::metadata(&file).unwrap().len());
    let mut acked = vec![0];
    let refused = loop {
        let i = acked.len();
        assert!(i < 10_000, "the limit on files does not work");
        match put(i).await {
            Ok(_) => acked.push(i),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, WriteError::Backend(_)), "{refused:?}");
    let still = store.range(RangeRequest::all(b"k/")).await.unwrap();
    assert_eq!(
        still.entries.len(),
        acked.len(),
        "reads show what was acknowledged"
    );

    limit_files(libc::RLIM_INFINITY);
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = put(20_000).await {
        assert!(Instant::now() < deadline, "writing did not resume: {error}");
    }
    let revision = store.revision();
    drop(store);
    let store = Embedded::open(&path, u64::MAX).unwrap();
    assert_eq!(store.revision(), revision);
    for i in acked {
        let kept = store.get(format!("k/{i:05}").as_bytes()).await.unwrap();
        assert!(kept.is_some(), "write {i} was acknowledged and is gone");
    }
}
