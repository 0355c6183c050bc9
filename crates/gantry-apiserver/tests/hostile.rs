//! What clients send that mean harm, or are broken, over real connections: it costs them, and never the others.

mod common;

use bytes::Bytes;
use futures::FutureExt;
use gantry_apiserver::Server;
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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type Body = UnsyncBoxBody<Bytes, Infallible>;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Bodies may be this large.
const LIMIT: usize = 3 * 1024 * 1024;

/// A server that listens, and users who may do everything but are no masters.
struct Cluster {
    address: SocketAddr,
    pki: Pki,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start(requests: usize, mutating: usize) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let names = ServerNames {
            ips: vec![[127, 0, 0, 1].into()],
            ..ServerNames::default()
        };
        let pki = Pki::open(folder.path(), &names).unwrap();
        let config = common::config(&pki);
        let server = Server::new(Arc::new(Memory::new()), config).await.unwrap();
        let server = server.limited(requests, mutating);
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
            pki,
            _folder: folder,
        }
    }

    /// A user's certificate.
    fn user(&self, name: &str) -> Identity {
        self.pki.issue_client(name, &["users"]).unwrap()
    }

    async fn tls(&self, user: &Identity, protocol: &[u8]) -> TlsStream<TcpStream> {
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
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.unwrap()
    }

    async fn http1(&self, user: &Identity) -> http1::SendRequest<Body> {
        let stream = TokioIo::new(self.tls(user, b"http/1.1").await);
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn http2(&self, user: &Identity) -> http2::SendRequest<Body> {
        let stream = TokioIo::new(self.tls(user, b"h2").await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// One request on a connection of its own: its code and answer.
    async fn send(&self, user: &Identity, request: Request<Body>) -> (u16, Value) {
        read(self.http1(user).await.send_request(request).await.unwrap()).await
    }

    /// The server still answers somebody else.
    async fn works(&self) {
        let (code, answer) = self.send(&self.user("bob"), request("GET", MAPS, "")).await;
        assert_eq!(code, 200, "{answer}");
    }
}

fn request(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Body> {
    with_body(method, path, Full::new(body.into()).boxed_unsync())
}

fn with_body(method: &str, path: &str, body: Body) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path);
    builder.header("host", "server").body(body).unwrap()
}

/// A body of which only the beginning ever comes.
fn unfinished(beginning: impl Into<Bytes>) -> Body {
    let first = futures::stream::iter([Ok(Frame::data(beginning.into()))]);
    let never = futures::stream::pending();
    StreamBody::new(futures::StreamExt::chain(first, never)).boxed_unsync()
}

async fn read(response: Response<Incoming>) -> (u16, Value) {
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
    (code, serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let cluster = Cluster::start(0, 0).await;
    let ann = cluster.user("ann");
    let (code, answer) = cluster
        .send(&ann, request("POST", MAPS, vec![b' '; LIMIT + 1]))
        .await;
    let message = "Request entity too large: limit is 3145728";
    let found = (code, &answer["reason"], &answer["message"]);
    assert_eq!(found, (413, &"RequestEntityTooLarge".into(), &message.into()));

    // What does not say how large it is, is read no further than that.
    let mut connection = cluster.http2(&ann).await;
    let endless = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from(vec![b' '; 64 * 1024]))));
    let endless = with_body("POST", &url(), StreamBody::new(endless).boxed_unsync());
    let (code, answer) = read(connection.send_request(endless).await.unwrap()).await;
    assert_eq!((code, &answer["message"]), (413, &message.into()));
    cluster.works().await;
}

fn url() -> String {
    format!("https://server{MAPS}")
}

#[tokio::test]
async fn bodies_that_never_end() {
    let cluster = Cluster::start(0, 0).await;
    let ann = cluster.user("ann");
    let path = format!("{MAPS}?timeout=200ms");
    let (code, answer) = cluster
        .send(&ann, with_body("POST", &path, unfinished("{")))
        .await;
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Timeout", "code": 504,
        "message": "Timeout: request did not complete within the allotted timeout", "details": {},
    });
    assert_eq!((code, answer), (504, expected));
    let path = format!("{MAPS}?timeout=soon");
    let (code, answer) = cluster.send(&ann, request("GET", &path, "")).await;
    let message = "invalid timeout specified in the request URL - time: invalid duration \"soon\"";
    assert_eq!((code, &answer["message"]), (400, &message.into()));
}

#[tokio::test]
async fn one_users_slow_requests_leave_places_for_others() {
    let cluster = Cluster::start(2, 2).await;
    let (ann, bob) = (cluster.user("ann"), cluster.user("bob"));
    let mut slow = cluster.http2(&ann).await;
    let held = tokio::spawn(slow.send_request(with_body("POST", &url(), unfinished("{"))));
    // Her second request waits for her first, until that times out or is taken back; his does not.
    let second = cluster.send(&ann, request("POST", &format!("{MAPS}?timeout=30s"), "{}"));
    let mut second = std::pin::pin!(second);
    let map = json!({"metadata": {"name": "his"}}).to_string();
    let (code, answer) = tokio::select! {
        biased;
        early = second.as_mut() => panic!("answered before there was a place: {early:?}"),
        his = cluster.send(&bob, request("POST", MAPS, map)) => his,
    };
    assert_eq!(code, 201, "{answer}");
    held.abort();
    let (code, _) = second.await;
    assert_eq!(code, 422, "an object without a name");
}

#[tokio::test]
async fn heads_that_are_too_large() {
    let cluster = Cluster::start(0, 0).await;
    let ann = cluster.user("ann");
    let check = async |head: String, expected: &str| {
        let mut stream = cluster.tls(&ann, b"http/1.1").await;
        // The server may answer before it has read all.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{answer}");
    };
    let long = "x".repeat(70_000);
    check(
        format!("GET /api/{long} HTTP/1.1\r\nHost: server\r\n\r\n"),
        "414 ",
    )
    .await;
    let many = "X-A: b\r\n".repeat(2_000);
    check(format!("GET /api HTTP/1.1\r\nHost: server\r\n{many}\r\n"), "431 ").await;
    let large = "x".repeat(2 << 20);
    check(
        format!("GET /api HTTP/1.1\r\nHost: server\r\nX-A: {large}\r\n\r\n"),
        "431 ",
    )
    .await;
    check("GET / HTTP/9.9\r\n\r\n".into(), "400 ").await;
    check("\u{0}\u{1}nonsense\r\n\r\n".into(), "400 ").await;

    let mut connection = cluster.http2(&ann).await;
    let mut large = request("GET", &url(), "");
    large
        .headers_mut()
        .insert("x-a", "x".repeat(500_000).parse().unwrap());
    let (code, _) = read(connection.send_request(large).await.unwrap()).await;
    assert_eq!(code, 200, "up to 1 MiB is taken, as upstream does");
    cluster.works().await;
}

#[tokio::test]
async fn streams_that_are_reset_at_once() {
    let cluster = Cluster::start(0, 0).await;
    let ann = cluster.user("ann");
    for _ in 0..3 {
        let mut connection = cluster.http2(&ann).await;
        for _ in 0..2_000 {
            // The server may end such a connection at any time.
            if connection.ready().await.is_err() {
                break;
            }
            let _ = connection
                .send_request(request("GET", &format!("{}?watch=true", url()), ""))
                .now_or_never();
            tokio::task::yield_now().await;
        }
    }
    cluster.works().await;
}

#[tokio::test]
async fn a_connection_has_a_hundred_streams() {
    let cluster = Cluster::start(0, 0).await;
    let ann = cluster.user("ann");
    let mut connection = cluster.http2(&ann).await;
    let watch = format!("{}?watch=true", url());
    let mut watches = Vec::new();
    for _ in 0..100 {
        let answer = connection.send_request(request("GET", &watch, "")).await.unwrap();
        assert_eq!(answer.status(), 200);
        watches.push(answer);
    }
    let more = connection.send_request(request("GET", &watch, ""));
    let mut more = std::pin::pin!(more);
    tokio::select! {
        biased;
        early = more.as_mut() => panic!("101 streams at once: {early:?}"),
        () = cluster.works() => {}
    }
    watches.pop();
    assert_eq!(more.await.unwrap().status(), 200);
}

#[tokio::test]
async fn connections_that_say_nothing() {
    let cluster = Cluster::start(0, 0).await;
    let ann = cluster.user("ann");
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(cluster.address).await.unwrap());
    }
    let mut half = Vec::new();
    for _ in 0..20 {
        let mut stream = cluster.tls(&ann, b"http/1.1").await;
        stream.write_all(b"GET /api HTTP/1.1\r\nHost: ser").await.unwrap();
        half.push(stream);
    }
    cluster.works().await;
}

#[tokio::test]
async fn bodies_that_are_nonsense() {
    let cluster = Cluster::start(0, 0).await;
    let ann = cluster.user("ann");
    let check = async |type_: &str, body: &[u8], code: u16, message: &str| {
        let mut request = request("POST", MAPS, body.to_vec());
        request
            .headers_mut()
            .insert("content-type", type_.parse().unwrap());
        let (found, answer) = cluster.send(&ann, request).await;
        let said = answer["message"].as_str().unwrap_or_default();
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]);
        assert_eq!(found, code, "{shown}: {said}");
        assert!(said.contains(message), "{shown}: {said}");
        assert!(said.len() < 4096, "{shown}: an answer of {} bytes", said.len());
    };
    const JSON: &str = "application/json";
    const YAML: &str = "application/yaml";
    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
    let deep = |open: &str, n: usize| open.repeat(n).into_bytes();
    check(JSON, &deep("[", 1_000_000), 400, "json parse error").await;
    check(JSON, &deep("{\"a\":", 500_000), 400, "json parse error").await;
    check(YAML, &deep("[", 1_000_000), 400, "").await;
    check(YAML, &deep("{a: ", 500_000), 400, "").await;
    check(YAML, &deep("- ", 1_000_000), 400, "").await;
    let laughs = (1..30).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, i| {
        let before = format!("*a{}", i - 1);
        format!("{text}a{i}: &a{i} [{}]\n", [before.as_str(); 9].join(", "))
    });
    check(YAML, laughs.as_bytes(), 400, "").await;
    check(JSON, b"", 400, "").await;
    check(JSON, b"null", 422, "metadata.name: Required").await;
    check(JSON, b"[{}]", 400, "").await;
    check(JSON, b"{} {}", 400, "").await;
    check(JSON, b"{\"a\": \"\xff\xfe\"}", 422, "metadata.name: Required").await;
    check(JSON, b"\xef\xbb\xbf{}", 400, "").await;
    check(JSON, &vec![b'1'; 1_000_000], 400, "").await;
    check(JSON, b"{\"metadata\": {\"generation\": 1e999}}", 400, "").await;
    check(
        PROTOBUF,
        b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        400,
        "",
    )
    .await;
    let mut nested = Vec::new();
    for _ in 0..2_000 {
        let length = u32::try_from(nested.len()).unwrap();
        let mut outer = vec![0x0a];
        let mut rest = length;
        while rest >= 0x80 {
            outer.push((rest as u8 & 0x7f) | 0x80);
            rest >>= 7;
        }
        outer.push(rest as u8);
        outer.extend(nested);
        nested = outer;
    }
    check(PROTOBUF, &[b"k8s\0\x12", &nested[1..]].concat(), 400, "").await;
    let number = |text: &str| format!(r#"{{"metadata": {{"name": "n", "generation": {text}}}}}"#);
    let wrong = "json: cannot unmarshal number";
    check(JSON, number("9223372036854775808").as_bytes(), 400, wrong).await;
    check(JSON, number("1.5").as_bytes(), 400, wrong).await;
    check(
        JSON,
        number("\"1\"").as_bytes(),
        400,
        "json: cannot unmarshal string",
    )
    .await;
    cluster.works().await;
}
