//! A node with real containerd beside an API server in the same process, all below a temporary directory.

// Each test file uses a part of this.
#![allow(dead_code)]

pub mod kubelet;

use gantry_apiserver::{Server, TlsFiles};
use gantry_auth::User;
use gantry_client::resource::{NODES, PODS, SERVICE_ACCOUNTS};
use gantry_client::{Client, Informer, Informers};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_node::image::{self, archive};
use gantry_node::{Config, Node, ServerIdentity};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Notify;

pub const IMAGE: &str = "gantry.local/busybox:1";
/// No wait in these tests may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Bench {
    pub client: Client,
    pub informers: Informers,
    pub pods: Arc<Informer>,
    pub nodes: Arc<Informer>,
    changed: Arc<Notify>,
    pub dir: TempDir,
    pub pki: Pki,
    number: u8,
}

/// Whether these tests can run here; says why not.
pub fn possible() -> bool {
    let programs = ["containerd", "runc", "ctr", "busybox"];
    let missing = programs
        .iter()
        .find(|p| gantry_node::containerd::find_program(p).is_none());
    // SAFETY: geteuid only reads.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: real containers need root");
        return false;
    }
    if let Some(program) = missing {
        eprintln!("skipped: {program} is not installed");
        return false;
    }
    true
}

impl Bench {
    /// An API server; `number` sets the addresses of its pods apart from those of other tests.
    pub async fn new(number: u8) -> Bench {
        let _ = tracing_subscriber::fmt()
            .with_env_filter("info")
            .with_test_writer()
            .try_init();
        let dir = tempfile::tempdir().expect("a directory");
        let names = ServerNames {
            ips: vec![IpAddr::from([127, 0, 0, 1])],
            ..Default::default()
        };
        let pki = Pki::open(&dir.path().join("pki"), &names).expect("certificates");
        let identity = pki.server();
        let tls = TlsFiles {
            certificate: &identity.certificate_pem,
            key: &identity.key_pem,
            client_ca: pki.ca_pem(),
        };
        let server = Server::new(
            Arc::new(gantry_store::Memory::new()),
            gantry_apiserver::Config {
                tls,
                service_account_key: pki.service_account_key_pem(),
                service_range: gantry_apiserver::services::Range::parse("10.43.0.0/16").expect("a range"),
                advertise: ([127, 0, 0, 1].into(), 6443),
                cluster_domain: "cluster.local",
                external_address: "127.0.0.1:6443".into(),
                join_token: None,
                kubelet_client: None,
            },
        )
        .await
        .expect("an API server");
        let admin = User::new("admin", &["system:masters"]);
        let client = server.local(admin).client("test");
        // No controller runs that would make it, and no token is wanted.
        let account = json!({"metadata": {"namespace": "default", "name": "default"}, "automountServiceAccountToken": false});
        client
            .create(&SERVICE_ACCOUNTS, &account)
            .await
            .expect("the pods' account");
        let informers = Informers::new(client.clone());
        let changed = Arc::new(Notify::new());
        let (pods, nodes) = (informers.of(&PODS), informers.of(&NODES));
        for informer in [&pods, &nodes] {
            let changed = changed.clone();
            informer.on_change(move |_| changed.notify_one());
        }
        Bench {
            client,
            informers,
            pods,
            nodes,
            changed,
            dir,
            pki,
            number,
        }
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts the node, and waits until it is ready.
    pub async fn start(&self) -> Node {
        let net = self.data_dir().join("cni/net.d");
        std::fs::create_dir_all(&net).expect("a directory");
        let subnet = format!("10.199.{}.0/24", self.number);
        let cni = json!({"cniVersion": "0.4.0", "name": "test", "plugins": [{"type": "ptp", "ipam": {
            "type": "host-local", "dataDir": self.data_dir().join("ipam"), "ranges": [[{"subnet": subnet}]],
            "routes": [{"dst": "0.0.0.0/0"}]}}]});
        std::fs::write(net.join("10-test.conflist"), cni.to_string()).expect("a file");
        let config = Config {
            name: "node-1".into(),
            ip: IpAddr::from([127, 0, 0, 1]),
            data_dir: self.data_dir(),
            log_dir: self.dir.path().join("log"),
            containerd_endpoint: None,
            cluster_dns: IpAddr::from([10, 43, 0, 10]),
            cluster_domain: "cluster.local".into(),
            labels: Default::default(),
            address: IpAddr::from([127, 0, 0, 1]),
            port: 0,
            server: ServerIdentity {
                certificate_pem: self.pki.server().certificate_pem.clone(),
                key_pem: self.pki.server().key_pem.clone(),
                client_ca_pem: self.pki.ca_pem().into(),
            },
            max_pods: 110,
        };
        let node = gantry_node::start(config, self.client.clone(), self.informers.clone())
            .await
            .expect("the node starts");
        self.until("the node is ready", || {
            let node = self.nodes.get("", "node-1")?;
            let conditions = node["status"]["conditions"].as_array()?;
            conditions
                .iter()
                .any(|c| c["type"] == "Ready" && c["status"] == "True")
                .then_some(())
        })
        .await;
        node
    }

    /// Imports an image made from the static busybox.
    pub async fn import_busybox(&self) {
        let busybox = gantry_node::containerd::find_program("busybox").expect("busybox");
        let content = std::fs::read(busybox).expect("busybox can be read");
        let files = [archive::File {
            path: "bin/busybox",
            mode: 0o755,
            content: &content,
        }];
        let file = self.dir.path().join("busybox.tar");
        std::fs::write(&file, archive::build(IMAGE, &files, &["/bin/busybox"])).expect("a file");
        let socket = self.data_dir().join("containerd/containerd.sock");
        image::import_image(&socket, &file)
            .await
            .expect("the image is imported");
    }

    /// Creates a pod on the node.
    pub async fn create(&self, name: &str, mut spec: Value) {
        spec["nodeName"] = "node-1".into();
        for list in ["containers", "initContainers"] {
            for container in spec
                .get_mut(list)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                container["image"] = IMAGE.into();
            }
        }
        let pod = json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec});
        self.client.create(&PODS, &pod).await.expect("the pod is created");
    }

    pub async fn delete(&self, name: &str) {
        self.client
            .delete(&PODS, "default", name, &Value::Null)
            .await
            .expect("the pod is deleted");
        self.until("the pod is gone", || {
            self.pods.get("default", name).is_none().then_some(())
        })
        .await;
    }

    /// Waits until a pod is as wanted.
    pub async fn until_pod(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Arc<Value> {
        self.until(&format!("pod {name} {what}"), || {
            self.pods.get("default", name).filter(|p| wanted(p))
        })
        .await
    }

    pub async fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if let Some(found) = look() {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => {
                for pod in self.pods.list() {
                    eprintln!("{pod:#}");
                }
                panic!("not in {PATIENCE:?}: {what}");
            }
        }
    }

    /// Ends everything, and sees that nothing is left.
    pub async fn end(self, node: Node) {
        node.stop();
        gantry_node::teardown(&self.data_dir())
            .await
            .expect("everything is taken down");
        assert_no_mounts(self.dir.path());
    }
}

/// Waits for what no event tells of.
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("not in {PATIENCE:?}: {what}");
    }
}

/// A test that failed half-way must not leave containers behind.
impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let data_dir = self.data_dir();
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            if let Err(error) = runtime.block_on(gantry_node::teardown(&data_dir)) {
                eprintln!("{error}");
            }
        });
        let _ = cleaner.join();
    }
}

fn assert_no_mounts(dir: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    let left: Vec<&str> = mounts
        .lines()
        .filter(|l| l.contains(&dir.display().to_string()))
        .collect();
    assert!(left.is_empty(), "mounts are left: {left:?}");
}

/// The status of a pod's first container.
pub fn first(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

pub fn condition<'a>(pod: &'a Value, type_: &str) -> &'a str {
    let conditions = pod["status"]["conditions"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    conditions
        .iter()
        .find(|c| c["type"] == type_)
        .and_then(|c| c["status"].as_str())
        .unwrap_or("")
}
