//! What changed between two objects, by path.

use super::element::PathElement;
use super::set::{Node, Set};
use super::shape::Shape;
use super::walk::is_empty;
use crate::schema::{Field, Type};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// An object without fields.
pub(crate) static EMPTY_OBJECT: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
static NULL: Value = Value::Null;

/// The paths by which two objects differ; each is in one of the sets.
#[derive(Debug, Default, PartialEq)]
pub struct Comparison {
    /// Only in the new object.
    pub added: Set,
    /// In both, with different values.
    pub modified: Set,
    /// Only in the old object.
    pub removed: Set,
}

#[derive(Default)]
struct Diff {
    added: Node,
    modified: Node,
    removed: Node,
}

impl Diff {
    fn push(&mut self, element: &PathElement, below: Diff) {
        for (own, below) in [
            (&mut self.added, below.added),
            (&mut self.modified, below.modified),
            (&mut self.removed, below.removed),
        ] {
            if !below.is_empty() {
                own.children.push(element.clone(), below);
            }
        }
    }
}

/// Compares two objects.
///
/// # Errors
///
/// A list item that the schema gives no name, in upstream's words.
pub fn compare(shape: Shape, old: &Value, new: &Value) -> Result<Comparison, String> {
    let diff = one(shape, Some(old), Some(new))?;
    Ok(Comparison {
        added: diff.added.children,
        modified: diff.modified.children,
        removed: diff.removed.children,
    })
}

impl Comparison {
    /// All that the new object sets, and what it no longer has.
    pub fn written_and_removed(self) -> (Set, Set) {
        let written = match self.modified.is_empty() {
            true => self.added,
            false => self.modified.union(&self.added),
        };
        (written, self.removed)
    }

    /// The comparison without the paths that a filter drops.
    pub fn filtered(self, filter: impl Fn(Set) -> Set) -> Self {
        Comparison {
            added: filter(self.added),
            modified: filter(self.modified),
            removed: filter(self.removed),
        }
    }
}

fn one(shape: Shape, old: Option<&Value>, new: Option<&Value>) -> Result<Diff, String> {
    if old.is_some() && old == new {
        return Ok(Diff::default());
    }
    let object = |v: Option<&Value>| v.is_none_or(|v| v.is_object() || v.is_null());
    let list = |v: Option<&Value>| v.is_none_or(|v| v.is_array() || v.is_null());
    let empty = is_empty(old) && is_empty(new);
    if shape.is_object() && !empty && object(old) && object(new) {
        return fields(shape, old, new);
    }
    if shape.is_list() && !empty && list(old) && list(new) {
        return items(shape, old, new);
    }
    let mut diff = Diff::default();
    match (old, new) {
        (None, _) => diff.added.member = true,
        (_, None) => diff.removed.member = true,
        _ => diff.modified.member = true,
    }
    // A deduced value that was divided and no longer is, or the other way round.
    if shape.is_object() && !empty {
        for (value, is_old) in [(old, true), (new, false)] {
            if value.is_some_and(Value::is_object) {
                let (o, n) = if is_old { (value, None) } else { (None, value) };
                let below = fields(shape, o, n)?;
                diff.added.children = diff.added.children.union(&below.added.children);
                diff.removed.children = diff.removed.children.union(&below.removed.children);
            }
        }
    }
    Ok(diff)
}

fn fields(shape: Shape, old: Option<&Value>, new: Option<&Value>) -> Result<Diff, String> {
    let mut diff = Diff::default();
    let (old_map, new_map) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
    let mut keys: Vec<&String> = Vec::with_capacity(new_map.map_or(0, Map::len));
    keys.extend(new_map.into_iter().flat_map(Map::keys));
    if let Some(old_map) = old_map {
        keys.extend(
            old_map
                .keys()
                .filter(|k| new_map.is_none_or(|n| !n.contains_key(*k))),
        );
        keys.sort_unstable();
    }
    for key in keys {
        let field = shape.declared(key);
        // What upstream's structs always hold is there, empty, when the object around it is.
        let o = old_map
            .and_then(|m| m.get(key))
            .or(field.filter(|_| old.is_some()).and_then(always));
        let n = new_map
            .and_then(|m| m.get(key))
            .or(field.filter(|_| new.is_some()).and_then(always));
        let below = one(field.map_or_else(|| shape.child(key), Shape::of_field), o, n)?;
        diff.push(&PathElement::field(key), below);
    }
    whole(&mut diff, old, new);
    Ok(diff)
}

/// What a declared field always is, though nobody said so.
pub fn always(field: &Field) -> Option<&'static Value> {
    match field.type_ {
        Type::Message(_) if !field.optional => Some(&EMPTY_OBJECT),
        Type::List(_) | Type::Map(_) if field.always && !field.optional => Some(&NULL),
        _ => None,
    }
}

fn whole(diff: &mut Diff, old: Option<&Value>, new: Option<&Value>) {
    diff.added.member |= old.is_none();
    diff.removed.member |= new.is_none() && old.is_some();
}

fn items(shape: Shape, old: Option<&Value>, new: Option<&Value>) -> Result<Diff, String> {
    let mut diff = Diff::default();
    let (old_items, new_items) = (by_element(shape, old)?, by_element(shape, new)?);
    let all: BTreeSet<&PathElement> = old_items.keys().chain(new_items.keys()).collect();
    for element in all {
        let o = old_items.get(element).map_or(&[][..], Vec::as_slice);
        let n = new_items.get(element).map_or(&[][..], Vec::as_slice);
        let mut below = match (o, n) {
            ([] | [_], [] | [_]) => one(shape.item(), o.first().copied(), n.first().copied())?,
            // Items that cannot be told apart are compared as one.
            ([_, _, ..], [_, _, ..]) => Diff {
                modified: Node {
                    member: o != n,
                    children: Set::default(),
                },
                ..Diff::default()
            },
            ([_, _, ..], _) => {
                let mut below = match n.first() {
                    Some(n) => one(shape.item(), None, Some(n))?,
                    None => Diff::default(),
                };
                below.removed.member = true;
                below
            }
            (_, _) => {
                let mut below = match o.first() {
                    Some(o) => one(shape.item(), Some(o), None)?,
                    None => Diff::default(),
                };
                below.added.member = true;
                below
            }
        };
        if o.len() < 2 && n.len() < 2 {
            below.added.member |= o.is_empty();
            below.removed.member |= n.is_empty();
        }
        diff.push(element, below);
    }
    whole(&mut diff, old, new);
    Ok(diff)
}

fn by_element<'a>(
    shape: Shape,
    list: Option<&'a Value>,
) -> Result<BTreeMap<PathElement, Vec<&'a Value>>, String> {
    let mut out: BTreeMap<PathElement, Vec<&Value>> = BTreeMap::new();
    for (i, item) in list.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let element = shape
            .element_of(item)
            .map_err(|why| format!("element {i}: {why}"))?;
        out.entry(element).or_default().push(item);
    }
    Ok(out)
}
