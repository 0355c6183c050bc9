//! Formats on the wire: what a request's body is in, and what its answer should be in.
//!
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/negotiation.

use crate::respond::{self, Body};
use bytes::Bytes;
use gantry_api::protobuf;
use gantry_api::status::Status;
use http::{HeaderMap, Response, header};
use serde_json::{Value, json};

/// Media types that bodies and answers may be in.
pub const TYPES: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];
/// Media types that the events of a watch may be in.
pub const STREAMS: [&str; 2] = [
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
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
    /// The format of a body of this media type.
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/json" | "*/*" => Some(Format::Json),
            "application/yaml" => Some(Format::Yaml),
            PROTOBUF => Some(Format::Protobuf),
            _ => None,
        }
    }

    /// The format an Accept header likes best of those there are. Upstream's router knows no `application/*`.
    pub fn accepted(headers: &HeaderMap) -> Result<Self, Status> {
        Format::accepted_of(headers, &TYPES, Format::of)
    }

    /// The format an Accept header likes best of those that custom resources have: protobuf is none of them.
    pub fn accepted_custom(headers: &HeaderMap) -> Result<Self, Status> {
        let of = |name: &str| match name {
            "application/*" => Some(Format::Json),
            name => Format::of(name),
        };
        Format::accepted_of(headers, &TYPES[..2], of).map_err(|_| Status::not_acceptable(&TYPES))
    }

    fn accepted_of(
        headers: &HeaderMap,
        types: &[&str],
        of: impl Fn(&str) -> Option<Format>,
    ) -> Result<Self, Status> {
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
            .filter_map(|(_, name)| of(name))
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
        check("application/*", None);
    }
}
