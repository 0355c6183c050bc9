//! What loops that make maps insert with.

use super::{Library, mismatch};
use crate::ast::operators as op;
use crate::error::{Error, Result};
use crate::value::{Key, Map, Value, text};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn register(library: &mut Library) {
    let entry = "(map(K, V), K, V) -> map(K, V)";
    library.add(op::MAP_INSERT, "@mapInsert_map_key_value", entry, call);
    library.add(
        op::MAP_INSERT,
        "@mapInsert_map_map",
        "(map(K, V), map(K, V)) -> map(K, V)",
        call,
    );
}

fn call<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [map, rest @ ..] => insert(map.clone(), rest),
        [] => mismatch(),
    }
}

/// Inserts a key and its value, or all entries of a map. What is there already is an error.
pub(crate) fn insert<'a>(map: Value<'a>, rest: &[Value<'a>]) -> Result<Value<'a>> {
    let mut map = match map {
        Value::Map(Map::Owned(map)) => map,
        Value::Map(other) => {
            let mut entries = BTreeMap::new();
            for key in other.keys() {
                if let Some(value) = other.find(&key)? {
                    entries.insert(Key::of(&key)?, value);
                }
            }
            Arc::new(entries)
        }
        _ => return mismatch(),
    };
    // Nobody else has the map: a copy is made only if someone does.
    let entries = Arc::make_mut(&mut map);
    let mut add = |key: &Value<'a>, value: Value<'a>| match entries.insert(Key::of(key)?, value) {
        None => Ok(()),
        Some(_) => {
            let key = text::show(key);
            Err(Error::new(format!("insert failed: key {key} already exists")))
        }
    };
    match rest {
        [key, value] => add(key, value.clone())?,
        [Value::Map(more)] => {
            for key in more.keys() {
                if let Some(value) = more.find(&key)? {
                    add(&key, value)?;
                }
            }
        }
        _ => return mismatch(),
    }
    Ok(Value::Map(Map::Owned(map)))
}
