//! Answers of the node's own server: plain text and JSON, as upstream's kubelet gives them.

use crate::cri::CriError;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use std::io;

/// The body of an answer; streams may break off.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// How long the runtime keeps a place for a stream that nobody opens, in seconds.
const PLACE: HeaderValue = HeaderValue::from_static("60");

/// Why a request gets no more than a line of text.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    /// A refusal with upstream's status and text.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Refusal {
            status,
            text: text.into(),
        }
    }

    /// As upstream answers when it cannot say better.
    pub fn internal(text: impl Into<String>) -> Self {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// The answer.
    pub fn response(&self) -> Response<Body> {
        let mut response = text(self.status, self.text.clone());
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, PLACE);
        }
        response
    }
}

/// The runtime's refusals of streams have statuses of their own.
impl From<CriError> for Refusal {
    fn from(error: CriError) -> Self {
        let status = match &error {
            CriError::Rpc {
                code: tonic::Code::NotFound,
                ..
            } => StatusCode::NOT_FOUND,
            CriError::Rpc {
                code: tonic::Code::ResourceExhausted,
                ..
            } => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal::new(status, error.to_string())
    }
}

/// A body that is there as a whole.
pub fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// An answer in plain text.
pub fn text(status: StatusCode, content: impl Into<Bytes>) -> Response<Body> {
    typed(status, "text/plain; charset=utf-8", full(content))
}

/// An answer in JSON.
pub fn json(content: &Value) -> Response<Body> {
    typed(StatusCode::OK, "application/json", full(content.to_string()))
}

/// An answer of a content type.
pub fn typed(status: StatusCode, type_: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(type_));
    response
}
