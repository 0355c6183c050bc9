//! Subresources that connect to nodes, over real connections: a client, the server, and a node's agent of the test's own.

mod common;

use bytes::Bytes;
use futures::StreamExt;
use gantry_apiserver::{Config, KubeletIdentity, Server};
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Identity, Pki, ServerNames};
use gantry_store::Memory;
use http::{Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What the node's agent was asked, and when it may go on.
#[derive(Default)]
struct Agent {
    seen: Mutex<Vec<String>>,
    go_on: Notify,
    /// A log is no longer read.
    left: Notify,
}

/// Tells the agent when the log that holds it is dropped.
struct Held(Arc<Agent>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.left.notify_one();
    }
}

impl Agent {
    /// A path with `missing` or `broken` in it is refused; a log comes in two parts; else all bytes come back.
    async fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> Result<Answer, Infallible> {
        let path = request.uri().to_string();
        let from = request
            .headers()
            .get("x-forwarded-for")
            .map_or("", |v| v.to_str().unwrap());
        let line = format!("{} {path} {from}", request.method());
        self.seen.lock().unwrap().push(line.trim_end().to_owned());
        let text = |code: u16, text: &str| {
            let body = Full::new(Bytes::from(text.to_owned())).boxed_unsync();
            Response::builder().status(code).body(body).unwrap()
        };
        if path.contains("missing") {
            return Ok(text(404, "no such container"));
        }
        if path.contains("broken") {
            return Ok(text(500, "it broke"));
        }
        if path.starts_with("/containerLogs/") {
            let first = futures::stream::iter(["one\n"]);
            let held = Held(self.clone());
            let rest = futures::stream::once(async move {
                let _held = held;
                self.go_on.notified().await;
                "two\n"
            });
            let frames = first.chain(rest).map(|t| Ok(Frame::data(Bytes::from(t))));
            return Ok(Response::new(StreamBody::new(frames).boxed_unsync()));
        }
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let (mut from, mut to) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
            let _ = tokio::io::copy(&mut from, &mut to).await;
        });
        let protocol = request.headers()[header::UPGRADE].clone();
        Ok(Response::builder()
            .status(101)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, protocol)
            .header("x-stream-protocol-version", "v4.channel.k8s.io")
            .body(Empty::new().boxed_unsync())
            .unwrap())
    }
}

struct Bench {
    server: Arc<Server>,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    agent: Arc<Agent>,
    stop: Option<oneshot::Sender<()>>,
    _folder: tempfile::TempDir,
}

fn root() -> User {
    User::new("root", &[MASTERS, AUTHENTICATED])
}

fn client_config(identity: &Identity, ca: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

/// Listens as a node does, with the certificate of `pki`.
async fn listen(agent: &Arc<Agent>, pki: &Pki) -> u16 {
    let identity = pki.server();
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let agent = agent.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (agent, acceptor) = (agent.clone(), acceptor.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = service_fn(move |request| agent.clone().answer(request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                let _ = connection.await;
            });
        }
    });
    port
}

impl Bench {
    /// A server with the nodes `good`, `dead` and `foreign`, and a pod on each that is named after it.
    async fn start() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let names = ServerNames {
            dns: Vec::new(),
            ips: vec![[127, 0, 0, 1].into()],
        };
        let pki = Pki::open(&folder.path().join("own"), &names).unwrap();
        let foreign = Pki::open(&folder.path().join("foreign"), &names).unwrap();
        let client = pki
            .issue_client("kube-apiserver-kubelet-client", &["system:masters"])
            .unwrap();
        let config = Config {
            kubelet_client: Some(KubeletIdentity {
                certificate_pem: client.certificate_pem,
                key_pem: client.key_pem,
                ca_pem: pki.ca_pem().to_owned(),
            }),
            ..common::config(&pki)
        };
        let server = Arc::new(Server::new(Arc::new(Memory::new()), config).await.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = server.clone();
        tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            serving.serve(listener, stopped).await;
        });
        let agent = Arc::new(Agent::default());
        let admin = pki.issue_client("root", &["system:masters"]).unwrap();
        let bench = Bench {
            server,
            address,
            tls: client_config(&admin, pki.ca_pem()),
            agent: agent.clone(),
            stop: Some(stop),
            _folder: folder,
        };
        let account = json!({"metadata": {"name": "default"}, "automountServiceAccountToken": false});
        bench
            .make("/api/v1/namespaces/default/serviceaccounts", account)
            .await;
        // A port that was free a moment ago refuses connections.
        let dead = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let ports = [
            ("good", listen(&agent, &pki).await),
            ("dead", dead),
            ("foreign", listen(&agent, &foreign).await),
        ];
        for (name, port) in ports {
            bench.node(name, port).await;
            bench.pod(name, name, &["c"]).await;
        }
        bench
    }

    async fn local(&self, user: User, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        let request = Request::builder().method(method).uri(path).body(body).unwrap();
        let response = self.server.local(user).send(request).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn make(&self, path: &str, body: Value) {
        let (code, answer) = self.local(root(), "POST", path, body).await;
        assert_eq!(code, 201, "{path}: {answer}");
    }

    async fn node(&self, name: &str, port: u16) {
        self.make("/api/v1/nodes", json!({"metadata": {"name": name}}))
            .await;
        let path = format!("/api/v1/nodes/{name}");
        let (_, mut node) = self.local(root(), "GET", &path, Value::Null).await;
        node["status"] = json!({
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        });
        let (code, answer) = self.local(root(), "PUT", &format!("{path}/status"), node).await;
        assert_eq!(code, 200, "{answer}");
    }

    async fn pod(&self, name: &str, node: &str, containers: &[&str]) {
        let containers: Vec<Value> = containers
            .iter()
            .map(|n| json!({"name": n, "image": "i"}))
            .collect();
        let mut spec = json!({"containers": containers});
        if !node.is_empty() {
            spec["nodeName"] = node.into();
        }
        let pod = json!({"metadata": {"name": name}, "spec": spec});
        self.make("/api/v1/namespaces/default/pods", pod).await;
    }

    /// Sends a request over a connection of its own.
    async fn send(&self, request: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(self.tls.clone())
            .connect(name, stream)
            .await
            .unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let (method, path) = request.split_once(' ').unwrap();
        let mut builder = Request::builder()
            .method(method)
            .uri(format!("/api/v1/namespaces/default/pods/{path}"))
            .header(header::HOST, "127.0.0.1");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        sender
            .send_request(builder.body(Empty::<Bytes>::new()).unwrap())
            .await
            .unwrap()
    }

    async fn upgrade(&self, request: &str) -> (TokioIo<Upgraded>, Response<Incoming>) {
        let mut response = self.send(request, SPDY).await;
        assert_eq!(response.status(), 101, "{request}");
        let stream = hyper::upgrade::on(&mut response).await.unwrap();
        (TokioIo::new(stream), response)
    }

    /// Checks how a request is refused.
    async fn refused(&self, request: &str, headers: &[(&str, &str)], code: u16, message: &str) {
        let response = self.send(request, headers).await;
        let found = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let status: Value = serde_json::from_slice(&body).unwrap();
        let text = status["message"].as_str().unwrap();
        assert!(
            found == code && text.contains(message),
            "{request}: {found} {status}"
        );
        assert_eq!(status["code"], code);
    }
}

const SPDY: &[(&str, &str)] = &[
    ("connection", "Upgrade"),
    ("upgrade", "SPDY/3.1"),
    ("x-stream-protocol-version", "v4.channel.k8s.io"),
];

/// The headers that ask for a WebSocket.
fn socket(protocol: &str) -> [(&str, &str); 5] {
    [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", protocol),
    ]
}

#[tokio::test]
async fn logs_stream() {
    let bench = Bench::start().await;
    let response = bench.send("GET good/log?follow=true&tailLines=5", &[]).await;
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()[header::CONTENT_TYPE]
        ),
        (200, &"text/plain".parse().unwrap())
    );
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(
        first, "one\n",
        "the first line comes while the second is not written yet"
    );
    bench.agent.go_on.notify_one();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "two\n");
    let seen = bench.agent.seen.lock().unwrap().clone();
    assert_eq!(
        seen,
        ["GET /containerLogs/default/good/c?follow=true&tailLines=5"]
    );
}

#[tokio::test]
async fn ports_are_forwarded_through_web_sockets() {
    let bench = Bench::start().await;
    let headers = socket("SPDY/3.1+portforward.k8s.io");
    let mut response = bench.send("GET good/portforward", &headers).await;
    assert_eq!(response.status(), 101);
    assert_eq!(
        response.headers()["sec-websocket-protocol"],
        "SPDY/3.1+v4.channel.k8s.io"
    );
    assert_eq!(
        response.headers()["sec-websocket-accept"],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    let seen = bench.agent.seen.lock().unwrap().pop().unwrap();
    assert_eq!(seen, "POST /portForward/default/good? 127.0.0.1");
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    // A message masked with nothing; what the agent echoes comes without a mask.
    stream.write_all(b"\x82\x84\0\0\0\0spdy").await.unwrap();
    let mut back = [0; 6];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"\x82\x04spdy");
    bench
        .refused("GET dead/portforward", &headers, 500, "error dialing backend")
        .await;
}

#[tokio::test]
async fn a_command_that_cannot_run_says_so_through_its_web_socket() {
    let bench = Bench::start().await;
    let headers = socket("v5.channel.k8s.io");
    let mut response = bench.send("GET dead/exec?stderr=true&command=ls", &headers).await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    assert!(
        read.starts_with(b"\x82\x7e") && read[4] == 3,
        "a message of the error channel comes first: {read:?}"
    );
    assert!(
        read.ends_with(b"\x88\x02\x03\xe8"),
        "the connection is closed: {read:?}"
    );
    let text = String::from_utf8_lossy(&read);
    assert!(
        text.contains("error dialing backend: dial tcp 127.0.0.1:"),
        "{text}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_log() {
    let bench = Bench::start().await;
    let mut body = bench.send("GET good/log?follow=true", &[]).await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let left = tokio::time::timeout(std::time::Duration::from_secs(30), bench.agent.left.notified());
    left.await.expect("the node's connection ends with the client's");
}

#[tokio::test]
async fn logs_come_through_web_sockets() {
    let bench = Bench::start().await;
    bench
        .refused(
            "GET good/log",
            &socket("v4.channel.k8s.io"),
            400,
            "a log is sent in",
        )
        .await;
    for (protocol, wire) in [
        (
            "binary.k8s.io",
            &b"\x82\x00\x82\x04one\n\x82\x04two\n\x88\x02\x03\xe8"[..],
        ),
        (
            "base64.binary.k8s.io",
            b"\x81\x00\x81\x08b25lCg==\x81\x08dHdvCg==\x88\x02\x03\xe8",
        ),
    ] {
        let mut response = bench.send("GET good/log", &socket(protocol)).await;
        assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
        let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
        bench.agent.go_on.notify_one();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, wire, "{protocol}");
    }
}

#[tokio::test]
async fn streams_are_passed_on_and_end_with_the_server() {
    let mut bench = Bench::start().await;
    let check = async |request: &str, at_node: &str| {
        let (mut stream, response) = bench.upgrade(request).await;
        assert_eq!(
            response.headers()["x-stream-protocol-version"],
            "v4.channel.k8s.io"
        );
        stream.write_all(b"there and back").await.unwrap();
        let mut back = [0; 14];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"there and back");
        assert_eq!(
            bench.agent.seen.lock().unwrap().pop().unwrap(),
            format!("{at_node} 127.0.0.1")
        );
        stream
    };
    let mut open = check(
        "POST good/exec?command=sh&command=-c&command=ls%20%2F&stdin=true&stdout=true&container=c",
        "POST /exec/default/good/c?input=1&output=1&command=sh&command=-c&command=ls%20%2F",
    )
    .await;
    check("GET good/attach?stdout=1", "GET /attach/default/good/c?output=1").await;
    check("POST good/portforward", "POST /portForward/default/good?").await;
    bench.stop.take().unwrap().send(()).unwrap();
    assert_eq!(open.read(&mut [0; 1]).await.unwrap_or(0), 0, "the stream ends");
}

#[tokio::test]
async fn refusals() {
    let bench = Bench::start().await;
    bench.pod("nowhere", "", &["c"]).await;
    bench.pod("pair", "good", &["a", "b"]).await;
    bench.pod("lost", "nonode", &["c"]).await;
    bench.pod("missing", "good", &["c"]).await;
    bench.pod("broken", "good", &["c"]).await;
    let refused = async |request: &str, code: u16, message: &str| {
        let headers = if request.contains("/log") { &[][..] } else { SPDY };
        bench.refused(request, headers, code, message).await;
    };
    refused("POST nothing/exec?command=ls", 404, "pods \"nothing\" not found").await;
    refused(
        "POST good/exec?container=x",
        400,
        "container x is not valid for pod good",
    )
    .await;
    refused(
        "GET pair/log",
        400,
        "a container name must be specified for pod pair, choose one of: [a b]",
    )
    .await;
    refused(
        "GET good/log?tailLines=-1",
        422,
        "PodLogOptions \"good\" is invalid: tailLines: Invalid value: -1",
    )
    .await;
    refused(
        "POST nowhere/exec",
        400,
        "pod nowhere does not have a host assigned",
    )
    .await;
    refused("POST lost/exec", 404, "pods \"nonode\" not found").await;
    refused(
        "POST dead/exec",
        500,
        "error dialing backend: dial tcp 127.0.0.1:",
    )
    .await;
    refused("POST dead/exec", 500, ": connect: connection refused").await;
    refused(
        "GET dead/log",
        500,
        "/containerLogs/default/dead/c?\": dial tcp 127.0.0.1:",
    )
    .await;
    refused("POST foreign/exec", 500, "tls: invalid peer certificate").await;
    refused(
        "GET missing/log",
        404,
        "the server could not find the requested resource ( pods/log missing)",
    )
    .await;
    refused("GET broken/log", 500, "Internal error occurred: it broke").await;
    refused("PUT good/exec", 405, "does not allow this method").await;
    refused("POST good/exec?dryRun=All", 400, "dryRun is not supported").await;
    bench
        .refused("POST good/exec", &[], 400, "Upgrade request required")
        .await;
    let response = bench.send("POST missing/exec", SPDY).await;
    assert_eq!(response.status(), 404);
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, "no such container", "what the node says is passed on");
    assert_eq!(bench.send("GET nowhere/log", &[]).await.status(), 204);
    let unverified = bench
        .send("GET foreign/log?insecureSkipTLSVerifyBackend=true", &[])
        .await;
    assert_eq!(unverified.status(), 200);

    let (code, status) = bench
        .local(root(), "GET", "/api/v1/nodes/good/proxy/healthz", Value::Null)
        .await;
    assert_eq!((code, &status["message"]), (400, &json!("address not allowed")));
}

#[tokio::test]
async fn a_websocket_needs_the_right_to_create() {
    let bench = Bench::start().await;
    let rules = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods/exec", "pods/log"], "verbs": ["get"]}],
    });
    let binding = json!({
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}],
    });
    bench.make(&format!("{rules}/roles"), role).await;
    bench.make(&format!("{rules}/rolebindings"), binding).await;
    let ann = || User::new("ann", &[AUTHENTICATED]);
    let pod = "/api/v1/namespaces/default/pods/dead";
    // The rules reach the authorizer a moment after they are stored.
    let mut code = 403;
    for _ in 0..10_000 {
        code = bench
            .local(ann(), "GET", &format!("{pod}/log"), Value::Null)
            .await
            .0;
        if code != 403 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(code, 500, "the log may be asked for, but the node is dead");
    let (code, status) = bench
        .local(ann(), "GET", &format!("{pod}/exec?command=ls"), Value::Null)
        .await;
    let message = status["message"].as_str().unwrap();
    assert!(
        code == 403 && message.contains("cannot create resource \"pods/exec\""),
        "{status}"
    );
}
