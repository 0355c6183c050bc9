//! What stood where before an update. Source: k8s.io/apiserver/pkg/cel/common/equality.go.

use crate::structural::{Structural, is_meta};
use serde_json::Value;

/// How a value and those around it are to be compared with what they replace: what an update leaves as it was is
/// excused for breaking rules.
#[derive(Clone, Copy, Default)]
pub struct Correlated<'a> {
    here: Option<Pair<'a>>,
    /// The nearest value around it that has something to be compared with.
    around: Option<Pair<'a>>,
}

#[derive(Clone, Copy)]
struct Pair<'a> {
    schema: &'a Structural,
    new: &'a Value,
    old: &'a Value,
}

impl<'a> Correlated<'a> {
    /// Whole objects.
    pub fn root(schema: &'a Structural, new: &'a Value, old: &'a Value) -> Self {
        Correlated {
            here: Some(Pair { schema, new, old }),
            around: None,
        }
    }

    /// Whether nothing changed.
    pub fn is_same(&self) -> bool {
        self.here
            .or(self.around)
            .is_some_and(|p| same(p.schema, p.new, p.old))
    }

    /// A field of the object here.
    pub fn field(self, name: &str) -> Self {
        let Some(here) = self.here else { return self };
        // The version and kind of objects are made the same before anything is compared.
        if self.around.is_none() && is_meta(name) && name != "metadata" {
            return Correlated::default();
        }
        let pair = || {
            Some(Pair {
                schema: here.schema.child(name)?,
                new: here.new.get(name)?,
                old: here.old.get(name)?,
            })
        };
        Correlated {
            here: pair(),
            around: Some(here),
        }
    }

    /// An item of the list here.
    pub fn item(self, index: usize) -> Self {
        let Some(here) = self.here else { return self };
        let pair = || {
            let new = here.new.get(index)?;
            Some(Pair {
                schema: here.schema.items.as_deref()?,
                new,
                old: old_item(here.schema, new, here.old)?,
            })
        };
        Correlated {
            here: pair(),
            around: Some(here),
        }
    }
}

/// The item of an old list with the keys of a new item. Only those of maps can be told.
pub fn old_item<'a>(schema: &Structural, item: &Value, old: &'a Value) -> Option<&'a Value> {
    if schema.list_type != "map" {
        return None;
    }
    let same = |other: &&Value| {
        let mut keys = schema.list_map_keys.iter();
        keys.all(|key| other.get(key.as_str()) == item.get(key.as_str()))
    };
    old.as_array()?.iter().find(same).filter(|old| !old.is_null())
}

/// Whether a value equals the one before. Items of maps may change their order; what no schema tells of is never equal.
fn same(schema: &Structural, new: &Value, old: &Value) -> bool {
    match (new, old) {
        (Value::Array(new), Value::Array(before)) if schema.list_type == "map" => {
            let equals = |item: &Value| match (old_item(schema, item, old), &schema.items) {
                (Some(old), Some(schema)) => same(schema, item, old),
                _ => false,
            };
            new.len() == before.len() && new.iter().all(equals)
        }
        (Value::Object(new), Value::Object(old)) => {
            let equals = |(key, value): (&String, &Value)| match (schema.child(key), old.get(key)) {
                (Some(schema), Some(old)) => same(schema, value, old),
                _ => false,
            };
            new.len() == old.len() && new.iter().all(equals)
        }
        (new, old) => new == old,
    }
}
