//! Client libraries of other languages, installed once into the target directory, and the scripts beside this file that
//! drive a server through them.

use gantry_node::containerd::find_program;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An installation may take so many seconds, and so may a script.
const INSTALL: &str = "300";
const RUN: &str = "180";

/// A language's client library.
pub struct Library {
    interpreter: PathBuf,
    folder: PathBuf,
    variables: Vec<(&'static str, PathBuf)>,
}

/// PyPI's `kubernetes`; says why it cannot be had.
pub fn python() -> Option<Library> {
    let interpreter = program("python3")?;
    let version = output(&mut Command::new(&interpreter), &["--version"])?;
    let wanted = include_str!("requirements.txt");
    let folder = installed("python", &(version, wanted), |folder| {
        write(folder, "requirements.txt", wanted);
        let mut pip = bounded(INSTALL, &interpreter);
        pip.args(["-m", "pip", "install", "-q", "--disable-pip-version-check"]);
        pip.args(["--target", "lib", "-r", "requirements.txt"]);
        pip
    })?;
    write(&folder, "api.py", include_str!("api.py"));
    write(&folder, "exec.py", include_str!("exec.py"));
    let variables = vec![("PYTHONPATH", folder.join("lib"))];
    Some(Library {
        interpreter,
        folder,
        variables,
    })
}

/// npm's `@kubernetes/client-node`; says why it cannot be had.
pub fn node() -> Option<Library> {
    let interpreter = program("node")?;
    let npm = program("npm")?;
    let (package, lock) = (include_str!("package.json"), include_str!("package-lock.json"));
    let folder = installed("node", &(package, lock), |folder| {
        write(folder, "package.json", package);
        write(folder, "package-lock.json", lock);
        let mut ci = bounded(INSTALL, &npm);
        ci.args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]);
        ci
    })?;
    write(&folder, "api.js", include_str!("api.js"));
    write(&folder, "exec.js", include_str!("exec.js"));
    Some(Library {
        interpreter,
        folder,
        variables: Vec::new(),
    })
}

impl Library {
    /// Runs a script through `launch`, which makes a command of a program's name: each of its checks must pass.
    #[track_caller]
    pub fn check(&self, script: &str, kubeconfig: &Path, launch: impl FnOnce(&OsStr) -> Command) {
        let mut command = launch("timeout".as_ref());
        command.arg(RUN).arg(&self.interpreter).arg(script);
        command.current_dir(&self.folder).env("KUBECONFIG", kubeconfig);
        command.envs(self.variables.iter().map(|(k, v)| (k, v)));
        let output = command.output().expect("the script runs");
        assert!(output.status.success(), "{script}: {}", text(&output));
        println!("{script}:\n{}", text(&output));
    }
}

/// The folder of an installation, which `install` fills in at the first use of what `key` says.
fn installed(name: &str, key: &impl Hash, install: impl FnOnce(&Path) -> Command) -> Option<PathBuf> {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = root.join(format!("{name}-{:016x}", hasher.finish()));
    if folder.exists() {
        return Some(folder);
    }
    // It gets its name when it is whole.
    let new = tempfile::tempdir_in(root).expect("a folder");
    let output = install(new.path()).current_dir(new.path()).output();
    let output = output.expect("the installation runs");
    if !output.status.success() {
        println!(
            "skipped: the client library for {name} cannot be installed: {}",
            text(&output)
        );
        return None;
    }
    match std::fs::rename(new.path(), &folder) {
        Ok(()) => Some(folder),
        // Another test was faster.
        Err(_) if folder.exists() => Some(folder),
        Err(error) => panic!("{} cannot be made: {error}", folder.display()),
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let found = find_program(name);
    if found.is_none() {
        println!("skipped: {name} is not installed");
    }
    found
}

fn bounded(seconds: &str, program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.arg(seconds).arg(program);
    command
}

fn output(command: &mut Command, args: &[&str]) -> Option<String> {
    let output = command.args(args).output().ok()?;
    output.status.success().then(|| text(&output))
}

fn write(folder: &Path, name: &str, content: &str) {
    std::fs::write(folder.join(name), content).expect("a file can be written");
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).trim().to_string()
}
