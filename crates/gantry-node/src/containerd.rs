//! containerd as a child that outlives this process: started once, found again, restarted when it dies.

use crate::cri::{CriError, Runtime, v1};
use crate::node::machine;
use serde_json::Value;
use std::fmt::Write as _;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a pod may take to be removed, with all tries.
const REMOVAL: Duration = Duration::from_secs(20);
/// How long containerd may take to answer after its start.
const START: Duration = Duration::from_secs(30);
/// The same for one that somebody else starts: when a machine boots, it may be a moment behind.
const GIVEN_START: Duration = Duration::from_secs(5);
/// How long containerd may take to end after SIGTERM.
const STOP: Duration = Duration::from_secs(10);
/// The pauses between restarts.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Where Debian puts CNI plugins.
const PLUGINS: &str = "/usr/lib/cni";
/// Mebibytes that must be free at the start.
const LEAST_FREE: i64 = 64;
/// A log larger than this is set aside at start.
const LOG_LIMIT: u64 = 16 << 20;

/// Why containerd does not run.
#[derive(Debug, thiserror::Error)]
pub enum ContainerdError {
    /// A program is not installed.
    #[error("{program} is not installed: install the Debian package {package}")]
    Missing {
        /// The program.
        program: &'static str,
        /// What brings it.
        package: &'static str,
    },
    /// A plugin of the pods' network is not installed.
    #[error(
        "the CNI plugin {plugin}, which {file} names, is not in {PLUGINS}: install the Debian package containernetworking-plugins"
    )]
    Plugin {
        /// Its name.
        plugin: String,
        /// The configuration that names it.
        file: String,
    },
    /// There is no room for images and pods.
    #[error(
        "the disk that holds {dir} is full ({free} MiB are free, {LEAST_FREE} are needed): remove something, or choose another directory with --data-dir"
    )]
    Full {
        /// The data directory.
        dir: String,
        /// Free mebibytes.
        free: i64,
    },
    /// A file or directory could not be made.
    #[error("{0} cannot be used: {1}; run as root, and see that the disk is not full")]
    File(String, #[source] io::Error),
    /// The program could not be started.
    #[error("containerd could not be started: {0}")]
    Spawn(#[source] io::Error),
    /// It runs, but does not answer.
    #[error("containerd does not answer on {socket}: {why}; see {log}")]
    Silent {
        /// Its socket.
        socket: String,
        /// Its log.
        log: String,
        /// The last failure.
        why: CriError,
    },
    /// The one that was given does not answer.
    #[error(
        "no containerd answers on {socket}: {why}; start it, or leave out --containerd-endpoint and gantry runs its own"
    )]
    Absent {
        /// Its socket.
        socket: String,
        /// The last failure.
        why: CriError,
    },
    /// The runtime refused.
    #[error(transparent)]
    Cri(#[from] CriError),
}

/// Where containerd's files lie.
#[derive(Clone, Debug)]
pub struct Paths {
    base: PathBuf,
    cni: PathBuf,
}

impl Paths {
    /// Below a data directory.
    pub fn new(data_dir: &Path) -> Self {
        Paths {
            base: data_dir.join("containerd"),
            cni: data_dir.join("cni/net.d"),
        }
    }

    /// The socket it listens on.
    pub fn socket(&self) -> PathBuf {
        self.base.join("containerd.sock")
    }

    /// Where CNI configurations are read from.
    pub fn cni_conf_dir(&self) -> &Path {
        &self.cni
    }

    fn pid_file(&self) -> PathBuf {
        self.base.join("containerd.pid")
    }

    fn config_file(&self) -> PathBuf {
        self.base.join("config.toml")
    }

    fn log_file(&self) -> PathBuf {
        self.base.join("containerd.log")
    }

    fn silent(&self, why: CriError) -> ContainerdError {
        ContainerdError::Silent {
            socket: self.socket().display().to_string(),
            log: self.log_file().display().to_string(),
            why,
        }
    }
}

/// Makes sure that a containerd of ours answers. [`keep`] sees that it goes on.
pub async fn ensure(data_dir: &Path, sandbox_image: &str) -> Result<Runtime, ContainerdError> {
    let paths = Paths::new(data_dir);
    check_plugins(paths.cni_conf_dir(), Path::new(PLUGINS))?;
    check_room(data_dir, LEAST_FREE)?;
    let runtime = Runtime::new(&paths.socket())?;
    if running_pid(&paths).is_none() || answers(&runtime).await.is_err() {
        start(&paths, sandbox_image)?;
    }
    wait_until_it_answers(&runtime, START)
        .await
        .map_err(|why| paths.silent(why))?;
    Ok(runtime)
}

/// The containerd that somebody else runs.
pub async fn given(socket: &Path) -> Result<Runtime, ContainerdError> {
    let runtime = Runtime::new(socket)?;
    let absent = |why| ContainerdError::Absent {
        socket: socket.display().to_string(),
        why,
    };
    wait_until_it_answers(&runtime, GIVEN_START)
        .await
        .map_err(absent)?;
    Ok(runtime)
}

/// Sees that all plugins that the CNI configurations in `dir` name are there.
fn check_plugins(dir: &Path, plugins: &Path) -> Result<(), ContainerdError> {
    let failed = |file: &Path, e| ContainerdError::File(file.display().to_string(), e);
    let entries = match std::fs::read_dir(dir) {
        // Without a configuration, the node is not ready, and says so.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|e| failed(dir, e))?,
    };
    for entry in entries {
        let file = entry.map_err(|e| failed(dir, e))?.path();
        let text = std::fs::read_to_string(&file).map_err(|e| failed(&file, e))?;
        // What is no JSON is for containerd to complain about.
        let config: Value = serde_json::from_str(&text).unwrap_or_default();
        let listed = config["plugins"].as_array().map_or(&[][..], Vec::as_slice);
        let named = listed
            .iter()
            .chain([&config])
            .flat_map(|plugin| [&plugin["type"], &plugin["ipam"]["type"]]);
        for plugin in named.filter_map(Value::as_str) {
            if !plugins.join(plugin).is_file() {
                return Err(ContainerdError::Plugin {
                    plugin: plugin.to_string(),
                    file: file.display().to_string(),
                });
            }
        }
    }
    Ok(())
}

/// Sees that there is room: containerd would only say that it cannot start.
fn check_room(data_dir: &Path, least: i64) -> Result<(), ContainerdError> {
    let failed = |e| ContainerdError::File(data_dir.display().to_string(), e);
    std::fs::create_dir_all(data_dir).map_err(failed)?;
    let free = machine::disk(data_dir).map_err(failed)?.free >> 20;
    match free < least {
        true => Err(ContainerdError::Full {
            dir: data_dir.display().to_string(),
            free,
        }),
        false => Ok(()),
    }
}

/// Removes all pods, ends containerd, and unmounts what is left below `data_dir`. For `make down`.
pub async fn teardown(data_dir: &Path) -> Result<(), ContainerdError> {
    let paths = Paths::new(data_dir);
    if paths.config_file().exists() {
        let runtime = Runtime::new(&paths.socket())?;
        if answers(&runtime).await.is_err() {
            // Containers may have survived a dead containerd; only it can take them down.
            spawn(&paths)?;
            wait_until_it_answers(&runtime, START)
                .await
                .map_err(|why| paths.silent(why))?;
        }
        remove_pods(&runtime).await?;
        stop(&paths).await;
    }
    unmount_below(data_dir)
}

/// Stops and removes every pod sandbox.
async fn remove_pods(runtime: &Runtime) -> Result<(), CriError> {
    let list = runtime
        .list_pod_sandbox(v1::ListPodSandboxRequest::default())
        .await?;
    let removals = list.items.iter().map(|sandbox| async {
        let end = Instant::now() + REMOVAL;
        loop {
            let removed = match runtime.stop_pod_sandbox(&sandbox.id).await {
                Ok(_) => runtime.remove_pod_sandbox(&sandbox.id).await,
                Err(error) => Err(error),
            };
            match removed {
                // What the node began before it ended may still be under way, and is in the way.
                Err(_) if Instant::now() < end => sleep(Duration::from_millis(100)).await,
                done => return done,
            }
        }
    });
    futures::future::try_join_all(removals).await.map(drop)
}

async fn answers(runtime: &Runtime) -> Result<(), CriError> {
    runtime.version(v1::VersionRequest::default()).await.map(drop)
}

async fn wait_until_it_answers(runtime: &Runtime, within: Duration) -> Result<(), CriError> {
    let end = Instant::now() + within;
    loop {
        match answers(runtime).await {
            Ok(()) => return Ok(()),
            Err(why) if Instant::now() > end => return Err(why),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Starts containerd again whenever it is gone, until this is dropped: a node that has stopped must not bring back what
/// is being taken down.
pub async fn keep(data_dir: PathBuf, sandbox_image: &str) {
    let paths = Paths::new(&data_dir);
    let mut pause = FIRST_PAUSE;
    loop {
        sleep(pause).await;
        if running_pid(&paths).is_some() {
            pause = FIRST_PAUSE;
            continue;
        }
        tracing::warn!(
            "containerd has ended; starting it again (its log: {})",
            paths.log_file().display()
        );
        if let Err(error) = start(&paths, sandbox_image) {
            tracing::error!("{error}");
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The process of our containerd, if it lives. Its command line is checked, for process ids are used again.
fn running_pid(paths: &Paths) -> Option<i32> {
    let pid: i32 = std::fs::read_to_string(paths.pid_file())
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let config = paths.config_file();
    let ours = command
        .split(|b| *b == 0)
        .any(|argument| argument == config.as_os_str().as_encoded_bytes());
    ours.then_some(pid)
}

fn start(paths: &Paths, sandbox_image: &str) -> Result<(), ContainerdError> {
    for (program, package) in [("containerd", "containerd"), ("runc", "runc")] {
        if find_program(program).is_none() {
            return Err(ContainerdError::Missing { program, package });
        }
    }
    for dir in [&paths.base, &paths.cni] {
        std::fs::create_dir_all(dir).map_err(|e| ContainerdError::File(dir.display().to_string(), e))?;
    }
    let snapshotter = if overlay_works(&paths.base) {
        "overlayfs"
    } else {
        "native"
    };
    let config = config(paths, sandbox_image, snapshotter, may_lower_oom_scores());
    let file = paths.config_file();
    std::fs::write(&file, config).map_err(|e| ContainerdError::File(file.display().to_string(), e))?;
    spawn(paths)
}

fn spawn(paths: &Paths) -> Result<(), ContainerdError> {
    let log_file = paths.log_file();
    let failed = |e| ContainerdError::File(log_file.display().to_string(), e);
    if std::fs::metadata(&log_file).is_ok_and(|m| m.len() > LOG_LIMIT) {
        std::fs::rename(&log_file, log_file.with_extension("log.1")).map_err(failed)?;
    }
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&log_file)
        .map_err(failed)?;
    let errors = log.try_clone().map_err(failed)?;
    let program = find_program("containerd").ok_or(ContainerdError::Missing {
        program: "containerd",
        package: "containerd",
    })?;
    let mut command = Command::new(program);
    command
        .arg("--config")
        .arg(paths.config_file())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    // SAFETY: setsid is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| {
            // A session of its own: nothing that ends this process ends containerd.
            if libc::setsid() < 0 {
                Err(io::Error::last_os_error())
            } else {
                Ok(())
            }
        });
    }
    let mut child = command.spawn().map_err(ContainerdError::Spawn)?;
    let pid_file = paths.pid_file();
    std::fs::write(&pid_file, format!("{}\n", child.id()))
        .map_err(|e| ContainerdError::File(pid_file.display().to_string(), e))?;
    // A thread that reaps it; it costs nothing while containerd runs.
    std::thread::spawn(move || child.wait());
    Ok(())
}

async fn stop(paths: &Paths) {
    let Some(pid) = running_pid(paths) else { return };
    let end = Instant::now() + STOP;
    signal(pid, libc::SIGTERM);
    while running_pid(paths) == Some(pid) {
        if Instant::now() > end {
            tracing::warn!("containerd (process {pid}) did not end in {STOP:?}; killing it");
            signal(pid, libc::SIGKILL);
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: kill takes two numbers; a process that is gone is no harm.
    unsafe { libc::kill(pid, signal) };
}

/// The path of a program, looked for in PATH and where Debian puts system programs.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ];
    std::env::split_paths(&path)
        .chain(usual.iter().map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Whether processes may be made less likely to be ended for memory; some virtual machines and containers withhold
/// that capability (CAP_SYS_RESOURCE) even from root, and runc then fails with an obscure message.
fn may_lower_oom_scores() -> bool {
    const SYS_RESOURCE: u32 = 24;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    let bits = effective
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    bits & (1 << SYS_RESOURCE) != 0
}

fn config(paths: &Paths, sandbox_image: &str, snapshotter: &str, lowers_oom_score: bool) -> String {
    let quoted = |path: &Path| Value::from(path.to_string_lossy()).to_string();
    let cri = "plugins.\"io.containerd.grpc.v1.cri\"";
    let mut text = String::from("# Written by gantry at each start of containerd.\nversion = 2\n");
    let mut line = |args: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{args}");
    };
    line(format_args!("root = {}", quoted(&paths.base.join("root"))));
    line(format_args!("state = {}", quoted(&paths.base.join("state"))));
    if lowers_oom_score {
        line(format_args!("oom_score = -999"));
    }
    line(format_args!("[grpc]\naddress = {}", quoted(&paths.socket())));
    line(format_args!("[debug]\nlevel = \"warn\""));
    line(format_args!(
        "[plugins.\"io.containerd.internal.v1.opt\"]\npath = {}",
        quoted(&paths.base.join("opt"))
    ));
    line(format_args!("[{cri}]\nsandbox_image = {sandbox_image:?}"));
    line(format_args!("restrict_oom_score_adj = {}", !lowers_oom_score));
    line(format_args!(
        "stream_server_address = \"127.0.0.1\"\nstream_server_port = \"0\""
    ));
    line(format_args!(
        "[{cri}.cni]\nbin_dir = {PLUGINS:?}\nconf_dir = {}",
        quoted(&paths.cni)
    ));
    line(format_args!(
        "[{cri}.registry]\nconfig_path = {}",
        quoted(&paths.base.join("certs.d"))
    ));
    line(format_args!(
        "[{cri}.containerd]\nsnapshotter = {snapshotter:?}\ndefault_runtime_name = \"runc\""
    ));
    line(format_args!(
        "[{cri}.containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\""
    ));
    line(format_args!(
        "[{cri}.containerd.runtimes.runc.options]\nSystemdCgroup = false"
    ));
    text
}

/// Whether overlayfs can be mounted below `base`; it cannot on some file systems, such as overlayfs itself.
fn overlay_works(base: &Path) -> bool {
    let dir = base.join("overlay-check");
    let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|d| dir.join(d));
    let made = [&lower, &upper, &work, &merged]
        .iter()
        .all(|d| std::fs::create_dir_all(d).is_ok());
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    let works = made && crate::mount::mount("overlay", &merged, "overlay", 0, &options).is_ok();
    if works && let Err(error) = crate::mount::unmount(&merged) {
        tracing::warn!("{error}");
    }
    if let Err(error) = std::fs::remove_dir_all(&dir) {
        tracing::warn!("{} cannot be removed: {error}", dir.display());
    }
    works
}

/// Unmounts everything below a directory, the last mounted first.
fn unmount_below(dir: &Path) -> Result<(), ContainerdError> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")
        .map_err(|e| ContainerdError::File("/proc/self/mounts".into(), e))?;
    let below = mounts.lines().rev().filter_map(|line| {
        let path = PathBuf::from(crate::mount::unescape(line.split(' ').nth(1)?));
        (path.starts_with(dir) && path != dir).then_some(path)
    });
    for path in below {
        if let Err(error) = crate::mount::unmount(&path) {
            tracing::warn!("{error}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_was_given_must_be_there() {
        let Err(error) = given(Path::new("/none/containerd.sock")).await else {
            panic!("nothing listens there");
        };
        let error = error.to_string();
        assert!(
            error.starts_with("no containerd answers on /none/containerd.sock: "),
            "{error}"
        );
    }

    #[test]
    fn a_stale_pid_file_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        std::fs::create_dir_all(&paths.base).unwrap();
        assert_eq!(running_pid(&paths), None, "no file");
        std::fs::write(paths.pid_file(), format!("{}\n", std::process::id())).unwrap();
        assert_eq!(running_pid(&paths), None, "this process is no containerd");
    }

    #[test]
    fn missing_plugins_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (conf, plugins) = (dir.path().join("net.d"), dir.path().join("cni"));
        let check = |expected: Result<(), &str>| {
            let result = check_plugins(&conf, &plugins).map_err(|e| e.to_string());
            let expected = expected.map_err(|plugin| {
                format!(
                    "the CNI plugin {plugin}, which {}/10-a.conflist names, is not in /usr/lib/cni: install the \
                     Debian package containernetworking-plugins",
                    conf.display()
                )
            });
            assert_eq!(result, expected);
        };
        check(Ok(()));
        for made in [&conf, &plugins] {
            std::fs::create_dir(made).unwrap();
        }
        let config =
            r#"{"plugins": [{"type": "bridge", "ipam": {"type": "host-local"}}, {"type": "portmap"}]}"#;
        std::fs::write(conf.join("10-a.conflist"), config).unwrap();
        for plugin in ["bridge", "host-local", "portmap"] {
            check(Err(plugin));
            std::fs::write(plugins.join(plugin), "").unwrap();
        }
        check(Ok(()));
    }

    #[test]
    fn a_full_disk_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_room(&dir.path().join("data"), 0).is_ok());
        let error = check_room(dir.path(), i64::MAX).unwrap_err().to_string();
        assert!(error.contains("is full") && error.lines().count() == 1, "{error}");
    }

    #[test]
    fn the_configuration_names_its_own_directories() {
        let text = config(&Paths::new(Path::new("/d")), "pause:1", "native", false);
        for expected in [
            "root = \"/d/containerd/root\"",
            "address = \"/d/containerd/containerd.sock\"",
            "conf_dir = \"/d/cni/net.d\"",
            "sandbox_image = \"pause:1\"",
            "snapshotter = \"native\"",
            "restrict_oom_score_adj = true",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    }
}
