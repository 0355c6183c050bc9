//! Connections to where requests are passed on to.

use crate::connect::node::KubeletIdentityError;
use crate::handler::RequestBody;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection must stand after this long.
const DIAL: Duration = Duration::from_secs(30);
/// A TLS handshake must be done after this long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often a silent connection is checked: a stream may rest for hours, but not with a machine that is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where requests are passed on to.
pub struct Backend {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How to speak TLS; `None` means not at all.
    pub tls: Option<Arc<ClientConfig>>,
}

/// Why a backend cannot be reached, in the words that upstream's clients know.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// No connection.
    #[error("dial tcp {0}: {1}")]
    Dial(String, String),
    /// No TLS.
    #[error("{0}: tls: {1}")]
    Tls(String, String),
    /// No answer.
    #[error("{0}: {1}")]
    Http(String, hyper::Error),
}

impl Backend {
    /// Host and port as a URL has them.
    pub fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Sends a request over a connection of its own, which ends with the answer's body or lives on as an upgrade.
    pub async fn send(&self, request: Request<RequestBody>) -> Result<Response<Incoming>, BackendError> {
        let stream = tokio::time::timeout(DIAL, TcpStream::connect((self.host.as_str(), self.port)))
            .await
            .map_err(|_| self.no_dial("i/o timeout".into()))?
            .map_err(|e| self.no_dial(reason(&e)))?;
        prepare(&stream).map_err(|e| self.no_dial(reason(&e)))?;
        let Some(config) = &self.tls else {
            return self.exchange(stream, request).await;
        };
        let tls = |why: String| BackendError::Tls(self.address(), why);
        let name = ServerName::try_from(self.host.clone()).map_err(|e| tls(e.to_string()))?;
        let handshake = TlsConnector::from(config.clone()).connect(name, stream);
        let stream = tokio::time::timeout(HANDSHAKE, handshake)
            .await
            .map_err(|_| tls("handshake timeout".into()))?
            .map_err(|e| tls(e.to_string()))?;
        self.exchange(stream, request).await
    }

    async fn exchange<S>(
        &self,
        stream: S,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, BackendError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let http = |e| BackendError::Http(self.address(), e);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
        // It ends by itself: the sender is dropped here, and whoever drops the answer's body closes it.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!("a connection to a backend ended: {error}");
            }
        });
        sender.send_request(request).await.map_err(http)
    }

    fn no_dial(&self, why: String) -> BackendError {
        BackendError::Dial(self.address(), why)
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE);
    SockRef::from(stream).set_tcp_keepalive(&keep_alive)
}

/// An error of the system in the words of upstream: `connect: connection refused`.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    match error.raw_os_error() {
        Some(_) => format!("connect: {}", text.to_lowercase()),
        None => text.to_owned(),
    }
}

/// TLS that takes any certificate.
pub fn any_certificate() -> Result<Arc<ClientConfig>, KubeletIdentityError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| KubeletIdentityError(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(AnyCertificate::new(provider))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Believes whatever certificate it is shown, where nothing says which one is right.
#[derive(Debug)]
pub struct AnyCertificate(Arc<CryptoProvider>);

impl AnyCertificate {
    /// Checks signatures, if nothing else, with `provider`.
    pub fn new(provider: Arc<CryptoProvider>) -> Arc<Self> {
        Arc::new(AnyCertificate(provider))
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
