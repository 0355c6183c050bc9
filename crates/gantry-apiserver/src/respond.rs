//! Answers on the wire.

use crate::negotiate::Format;
use bytes::Bytes;
use gantry_api::status::Status;
use http::{Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::Value;

/// Why the rest of an answer cannot be sent: its source is elsewhere, and broke.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// The body of every answer.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body that is known whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A JSON answer.
pub fn json(code: u16, object: &Value) -> Response<Body> {
    with_type(code, "application/json", object.to_string())
}

/// A plain-text answer.
pub fn text(code: u16, text: impl Into<Bytes>) -> Response<Body> {
    with_type(code, "text/plain; charset=utf-8", text)
}

/// What a browser is told where nothing is.
pub fn no_such_page() -> Response<Body> {
    plain_error(404, "404 page not found\n")
}

/// An error outside of the API, as Go's server has it.
pub fn plain_error(code: u16, why: &'static str) -> Response<Body> {
    let mut response = text(code, why);
    let guess_nothing = header::HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, guess_nothing);
    response
}

/// An answer of any type.
pub fn with_type(code: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(content_type),
    );
    response
}

/// An error's answer.
pub fn error(status: &Status, format: Format) -> Response<Body> {
    if status.code >= 500 {
        tracing::error!(code = status.code, "{}", status.message);
    }
    let mut response = format.respond(status.code, &status.to_object());
    let seconds = status
        .details
        .as_ref()
        .and_then(|d| d["retryAfterSeconds"].as_u64());
    if let Some(seconds) = seconds.filter(|s| *s > 0) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
