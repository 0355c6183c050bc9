//! A server for one test: the built binary without a node, on loopback.

// Each test binary uses what it needs.
#![allow(dead_code)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running server; dropping it kills it as a power cut would.
pub struct Server {
    child: Child,
    kubeconfig: String,
}

impl Server {
    /// Starts one over `data`, with further options, and waits until it is ready.
    pub fn start(data: &Path, port: u16, options: &[String]) -> Server {
        let child = command(data, port)
            .args(options)
            .stderr(Stdio::null())
            .spawn()
            .expect("gantry starts");
        let kubeconfig = data.join("admin.kubeconfig").display().to_string();
        let server = Server { child, kubeconfig };
        let wait = ["status", "--disable-agent", "--wait", "30", "--data-dir"];
        let said = Command::new(env!("CARGO_BIN_EXE_gantry"))
            .args(wait)
            .arg(data)
            .output();
        let said = said.expect("gantry runs");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        server
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server can be waited for");
    }
}

/// The server's command line.
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

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("an address")
        .port()
}
