//! Keeps the logs of running containers small: a large one is moved aside and the runtime told to begin another; old
//! ones are compressed, and the oldest removed. Names are upstream's: `0.log.20260101-000000`, then with `.gz`.

use crate::cri::Runtime;
use crate::pod::manager::Manager;
use crate::pod::state::Phase;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::macros::format_description;

/// A log larger than this is moved aside.
pub const MOST_BYTES: u64 = 10 << 20;
/// A container has at most so many files of logs.
pub const MOST_FILES: usize = 5;
/// How often logs are looked at.
pub const PERIOD: Duration = Duration::from_secs(10);

const COMPRESSED: &str = "gz";
const TEMPORARY: &str = "tmp";

/// A log could not be rotated.
#[derive(Debug, thiserror::Error)]
#[error("the log file {0} cannot be {1}: {2}; see that the disk is not full")]
struct RotateError(PathBuf, &'static str, #[source] io::Error);

/// Rotates logs for as long as the node runs.
pub async fn run(runtime: Runtime, manager: Arc<Manager>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        for known in manager.pods() {
            let running = known
                .state
                .containers
                .iter()
                .filter(|c| c.phase == Phase::Running);
            for container in running {
                let path = PathBuf::from(&container.log_path);
                if let Err(error) = look(&runtime, &container.id, &path, MOST_BYTES).await {
                    tracing::warn!("the log of container {} is not rotated: {error}", container.id);
                }
            }
        }
    }
}

/// Rotates one log, if it is large; has one made that is missing.
async fn look(runtime: &Runtime, id: &str, path: &Path, most: u64) -> Result<(), Failure> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() < most => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(runtime.reopen_container_log(id).await?);
        }
        Err(error) => return Err(RotateError(path.into(), "read", error).into()),
    }
    let (log, aside) = (path.to_path_buf(), aside(path));
    let moved = aside.clone();
    // Compressing takes a moment.
    tokio::task::spawn_blocking(move || {
        tidy(&log)?;
        fs::rename(&log, &moved).map_err(|e| RotateError(log, "moved", e))
    })
    .await
    .map_err(|e| RotateError(path.into(), "compressed", io::Error::other(e)))??;
    if let Err(error) = runtime.reopen_container_log(id).await {
        // Back, so that it is tried again; the runtime still writes to it.
        fs::rename(&aside, path).map_err(|e| RotateError(aside, "moved back", e))?;
        return Err(error.into());
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    File(#[from] RotateError),
    #[error(transparent)]
    Cri(#[from] crate::cri::CriError),
}

/// Removes all files of a log.
pub fn remove(log: &Path) -> io::Result<()> {
    let files = rotated(log)?.into_iter().chain([log.to_path_buf()]);
    for file in files {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A name for a log that is moved aside now.
fn aside(log: &Path) -> PathBuf {
    let format = format_description!("[year][month][day]-[hour][minute][second]");
    let now = OffsetDateTime::now_utc();
    with(
        log,
        &now.format(&format)
            .unwrap_or_else(|_| now.unix_timestamp().to_string()),
    )
}

/// A name with another ending.
fn with(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}

/// The files beside a log that were made from it, the oldest first.
fn rotated(log: &Path) -> io::Result<Vec<PathBuf>> {
    let name = log.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{name}.");
    let mut found = Vec::new();
    let dir = match fs::read_dir(log.parent().unwrap_or(Path::new("/"))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        dir => dir?,
    };
    for entry in dir {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Makes room for one more file: removes what an earlier rotation left half-done, and the oldest, and compresses the
/// others.
fn tidy(log: &Path) -> Result<(), RotateError> {
    let all = rotated(log).map_err(|e| RotateError(log.into(), "listed", e))?;
    let ends = |file: &Path, ending: &str| file.extension().is_some_and(|e| e == ending);
    let unused = |file: &PathBuf| ends(file, TEMPORARY) || all.contains(&with(file, COMPRESSED));
    let (unused, kept): (Vec<_>, Vec<_>) = all.iter().cloned().partition(unused);
    // Two places are for the log that is moved aside now, and the new one.
    let excess = kept.len().saturating_sub(MOST_FILES - 2);
    for file in unused.iter().chain(&kept[..excess]) {
        fs::remove_file(file).map_err(|e| RotateError(file.clone(), "removed", e))?;
    }
    for file in kept[excess..].iter().filter(|f| !ends(f, COMPRESSED)) {
        compress(file).map_err(|e| RotateError(file.clone(), "compressed", e))?;
    }
    Ok(())
}

fn compress(file: &Path) -> io::Result<()> {
    let temporary = with(file, TEMPORARY);
    let written = || -> io::Result<()> {
        let mut from = File::open(file)?;
        let to = File::create(&temporary)?;
        to.set_permissions(from.metadata()?.permissions())?;
        let mut encoder = GzEncoder::new(to, Compression::default());
        io::copy(&mut from, &mut encoder)?;
        encoder.finish()?;
        fs::rename(&temporary, with(file, COMPRESSED))
    };
    if let Err(error) = written() {
        // The failure to tell is the first one; what is left is removed by the next rotation.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    fs::remove_file(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn makes_room() {
        let check = |before: &[&str], expected: &[&str]| {
            let dir = tempfile::tempdir().unwrap();
            for name in before {
                fs::write(dir.path().join(name), "text").unwrap();
            }
            tidy(&dir.path().join("0.log")).unwrap();
            let entries = fs::read_dir(dir.path()).unwrap();
            let mut after: Vec<String> = entries
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            after.sort();
            assert_eq!(after, expected, "{before:?}");
        };
        check(&["0.log"], &["0.log"]);
        check(&["0.log", "0.log.1"], &["0.log", "0.log.1.gz"]);
        check(
            &[
                "0.log",
                "0.log.1.gz",
                "0.log.2.gz",
                "0.log.3.gz",
                "0.log.4",
                "1.log.1",
            ],
            &["0.log", "0.log.2.gz", "0.log.3.gz", "0.log.4.gz", "1.log.1"],
        );
        check(
            &["0.log", "0.log.1", "0.log.1.gz", "0.log.2.tmp"],
            &["0.log", "0.log.1.gz"],
        );
    }

    #[test]
    fn compresses_and_removes() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        let old = aside(&log);
        fs::write(&log, "new").unwrap();
        fs::write(&old, "old").unwrap();
        compress(&old).unwrap();
        let mut text = String::new();
        let file = File::open(with(&old, COMPRESSED)).unwrap();
        flate2::read::GzDecoder::new(file)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "old");
        remove(&log).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        remove(&dir.path().join("none/0.log")).unwrap();
    }
}
