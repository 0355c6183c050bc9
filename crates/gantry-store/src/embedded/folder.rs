//! The folder of a store, as little of a file system as the log needs. Tests put one in its place that notes what is asked.

use super::OpenError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file of the log.
pub(super) trait LogFile: Send + Sync {
    /// How long it is.
    fn len(&self) -> io::Result<u64>;
    /// Reads as much as there is, up to the buffer's length.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of it.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts it off, or lengthens it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Returns once what was written is durable.
    fn sync(&self) -> io::Result<()>;
}

/// The numbered files of a log.
pub(super) trait Folder: Send + Sync {
    /// The numbers there are, in order.
    fn list(&self) -> io::Result<Vec<u64>>;
    /// Opens a file that is there.
    fn open(&self, number: u64) -> io::Result<Arc<dyn LogFile>>;
    /// Makes an empty file in place of what may be there.
    fn create(&self, number: u64) -> io::Result<Arc<dyn LogFile>>;
    /// Removes a file.
    fn remove(&self, number: u64) -> io::Result<()>;
    /// Returns once it is durable which files there are.
    fn sync(&self) -> io::Result<()>;
}

const SUFFIX: &str = ".log";
const LOCK: &str = "lock";

/// A folder on a disk, locked against other processes while this is held.
pub(super) struct Directory {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Directory {
    /// Opens the folder, or makes it.
    pub(super) fn open(path: &Path) -> Result<Directory, OpenError> {
        let name = || path.display().to_string();
        let refused = |e: io::Error| match e.kind() {
            io::ErrorKind::PermissionDenied => OpenError::Permission(name()),
            _ => OpenError::Other {
                path: name(),
                reason: e.to_string(),
            },
        };
        std::fs::create_dir_all(path).map_err(refused)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK))
            .map_err(refused)?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => OpenError::Locked(name()),
            TryLockError::Error(e) => refused(e),
        })?;
        sync_parents(path).map_err(refused)?;
        Ok(Directory {
            path: path.to_path_buf(),
            _lock: lock,
        })
    }

    fn file(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:016}{SUFFIX}"))
    }
}

impl Folder for Directory {
    fn list(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for file in std::fs::read_dir(&self.path)? {
            let name = file?.file_name();
            let number = name.to_str().and_then(|n| n.strip_suffix(SUFFIX));
            numbers.extend(number.and_then(|n| n.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn open(&self, number: u64) -> io::Result<Arc<dyn LogFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.file(number))?;
        Ok(Arc::new(file))
    }

    fn create(&self, number: u64) -> io::Result<Arc<dyn LogFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Arc::new(options.open(self.file(number))?))
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        std::fs::remove_file(self.file(number))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl LogFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match FileExt::read_at(self, &mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Makes the names of a folder and of those it is in durable. Those above may be closed to us; then they are not ours.
fn sync_parents(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    File::open(&path)?.sync_all()?;
    for folder in path.ancestors().skip(1) {
        match File::open(folder).and_then(|f| f.sync_all()) {
            Err(e) if e.kind() != io::ErrorKind::PermissionDenied => return Err(e),
            _ => {}
        }
    }
    Ok(())
}
