//! Reading the bodies of requests.
//!
//! Source: k8s.io/apimachinery/pkg/runtime/serializer and k8s.io/apiserver/pkg/endpoints/handlers/rest.go.

use crate::handler::RequestBody;
use crate::negotiate::{Format, TYPES};
use crate::yaml;
use bytes::{Bytes, BytesMut};
use gantry_api::kind::Kind;
use gantry_api::schema::Schema;
use gantry_api::status::Status;
use gantry_api::{json, protobuf};
use http_body_util::BodyExt;
use serde_json::{Map, Value};

/// Bodies may be this large, as upstream's.
pub const LIMIT: usize = 3 * 1024 * 1024;
/// Bytes of a body that an error shows.
const SHOWN: usize = 30;
/// What Go reads an object's kind and version into.
const TYPE_META: &str = "Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
                         \"json:\\\"kind,omitempty\\\"\" }";

/// What upstream's YAML reader says before its errors.
pub const YAML_ERRORS: &str = "yaml: unmarshal errors:\n  ";

/// What a body holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    /// The object.
    pub value: Value,
    /// What strict decoding has against it, in upstream's words.
    pub strict: Vec<String>,
    /// The JSON that it was read from, if it was: strict decoding goes by its order.
    pub json: Bytes,
}

impl From<Value> for Sent {
    fn from(value: Value) -> Self {
        Sent {
            value,
            ..Sent::default()
        }
    }
}

/// A body, once all of it has come.
pub async fn receive(mut body: RequestBody) -> Result<Bytes, Status> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|e| Status::bad_request(format!("the request's body could not be read: {e}")))?;
        let Some(data) = frame.data_ref() else { continue };
        if whole.len() + data.len() > LIMIT {
            return Err(Status::too_large(LIMIT));
        }
        whole.extend_from_slice(data);
    }
    Ok(whole.freeze())
}

/// A request's body as a tree. `expected` names the kind that it should be; `kind` is what a protobuf body is when it
/// does not say so itself.
pub fn read(content_type: &str, body: &Bytes, expected: &str, kind: Option<&Kind>) -> Result<Sent, Status> {
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    let format = match media_type {
        "" => Format::Json,
        name => Format::of(name).ok_or_else(|| Status::unsupported_media_type(&TYPES))?,
    };
    let unrecognized = |why: String| {
        let shown = shown(body);
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {expected}): {why} ({shown})"
        ))
    };
    let no_kind = |why: String| unrecognized(format!("couldn't get version/kind; json parse error: {why}"));
    let mut sent = match format {
        Format::Json => json::read(body).map(|read| Sent {
            value: read.value,
            strict: read.duplicates,
            json: body.clone(),
        }),
        Format::Yaml => {
            let (value, twice) = yaml::read(&String::from_utf8_lossy(body))
                .map_err(|why| unrecognized(format!("yaml: {why}")))?;
            let strict = twice.map(|twice| format!("{YAML_ERRORS}{twice}"));
            Ok(Sent {
                value,
                strict: strict.into_iter().collect(),
                json: Bytes::new(),
            })
        }
        Format::Protobuf => {
            let message = match kind.and_then(Kind::schema) {
                Some(Schema::Table(message)) => Some(message),
                Some(Schema::Structural(_)) => return Err(Status::unsupported_media_type(&TYPES[..2])),
                None => None,
            };
            let value = protobuf::decode_object(body, message).map_err(|e| unrecognized(e.to_string()))?;
            Ok(value.into())
        }
    }
    .map_err(no_kind)?;
    let custom = kind.is_some_and(|kind| kind.custom.is_some());
    let object = match &mut sent.value {
        Value::Object(object) => object,
        // Go leaves what it reads null into as it was.
        Value::Null if custom => return Err(unrecognized(kind_is_missing(body))),
        null @ Value::Null => {
            *null = Value::Object(Map::new());
            return Ok(sent);
        }
        other => {
            return Err(no_kind(format!(
                "json: cannot unmarshal {} into {TYPE_META}",
                json::type_name(other)
            )));
        }
    };
    for field in ["apiVersion", "kind"] {
        match object.get(field) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => {
                return Err(no_kind(format!(
                    "json: cannot unmarshal {} into Go struct field .{field} of type string",
                    json::type_name(other)
                )));
            }
        }
    }
    let named = object
        .get("kind")
        .and_then(Value::as_str)
        .is_some_and(|kind| !kind.is_empty());
    if custom && !named {
        return Err(unrecognized(kind_is_missing(body)));
    }
    Ok(sent)
}

/// An error of [`read`] as upstream tells it where it reads options.
pub fn plain(mut status: Status) -> Status {
    let inner = status
        .message
        .strip_prefix("the object provided is unrecognized (must be of type DeleteOptions): ");
    if let Some((why, _)) = inner.and_then(|inner| inner.rsplit_once(" (")) {
        status.message = why.to_string();
    }
    status
}

fn kind_is_missing(body: &[u8]) -> String {
    format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(body))
}

/// The start of a body: as text when it may be JSON.
fn shown(body: &[u8]) -> String {
    let start = &body[..body.len().min(SHOWN)];
    let start = match body.first() {
        None => return "<empty>".into(),
        Some(b'{') => String::from_utf8_lossy(start).into_owned(),
        Some(_) => start.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    match body.len() > SHOWN {
        true => format!("{start} ..."),
        false => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bodies() {
        let kinds = gantry_api::kinds::builtin();
        let kind = kinds.iter().find(|k| k.kind == "ConfigMap");
        let check = |content_type: &str, body: &str, expected: Result<Value, (u16, &str)>| {
            let found = read(
                content_type,
                &Bytes::copy_from_slice(body.as_bytes()),
                "ConfigMap",
                kind,
            );
            let found = found.map(|sent| sent.value).map_err(|s| (s.code, s.message));
            assert_eq!(
                found,
                expected.map_err(|(code, text)| (code, text.to_string())),
                "{body}"
            );
        };
        let yaml = "application/yaml";
        check("", "{\"a\": 1}", Ok(json!({"a": 1})));
        check(
            "application/json; charset=utf-8",
            "{\"a\": 1}",
            Ok(json!({"a": 1})),
        );
        check(yaml, "a: 1", Ok(json!({"a": 1})));
        check(yaml, "", Ok(json!({})));
        check("application/json", "null", Ok(json!({})));
        let unrecognized =
            |why: &str| format!("the object provided is unrecognized (must be of type ConfigMap): {why}");
        for (content_type, body, why) in [
            (
                "",
                "a: 1",
                "couldn't get version/kind; json parse error: invalid character 'a' looking for beginning of value (613a2031)",
            ),
            (
                "",
                "",
                "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)",
            ),
            (
                "",
                "{\"a\": 12345678901234567890123456",
                "couldn't get version/kind; json parse error: unexpected end of JSON input ({\"a\": 123456789012345678901234 ...)",
            ),
            (
                "",
                "{\"kind\": 5}",
                "couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field .kind of type string ({\"kind\": 5})",
            ),
            (
                yaml,
                "- a",
                "couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" } (2d2061)",
            ),
            (
                "application/vnd.kubernetes.protobuf",
                "xxxx",
                "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] (78787878)",
            ),
        ] {
            check(content_type, body, Err((400, &unrecognized(why))));
        }
        let types = "the body of the request was in an unknown format - accepted media types include: application/json, \
                     application/yaml, application/vnd.kubernetes.protobuf";
        check("text/html", "{}", Err((415, types)));
    }
}
