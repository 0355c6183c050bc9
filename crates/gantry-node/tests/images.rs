//! Importing archives into real containerd. Needs root; says so when it cannot run.

mod common;

use common::{Bench, IMAGE, possible};
use flate2::Compression;
use flate2::write::GzEncoder;
use gantry_node::image::{self, archive};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An archive in the OCI layout, with the name that its index gives.
fn oci(dir: &Path, name: &str) -> PathBuf {
    let layout = dir.join("layout");
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let blob = |type_: &str, content: &[u8]| {
        let digest = format!("{:x}", Sha256::digest(content));
        std::fs::write(blobs.join(&digest), content).unwrap();
        json!({"mediaType": format!("application/vnd.oci.image.{type_}"), "size": content.len(),
            "digest": format!("sha256:{digest}")})
    };
    std::fs::write(dir.join("file"), "content").unwrap();
    pack(dir, "layer.tar", &["file"]);
    let layer = std::fs::read(dir.join("layer.tar")).unwrap();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({"architecture": architecture, "os": "linux", "config": {"Entrypoint": ["/file"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{:x}", Sha256::digest(&layer))]}});
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("config.v1+json", config.to_string().as_bytes()),
        "layers": [blob("layer.v1.tar", &layer)]});
    let mut entry = blob("manifest.v1+json", manifest.to_string().as_bytes());
    entry["annotations"] = json!({"io.containerd.image.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
    pack(&layout, "../oci.tar", &["oci-layout", "index.json", "blobs"])
}

fn pack(dir: &Path, name: &str, files: &[&str]) -> PathBuf {
    let file = dir.join(name);
    let status = Command::new("tar")
        .arg("-C")
        .arg(dir)
        .arg("-cf")
        .arg(&file)
        .args(files)
        .status();
    assert!(status.unwrap().success());
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_imported_and_listed() {
    if !possible() {
        return;
    }
    let bench = Bench::new(6).await;
    let node = bench.start().await;
    let socket = bench.data_dir().join("containerd/containerd.sock");
    let dir = bench.dir.path();
    let write = |name: &str, content: &[u8]| {
        let file = dir.join(name);
        std::fs::write(&file, content).unwrap();
        file
    };
    let plain = |name: &str| {
        let files = [archive::File {
            path: "a",
            mode: 0o755,
            content: b"content",
        }];
        archive::build(name, &files, &["/a"])
    };
    let gz = |content: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    let good = [
        (
            write("docker.tar", &plain("example.com/plain:1")),
            "example.com/plain:1",
        ),
        (
            write("docker.tar.gz", &gz(&plain("example.com/gz:1"))),
            "example.com/gz:1",
        ),
        (oci(dir, "example.com/oci:1"), "example.com/oci:1"),
    ];
    for (file, name) in good {
        let names = image::import_image(&socket, &file).await.unwrap();
        assert_eq!(names, [name], "{}", file.display());
    }
    let listed = image::list_images(&socket).await.unwrap();
    let names: Vec<&String> = listed.iter().flat_map(|i| &i.repo_tags).collect();
    for name in [
        "example.com/plain:1",
        "example.com/gz:1",
        "example.com/oci:1",
        image::PAUSE_IMAGE,
    ] {
        assert!(names.iter().any(|n| *n == name), "{name} is not in {names:?}");
    }
    assert!(!names.iter().any(|n| *n == IMAGE));

    let half = plain("example.com/half:1");
    let bad = [
        (write("text", b"hello"), "is no image archive"),
        (write("half.tar", &half[..half.len() / 2]), "unexpected EOF"),
        (
            write("half.gz", &gz(&half)[..200]),
            "cannot be read: incomplete deflate stream",
        ),
        (pack(dir, "other.tar", &["text"]), "unrecognized image format"),
        (dir.join("none"), "cannot be read"),
    ];
    for (file, text) in bad {
        let error = image::import_image(&socket, &file).await.unwrap_err().to_string();
        assert!(error.contains(text) && error.lines().count() == 1, "{error}");
    }
    bench.end(node).await;
}
