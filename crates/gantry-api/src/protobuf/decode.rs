//! Bytes to trees.

use super::{BYTES, DEPTH, FIXED32, FIXED64, MAGIC, VARINT, message_named};
use crate::schema::{self, Field, Message, Type};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Why bytes are no object.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They are something else.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Magic,
    /// Nothing is known of the kind they name.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind {
        /// apiVersion.
        api_version: String,
        /// kind.
        kind: String,
    },
    /// They break off.
    #[error("the encoded object ends too early")]
    Short,
    /// A number is longer than ten bytes, or a tag is none.
    #[error("the encoded object holds a malformed number")]
    Number,
    /// A field is of another wire type than its message says.
    #[error("the encoded field {0} is of the wrong type")]
    Type(&'static str),
    /// Text that is no UTF-8, or JSON inside that is none.
    #[error("the encoded field {0} is not well-formed")]
    Content(&'static str),
    /// It nests too deeply.
    #[error("the encoded object nests too deeply")]
    Depth,
}

/// Reads an object with its envelope. `default` is its message where the envelope does not name one.
pub fn decode_object(bytes: &[u8], default: Option<&'static Message>) -> Result<Value, DecodeError> {
    let bytes = bytes.strip_prefix(MAGIC).ok_or(DecodeError::Magic)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &b""[..]);
    for item in Reader(bytes) {
        match item? {
            (1, Wire::Bytes(type_meta)) => {
                for item in Reader(type_meta) {
                    match item? {
                        (1, Wire::Bytes(text)) => api_version = String::from_utf8_lossy(text).into_owned(),
                        (2, Wire::Bytes(text)) => kind = String::from_utf8_lossy(text).into_owned(),
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let found = match kind.as_str() {
        "" => default,
        name => message_named(&api_version, name),
    };
    let Some(found) = found else {
        return Err(DecodeError::UnknownKind { api_version, kind });
    };
    let mut object = message(found, raw, 0)?;
    for (field, text) in [("apiVersion", api_version), ("kind", kind)] {
        if !text.is_empty() {
            object[field] = text.into();
        }
    }
    Ok(object)
}

enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(DecodeError::Short)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f)
                .checked_shl(shift)
                .ok_or(DecodeError::Number)?;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Number)
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], DecodeError> {
        let count = usize::try_from(count).map_err(|_| DecodeError::Short)?;
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn item(&mut self) -> Result<(u32, Wire<'a>), DecodeError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3)
            .ok()
            .filter(|n| *n > 0)
            .ok_or(DecodeError::Number)?;
        let wire = match (tag & 7) as u32 {
            VARINT => Wire::Varint(self.varint()?),
            FIXED64 => {
                let bytes = self.take(8)?.try_into().map_err(|_| DecodeError::Short)?;
                Wire::Fixed64(u64::from_le_bytes(bytes))
            }
            BYTES => {
                let length = self.varint()?;
                Wire::Bytes(self.take(length)?)
            }
            FIXED32 => {
                self.take(4)?;
                Wire::Fixed32
            }
            _ => return Err(DecodeError::Number),
        };
        Ok((number, wire))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u32, Wire<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let item = self.item();
        if item.is_err() {
            self.0 = b"";
        }
        Some(item)
    }
}

/// Reads a message's fields; those it does not know are skipped.
pub(super) fn message(message: &Message, bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
    let mut object = Map::new();
    read_fields(message, &mut Vec::new(), bytes, &mut object, depth)?;
    for field in message.fields.iter().filter(|f| f.always && !f.path.is_empty()) {
        if !object.contains_key(field.name)
            && let Some(zero) = zero(&field.type_)
        {
            object.insert(field.name.to_string(), zero);
        }
    }
    Ok(Value::Object(object))
}

/// What upstream's JSON shows for a value that was not set.
fn zero(type_: &Type) -> Option<Value> {
    match type_ {
        Type::String => Some("".into()),
        Type::Int32 | Type::Int64 => Some(0.into()),
        Type::Bool => Some(false.into()),
        Type::List(_) | Type::Map(_) | Type::Time | Type::MicroTime => Some(Value::Null),
        _ => None,
    }
}

fn read_fields(
    message: &Message,
    prefix: &mut Vec<u32>,
    bytes: &[u8],
    object: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), DecodeError> {
    if depth > DEPTH {
        return Err(DecodeError::Depth);
    }
    for item in Reader(bytes) {
        let (number, wire) = item?;
        prefix.push(number);
        let found = message.fields.iter().find(|f| f.path.starts_with(prefix));
        match (found, &wire) {
            (Some(field), _) if field.path.len() == prefix.len() => read_field(field, wire, object, depth)?,
            (Some(_), Wire::Bytes(nested)) => read_fields(message, prefix, nested, object, depth + 1)?,
            _ => {}
        }
        prefix.pop();
    }
    Ok(())
}

fn read_field(
    field: &Field,
    wire: Wire<'_>,
    object: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), DecodeError> {
    let wrong = || DecodeError::Type(field.name);
    match &field.type_ {
        Type::List(item) => {
            let entry = object
                .entry(field.name)
                .or_insert_with(|| Value::Array(Vec::new()));
            let list = entry.as_array_mut().ok_or_else(wrong)?;
            match wire {
                Wire::Bytes(bytes) if field.wrapped => read_items(item, bytes, field.name, depth, list)?,
                // Numbers may come packed.
                Wire::Bytes(bytes) if matches!(**item, Type::Int32 | Type::Int64 | Type::Bool) => {
                    let mut reader = Reader(bytes);
                    while !reader.0.is_empty() {
                        let number = Wire::Varint(reader.varint()?);
                        list.push(read_value(item, number, field.name, depth)?);
                    }
                }
                wire => list.push(read_value(item, wire, field.name, depth)?),
            }
        }
        Type::Map(item) => {
            let Wire::Bytes(entry) = wire else {
                return Err(wrong());
            };
            let (key, value) = read_entry(item, entry, field.name, depth)?;
            let map = object
                .entry(field.name)
                .or_insert_with(|| Value::Object(Map::new()));
            map.as_object_mut().ok_or_else(wrong)?.insert(key, value);
        }
        one => {
            let value = read_value(one, wire, field.name, depth)?;
            let unset = match &value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Bool(set) => !set,
                Value::Number(number) => number.as_f64() == Some(0.0) && *one != Type::IntOrString,
                _ => false,
            };
            if !unset || field.optional || field.always {
                object.insert(field.name.to_string(), value);
            }
        }
    }
    Ok(())
}

fn read_items(
    item: &Type,
    bytes: &[u8],
    name: &'static str,
    depth: usize,
    list: &mut Vec<Value>,
) -> Result<(), DecodeError> {
    for entry in Reader(bytes) {
        if let (1, wire) = entry? {
            list.push(read_value(item, wire, name, depth)?);
        }
    }
    Ok(())
}

fn read_entry(
    type_: &Type,
    bytes: &[u8],
    name: &'static str,
    depth: usize,
) -> Result<(String, Value), DecodeError> {
    let mut key = String::new();
    let mut value = None;
    for item in Reader(bytes) {
        match item? {
            (1, Wire::Bytes(bytes)) => key = text(bytes, name)?,
            (2, wire) => {
                value = Some(match (type_, wire) {
                    (Type::List(item), Wire::Bytes(bytes)) => {
                        let mut list = Vec::new();
                        read_items(item, bytes, name, depth, &mut list)?;
                        Value::Array(list)
                    }
                    (type_, wire) => read_value(type_, wire, name, depth)?,
                });
            }
            _ => {}
        }
    }
    Ok((key, value.or_else(|| zero(type_)).unwrap_or(Value::Null)))
}

fn text(bytes: &[u8], name: &'static str) -> Result<String, DecodeError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Content(name))
}

fn read_value(type_: &Type, wire: Wire<'_>, name: &'static str, depth: usize) -> Result<Value, DecodeError> {
    match (type_, wire) {
        (Type::String, Wire::Bytes(bytes)) => Ok(text(bytes, name)?.into()),
        (Type::Int32, Wire::Varint(number)) => Ok((number as i32).into()),
        (Type::Int64, Wire::Varint(number)) => Ok((number as i64).into()),
        (Type::Bool, Wire::Varint(number)) => Ok((number != 0).into()),
        (Type::Bytes, Wire::Bytes(bytes)) => Ok(STANDARD.encode(bytes).into()),
        (Type::Double, Wire::Fixed64(bits)) => Ok(f64::from_bits(bits).into()),
        (Type::Quantity, Wire::Bytes(bytes)) => {
            Ok(text(field_bytes(bytes, 1)?.unwrap_or(b"0"), name)?.into())
        }
        (Type::IntOrString, Wire::Bytes(bytes)) => {
            let (mut is_text, mut number, mut string) = (false, 0, String::new());
            for item in Reader(bytes) {
                match item? {
                    (1, Wire::Varint(kind)) => is_text = kind == 1,
                    (2, Wire::Varint(value)) => number = value as i32,
                    (3, Wire::Bytes(bytes)) => string = text(bytes, name)?,
                    _ => {}
                }
            }
            Ok(if is_text { string.into() } else { number.into() })
        }
        (Type::Time | Type::MicroTime, Wire::Bytes(bytes)) => time(type_, bytes, name),
        (Type::Any, Wire::Bytes(bytes)) => match field_bytes(bytes, 1)? {
            None | Some(b"") => Ok(Value::Null),
            Some(json) => serde_json::from_slice(json).map_err(|_| DecodeError::Content(name)),
        },
        (Type::Either(inner), Wire::Bytes(bytes)) => {
            let inner = schema::message(inner).ok_or(DecodeError::Type(name))?;
            if depth >= DEPTH {
                return Err(DecodeError::Depth);
            }
            let mut whole = message(inner, bytes, depth + 1)?;
            let flag = inner.alternative(&Value::Bool(true));
            let set = |field: &&Field| !matches!(field.type_, Type::Bool) && !whole[field.name].is_null();
            match inner.fields.iter().find(set) {
                Some(field) => Ok(whole[field.name].take()),
                None => Ok(flag.map_or(Value::Null, |f| (whole[f.name] == true).into())),
            }
        }
        (Type::Message(inner), Wire::Bytes(bytes)) => {
            let inner = schema::message(inner).ok_or(DecodeError::Type(name))?;
            if depth >= DEPTH {
                return Err(DecodeError::Depth);
            }
            message(inner, bytes, depth + 1)
        }
        _ => Err(DecodeError::Type(name)),
    }
}

fn field_bytes(bytes: &[u8], number: u32) -> Result<Option<&[u8]>, DecodeError> {
    let mut found = None;
    for item in Reader(bytes) {
        if let (n, Wire::Bytes(bytes)) = item?
            && n == number
        {
            found = Some(bytes);
        }
    }
    Ok(found)
}

fn time(type_: &Type, bytes: &[u8], name: &'static str) -> Result<Value, DecodeError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0i64, 0i64);
    for item in Reader(bytes) {
        match item? {
            (1, Wire::Varint(value)) => seconds = value as i64,
            (2, Wire::Varint(value)) => nanos = value as i64,
            _ => {}
        }
    }
    let bad = || DecodeError::Content(name);
    let at = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| bad())?;
    if *type_ == Type::Time {
        return Ok(at.format(&Rfc3339).map_err(|_| bad())?.into());
    }
    let nanos = u32::try_from(nanos)
        .ok()
        .filter(|n| *n < 1_000_000_000)
        .ok_or_else(bad)?;
    let whole = at.format(&Rfc3339).map_err(|_| bad())?;
    let whole = whole.strip_suffix('Z').ok_or_else(bad)?;
    Ok(format!("{whole}.{:06}Z", nanos / 1000).into())
}
