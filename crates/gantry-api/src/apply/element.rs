//! Path elements: one step from a value to one of its parts.

use serde_json::{Map, Value};
use smol_str::SmolStr;
use std::cmp::Ordering;
use std::fmt;

/// One step of a path, in upstream's order: fields, then keys, then values, then indexes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathElement {
    /// A field of an object: `f:`.
    Field(SmolStr),
    /// The item of a keyed list with these keys, in alphabetical order: `k:`.
    Key(Vec<(SmolStr, Scalar)>),
    /// The item of a set: `v:`.
    Value(Scalar),
    /// The item at a place: `i:`.
    Index(i64),
}

/// A JSON value with an order: numbers, then text, then booleans, lists, objects and null.
#[derive(Clone, Debug)]
pub struct Scalar(pub Value);

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

fn compare(a: &Value, b: &Value) -> Ordering {
    let rank = |v: &Value| match v {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => {
                let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
                a.total_cmp(&b)
            }
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let mut pairs = a.iter().zip(b).map(|(a, b)| compare(a, b));
            pairs.find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let mut pairs = a
                .iter()
                .zip(b)
                .map(|((ka, va), (kb, vb))| ka.cmp(kb).then_with(|| compare(va, vb)));
            pairs.find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

impl PathElement {
    /// A field of an object.
    pub fn field(name: &str) -> Self {
        PathElement::Field(name.into())
    }

    /// The key it has in FieldsV1.
    pub fn encode(&self) -> String {
        match self {
            // The most frequent by far, in every write: no formatting.
            PathElement::Field(name) => ["f:", name].concat(),
            PathElement::Key(keys) => {
                let keys: Map<String, Value> =
                    keys.iter().map(|(k, v)| (k.to_string(), v.0.clone())).collect();
                format!("k:{}", Value::Object(keys))
            }
            PathElement::Value(v) => format!("v:{}", v.0),
            PathElement::Index(i) => format!("i:{i}"),
        }
    }

    /// Reads a key of FieldsV1; `None` for a sort of element that a later version may know.
    ///
    /// # Errors
    ///
    /// What is wrong with the key.
    pub fn decode(text: &str) -> Result<Option<Self>, String> {
        let json = |text: &str| {
            serde_json::from_str::<Value>(text)
                .map_err(|e| format!("parsing key as path element: {text}: {e}"))
        };
        let Some((kind, rest)) = text.split_once(':') else {
            return Err(format!("missing colon: {text}"));
        };
        Ok(Some(match kind {
            "f" => PathElement::field(rest),
            "v" => PathElement::Value(Scalar(json(rest)?)),
            "i" => PathElement::Index(
                rest.parse()
                    .map_err(|e| format!("parsing key as path element: {rest}: {e}"))?,
            ),
            "k" => match json(rest)? {
                // The map is in alphabetical order already.
                Value::Object(keys) => {
                    PathElement::Key(keys.into_iter().map(|(k, v)| (k.into(), Scalar(v))).collect())
                }
                _ => return Err(format!("parsing key as path element: {rest} is not an object")),
            },
            _ => return Ok(None),
        }))
    }
}

impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(f, ".{name}"),
            PathElement::Key(keys) => {
                let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={}", v.0)).collect();
                write!(f, "[{}]", keys.join(","))
            }
            PathElement::Value(v) => write!(f, "[={}]", v.0),
            PathElement::Index(i) => write!(f, "[{i}]"),
        }
    }
}
