//! Compiles the CRI messages, and the pause program for the built-in pause image.

use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=src/pause/pause.rs");
    let files = protox::compile(["api.proto", "health.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds(files)?;
    compile_pause()
}

/// A static program without any library, so that it needs no C toolchain's runtime files.
fn compile_pause() -> Result<(), Box<dyn std::error::Error>> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("pause");
    let status = Command::new(std::env::var("RUSTC")?)
        .args(["--edition=2024", "--crate-type=bin", "--target"])
        .arg(std::env::var("TARGET")?)
        .args([
            "-Cpanic=abort",
            "-Copt-level=s",
            "-Crelocation-model=static",
            "-Cstrip=symbols",
        ])
        .args([
            "-Clink-arg=-nostdlib",
            "-Clink-arg=-nostartfiles",
            "-Clink-arg=-static",
            "-o",
        ])
        .arg(&out)
        .arg("src/pause/pause.rs")
        .status()?;
    if !status.success() {
        return Err("the pause program could not be compiled".into());
    }
    Ok(())
}
