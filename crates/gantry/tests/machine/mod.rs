//! A machine for one test: a network namespace with an address, and gantry in it as control plane and node.

use gantry_node::containerd::find_program;
use gantry_node::image::archive;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The image that tests run: busybox.
pub const IMAGE: &str = "gantry.local/busybox:1";
const ADDRESS: &str = "198.18.0.1";
/// No wait in these tests may take longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Whether these tests can run here; says why not.
pub fn possible() -> bool {
    // SAFETY: geteuid only reads.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: a node needs root");
        return false;
    }
    let programs = ["containerd", "runc", "nft", "ip", "nsenter", "busybox", "kubectl"];
    match programs.iter().find(|p| find_program(p).is_none()) {
        Some(program) => eprintln!("skipped: {program} is not installed"),
        None => return true,
    }
    false
}

/// A machine; dropping it ends and removes all.
pub struct Machine {
    namespace: String,
    dir: TempDir,
    server: Option<Child>,
    ended: bool,
}

impl Machine {
    /// A machine that nothing runs on yet; `name` sets it apart from those of other tests.
    pub fn new(name: &str) -> Machine {
        let namespace = format!("gantry-{name}-{}", std::process::id());
        let dir = tempfile::Builder::new()
            .prefix("gantry-test")
            .tempdir()
            .expect("a folder");
        let machine = Machine {
            namespace,
            dir,
            server: None,
            ended: false,
        };
        let n = &machine.namespace;
        // The peer stays in the namespace too: all that is wanted is an interface that is up and has the default route.
        for line in [
            format!("netns add {n}"),
            format!("-n {n} link set lo up"),
            format!("-n {n} link add eth0 type veth peer name eth1"),
            format!("-n {n} address add {ADDRESS}/24 dev eth0"),
            format!("-n {n} link set eth0 up"),
            format!("-n {n} link set eth1 up"),
            format!("-n {n} route add default via 198.18.0.2 dev eth0"),
        ] {
            let output = Command::new("ip")
                .args(line.split(' '))
                .output()
                .expect("ip runs");
            assert!(output.status.success(), "ip {line}: {}", text(&output));
        }
        machine
    }

    /// The machine's address.
    pub fn address(&self) -> &'static str {
        ADDRESS
    }

    /// Starts gantry, and waits until it says that all is ready.
    pub fn start(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("gantry.log"))
            .expect("a log");
        let child = self
            .inside(env!("CARGO_BIN_EXE_gantry"))
            .arg("server")
            .arg("--data-dir")
            .arg(self.data())
            .args(["--node-name", "node-1", "--node-ip", ADDRESS])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("gantry starts");
        self.server = Some(child);
        let said = self.gantry(&["status", "--wait", "60"]);
        assert!(
            said.contains("DNS answers at 10.43.0.10"),
            "{said}\n{}",
            self.log()
        );
    }

    /// Kills gantry, as kill -9 does.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("a running server");
        server.kill().expect("the server can be killed");
        server.wait().expect("the server can be waited for");
    }

    /// Imports the image [`IMAGE`] by `gantry image import`.
    pub fn import_image(&self) {
        let busybox = std::fs::read(find_program("busybox").expect("busybox")).expect("busybox can be read");
        let files = [archive::File {
            path: "bin/busybox",
            mode: 0o755,
            content: &busybox,
        }];
        let file = self.path("busybox.tar");
        std::fs::write(&file, archive::build(IMAGE, &files, &["/bin/busybox"])).expect("a file");
        let said = self.gantry(&["image", "import", &file.display().to_string()]);
        assert!(said.contains(IMAGE), "{said}");
    }

    /// Runs a gantry command on the machine's data: what it printed.
    pub fn gantry(&self, args: &[&str]) -> String {
        let mut command = self.inside(env!("CARGO_BIN_EXE_gantry"));
        text(
            &command
                .args(args)
                .arg("--data-dir")
                .arg(self.data())
                .output()
                .expect("gantry runs"),
        )
    }

    /// Runs `gantry bench pods`, also against the machine's containerd: what it printed.
    pub fn bench_pods(&self, args: &[&str]) -> String {
        let socket = self.data().join("agent/containerd/containerd.sock");
        let mut command = self.inside(env!("CARGO_BIN_EXE_gantry"));
        command.args(["bench", "pods", "--kubeconfig"]);
        command.arg(self.data().join("admin.kubeconfig"));
        command.arg("--containerd-endpoint").arg(socket);
        text(&command.args(args).output().expect("gantry runs"))
    }

    /// Runs kubectl on the words of `line`, of which '…' in quotes is one: what it printed.
    pub fn kubectl(&self, line: &str) -> String {
        text(&self.command(&words(line)).output().expect("kubectl runs"))
    }

    /// Runs kubectl with `input`: what it printed.
    pub fn with_input(&self, line: &str, input: &str) -> String {
        let mut command = self.command(&words(line));
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn().expect("kubectl runs");
        let mut pipe = child.stdin.take().expect("a pipe");
        pipe.write_all(input.as_bytes()).expect("kubectl reads");
        drop(pipe);
        text(&child.wait_with_output().expect("kubectl ends"))
    }

    /// Runs kubectl, which must print `expected`.
    #[track_caller]
    pub fn check(&self, line: &str, expected: &str) {
        let output = self.command(&words(line)).output().expect("kubectl runs");
        let said = text(&output);
        assert!(
            said.contains(expected) && (!expected.is_empty() || output.status.success()),
            "kubectl {line} said:\n{said}\nexpected:\n{expected}\n{}",
            self.state()
        );
    }

    /// Applies a manifest, in which IMAGE stands for the test's image.
    #[track_caller]
    pub fn apply(&self, manifest: &str) {
        let said = self.with_input("apply -f -", &manifest.replace("IMAGE", IMAGE));
        assert!(
            said.lines()
                .all(|l| l.ends_with("created") || l.ends_with("configured")),
            "{said}"
        );
    }

    /// Waits by `kubectl wait`.
    #[track_caller]
    pub fn wait(&self, what: &str, condition: &str) {
        self.check(
            &format!("wait {what} --for={condition} --timeout=60s"),
            "condition met",
        );
    }

    /// Starts kubectl in the background.
    pub fn spawn(&self, line: &str) -> Background {
        let words = words(line);
        self.spawn_with(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Starts kubectl in the background, with its words as they are.
    pub fn spawn_with(&self, words: &[&str]) -> Background {
        let mut command = self.command(words);
        let piped = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Background(Some(piped.spawn().expect("kubectl runs")))
    }

    /// What a web server says to the machine itself; empty when it says nothing.
    pub fn fetch(&self, url: &str) -> String {
        let output = self
            .inside("busybox")
            .args(["timeout", "5", "busybox", "wget", "-q", "-O-", url])
            .output();
        let output = output.expect("busybox runs");
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    }

    /// A file for kubectl to use.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a file can be written");
        path.display().to_string()
    }

    /// Waits until `wanted` says yes.
    #[track_caller]
    pub fn until(&self, what: &str, wanted: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !wanted() {
            assert!(
                Instant::now() < end,
                "not in {PATIENCE:?}: {what}\n{}",
                self.state()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends gantry in good order, takes the node down, and sees that nothing is left of it.
    pub fn end(&mut self) {
        if let Some(mut server) = self.server.take() {
            let id = i32::try_from(server.id()).expect("a process number");
            // SAFETY: the process is this one's child and not waited for yet, so the number is its own.
            unsafe { libc::kill(id, libc::SIGTERM) };
            let status = server.wait().expect("the server can be waited for");
            assert!(status.success(), "{}", self.state());
        }
        assert_eq!(self.gantry(&["teardown"]), "");
        self.ended = true;
        let data = self.data().display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(!mounts.contains(&data), "mounts are left:\n{mounts}");
        let links = text(&self.inside("ip").args(["-o", "link"]).output().expect("ip runs"));
        assert_eq!(links.lines().count(), 3, "interfaces are left:\n{links}");
        let addresses = text(
            &self
                .inside("ip")
                .args(["-o", "-4", "address"])
                .output()
                .expect("ip runs"),
        );
        assert_eq!(addresses.lines().count(), 2, "addresses are left:\n{addresses}");
        let tables = text(
            &self
                .inside("nft")
                .args(["list", "tables"])
                .output()
                .expect("nft runs"),
        );
        assert_eq!(tables, "", "nftables' tables are left");
        for entry in std::fs::read_dir("/proc").expect("processes").flatten() {
            let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            assert!(
                !line.contains(&data),
                "a process is left: {}",
                line.replace('\0', " ")
            );
        }
    }

    fn command(&self, words: &[impl AsRef<std::ffi::OsStr>]) -> Command {
        let mut command = self.inside("kubectl");
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(words);
        command.env("HOME", self.dir.path());
        command
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data().join("admin.kubeconfig")
    }

    /// A command that runs on the machine.
    pub fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.namespace))
            .arg("--")
            .arg(program);
        command
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What to know when something went wrong.
    fn state(&self) -> String {
        let pods = self.kubectl("get pods,deployments,endpointslices -A -o wide");
        let events = self.kubectl("get events -A --sort-by=.lastTimestamp");
        format!("{pods}\n{events}\nthe log's end:\n{}", self.log())
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.path("gantry.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.kill();
        }
        if !self.ended {
            let said = self.gantry(&["teardown"]);
            eprint!("{said}");
        }
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.namespace])
            .status();
    }
}

/// A kubectl that goes on beside the test; dropping it kills it.
pub struct Background(Option<Child>);

impl Background {
    /// Ends it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().expect("kubectl can be killed");
            child.wait().expect("kubectl can be waited for");
        }
    }

    /// Waits for its end: what it printed.
    pub fn output(mut self) -> String {
        let child = self.0.take().expect("a process");
        text(&child.wait_with_output().expect("kubectl ends"))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).trim().to_string()
}

/// The words of a line; what stands in single quotes is one.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('\'').enumerate() {
        match i % 2 {
            0 => words.extend(part.split_whitespace().map(String::from)),
            _ => words.push(part.into()),
        }
    }
    words
}
