//! Trees to bytes.

use super::wire::{put_bytes, put_double, put_varint, tag, varint};
use super::{BYTES, DEPTH, MAGIC, message_of};
use crate::schema::{self, Field, Message, Type};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Why an object cannot be written as protobuf.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Nothing is known of its kind.
    #[error("there is no protobuf form of {0}")]
    UnknownKind(String),
    /// A field holds what its type does not allow.
    #[error("the field {0} does not hold what protobuf needs")]
    Value(String),
    /// It nests too deeply.
    #[error("the object nests too deeply")]
    Depth,
}

/// Writes an object with its envelope.
pub fn encode_object(object: &Value) -> Result<Vec<u8>, EncodeError> {
    let raw = raw(object)?;
    let mut out = Vec::with_capacity(raw.len() + 64);
    open_envelope(object, raw.len(), &mut out);
    out.extend_from_slice(&raw);
    close_envelope(&mut out);
    Ok(out)
}

/// Writes an object as an item of a list: field 2 of every list's message, without an envelope.
pub fn encode_item(object: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    put_bytes(2, &raw(object)?, out);
    Ok(())
}

/// A list in its envelope, but for its items: what comes before so many bytes of [`encode_item`], and what comes after.
pub fn encode_list_frame(list: &Value, items: usize) -> Result<(Vec<u8>, Vec<u8>), EncodeError> {
    let metadata = raw(list)?;
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    open_envelope(list, metadata.len() + items, &mut head);
    head.extend_from_slice(&metadata);
    close_envelope(&mut tail);
    Ok((head, tail))
}

fn raw(object: &Value) -> Result<Vec<u8>, EncodeError> {
    let message = message_of(object).ok_or_else(|| EncodeError::UnknownKind(text(object, "kind").into()))?;
    let mut raw = Vec::with_capacity(1024);
    encode_message(message, object, &mut raw, 0)?;
    Ok(raw)
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or("")
}

/// A `runtime.Unknown` up to the `len` raw bytes of its object.
fn open_envelope(object: &Value, len: usize, out: &mut Vec<u8>) {
    let mut type_meta = Vec::new();
    put_bytes(1, text(object, "apiVersion").as_bytes(), &mut type_meta);
    put_bytes(2, text(object, "kind").as_bytes(), &mut type_meta);
    out.extend_from_slice(MAGIC);
    put_bytes(1, &type_meta, out);
    tag(2, BYTES, out);
    varint(len as u64, out);
}

/// contentEncoding and contentType, which are empty.
fn close_envelope(out: &mut Vec<u8>) {
    put_bytes(3, b"", out);
    put_bytes(4, b"", out);
}

fn encode_message(
    message: &Message,
    object: &Value,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), EncodeError> {
    if depth > DEPTH {
        return Err(EncodeError::Depth);
    }
    let nothing = Map::new();
    let object = object.as_object().unwrap_or(&nothing);
    let fields: Vec<&Field> = message
        .by_number()
        .iter()
        .map(|i| &message.fields[usize::from(*i)])
        .collect();
    encode_fields(&fields, 0, object, out, depth)
}

/// Writes fields that are ordered by their paths and agree in the first `level` numbers of these.
fn encode_fields(
    fields: &[&Field],
    level: usize,
    object: &Map<String, Value>,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), EncodeError> {
    for group in fields.chunk_by(|a, b| a.path[level] == b.path[level]) {
        let number = group[0].path[level];
        match group {
            [field] if field.path.len() == level + 1 => {
                encode_field(field, number, object.get(field.name), out, depth)?
            }
            nested => {
                let mut inner = Vec::new();
                encode_fields(nested, level + 1, object, &mut inner, depth)?;
                put_bytes(number, &inner, out);
            }
        }
    }
    Ok(())
}

fn encode_field(
    field: &Field,
    number: u32,
    value: Option<&Value>,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), EncodeError> {
    let bad = || EncodeError::Value(field.name.to_string());
    let value = value.unwrap_or(&Value::Null);
    match &field.type_ {
        Type::List(item) if field.wrapped => {
            let mut inner = Vec::new();
            encode_list(item, 1, value, &mut inner, depth, &bad)?;
            if !inner.is_empty() {
                put_bytes(number, &inner, out);
            }
            Ok(())
        }
        Type::List(item) => encode_list(item, number, value, out, depth, &bad),
        Type::Map(item) => {
            let mut entries: Vec<(&String, &Value)> = value.as_object().into_iter().flatten().collect();
            entries.sort_by_key(|(key, _)| *key);
            for (key, value) in entries {
                let mut entry = Vec::new();
                put_bytes(1, key.as_bytes(), &mut entry);
                match item.as_ref() {
                    Type::List(item) => {
                        let mut inner = Vec::new();
                        encode_list(item, 1, value, &mut inner, depth, &bad)?;
                        put_bytes(2, &inner, &mut entry);
                    }
                    item => encode_value(item, 2, value, &mut entry, depth, &bad)?,
                }
                put_bytes(number, &entry, out);
            }
            Ok(())
        }
        _ if value.is_null() && field.optional => Ok(()),
        Type::Bytes if value.is_null() => Ok(()),
        one => encode_value(one, number, value, out, depth, &bad),
    }
}

fn encode_list(
    item: &Type,
    number: u32,
    list: &Value,
    out: &mut Vec<u8>,
    depth: usize,
    bad: &dyn Fn() -> EncodeError,
) -> Result<(), EncodeError> {
    for value in list.as_array().into_iter().flatten() {
        encode_value(item, number, value, out, depth, bad)?;
    }
    Ok(())
}

/// Writes one value; null stands for the type's zero.
fn encode_value(
    type_: &Type,
    number: u32,
    value: &Value,
    out: &mut Vec<u8>,
    depth: usize,
    bad: &dyn Fn() -> EncodeError,
) -> Result<(), EncodeError> {
    let text = || match value {
        Value::Null => Ok(""),
        other => other.as_str().ok_or_else(bad),
    };
    let integer = || match value {
        Value::Null => Ok(0),
        other => other.as_i64().ok_or_else(bad),
    };
    match type_ {
        Type::String => put_bytes(number, text()?.as_bytes(), out),
        Type::Int32 | Type::Int64 => put_varint(number, integer()? as u64, out),
        Type::Bool => put_varint(number, u64::from(value.as_bool().unwrap_or(false)), out),
        Type::Bytes => put_bytes(number, &STANDARD.decode(text()?).map_err(|_| bad())?, out),
        Type::Double => {
            put_double(number, value.as_f64().unwrap_or(0.0), out);
        }
        Type::Quantity => {
            let written = match value {
                Value::Null => "0".to_string(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let mut inner = Vec::new();
            put_bytes(1, written.as_bytes(), &mut inner);
            put_bytes(number, &inner, out);
        }
        Type::IntOrString => {
            let mut inner = Vec::new();
            put_varint(1, u64::from(value.is_string()), &mut inner);
            put_varint(2, value.as_i64().unwrap_or(0) as u64, &mut inner);
            put_bytes(3, value.as_str().unwrap_or("").as_bytes(), &mut inner);
            put_bytes(number, &inner, out);
        }
        Type::Time | Type::MicroTime => {
            let mut inner = Vec::new();
            if !value.is_null() {
                let at = OffsetDateTime::parse(text()?, &Rfc3339).map_err(|_| bad())?;
                put_varint(1, at.unix_timestamp() as u64, &mut inner);
                let nanos = if *type_ == Type::MicroTime {
                    at.nanosecond() / 1000 * 1000
                } else {
                    0
                };
                put_varint(2, u64::from(nanos), &mut inner);
            }
            put_bytes(number, &inner, out);
        }
        Type::Any => {
            let mut inner = Vec::new();
            if !value.is_null() {
                put_bytes(1, value.to_string().as_bytes(), &mut inner);
            }
            put_bytes(number, &inner, out);
        }
        Type::Either(name) => {
            let message = schema::message(name).ok_or_else(bad)?;
            let mut whole = Map::new();
            // A flag beside another alternative says that there is one.
            if let Some(flag) = message.alternative(&Value::Bool(true)) {
                let set = value.is_object() || *value == Value::Bool(true);
                whole.insert(flag.name.to_string(), set.into());
            }
            if let Some(field) = message.alternative(value) {
                whole.insert(field.name.to_string(), value.clone());
            }
            let mut inner = Vec::new();
            encode_message(message, &Value::Object(whole), &mut inner, depth + 1)?;
            put_bytes(number, &inner, out);
        }
        Type::Message(name) => {
            let message = schema::message(name).ok_or_else(bad)?;
            let mut inner = Vec::new();
            encode_message(message, value, &mut inner, depth + 1)?;
            put_bytes(number, &inner, out);
        }
        // Lists in lists and maps in lists have no protobuf form.
        Type::List(_) | Type::Map(_) => return Err(bad()),
    }
    Ok(())
}

/// One frame of a watch: four bytes of length, then the event with the object in its envelope.
pub fn encode_event(type_: &str, object: &Value) -> Result<Vec<u8>, EncodeError> {
    let mut raw = Vec::new();
    put_bytes(1, &encode_object(object)?, &mut raw);
    let mut event = Vec::new();
    put_bytes(1, type_.as_bytes(), &mut event);
    put_bytes(2, &raw, &mut event);
    let mut frame = (event.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&event);
    Ok(frame)
}
