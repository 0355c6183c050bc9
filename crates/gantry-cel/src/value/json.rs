//! JSON read in place, as its declaration says.

use super::{List, Map, Text, Timestamp, Value, time};
use crate::decl::{ANY, Decl, DeclKind};
use crate::error::{Error, Result};
use base64::Engine;
use serde_json::Value as Json;

impl<'a> Value<'a> {
    /// Reads JSON as declared. What does not fit is an error, but only once an expression looks at it.
    pub fn declared(json: &'a Json, decl: &'a Decl) -> Result<Value<'a>> {
        let wrong = |message: &str| Err(Error::new(format!("invalid data, expected {message}")));
        if json.is_null() && !matches!(decl.kind, DeclKind::Any | DeclKind::Of(_)) {
            return match decl.nullable {
                true => Ok(Value::Null),
                false => Err(Error::fixed(
                    "invalid data, got null for schema with nullable=false",
                )),
            };
        }
        let got = |wanted: &str| wrong(&format!("{wanted}, got {}", go_type(json)));
        match (&decl.kind, json) {
            (DeclKind::Any | DeclKind::Of(_), _) => Ok(Value::json(json)),
            (DeclKind::String, Json::String(text)) => Ok(Value::String(Text::Borrowed(text))),
            (DeclKind::Object(_) | DeclKind::Map(..), Json::Object(map)) => {
                Ok(Value::Map(Map::Json(map, decl)))
            }
            (DeclKind::Object(_) | DeclKind::Map(..), _) => {
                wrong("a map for the provided schema with type=object")
            }
            (DeclKind::List { .. }, Json::Array(items)) => Ok(Value::List(List::Json(items, decl))),
            (DeclKind::List { .. }, _) => wrong("an array for the provided schema with type=array"),
            (DeclKind::Int | DeclKind::IntOrString, Json::Number(n)) if n.is_i64() => {
                Ok(Value::Int(n.as_i64().unwrap_or_default()))
            }
            (DeclKind::Int, _) => got("int"),
            (DeclKind::IntOrString, Json::String(text)) => Ok(Value::String(Text::Borrowed(text))),
            (DeclKind::IntOrString, _) => wrong("XIntOrString value to be either a string or integer"),
            (DeclKind::Double, Json::Number(n)) => Ok(Value::Double(n.as_f64().unwrap_or_default())),
            (DeclKind::Double, _) => got("float"),
            (DeclKind::Bool, Json::Bool(b)) => Ok(Value::Bool(*b)),
            (DeclKind::Bool, _) => got("bool"),
            (DeclKind::Preserved, _) => Ok(Value::Preserved(json)),
            (_, Json::String(text)) => formatted(text, &decl.kind),
            _ => got("string"),
        }
    }

    /// Reads JSON of which nothing is declared.
    pub fn json(json: &'a Json) -> Value<'a> {
        match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => match n.as_i64() {
                Some(i) => Value::Int(i),
                None => Value::Double(n.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Value::String(Text::Borrowed(text)),
            Json::Array(items) => Value::List(List::Json(items, &ANY)),
            Json::Object(map) => Value::Map(Map::Json(map, &ANY)),
        }
    }

    /// The value as it is found within an optional: nothing is known there of what was declared.
    pub(crate) fn undeclared(&self) -> Value<'a> {
        match self {
            Value::Map(Map::Json(map, _)) => Value::Map(Map::Json(map, &ANY)),
            Value::List(List::Json(items, _)) => Value::List(List::Json(items, &ANY)),
            other => other.clone(),
        }
    }
}

fn formatted<'a>(text: &'a str, kind: &DeclKind) -> Result<Value<'a>> {
    let wrong = |what: &str, why: String| Err(Error::new(format!("Invalid {what} {text}: {why}")));
    match kind {
        DeclKind::Duration => match time::parse_format_duration(text) {
            Ok(nanos) => Ok(Value::Duration(nanos)),
            Err(why) => wrong("duration", why),
        },
        DeclKind::Date => match Timestamp::parse_date(text) {
            Ok(date) => Ok(Value::Timestamp(date)),
            Err(why) => wrong("date formatted string", why),
        },
        DeclKind::DateTime => match Timestamp::parse_date_time(text) {
            Ok(time) => Ok(Value::Timestamp(time)),
            Err(why) => wrong("date-time formatted string", why),
        },
        _ => match base64::engine::general_purpose::STANDARD.decode(text) {
            Ok(bytes) => Ok(Value::Bytes(bytes.into())),
            Err(why) => wrong("byte formatted string", why.to_string()),
        },
    }
}

fn go_type(json: &Json) -> &'static str {
    match json {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(n) if n.is_i64() => "int64",
        Json::Number(_) => "float64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}
