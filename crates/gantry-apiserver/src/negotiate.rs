//! Formats on the wire: what a request's body is in, and what its answer should be in.
//!
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/negotiation.

use crate::respond::{self, Body};
use bytes::Bytes;
use gantry_api::kind::Kind;
use gantry_api::protobuf;
use gantry_api::schema::Schema;
use gantry_api::status::Status;
use http::{HeaderMap, Response, header};
use serde_json::{Value, json};

/// Media types that bodies and answers may be in.
pub const TYPES: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A format of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// YAML.
    Yaml,
    /// Protobuf.
    Protobuf,
}

impl Format {
    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/json" | "*/*" | "application/*" => Some(Format::Json),
            "application/yaml" => Some(Format::Yaml),
            PROTOBUF => Some(Format::Protobuf),
            _ => None,
        }
    }

    /// The format an Accept header likes best of those there are.
    pub fn accepted(headers: &HeaderMap) -> Result<Self, Status> {
        Format::accepted_of(headers, &TYPES)
    }

    /// The format an Accept header likes best of those that custom resources have: protobuf is none of them.
    pub fn accepted_custom(headers: &HeaderMap) -> Result<Self, Status> {
        Format::accepted_of(headers, &TYPES[..2])
    }

    fn accepted_of(headers: &HeaderMap, types: &[&str]) -> Result<Self, Status> {
        let accept = headers
            .get(header::ACCEPT)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("");
        if accept.trim().is_empty() {
            return Ok(Format::Json);
        }
        let mut wanted: Vec<(f32, &str)> = accept
            .split(',')
            .map(|part| {
                let mut words = part.split(';').map(str::trim);
                let name = words.next().unwrap_or("");
                let quality = words
                    .find_map(|w| w.strip_prefix("q="))
                    .and_then(|q| q.parse().ok());
                (quality.unwrap_or(1.0), name)
            })
            .collect();
        // The sort keeps the order of those that are liked alike.
        wanted.sort_by(|a, b| b.0.total_cmp(&a.0));
        wanted
            .into_iter()
            .filter_map(|(_, name)| Format::of(name))
            .find(|format| types.contains(&format.content_type()))
            .ok_or_else(|| Status::not_acceptable(types))
    }

    /// An object, or its JSON where the format does not know its kind.
    pub fn respond(self, code: u16, object: &Value) -> Response<Body> {
        match self {
            Format::Protobuf if protobuf::has_form(object) => match protobuf::encode_object(object) {
                Ok(bytes) => respond::with_type(code, PROTOBUF, bytes),
                Err(error) => respond::error(&Status::internal(error), Format::Json),
            },
            Format::Yaml => match serde_saphyr::to_string(object) {
                Ok(text) => respond::with_type(code, "application/yaml", text),
                Err(error) => respond::error(&Status::internal(error), Format::Json),
            },
            _ => respond::with_type(code, "application/json", object.to_string()),
        }
    }

    /// The type of an answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => TYPES[0],
            Format::Yaml => TYPES[1],
            Format::Protobuf => TYPES[2],
        }
    }

    /// The type of a watch's answer. YAML has none of its own.
    pub fn stream_type(self) -> &'static str {
        match self {
            Format::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            _ => "application/json",
        }
    }

    /// One event of a watch.
    pub fn frame(self, type_: &str, object: &Value) -> Bytes {
        if self == Format::Protobuf {
            match protobuf::encode_event(type_, object) {
                Ok(frame) => return frame.into(),
                Err(error) => tracing::error!("an event cannot be written as protobuf: {error}"),
            }
        }
        let mut text = json!({"type": type_, "object": object}).to_string();
        text.push('\n');
        Bytes::from(text)
    }
}

/// A request's body as a tree. `kind` is what a protobuf body is when it does not say so itself.
pub fn read(content_type: &str, body: &[u8], kind: Option<&Kind>) -> Result<Value, Status> {
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    let format = match media_type {
        "" => Format::Json,
        name => Format::of(name).ok_or_else(|| Status::unsupported_media_type(&TYPES))?,
    };
    let unreadable = |what: &str, why: &dyn std::fmt::Display| {
        Status::bad_request(format!("couldn't get version/kind; {what} parse error: {why}"))
    };
    let value: Value = match format {
        Format::Json => serde_json::from_slice(body).map_err(|e| unreadable("json", &e))?,
        Format::Yaml => serde_saphyr::from_slice(body).map_err(|e| unreadable("yaml", &e))?,
        Format::Protobuf => {
            let message = match kind.and_then(Kind::schema) {
                Some(Schema::Table(message)) => Some(message),
                Some(Schema::Structural(_)) => return Err(Status::unsupported_media_type(&TYPES[..2])),
                None => None,
            };
            protobuf::decode_object(body, message).map_err(|e| unreadable("protobuf", &e))?
        }
    };
    match value.is_object() {
        true => Ok(value),
        false => Err(Status::bad_request("the body must be an object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_formats() {
        let check = |accept: &str, expected: Option<Format>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(Format::accepted(&headers).ok(), expected, "{accept}");
        };
        check("", Some(Format::Json));
        check("*/*", Some(Format::Json));
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            Some(Format::Json),
        );
        check(
            "application/vnd.kubernetes.protobuf,application/json",
            Some(Format::Protobuf),
        );
        check(
            "application/vnd.kubernetes.protobuf;q=0.5,application/json",
            Some(Format::Json),
        );
        check(
            "application/vnd.kubernetes.protobuf;stream=watch",
            Some(Format::Protobuf),
        );
        check("text/html, application/yaml", Some(Format::Yaml));
        check("text/html", None);
    }

    #[test]
    fn bodies() {
        let check = |content_type: &str, body: &str, expected: Result<Value, u16>| {
            assert_eq!(
                read(content_type, body.as_bytes(), None).map_err(|s| s.code),
                expected,
                "{body}"
            );
        };
        check("", "{\"a\": 1}", Ok(json!({"a": 1})));
        check(
            "application/json; charset=utf-8",
            "{\"a\": 1}",
            Ok(json!({"a": 1})),
        );
        check("application/yaml", "a: 1", Ok(json!({"a": 1})));
        check("application/json", "a: 1", Err(400));
        check("application/json", "[]", Err(400));
        check(PROTOBUF, "{}", Err(400));
        check("text/html", "{}", Err(415));
    }
}
