//! Formats on the wire: what bodies and answers are in.

use crate::respond::{self, Body};
use crate::yaml;
use bytes::Bytes;
use gantry_api::protobuf;
use gantry_api::status::Status;
use http::Response;
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
            "application/json" | "*/*" | "application/*" => Some(Format::Json),
            "application/yaml" => Some(Format::Yaml),
            PROTOBUF => Some(Format::Protobuf),
            _ => None,
        }
    }

    /// An object, or its JSON where the format does not know its kind.
    pub fn respond(self, code: u16, object: &Value) -> Response<Body> {
        match self {
            Format::Protobuf if protobuf::has_form(object) => match protobuf::encode_object(object) {
                Ok(bytes) => respond::with_type(code, PROTOBUF, bytes),
                Err(error) => respond::error(&Status::internal(error), Format::Json),
            },
            Format::Yaml => respond::with_type(code, "application/yaml", yaml::write(object)),
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
