//! Images: the built-in pause image, archives, and pulling with back-off.

pub mod archive;
mod name;
mod pull;

pub use pull::{PullError, Puller};

use crate::containerd::find_program;
use crate::cri::{CriError, Runtime, v1};
use flate2::read::MultiGzDecoder;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

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
    /// The built-in image could not be written.
    #[error("{0} cannot be written: {1}; run as root, and see that the disk is not full")]
    Write(String, #[source] std::io::Error),
    /// The file is no archive.
    #[error("{0} is no image archive: make one with `docker save` or in the OCI layout, as a tar file")]
    NoArchive(String),
    /// The archive is packed with zstd.
    #[error("{0} is compressed with zstd: decompress it first, with `zstd -d`")]
    Zstd(String),
    /// No image of the archive has a name.
    #[error("{0} has no image with a name: name it when it is saved, as in `docker save NAME:TAG`")]
    Nameless(String),
    /// The ctr program is not there.
    #[error("ctr is not installed: install the Debian package containerd")]
    NoCtr,
    /// The ctr program could not be run.
    #[error("ctr could not be run: {0}")]
    Ctr(#[source] std::io::Error),
    /// The import failed.
    #[error(
        "{0} could not be imported: {1}; see that it is whole, and an image that `docker save` or an OCI tool wrote"
    )]
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
        .map_err(|e| ImageError::Write(file.display().to_string(), e))?;
    import_image(containerd, &file).await?;
    Ok(())
}

/// Imports an archive, as `docker save` or OCI tools write it, and returns the names of its images.
pub async fn import_image(containerd: &Path, file: &Path) -> Result<Vec<String>, ImageError> {
    let format = format(file)?;
    let mut command = ctr(containerd)?;
    let snapshotter = snapshotter(containerd).await?;
    command.args(["images", "import", "--snapshotter", &snapshotter]);
    let path = file.to_path_buf();
    let ran = tokio::task::spawn_blocking(move || match format {
        Format::Tar => command.arg(path).output().map_err(ImageError::Ctr),
        Format::Gzip => unpacked(command, &path),
    });
    // The task is neither aborted nor does it panic.
    let output = ran.await.map_err(|e| ImageError::Ctr(e.into()))??;
    let name = || file.display().to_string();
    if !output.status.success() {
        return Err(ImageError::Import(name(), last_line(&output)));
    }
    // ctr prints a line `unpacking NAME (DIGEST)...done` for each image.
    let text = String::from_utf8_lossy(&output.stdout);
    let names: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("unpacking ")?.split(' ').next())
        .map(String::from)
        .collect();
    if names.is_empty() {
        return Err(ImageError::Nameless(name()));
    }
    wait_until_known(containerd, &names).await?;
    Ok(names)
}

/// Runs ctr with what is in a compressed archive, for it takes only plain ones.
fn unpacked(mut ctr: Command, file: &Path) -> Result<Output, ImageError> {
    let read = |e| ImageError::Read(file.display().to_string(), e);
    let mut archive = MultiGzDecoder::new(std::fs::File::open(file).map_err(read)?);
    let mut child = ctr
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(ImageError::Ctr)?;
    let fed = child.stdin.take().map(|mut stdin| {
        // Its few lines of output fit into the pipes while it is fed.
        std::io::copy(&mut archive, &mut stdin)
    });
    let output = child.wait_with_output().map_err(ImageError::Ctr)?;
    match fed {
        // ctr has ended first, and says why.
        Some(Err(error)) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(read(error)),
        _ => Ok(output),
    }
}

/// containerd tells its CRI part about new images a moment after it has them.
async fn wait_until_known(containerd: &Path, names: &[String]) -> Result<(), ImageError> {
    let failed = |e| ImageError::Runtime(containerd.display().to_string(), e);
    let runtime = Runtime::new(containerd).map_err(failed)?;
    let end = tokio::time::Instant::now() + KNOWN;
    for name in names {
        while runtime.image_status(name).await.map_err(failed)?.is_none() {
            if tokio::time::Instant::now() > end {
                return Err(ImageError::Unseen(name.clone()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
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
        .args(["--namespace", "k8s.io"]);
    Ok(command)
}

/// The snapshotter that CRI uses: an image is of no use unpacked into another.
async fn snapshotter(containerd: &Path) -> Result<String, ImageError> {
    let failed = |e| ImageError::Runtime(containerd.display().to_string(), e);
    let runtime = Runtime::new(containerd).map_err(failed)?;
    let status = runtime.status(v1::StatusRequest { verbose: true }).await;
    let info = status.map_err(failed)?.info;
    let config = info.get("config").map_or("", String::as_str);
    let config: serde_json::Value = serde_json::from_str(config).unwrap_or_default();
    let name = config["containerd"]["snapshotter"].as_str();
    Ok(name.unwrap_or("overlayfs").to_string())
}

/// How an archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Tar,
    Gzip,
}

/// A tar file has `ustar` at a fixed place; compressed ones begin with the marks of gzip and zstd.
fn format(file: &Path) -> Result<Format, ImageError> {
    let name = || file.display().to_string();
    let mut head = Vec::new();
    std::fs::File::open(file)
        .and_then(|f| f.take(512).read_to_end(&mut head))
        .map_err(|e| ImageError::Read(name(), e))?;
    if head.get(257..262) == Some(b"ustar") {
        Ok(Format::Tar)
    } else if head.starts_with(&[0x1f, 0x8b]) {
        Ok(Format::Gzip)
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Err(ImageError::Zstd(name()))
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
        let check = |content: &[u8], expected: Option<Format>| {
            let file = dir.path().join("file");
            std::fs::write(&file, content).unwrap();
            assert_eq!(format(&file).ok(), expected, "{content:?}");
        };
        check(b"", None);
        check(b"hello", None);
        check(&[0x1f, 0x8b, 8], Some(Format::Gzip));
        check(&[0x28, 0xb5, 0x2f, 0xfd], None);
        check(&archive::build("a:1", &[], &["/a"]), Some(Format::Tar));
        assert!(matches!(
            format(&dir.path().join("none")),
            Err(ImageError::Read(..))
        ));
    }
}
