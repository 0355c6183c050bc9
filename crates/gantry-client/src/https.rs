//! The API server over HTTPS.

use crate::transport::{Body, Transport, TransportError};
use async_trait::async_trait;
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use std::time::Duration;

/// Who the client is.
pub enum Identity {
    /// A client certificate and its key, as PEM text.
    Certificate {
        /// The chain.
        certificate: String,
        /// The key.
        key: String,
    },
    /// A bearer token.
    Token(String),
}

/// Carries requests over HTTPS.
pub struct Https {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    authority: Authority,
    token: Option<HeaderValue>,
}

impl Https {
    /// A transport to `server` (such as `https://10.0.0.1:6443`), whose certificate `ca` (PEM) must have signed.
    pub fn new(server: &str, ca: &str, identity: Identity) -> Result<Self, TransportError> {
        let bad = |what: &str, e: &dyn std::fmt::Display| TransportError(format!("{what} is unusable: {e}"));
        let uri: Uri = server.parse().map_err(|e| bad("the server's address", &e))?;
        let authority = uri
            .authority()
            .filter(|_| uri.scheme() == Some(&Scheme::HTTPS))
            .ok_or_else(|| bad("the server's address", &"it must begin with https://"))?
            .clone();
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            let certificate = certificate.map_err(|e| bad("the cluster's certificate authority", &e))?;
            roots
                .add(certificate)
                .map_err(|e| bad("the cluster's certificate authority", &e))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| bad("TLS", &e))?
            .with_root_certificates(roots);
        let (config, token) = match identity {
            Identity::Certificate { certificate, key } => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|e| bad("the client certificate", &e))?;
                let key =
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| bad("the client key", &e))?;
                let config = builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|e| bad("the client certificate", &e))?;
                (config, None)
            }
            Identity::Token(token) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
                    .map_err(|e| bad("the token", &e))?;
                value.set_sensitive(true);
                (builder.with_no_client_auth(), Some(value))
            }
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Duration::from_secs(10)));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_only()
            .enable_all_versions()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            // A dead server must be noticed while only watches are open.
            .http2_keep_alive_interval(Duration::from_secs(15))
            .http2_keep_alive_while_idle(true)
            .build(connector);
        Ok(Https {
            client,
            authority,
            token,
        })
    }
}

#[async_trait]
impl Transport for Https {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let (mut head, body) = request.into_parts();
        let path = head
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        head.uri = Uri::builder()
            .scheme(Scheme::HTTPS)
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|e| TransportError(e.to_string()))?;
        if let Some(token) = &self.token {
            head.headers.insert(header::AUTHORIZATION, token.clone());
        }
        let request = Request::from_parts(head, Full::new(body));
        let response = self.client.request(request).await.map_err(|e| {
            let cause = std::error::Error::source(&e)
                .map(|s| format!(": {s}"))
                .unwrap_or_default();
            TransportError(format!("{e}{cause}"))
        })?;
        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}
