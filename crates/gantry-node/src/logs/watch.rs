//! Waits for a log to grow.

use futures::StreamExt;
use inotify::{EventMask, EventStream, Inotify, WatchMask};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Without any event, the log is looked at again after this long.
const PERIOD: Duration = Duration::from_secs(1);
/// Room for events: each is this long at most with its name.
const BUFFER: usize = 4096;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Something was written, or files were moved.
    Changed,
    /// The writer may be gone: it closed a file, or has been silent.
    Quiet,
}

/// Watches the directory of a log.
pub struct Watch(Option<EventStream<[u8; BUFFER]>>);

impl Watch {
    /// Begins to watch. When the kernel has no more watches to give, the log is looked at each second instead.
    pub fn new(dir: &Path) -> Self {
        let made = || -> io::Result<_> {
            let inotify = Inotify::init()?;
            let mask = WatchMask::MODIFY | WatchMask::CREATE | WatchMask::MOVE | WatchMask::CLOSE_WRITE;
            inotify.watches().add(dir, mask)?;
            inotify.into_event_stream([0; BUFFER])
        };
        Watch(match made() {
            Ok(stream) => Some(stream),
            Err(error) => {
                tracing::debug!("{} cannot be watched: {error}", dir.display());
                None
            }
        })
    }

    /// Waits for something to happen.
    pub async fn wait(&mut self) -> Woken {
        let Some(stream) = &mut self.0 else {
            tokio::time::sleep(PERIOD).await;
            return Woken::Quiet;
        };
        match tokio::time::timeout(PERIOD, stream.next()).await {
            Ok(Some(Ok(event))) if !event.mask.contains(EventMask::CLOSE_WRITE) => Woken::Changed,
            Ok(Some(Ok(_))) | Err(_) => Woken::Quiet,
            Ok(Some(Err(_)) | None) => {
                // It tells no more; what is left is to look.
                self.0 = None;
                Woken::Quiet
            }
        }
    }
}
