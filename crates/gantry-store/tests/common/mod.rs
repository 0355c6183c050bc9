//! An etcd for tests, where the machine has one.

// Each test binary uses what it needs.
#![allow(dead_code)]

use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::{Etcd, EtcdOptions, Tls};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running etcd that keeps its data in a folder of its own; dropping it kills it.
pub struct EtcdServer {
    child: Child,
    dir: tempfile::TempDir,
    ports: [u16; 2],
    tls: Tls,
}

impl EtcdServer {
    /// Starts one; says so and returns nothing where there is no `etcd`.
    pub fn start() -> Option<EtcdServer> {
        Self::start_with(false)
    }

    /// Starts one that speaks TLS and demands certificates of its clients.
    pub fn start_tls() -> Option<EtcdServer> {
        Self::start_with(true)
    }

    fn start_with(secure: bool) -> Option<EtcdServer> {
        if Command::new("etcd").arg("--version").output().is_err() {
            println!("skipped: this machine has no etcd (Debian's package etcd-server)");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let ports = [free_port(), free_port()];
        let tls = if secure {
            certificates(dir.path())
        } else {
            Tls::default()
        };
        let child = spawn(dir.path(), ports, secure);
        Some(EtcdServer {
            child,
            dir,
            ports,
            tls,
        })
    }

    /// Kills it and starts it again on the same data.
    pub fn restart(&mut self) {
        self.stop();
        self.child = spawn(self.dir.path(), self.ports, self.tls.ca.is_some());
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.ports[0]
    }

    /// Where its files are: with TLS, the certificate and key `client.crt` and `client.key`, and the CA `pki/ca.crt`.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// The options of a store there, of all keys.
    pub fn options(&self) -> EtcdOptions {
        let scheme = if self.tls.ca.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://127.0.0.1:{}", self.port());
        EtcdOptions {
            prefix: Default::default(),
            ..EtcdOptions::new(vec![endpoint], self.tls.clone())
        }
    }

    /// A store there.
    pub async fn connect(&self) -> Etcd {
        Etcd::connect(self.options()).await.unwrap()
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(dir: &Path, [client, peer]: [u16; 2], secure: bool) -> Child {
    let scheme = if secure { "https" } else { "http" };
    let url = format!("{scheme}://127.0.0.1:{client}");
    let peers = format!("http://127.0.0.1:{peer}");
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(dir.join("data")).args([
        "--listen-client-urls",
        &url,
        "--advertise-client-urls",
        &url,
        "--listen-peer-urls",
        &peers,
        "--initial-advertise-peer-urls",
        &peers,
        "--initial-cluster",
        &format!("default={peers}"),
        // A single member need not wait long to elect itself.
        "--heartbeat-interval=10",
        "--election-timeout=100",
        "--enable-grpc-gateway=false",
    ]);
    if secure {
        let file = |name: &str| dir.join("pki").join(name);
        command.arg("--client-cert-auth");
        command.arg("--trusted-ca-file").arg(file("ca.crt"));
        command.arg("--cert-file").arg(file("server.crt"));
        command.arg("--key-file").arg(file("server.key"));
    }
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.spawn().unwrap()
}

fn certificates(dir: &Path) -> Tls {
    let names = ServerNames {
        dns: vec!["localhost".into()],
        ips: vec![Ipv4Addr::LOCALHOST.into()],
    };
    let pki = Pki::open(&dir.join("pki"), &names).unwrap();
    let client = pki.issue_client("gantry", &[]).unwrap();
    std::fs::write(dir.join("client.crt"), &client.certificate_pem).unwrap();
    std::fs::write(dir.join("client.key"), &client.key_pem).unwrap();
    Tls {
        ca: Some(pki.ca_pem().into()),
        identity: Some((client.certificate_pem.into(), client.key_pem.into())),
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
