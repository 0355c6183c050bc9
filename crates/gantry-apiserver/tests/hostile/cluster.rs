//! A server that listens, and clients of all sorts.

use crate::common;
use bytes::Bytes;
use gantry_apiserver::{Local, Patience, Server};
use gantry_auth::{MASTERS, User};
use gantry_cluster::pki::{Identity, Pki, ServerNames};
use gantry_store::Memory;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// What should happen soon has happened by then, however busy the machine is.
pub const LONG_ENOUGH: Duration = Duration::from_secs(30);

/// A server that listens, and users who may do everything but are no masters.
pub struct Cluster {
    pub address: SocketAddr,
    /// Without a connection, and without limits.
    pub root: Local,
    pki: Pki,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// Without limits on requests.
    pub async fn start() -> Cluster {
        Cluster::with((0, 0), Patience::default()).await
    }

    /// With limits on what is under way at once, reading and writing, and with another patience.
    pub async fn with(limits: (usize, usize), patience: Patience) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let names = ServerNames {
            ips: vec![[127, 0, 0, 1].into()],
            ..ServerNames::default()
        };
        let pki = Pki::open(folder.path(), &names).unwrap();
        let config = common::config(&pki);
        let server = Server::new(Arc::new(Memory::new()), config).await.unwrap();
        let server = server.limited(limits.0, limits.1).patient(patience);
        let binding = json!({
            "metadata": {"name": "users"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "users"}],
        });
        let request = Request::post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings");
        let request = request.body(Bytes::from(binding.to_string())).unwrap();
        let root = server.local(User::new("root", &[MASTERS]));
        assert_eq!(root.send(request).await.status(), 201);
        let ann = server.local(User::new("ann", &["users"]));
        let may = async || {
            let request = Request::get(MAPS).body(Bytes::new()).unwrap();
            ann.send(request).await.status() == 200
        };
        while !may().await {
            tokio::task::yield_now().await;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
        Cluster {
            address,
            root,
            pki,
            _folder: folder,
        }
    }

    /// A user's certificate.
    pub fn user(&self, name: &str) -> Identity {
        self.pki.issue_client(name, &["users"]).unwrap()
    }

    pub async fn tls(&self, user: &Identity, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pki.ca_pem().as_bytes()).unwrap())
            .unwrap();
        let chain = vec![CertificateDer::from_pem_slice(user.certificate_pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(user.key_pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        // Little fits into this end's buffers, so that it shows soon who does not read.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(32 * 1024).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.unwrap()
    }

    pub async fn http1(&self, user: &Identity) -> http1::SendRequest<Body> {
        let stream = TokioIo::new(self.tls(user, b"http/1.1").await);
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    pub async fn http2(&self, user: &Identity) -> http2::SendRequest<Body> {
        let stream = TokioIo::new(self.tls(user, b"h2").await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// One request on a connection of its own: its code and answer.
    pub async fn send(&self, user: &Identity, request: Request<Body>) -> (u16, Value) {
        read(self.http1(user).await.send_request(request).await.unwrap()).await
    }

    /// Puts so many ConfigMaps of so many bytes each.
    pub async fn fill(&self, count: usize, bytes: usize) {
        for n in 0..count {
            let map = json!({"metadata": {"name": format!("large-{n}")}, "data": {"a": "x".repeat(bytes)}});
            let request = Request::post(MAPS).body(Bytes::from(map.to_string())).unwrap();
            assert_eq!(self.root.send(request).await.status(), 201);
        }
    }

    /// How many long requests are under way over connections and within the server, by their verb.
    pub async fn long_requests(&self, verb: &str) -> usize {
        let request = Request::get("/metrics").body(Bytes::new()).unwrap();
        let bytes = self
            .root
            .send(request)
            .await
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines = text.lines().filter(|l| {
            l.starts_with("apiserver_longrunning_requests")
                && l.contains(&format!("verb=\"{verb}\""))
                && l.contains("resource=\"configmaps\"")
        });
        lines
            .map(|l| l.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
            .sum()
    }

    /// Waits until there are so many.
    pub async fn has_long_requests(&self, verb: &str, count: usize) {
        let began = Instant::now();
        while self.long_requests(verb).await != count {
            assert!(
                began.elapsed() < LONG_ENOUGH,
                "there are still {}",
                self.long_requests(verb).await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The server still answers somebody else.
    pub async fn works(&self) {
        let (code, answer) = self.send(&self.user("bob"), request("GET", MAPS, "")).await;
        assert_eq!(code, 200, "{answer}");
    }
}

pub fn request(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Body> {
    with_body(method, path, Full::new(body.into()).boxed_unsync())
}

pub fn with_body(method: &str, path: &str, body: Body) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path);
    builder.header("host", "server").body(body).unwrap()
}

/// A body of which only the beginning ever comes.
pub fn unfinished(beginning: impl Into<Bytes>) -> Body {
    let first = futures::stream::iter([Ok(Frame::data(beginning.into()))]);
    let never = futures::stream::pending();
    StreamBody::new(futures::StreamExt::chain(first, never)).boxed_unsync()
}

pub async fn read(response: Response<Incoming>) -> (u16, Value) {
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
    (code, serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
}

/// [`MAPS`] over HTTP/2.
pub fn url() -> String {
    format!("https://server{MAPS}")
}
