//! A file that refuses to grow beyond what it was given.

use redb::{BackendError, StorageBackend};
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The ceiling, shared between the file and whoever raises or asks after it.
#[derive(Debug)]
pub(super) struct Ceiling {
    bytes: AtomicU64,
    hit: AtomicBool,
}

impl Ceiling {
    pub(super) fn new(bytes: u64) -> Arc<Ceiling> {
        Arc::new(Ceiling {
            bytes: AtomicU64::new(bytes),
            hit: AtomicBool::new(false),
        })
    }

    pub(super) fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Release);
    }

    /// Whether a write was refused since this was asked last.
    pub(super) fn was_hit(&self) -> bool {
        self.hit.swap(false, Ordering::AcqRel)
    }
}

/// A file, below a ceiling.
#[derive(Debug)]
pub(super) struct Bounded {
    pub(super) file: Box<dyn StorageBackend>,
    pub(super) ceiling: Arc<Ceiling>,
}

impl StorageBackend for Bounded {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.ceiling.bytes.load(Ordering::Acquire) {
            self.ceiling.hit.store(true, Ordering::Release);
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the store reached its limit",
            ));
        }
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
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
