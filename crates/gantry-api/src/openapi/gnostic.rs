//! OpenAPI documents in protobuf, as gnostic-models has them: tables say which member is which field.

use crate::protobuf::wire::{put_bytes, put_double, put_varint};
use serde_json::{Map, Value};

/// How a member is written.
pub enum Form {
    /// A text.
    Text,
    /// True or false.
    Flag,
    /// An integer.
    Integer,
    /// A number.
    Double,
    /// A text for each item.
    Texts,
    /// Any value, as YAML in the field 2 of a message.
    Any,
    /// Any value for each item.
    Anys,
    /// An object.
    Object(&'static Table),
    /// An object for each item.
    Objects(&'static Table),
    /// A message that holds name and value of each member in its field of this number.
    Members(u32, &'static Table),
    /// What has a form of its own.
    Own(fn(&Value) -> Vec<u8>),
}

/// The members of an object.
pub struct Table {
    /// The name of each member, its number and form; in order of the numbers.
    pub members: &'static [(&'static str, u32, Form)],
    /// The number of the list of members whose names begin with `x-`.
    pub extensions: u32,
    /// What is made of an object once its members are written.
    pub finish: fn(&Map<String, Value>, Vec<u8>) -> Vec<u8>,
}

/// What has no form but that of its members.
pub fn plain(_: &Map<String, Value>, bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

/// Writes an object by its table.
pub fn object(table: &Table, value: &Value) -> Vec<u8> {
    let Some(members) = value.as_object() else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for (name, number, form) in table.members {
        if let Some(value) = members.get(*name) {
            write(form, *number, value, &mut out);
        }
    }
    let extensions = members.iter().filter(|(name, _)| name.starts_with("x-"));
    for (name, value) in extensions {
        put_bytes(table.extensions, &named(name, &any(value)), &mut out);
    }
    (table.finish)(members, out)
}

fn write(form: &Form, number: u32, value: &Value, out: &mut Vec<u8>) {
    let items = || value.as_array().into_iter().flatten();
    match form {
        Form::Text => {
            if let Some(text) = value.as_str().filter(|t| !t.is_empty()) {
                put_bytes(number, text.as_bytes(), out);
            }
        }
        Form::Flag => {
            if *value == true {
                put_varint(number, 1, out);
            }
        }
        Form::Integer => match value.as_i64() {
            None | Some(0) => {}
            Some(integer) => put_varint(number, integer.cast_unsigned(), out),
        },
        Form::Double => match value.as_f64() {
            None | Some(0.0) => {}
            Some(double) => put_double(number, double, out),
        },
        Form::Texts => out.extend(texts(number, value)),
        Form::Any => put_bytes(number, &any(value), out),
        Form::Anys => items().for_each(|item| put_bytes(number, &any(item), out)),
        Form::Object(table) => put_bytes(number, &object(table, value), out),
        Form::Objects(table) => items().for_each(|item| put_bytes(number, &object(table, item), out)),
        Form::Members(each, table) => {
            let mut all = Vec::new();
            for (name, value) in value.as_object().into_iter().flatten() {
                put_bytes(*each, &named(name, &object(table, value)), &mut all);
            }
            put_bytes(number, &all, out);
        }
        Form::Own(own) => put_bytes(number, &own(value), out),
    }
}

/// A message of which one field is set.
pub fn within(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(number, bytes, &mut out);
    out
}

/// A member of a message that stands for a map.
pub fn named(name: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(1, name.as_bytes(), &mut out);
    put_bytes(2, value, &mut out);
    out
}

/// JSON is YAML.
pub fn any(value: &Value) -> Vec<u8> {
    within(2, format!("{value}\n").as_bytes())
}

/// A list of texts; one text is a list of one.
pub fn texts(number: u32, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let items = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    for text in items.iter().filter_map(Value::as_str) {
        put_bytes(number, text.as_bytes(), &mut out);
    }
    out
}
