//! Stock kubectl, in every version there is.

use crate::server::Server;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kubectl, on one server.
pub struct Kubectl<'a> {
    pub program: &'a Path,
    pub server: &'a Server,
}

impl Kubectl<'_> {
    /// Runs it; its output and its errors, trimmed.
    pub fn run(&self, args: &[&str]) -> String {
        let output = Command::new(self.program)
            .args(["--kubeconfig", self.server.kubeconfig(), "--request-timeout=10s"])
            .args(args)
            .output()
            .expect("kubectl runs");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).trim().to_string()
    }

    /// Runs it; its output must contain something.
    #[track_caller]
    pub fn check(&self, args: &str, expected: &str) {
        let args: Vec<&str> = args.split(' ').collect();
        let output = self.run(&args);
        assert!(
            output.contains(expected),
            "{} {args:?} said:\n{output}\nexpected:\n{expected}",
            self.program.display()
        );
    }
}

/// Every kubectl there is: those that GANTRY_TEST_KUBECTLS lists, with colons between, and those in PATH that are named
/// kubectl or, for a version, kubectl.1.33.
pub fn kubectls() -> Vec<PathBuf> {
    let listed = std::env::var_os("GANTRY_TEST_KUBECTLS").unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path)
        .filter_map(|folder| folder.read_dir().ok())
        .flat_map(|entries| entries.flatten())
        .map(|entry| entry.path())
        .filter(|p| {
            let name = p.file_name().unwrap_or_default().to_string_lossy();
            name == "kubectl" || name.starts_with("kubectl.1.")
        });
    let mut seen = Vec::new();
    let mut found: Vec<PathBuf> = std::env::split_paths(&listed).chain(in_path).collect();
    found.retain(|program| {
        let real = program.canonicalize().ok();
        let new = real.as_ref().is_some_and(|real| !seen.contains(real));
        seen.extend(real);
        new
    });
    if found.is_empty() {
        println!("skipped: kubectl is not in PATH");
    }
    found
}
