//! Reads a log, and follows it: over rotations, until the container ends or nobody listens.

use super::print::Printer;
use super::watch::{Watch, Woken};
use super::{Options, tail};
use async_trait::async_trait;
use bytes::Bytes;
use std::fs::Metadata;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

/// What is read, and sent, at once.
const PIECE: usize = 32 << 10;
/// A line longer than this is not the runtime's.
const LONGEST: usize = 1 << 20;

/// Why a log cannot be read; the texts are upstream's.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It is not there.
    #[error("failed to open log file {0:?}: {1}")]
    Open(PathBuf, #[source] io::Error),
    /// Its last lines could not be found.
    #[error("failed to tail {0} lines of log file {1:?}: {2}")]
    Tail(u64, PathBuf, #[source] io::Error),
    /// It could not be read.
    #[error("failed to read log file {0:?}: {1}")]
    Read(PathBuf, #[source] io::Error),
    /// It is no log.
    #[error("failed to read log file {0:?}: a line has no end; see what else writes there")]
    Endless(PathBuf),
}

/// Whether more is to come.
#[async_trait]
pub trait Follow: Sync {
    /// Whether the writer still runs.
    async fn goes_on(&self) -> bool;
}

/// A log that is open, at the place where it is wanted from.
pub struct Log {
    path: PathBuf,
    file: File,
    options: Options,
}

impl Log {
    /// Opens a log.
    pub async fn open(path: PathBuf, options: Options) -> Result<Self, LogError> {
        let lines = options.tail;
        let opened = tokio::task::spawn_blocking(move || {
            let mut file = std::fs::File::open(&path).map_err(|e| LogError::Open(path.clone(), e))?;
            if let Some(lines) = lines {
                tail::start(&mut file, lines)
                    .and_then(|at| file.seek(SeekFrom::Start(at)))
                    .map_err(|e| LogError::Tail(lines, path.clone(), e))?;
            }
            Ok((path, File::from_std(file)))
        });
        // The task is neither aborted nor does it panic.
        let (path, file) = opened
            .await
            .map_err(|e| LogError::Open(PathBuf::new(), io::Error::other(e)))??;
        Ok(Log { path, file, options })
    }

    /// Sends what is wanted, in pieces, until its end or until nobody takes them.
    pub async fn run(self, to: &mpsc::Sender<Bytes>, follow: &dyn Follow) -> Result<(), LogError> {
        let follows = self.options.follow;
        let mut reader = Reader {
            printer: Printer::new(self.options),
            path: self.path,
            file: self.file,
            unread: Vec::with_capacity(PIECE),
            shown: Vec::new(),
            to,
        };
        if !follows {
            reader.read_to_end().await?;
            return reader.last_line().await.map(drop);
        }
        // Watched before it is read, so that nothing is missed in between.
        let mut watch = Watch::new(reader.path.parent().unwrap_or(Path::new("/")));
        let (mut ended, mut in_doubt) = (false, true);
        while reader.read_to_end().await? {
            if let Some(next) = reader.successor().await? {
                // What was written until the runtime turned to the new file.
                if !reader.read_to_end().await? || !reader.last_line().await? {
                    return Ok(());
                }
                reader.file = next;
                continue;
            }
            if ended {
                return reader.last_line().await.map(drop);
            }
            if in_doubt {
                in_doubt = false;
                ended = !follow.goes_on().await;
                if ended {
                    continue;
                }
            }
            tokio::select! {
                woken = watch.wait() => in_doubt |= woken == Woken::Quiet,
                () = to.closed() => return Ok(()),
            }
        }
        Ok(())
    }
}

struct Reader<'a> {
    path: PathBuf,
    file: File,
    printer: Printer,
    /// The beginning of a line that is not complete yet.
    unread: Vec<u8>,
    /// What is to be sent.
    shown: Vec<u8>,
    to: &'a mpsc::Sender<Bytes>,
}

impl Reader<'_> {
    /// Sends all that is there. False when no more is wanted.
    async fn read_to_end(&mut self) -> Result<bool, LogError> {
        loop {
            let mut from = 0;
            while let Some(length) = self.unread[from..].iter().position(|b| *b == b'\n') {
                if self.printer.is_done() {
                    break;
                }
                self.printer
                    .print(&self.unread[from..=from + length], &mut self.shown);
                from += length + 1;
                if self.shown.len() >= PIECE && !self.send().await {
                    return Ok(false);
                }
            }
            if self.printer.is_done() {
                self.send().await;
                return Ok(false);
            }
            self.unread.drain(..from);
            if self.unread.len() > LONGEST {
                return Err(LogError::Endless(self.path.clone()));
            }
            self.unread.reserve(PIECE);
            let read = self.file.read_buf(&mut self.unread).await;
            if read.map_err(|e| LogError::Read(self.path.clone(), e))? == 0 {
                return Ok(self.send().await);
            }
        }
    }

    /// Sends a last line that has no end. False when no more is wanted.
    async fn last_line(&mut self) -> Result<bool, LogError> {
        let line = std::mem::take(&mut self.unread);
        if !line.is_empty() && !self.printer.is_done() {
            self.printer.print(&line, &mut self.shown);
        }
        Ok(self.send().await)
    }

    /// Sends what was collected. False when nobody takes it.
    async fn send(&mut self) -> bool {
        if self.shown.is_empty() {
            return !self.to.is_closed();
        }
        let piece = Bytes::from(std::mem::take(&mut self.shown));
        self.to.send(piece).await.is_ok()
    }

    /// The file that has taken the place of the one being read.
    async fn successor(&self) -> Result<Option<File>, LogError> {
        let failed = |e| LogError::Read(self.path.clone(), e);
        let which = |m: &Metadata| (m.dev(), m.ino());
        let file = match File::open(&self.path).await {
            Ok(file) => file,
            // Moved away, and not made again yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let ours = self.file.metadata().await.map_err(failed)?;
        let theirs = file.metadata().await.map_err(failed)?;
        Ok((which(&ours) != which(&theirs)).then_some(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Runs(AtomicBool);

    #[async_trait]
    impl Follow for Runs {
        async fn goes_on(&self) -> bool {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn line(text: &str) -> String {
        format!("2026-01-01T00:00:00Z stdout F {text}\n")
    }

    fn append(path: &Path, text: &str) {
        let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    async fn next(receiver: &mut mpsc::Receiver<Bytes>) -> Option<String> {
        let piece = receiver.recv().await?;
        Some(String::from_utf8(piece.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn reads_to_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        append(&path, &(line("a") + &line("b") + line("c").trim_end()));
        let check = async |tail: Option<u64>, expected: &str| {
            let options = Options {
                tail,
                ..Default::default()
            };
            let log = Log::open(path.clone(), options).await.unwrap();
            let (sender, mut receiver) = mpsc::channel(4);
            log.run(&sender, &Runs(AtomicBool::new(true))).await.unwrap();
            drop(sender);
            let mut all = String::new();
            while let Some(piece) = next(&mut receiver).await {
                all += &piece;
            }
            assert_eq!(all, expected, "{tail:?}");
        };
        check(None, "a\nb\nc").await;
        check(Some(1), "b\n").await;
        check(Some(0), "").await;
        let none = Log::open(dir.path().join("none"), Options::default()).await;
        assert!(matches!(none, Err(LogError::Open(..))));
    }

    #[tokio::test]
    async fn follows_over_a_rotation_until_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        append(&path, &line("a"));
        let options = Options {
            follow: true,
            ..Default::default()
        };
        let log = Log::open(path.clone(), options).await.unwrap();
        let (sender, mut receiver) = mpsc::channel(4);
        let runs = std::sync::Arc::new(Runs(AtomicBool::new(true)));
        let seen = runs.clone();
        let task = tokio::spawn(async move { log.run(&sender, &*seen).await });
        assert_eq!(next(&mut receiver).await.unwrap(), "a\n");
        append(&path, &line("b"));
        assert_eq!(next(&mut receiver).await.unwrap(), "b\n");
        // The runtime writes to the old file until it is told, and only then to a new one.
        fs::rename(&path, dir.path().join("0.log.old")).unwrap();
        append(&dir.path().join("0.log.old"), &line("c"));
        append(&path, &line("d"));
        let mut rest = String::new();
        while rest != "c\nd\n" {
            rest += &next(&mut receiver).await.unwrap();
        }
        append(&path, &line("e"));
        runs.0.store(false, Ordering::SeqCst);
        assert_eq!(next(&mut receiver).await.unwrap(), "e\n");
        assert_eq!(next(&mut receiver).await, None);
        task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn ends_when_nobody_listens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        append(&path, "");
        let options = Options {
            follow: true,
            ..Default::default()
        };
        let log = Log::open(path, options).await.unwrap();
        let (sender, receiver) = mpsc::channel(4);
        drop(receiver);
        log.run(&sender, &Runs(AtomicBool::new(true))).await.unwrap();
    }
}
