//! Writes small image archives, in the layout of `docker save`.

use serde_json::json;
use sha2::{Digest, Sha256};

/// A file of an image.
pub struct File<'a> {
    /// Its path, without a leading slash.
    pub path: &'a str,
    /// Its permissions.
    pub mode: u32,
    /// Its content.
    pub content: &'a [u8],
}

/// An archive of one image with one layer, as a tar file.
pub fn build(name: &str, files: &[File<'_>], entrypoint: &[&str]) -> Vec<u8> {
    let mut layer = Vec::new();
    let mut directories: Vec<&str> = Vec::new();
    for file in files {
        for (end, _) in file.path.match_indices('/') {
            let directory = &file.path[..=end];
            if !directories.contains(&directory) {
                directories.push(directory);
                append(&mut layer, directory, 0o755, b'5', &[]);
            }
        }
        append(&mut layer, file.path, file.mode, b'0', file.content);
    }
    finish(&mut layer);
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {"Entrypoint": entrypoint, "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{:x}", Sha256::digest(&layer))]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "gantry"}],
    })
    .to_string();
    let manifest =
        json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).to_string();
    let mut archive = Vec::new();
    append(&mut archive, "config.json", 0o644, b'0', config.as_bytes());
    append(&mut archive, "layer.tar", 0o644, b'0', &layer);
    append(&mut archive, "manifest.json", 0o644, b'0', manifest.as_bytes());
    finish(&mut archive);
    archive
}

const BLOCK: usize = 512;

/// Appends one entry: a header in the ustar format, and the content padded to whole blocks.
fn append(tar: &mut Vec<u8>, path: &str, mode: u32, type_: u8, content: &[u8]) {
    let mut header = [0u8; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, &path.as_bytes()[..path.len().min(100)]);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{:011o}", content.len()).as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[type_]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar.extend_from_slice(&header);
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
}

fn finish(tar: &mut Vec<u8>) {
    tar.resize(tar.len() + 2 * BLOCK, 0);
}
