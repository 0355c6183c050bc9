//! One HTTP/1.1 connection to the server.

use crate::kubeconfig::Access;
use bytes::Bytes;
use gantry_client::Identity;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Of an answer's body so much is kept, to say what went wrong.
const START: usize = 300;

/// Why there is no connection, or no more.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig's certificates or address are unusable.
    #[error("the kubeconfig's {0} cannot be used: {1}")]
    Unusable(&'static str, String),
    /// No connection comes about.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, std::io::Error),
    /// The connection broke.
    #[error("the connection to the server broke: {0}")]
    Broken(#[from] hyper::Error),
}

/// The server, and who asks.
pub struct Target {
    authority: String,
    host: ServerName<'static>,
    tls: TlsConnector,
    token: Option<HeaderValue>,
}

impl Target {
    /// What a kubeconfig leads to.
    pub fn new(access: Access) -> Result<Target, ConnectError> {
        let unusable =
            |what: &'static str| move |e: &dyn std::fmt::Display| ConnectError::Unusable(what, e.to_string());
        let address = unusable("server");
        let uri: Uri = access.server.parse().map_err(|e| address(&e))?;
        let host = uri.host().ok_or_else(|| address(&"it has no host"))?;
        let port = uri.port_u16().unwrap_or(443);
        let name = host.trim_matches(|c| c == '[' || c == ']').to_string();
        let mut roots = rustls::RootCertStore::empty();
        let authority = unusable("certificate-authority");
        for certificate in CertificateDer::pem_slice_iter(access.ca_pem.as_bytes()) {
            let certificate = certificate.map_err(|e| authority(&e))?;
            roots.add(certificate).map_err(|e| authority(&e))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = unusable("client certificate");
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| client(&e))?
            .with_root_certificates(roots);
        let (mut config, token) = match access.identity {
            Identity::Certificate { certificate, key } => {
                let chain: Result<Vec<_>, _> =
                    CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
                let chain = chain.map_err(|e| client(&e))?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| client(&e))?;
                let config = builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|e| client(&e))?;
                (config, None)
            }
            Identity::Token(token) => {
                let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
                let mut value = value.map_err(|e| unusable("token")(&e))?;
                value.set_sensitive(true);
                (builder.with_no_client_auth(), Some(value))
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Target {
            authority: format!("{host}:{port}"),
            host: ServerName::try_from(name).map_err(|e| address(&e))?,
            tls: TlsConnector::from(Arc::new(config)),
            token,
        })
    }
}

/// An answer, read to its end.
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// How long the body was.
    pub bytes: u64,
    start: Vec<u8>,
}

impl Answer {
    /// The beginning of the body.
    pub fn start(&self) -> String {
        String::from_utf8_lossy(&self.start).trim().to_string()
    }
}

/// A connection; one request at a time.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    token: Option<HeaderValue>,
}

impl Connection {
    /// Connects.
    pub async fn open(target: &Target) -> Result<Connection, ConnectError> {
        let unreachable = |e| ConnectError::Unreachable(target.authority.clone(), e);
        let stream = TcpStream::connect(&target.authority).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let stream = target.tls.connect(target.host.clone(), stream).await;
        let (sender, connection) = handshake(TokioIo::new(stream.map_err(unreachable)?)).await?;
        // Its end shows in the sender.
        tokio::spawn(connection);
        Ok(Connection {
            sender,
            authority: target.authority.clone(),
            token: target.token.clone(),
        })
    }

    /// Sends a request and reads its answer; an empty media type means that there is no body.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        media_type: &'static str,
        body: Bytes,
    ) -> Result<Answer, ConnectError> {
        let (status, mut incoming) = self.begin(method, path, media_type, body).await?;
        let (mut bytes, mut start) = (0, Vec::new());
        while let Some(frame) = incoming.frame().await {
            let frame = frame?;
            let Some(data) = frame.data_ref() else { continue };
            bytes += data.len() as u64;
            if start.len() < START && status >= 300 {
                start.extend_from_slice(&data[..data.len().min(START)]);
            }
        }
        Ok(Answer { status, bytes, start })
    }

    /// Sends a request, and gives the answer's body while it comes.
    pub async fn begin(
        &mut self,
        method: Method,
        path: &str,
        media_type: &'static str,
        body: Bytes,
    ) -> Result<(u16, Incoming), ConnectError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path
            .parse()
            .map_err(|e: http::uri::InvalidUri| ConnectError::Unusable("path", e.to_string()))?;
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(&self.authority);
        headers.insert(
            header::HOST,
            host.map_err(|e| ConnectError::Unusable("server", e.to_string()))?,
        );
        headers.insert(header::USER_AGENT, HeaderValue::from_static("gantry-bench"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if !media_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        if let Some(token) = &self.token {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        Ok((response.status().as_u16(), response.into_body()))
    }
}
