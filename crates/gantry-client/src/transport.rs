//! What carries a request to the API server.

use crate::shared::SharedEvents;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;

/// An answer's body, as it comes in.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What a watch is told, as it comes in.
pub enum Told {
    /// As JSON, an event a line. The answer of a watch that was refused is of this form, too.
    Lines(Body),
    /// As objects that the server holds itself.
    Shared(Box<dyn SharedEvents>),
}

/// Carries requests. Their URI is a path and a query; a transport knows the server.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends one request and returns the head of its answer; the body may still be on its way.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError>;

    /// Sends the request of a watch. A transport to a server in the same process shares its objects.
    async fn watch(&self, request: Request<Bytes>) -> Result<Response<Told>, TransportError> {
        Ok(self.send(request).await?.map(Told::Lines))
    }
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(pub String);
