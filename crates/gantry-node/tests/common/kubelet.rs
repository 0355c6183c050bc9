//! A client of the node's own server, as the API server is one.

use futures::{SinkExt, StreamExt};
use gantry_cluster::pki::Pki;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// No answer in these tests may take longer.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Kubelet {
    address: SocketAddr,
    tls: TlsConnector,
    token: Option<String>,
}

/// An answer that is still coming.
pub struct Stream(Incoming);

impl Stream {
    /// Waits for more, until `text` has come or the answer has ended.
    pub async fn until(&mut self, text: &str) -> String {
        let mut all = String::new();
        let mut from = 0;
        while !all[from..].contains(text) {
            // What was looked at once needs no second look: logs are long.
            from = all.floor_char_boundary(all.len().saturating_sub(text.len()));
            let frame = tokio::time::timeout(PATIENCE, self.0.frame()).await;
            match frame.unwrap_or_else(|_| panic!("only {all:?} came, not {text:?}")) {
                Some(frame) => all += &String::from_utf8_lossy(frame.unwrap().data_ref().unwrap()),
                None => break,
            }
        }
        all
    }

    /// Waits for the end.
    pub async fn rest(&mut self) -> String {
        self.until("\0").await
    }
}

impl Kubelet {
    /// A client that shows a certificate of `user` (common name and organizations), or none.
    pub fn new(address: SocketAddr, pki: &Pki, user: Option<(&str, &[&str])>) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(pki.ca_pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match user {
            None => builder.with_no_client_auth(),
            Some((name, organizations)) => {
                let identity = pki.issue_client(name, organizations).unwrap();
                let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(chain.map(Result::unwrap).collect(), key)
                    .unwrap()
            }
        };
        Kubelet {
            address,
            tls: TlsConnector::from(Arc::new(config)),
            token: None,
        }
    }

    /// The same, with a token.
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.into());
        self
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::from(self.address.ip());
        self.tls.connect(name, stream).await.unwrap()
    }

    pub async fn open(&self, path: &str) -> (StatusCode, Stream) {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.connect().await))
            .await
            .unwrap();
        tokio::spawn(connection);
        let mut request = Request::get(path).header("host", "node");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
        let answer = answer.expect("an answer in time").unwrap();
        (answer.status(), Stream(answer.into_body()))
    }

    pub async fn get(&self, path: &str) -> (StatusCode, String) {
        let (status, mut stream) = self.open(path).await;
        (status, stream.rest().await)
    }

    /// Asks for an upgrade to SPDY, as upstream's API server does; the headers of the answer.
    pub async fn spdy(&self, path: &str) -> (StatusCode, HeaderMap) {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.connect().await))
            .await
            .unwrap();
        tokio::spawn(connection.with_upgrades());
        let request = Request::post(path)
            .header("host", "node")
            .header("connection", "Upgrade")
            .header("upgrade", "SPDY/3.1")
            .header("x-stream-protocol-version", "v4.channel.k8s.io")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
        let answer = answer.expect("an answer in time").unwrap();
        (answer.status(), answer.headers().clone())
    }

    /// Opens a WebSocket of Kubernetes' channels.
    pub async fn channels(&self, path: &str) -> Channels {
        let mut request = format!("wss://{}{path}", self.address)
            .into_client_request()
            .unwrap();
        request.headers_mut().insert(
            "sec-websocket-protocol",
            HeaderValue::from_static("v4.channel.k8s.io"),
        );
        let (socket, answer) = tokio_tungstenite::client_async(request, self.connect().await)
            .await
            .unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(answer.headers()["sec-websocket-protocol"], "v4.channel.k8s.io");
        Channels {
            socket,
            said: BTreeMap::new(),
        }
    }
}

/// A WebSocket whose messages each begin with the number of a channel.
pub struct Channels {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    said: BTreeMap<u8, Vec<u8>>,
}

impl Channels {
    pub async fn send(&mut self, channel: u8, text: &str) {
        let message = [&[channel], text.as_bytes()].concat();
        self.socket.send(Message::binary(message)).await.unwrap();
    }

    /// Waits until `text` has come on a channel, or the end; all that came there.
    pub async fn until(&mut self, channel: u8, text: &str) -> String {
        loop {
            let said =
                String::from_utf8_lossy(self.said.get(&channel).map_or(&[], Vec::as_slice)).into_owned();
            if said.contains(text) {
                return said;
            }
            let next = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            match next.unwrap_or_else(|_| panic!("only {said:?} came, not {text:?}")) {
                Some(Ok(Message::Binary(message))) => {
                    let (channel, text) = message.split_first().expect("a channel");
                    self.said.entry(*channel).or_default().extend_from_slice(text);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return said,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Waits for the end; all that came on a channel.
    pub async fn rest(&mut self, channel: u8) -> String {
        self.until(channel, "\u{1}\u{1}").await
    }
}
