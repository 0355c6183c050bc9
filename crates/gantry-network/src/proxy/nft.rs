//! Runs the program nft.

use super::ProxyError;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A transaction may take this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Applies a transaction: all of it, or nothing.
pub(super) async fn apply(text: &str) -> Result<(), ProxyError> {
    match text.is_empty() {
        true => Ok(()),
        false => run(&["-f", "-"], text).await,
    }
}

/// Sees whether a transaction would do, without applying it.
pub(super) async fn check(text: &str) -> Result<(), ProxyError> {
    run(&["-c", "-f", "-"], text).await
}

async fn run(args: &[&str], text: &str) -> Result<(), ProxyError> {
    let mut child = Command::new("nft")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => ProxyError::Missing,
            _ => ProxyError::Run(e),
        })?;
    let stdin = child.stdin.take();
    let work = async {
        if let Some(mut stdin) = stdin {
            // nft that ends before it has read all says why by its status.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        child.wait_with_output().await.map_err(ProxyError::Run)
    };
    let output = tokio::time::timeout(PATIENCE, work)
        .await
        .map_err(|_| ProxyError::Refused(format!("no end after {PATIENCE:?}")))??;
    match output.status.success() {
        true => Ok(()),
        false => Err(ProxyError::Refused(reason(&output))),
    }
}

/// The first line that says what is wrong.
fn reason(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|l| !l.trim().is_empty());
    line.unwrap_or("nft gave no reason").trim().to_string()
}
