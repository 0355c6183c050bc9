//! Images: the built-in pause image, archives, and pulling with back-off.

pub mod archive;
mod pull;

pub use pull::{PullError, Puller};

use crate::containerd::find_program;
use crate::cri::{CriError, Runtime, v1};
use std::io::Read;
use std::path::Path;
use std::process::Output;
use std::time::Duration;
use tokio::process::Command;

/// The name of the built-in pause image.
pub const PAUSE_IMAGE: &str = "gantry.local/pause:1";
/// The pause program, compiled by build.rs.
const PAUSE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));
/// How long an imported image may take to become known to CRI.
const KNOWN: Duration = Duration::from_secs(10);

/// Why an image could not be imported or listed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The archive could not be read.
    #[error("{0} cannot be read: {1}")]
    Read(String, #[source] std::io::Error),
    /// The file is no archive.
    #[error("{0} is no image archive: make one with `docker save` or in the OCI layout, as a tar file")]
    NoArchive(String),
    /// The ctr program is not there.
    #[error("ctr is not installed: install the Debian package containerd")]
    NoCtr,
    /// The ctr program could not be run.
    #[error("ctr could not be run: {0}")]
    Ctr(#[source] std::io::Error),
    /// The import failed.
    #[error("{0} could not be imported: {1}")]
    Import(String, String),
    /// The image was imported, but the runtime does not show it.
    #[error("the image {0} was imported, but the container runtime does not show it")]
    Unseen(String),
    /// The runtime refused.
    #[error("the container runtime on {0} does not answer: {1}; is gantry running?")]
    Runtime(String, #[source] CriError),
}

/// Imports the pause image, unless it is there.
pub async fn ensure_pause(runtime: &Runtime, containerd: &Path, dir: &Path) -> Result<(), ImageError> {
    let failed = |e| ImageError::Runtime(containerd.display().to_string(), e);
    if runtime.image_status(PAUSE_IMAGE).await.map_err(failed)?.is_some() {
        return Ok(());
    }
    let files = [archive::File {
        path: "pause",
        mode: 0o755,
        content: PAUSE,
    }];
    let bytes = archive::build(PAUSE_IMAGE, &files, &["/pause"]);
    let file = dir.join("pause.tar");
    tokio::fs::write(&file, bytes)
        .await
        .map_err(|e| ImageError::Read(file.display().to_string(), e))?;
    import_image(containerd, &file).await?;
    // containerd tells its CRI part about new images a moment later.
    let end = tokio::time::Instant::now() + KNOWN;
    while runtime.image_status(PAUSE_IMAGE).await.map_err(failed)?.is_none() {
        if tokio::time::Instant::now() > end {
            return Err(ImageError::Unseen(PAUSE_IMAGE.into()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Imports an archive, as `docker save` or OCI tools write it, and returns the names of its images.
pub async fn import_image(containerd: &Path, file: &Path) -> Result<Vec<String>, ImageError> {
    check_archive(file)?;
    let output = ctr(containerd)?
        .args([
            "images",
            "import",
            "--snapshotter",
            &snapshotter(containerd).await,
        ])
        .arg(file)
        .output()
        .await
        .map_err(ImageError::Ctr)?;
    if !output.status.success() {
        return Err(ImageError::Import(file.display().to_string(), last_line(&output)));
    }
    // ctr prints a line `unpacking NAME (DIGEST)...done` for each image.
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .lines()
        .filter_map(|line| line.strip_prefix("unpacking ")?.split(' ').next())
        .map(String::from)
        .collect())
}

/// The images that the runtime has.
pub async fn list_images(containerd: &Path) -> Result<Vec<v1::Image>, ImageError> {
    let failed = |e| ImageError::Runtime(containerd.display().to_string(), e);
    let runtime = Runtime::new(containerd).map_err(failed)?;
    let list = runtime.list_images(v1::ListImagesRequest::default()).await;
    Ok(list.map_err(failed)?.images)
}

fn ctr(containerd: &Path) -> Result<Command, ImageError> {
    let mut command = Command::new(find_program("ctr").ok_or(ImageError::NoCtr)?);
    command
        .arg("--address")
        .arg(containerd)
        .args(["--namespace", "k8s.io"])
        .kill_on_drop(true);
    Ok(command)
}

/// The snapshotter that CRI uses: an image is of no use unpacked into another.
async fn snapshotter(containerd: &Path) -> String {
    let ask = async {
        let status = Runtime::new(containerd)?
            .status(v1::StatusRequest { verbose: true })
            .await?;
        Ok::<_, CriError>(status.info.get("config").cloned().unwrap_or_default())
    };
    let config = ask.await.unwrap_or_else(|error| {
        tracing::warn!("the snapshotter is not known, taking overlayfs: {error}");
        String::new()
    });
    let config: serde_json::Value = serde_json::from_str(&config).unwrap_or_default();
    config["containerd"]["snapshotter"]
        .as_str()
        .unwrap_or("overlayfs")
        .to_string()
}

/// A tar file has `ustar` at a fixed place; compressed ones begin with the marks of gzip and zstd.
fn check_archive(file: &Path) -> Result<(), ImageError> {
    let name = || file.display().to_string();
    let mut head = Vec::new();
    std::fs::File::open(file)
        .and_then(|f| f.take(512).read_to_end(&mut head))
        .map_err(|e| ImageError::Read(name(), e))?;
    let tar = head.get(257..262) == Some(b"ustar");
    if tar || head.starts_with(&[0x1f, 0x8b]) || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Ok(())
    } else {
        Err(ImageError::NoArchive(name()))
    }
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text
        .lines()
        .rev()
        .find(|l| !l.trim().is_empty())
        .unwrap_or("it gave no reason");
    line.trim_start_matches("ctr: ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_archives_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let check = |content: &[u8], expected: bool| {
            let file = dir.path().join("file");
            std::fs::write(&file, content).unwrap();
            assert_eq!(check_archive(&file).is_ok(), expected, "{content:?}");
        };
        check(b"", false);
        check(b"hello", false);
        check(&[0x1f, 0x8b, 8], true);
        check(&archive::build("a:1", &[], &["/a"]), true);
        assert!(matches!(
            check_archive(&dir.path().join("none")),
            Err(ImageError::Read(..))
        ));
    }
}
