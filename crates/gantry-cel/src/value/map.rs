//! Maps, and objects, which are maps to expressions.

use super::{Text, Value, equal};
use crate::decl::{Decl, DeclKind};
use crate::error::{Error, Result};
use crate::escape;
use serde_json::Value as Json;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A map.
#[derive(Clone, Debug)]
pub enum Map<'a> {
    /// JSON and its declaration.
    Json(&'a serde_json::Map<String, Json>, &'a Decl),
    /// Values.
    Owned(Arc<BTreeMap<Key<'a>, Value<'a>>>),
}

/// What entries of a map are found by.
#[derive(Clone, Debug)]
pub enum Key<'a> {
    /// A truth value.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A floating point number.
    Double(f64),
    /// A text.
    String(Text<'a>),
}

impl<'a> Key<'a> {
    pub(crate) fn of(value: &Value<'a>) -> Result<Key<'a>> {
        Ok(match value {
            Value::Bool(b) => Key::Bool(*b),
            Value::Int(i) => Key::Int(*i),
            Value::Uint(u) => Key::Uint(*u),
            Value::Double(d) => Key::Double(*d),
            Value::String(text) => Key::String(text.clone()),
            other => {
                return Err(Error::new(format!("unsupported key type: {}", other.type_name())));
            }
        })
    }

    /// The key as a value.
    pub fn value(&self) -> Value<'a> {
        match self {
            Key::Bool(b) => Value::Bool(*b),
            Key::Int(i) => Value::Int(*i),
            Key::Uint(u) => Value::Uint(*u),
            Key::Double(d) => Value::Double(*d),
            Key::String(text) => Value::String(text.clone()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Key::Bool(_) => 0,
            Key::Int(_) => 1,
            Key::Uint(_) => 2,
            Key::Double(_) => 3,
            Key::String(_) => 4,
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Key::Bool(a), Key::Bool(b)) => a.cmp(b),
            (Key::Int(a), Key::Int(b)) => a.cmp(b),
            (Key::Uint(a), Key::Uint(b)) => a.cmp(b),
            (Key::Double(a), Key::Double(b)) => a.total_cmp(b),
            (Key::String(a), Key::String(b)) => (**a).cmp(&**b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key<'_> {}

impl<'a> Map<'a> {
    /// How many entries it has.
    pub fn len(&self) -> usize {
        match self {
            Map::Json(map, _) => map.len(),
            Map::Owned(map) => map.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys and their values, of which some may be errors.
    pub fn entries(&self) -> impl Iterator<Item = (Value<'a>, Result<Value<'a>>)> + '_ {
        self.keys().into_iter().filter_map(|key| match self.find(&key) {
            Ok(value) => value.map(|value| (key, Ok(value))),
            Err(e) => Some((key, Err(e))),
        })
    }

    /// Whether a schema declares it.
    pub(crate) fn is_declared(&self) -> bool {
        matches!(self, Map::Json(_, decl) if !matches!(decl.kind, DeclKind::Any))
    }

    /// The value of a key.
    pub(crate) fn find(&self, key: &Value<'a>) -> Result<Option<Value<'a>>> {
        match (self, key) {
            (Map::Json(_, decl), Value::String(text)) => match decl.kind {
                DeclKind::Object(_) => match escape::unescape(text) {
                    Some(name) => self.find_name(&name),
                    None => Ok(None),
                },
                _ => self.find_name(text),
            },
            (Map::Json(..), _) if self.is_declared() => Err(Error::NO_OVERLOAD),
            (Map::Json(..), _) => Ok(None),
            (Map::Owned(map), _) => {
                let Ok(exact) = Key::of(key) else {
                    return Ok(None);
                };
                let found = map
                    .get(&exact)
                    .or_else(|| equal::other_numbers(key).iter().find_map(|key| map.get(key)));
                Ok(found.cloned())
            }
        }
    }

    /// The value of a field that goes by this name in JSON.
    pub(crate) fn find_name(&self, name: &str) -> Result<Option<Value<'a>>> {
        let (map, decl) = match self {
            Map::Json(map, decl) => (map, decl),
            Map::Owned(map) => return Ok(map.get(&Key::String(Text::Owned(name.into()))).cloned()),
        };
        let Some(found) = map.get(name) else {
            return Ok(None);
        };
        match &decl.kind {
            DeclKind::Object(fields) => match fields.get(name) {
                // A field that is null is as good as absent.
                Some(decl) if !found.is_null() => Value::declared(found, decl).map(Some),
                _ => Ok(None),
            },
            DeclKind::Map(value, _) => Value::declared(found, value).map(Some),
            _ => Ok(Some(Value::json(found))),
        }
    }

    /// The same map, borrowing nothing.
    pub(crate) fn into_static(self) -> Map<'static> {
        let entries = self.keys().into_iter().filter_map(|key| {
            let value = self.find(&key).ok().flatten()?.into_static();
            let key = match Key::of(&key).ok()? {
                Key::Bool(b) => Key::Bool(b),
                Key::Int(i) => Key::Int(i),
                Key::Uint(u) => Key::Uint(u),
                Key::Double(d) => Key::Double(d),
                Key::String(text) => Key::String(Text::Owned((*text).into())),
            };
            Some((key, value))
        });
        Map::Owned(Arc::new(entries.collect()))
    }

    /// The keys.
    pub(crate) fn keys(&self) -> Vec<Value<'a>> {
        match self {
            Map::Json(map, decl) => match &decl.kind {
                DeclKind::Object(fields) => map
                    .keys()
                    .filter(|name| fields.contains_key(name.as_str()))
                    .map(|name| match escape::escape(name) {
                        Some(escaped) if escaped != **name => escaped.into(),
                        _ => Value::String(Text::Borrowed(name)),
                    })
                    .collect(),
                _ => map
                    .keys()
                    .map(|name| Value::String(Text::Borrowed(name)))
                    .collect(),
            },
            Map::Owned(map) => map.keys().map(Key::value).collect(),
        }
    }
}
