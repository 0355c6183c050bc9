//! A gantry without a node, and kubectl to drive it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; dropping it kills it as a power cut would.
pub struct Server {
    child: Child,
    pub kubeconfig: String,
}

impl Server {
    /// Starts one and waits until it is ready.
    pub fn start(data: &Path, port: u16) -> Server {
        Server::start_with(data, port, &[])
    }

    /// Starts one with further options and waits until it is ready.
    pub fn start_with(data: &Path, port: u16, options: &[String]) -> Server {
        let child = command(data, port)
            .args(options)
            .stderr(Stdio::null())
            .spawn()
            .expect("gantry starts");
        let kubeconfig = data.join("admin.kubeconfig").display().to_string();
        let server = Server { child, kubeconfig };
        let end = Instant::now() + Duration::from_secs(30);
        while server.kubectl(&["get", "--raw", "/readyz"]) != "ok" {
            assert!(Instant::now() < end, "the server is not ready after 30 s");
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    /// Runs kubectl; its output and its errors, trimmed.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let output = Command::new("kubectl")
            .args(["--kubeconfig", &self.kubeconfig, "--request-timeout=10s"])
            .args(args)
            .output()
            .expect("kubectl runs");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).trim().to_string()
    }

    /// Runs kubectl, whose output must contain something.
    #[track_caller]
    pub fn check(&self, args: &str, expected: &str) {
        let args: Vec<&str> = args.split(' ').collect();
        let output = self.kubectl(&args);
        assert!(
            output.contains(expected),
            "kubectl {args:?} said:\n{output}\nexpected:\n{expected}"
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server can be waited for");
    }
}

/// The command that starts a server.
pub fn command(data: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    command.arg("server").arg("--data-dir").arg(data);
    command.args([
        "--disable-agent",
        "--bind-address",
        "127.0.0.1",
        "--https-port",
        &port.to_string(),
    ]);
    command.stdin(Stdio::null());
    command
}

/// A port that nothing listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("an address")
        .port()
}

/// Whether there is no kubectl; says so.
pub fn no_kubectl() -> bool {
    let missing = Command::new("kubectl")
        .args(["version", "--client"])
        .output()
        .is_err();
    if missing {
        println!("skipped: kubectl is not in PATH");
    }
    missing
}
