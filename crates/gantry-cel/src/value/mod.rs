//! Values, which borrow from the data they are read from.

pub(crate) mod equal;
mod json;
mod list;
mod map;
pub(crate) mod text;
pub(crate) mod time;

pub(crate) use list::LONGEST as LONGEST_LIST;
pub use list::List;
pub use map::{Key, Map};
pub use time::Timestamp;

use crate::error::{Error, Result};
use smol_str::SmolStr;
use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A value of an expression. Data it was read from lives for `'a`.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A floating point number.
    Double(f64),
    /// A text.
    String(Text<'a>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A time span in nanoseconds.
    Duration(i64),
    /// A point in time.
    Timestamp(Timestamp),
    /// A list.
    List(List<'a>),
    /// A map, or an object.
    Map(Map<'a>),
    /// A type, by name.
    Type(SmolStr),
    /// A value that may be absent.
    Optional(Option<Arc<Value<'a>>>),
    /// A value of a library's type.
    Object(Arc<dyn Object>),
    /// Data of which nothing is declared, good only to be found equal.
    Preserved(&'a serde_json::Value),
}

/// A text, borrowed or owned.
#[derive(Clone)]
pub enum Text<'a> {
    /// From the data.
    Borrowed(&'a str),
    /// Made by an expression.
    Owned(Arc<str>),
}

/// A value of a library's type, such as a quantity.
pub trait Object: Any + fmt::Debug + Send + Sync {
    /// The name of its type.
    fn type_name(&self) -> &str;
    /// Whether it equals another object; none if they cannot be compared.
    fn equals(&self, other: &dyn Object) -> Option<bool>;
    /// How large the value is when costs are counted; none for what has no size.
    fn size(&self) -> Option<u64> {
        None
    }
    /// The object itself, to be told apart by its Rust type.
    fn as_any(&self) -> &dyn Any;
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Owned(text) => text,
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl From<&str> for Value<'_> {
    fn from(text: &str) -> Self {
        Value::String(Text::Owned(text.into()))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::String(Text::Owned(text.into()))
    }
}

impl<'a> Value<'a> {
    /// A list of values.
    pub fn list(items: Vec<Value<'a>>) -> Self {
        Value::List(List::Owned(Arc::new(items), None))
    }

    /// An optional value that is there.
    pub fn some(value: Value<'a>) -> Self {
        Value::Optional(Some(Arc::new(value)))
    }

    /// An optional value that is not there.
    pub const NONE: Self = Value::Optional(None);

    pub(crate) fn object(object: impl Object) -> Self {
        Value::Object(Arc::new(object))
    }

    /// The library's object this is, if it is of this Rust type.
    pub(crate) fn as_object<O: Object>(&self) -> Option<&O> {
        match self {
            Value::Object(object) => object.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// The same value, borrowing nothing.
    pub fn into_static(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(b) => Value::Bool(b),
            Value::Int(i) => Value::Int(i),
            Value::Uint(u) => Value::Uint(u),
            Value::Double(d) => Value::Double(d),
            Value::String(Text::Owned(text)) => Value::String(Text::Owned(text)),
            Value::String(text) => (*text).into(),
            Value::Bytes(bytes) => Value::Bytes(bytes),
            Value::Duration(nanos) => Value::Duration(nanos),
            Value::Timestamp(time) => Value::Timestamp(time),
            Value::List(list) => Value::list(list.iter().flatten().map(Value::into_static).collect()),
            Value::Map(map) => Value::Map(map.into_static()),
            Value::Type(name) => Value::Type(name),
            Value::Optional(value) => Value::Optional(value.map(|v| Arc::new((*v).clone().into_static()))),
            Value::Object(object) => Value::Object(object),
            // Only in data; it compares as what it is.
            Value::Preserved(json) => Value::json(json).into_static(),
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The name of the value's type.
    pub fn type_name(&self) -> SmolStr {
        let name = match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::String(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::Duration(_) => "google.protobuf.Duration",
            Value::Timestamp(_) => "google.protobuf.Timestamp",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Type(_) => "type",
            Value::Optional(_) => "optional_type",
            Value::Object(object) => return object.type_name().into(),
            Value::Preserved(_) => "unknown",
        };
        SmolStr::new_static(name)
    }

    /// Whether it can be what something is selected by.
    pub(crate) fn check_index(&self) -> Result<()> {
        match self {
            Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::String(_) => Ok(()),
            other => {
                let name = text::go_type(other);
                Err(Error::new(format!("invalid qualifier type: {name}")))
            }
        }
    }

    /// How many characters, items or entries it has; none for what has no size.
    pub(crate) fn size(&self) -> Option<u64> {
        Some(match self {
            Value::String(text) => characters(text) as u64,
            Value::Bytes(bytes) => bytes.len() as u64,
            Value::List(list) => list.len() as u64,
            Value::Map(map) => map.len() as u64,
            Value::Object(object) => return object.size(),
            _ => return None,
        })
    }

    /// The size that costs are counted by.
    pub(crate) fn cost_size(&self) -> u64 {
        match self {
            Value::Optional(Some(value)) => value.cost_size(),
            _ => self.size().unwrap_or(1),
        }
    }

    /// Which of two comes first; an error if they have no order.
    pub(crate) fn compare(&self, other: &Value<'a>) -> Result<Ordering> {
        Ok(match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Uint(a), Value::Uint(b)) => a.cmp(b),
            (Value::Double(a), _) if a.is_nan() && !matches!(other, Value::Bool(_)) => return Err(UNORDERED),
            (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Double(b)) if b.is_nan() => {
                return Err(UNORDERED);
            }
            (Value::String(a), Value::String(b)) => (**a).cmp(&**b),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
            (Value::Timestamp(a), Value::Timestamp(b)) => a.instant().cmp(&b.instant()),
            _ => return equal::compare_numbers(self, other).ok_or(Error::NO_OVERLOAD),
        })
    }

    /// Whether nothing is in it.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(b) => !b,
            Value::Int(i) => *i == 0,
            Value::Uint(u) => *u == 0,
            Value::Double(d) => *d == 0.0,
            Value::Duration(d) => *d == 0,
            Value::Timestamp(t) => t.is_zero(),
            Value::String(text) => text.is_empty(),
            Value::Bytes(bytes) => bytes.is_empty(),
            // What is read as a schema says does not tell.
            Value::List(list) => !list.is_declared() && list.is_empty(),
            Value::Map(map) => !map.is_declared() && map.is_empty(),
            _ => false,
        }
    }
}

const UNORDERED: Error = Error::fixed("NaN values cannot be ordered");

/// How many characters a text has.
pub(crate) fn characters(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.chars().count()
    }
}
