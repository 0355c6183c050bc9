//! The merge of an applied object into the live one.

use super::element::PathElement;
use super::shape::Shape;
use super::walk::is_empty;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The live object with all that the applied one sets.
///
/// # Errors
///
/// A list item that the schema gives no name, in upstream's words.
pub fn merge(shape: Shape, live: &Value, applied: &Value) -> Result<Value, String> {
    Ok(one(shape, Some(live), Some(applied))?.unwrap_or(Value::Object(Map::new())))
}

fn one(shape: Shape, live: Option<&Value>, applied: Option<&Value>) -> Result<Option<Value>, String> {
    let object = |v: Option<&Value>| v.is_none_or(|v| v.is_object() || v.is_null());
    let list = |v: Option<&Value>| v.is_none_or(|v| v.is_array() || v.is_null());
    // Only one side has something below.
    if applied.is_none() || live.is_none() || (is_empty(live) && is_empty(applied)) {
        return Ok(applied.or(live).cloned());
    }
    if shape.is_object() && object(live) && object(applied) {
        return fields(shape, live, applied);
    }
    if shape.is_list() && list(live) && list(applied) {
        return items(shape, live, applied);
    }
    Ok(applied.or(live).cloned())
}

fn fields(shape: Shape, live: Option<&Value>, applied: Option<&Value>) -> Result<Option<Value>, String> {
    let empty = Map::new();
    let live = live.and_then(Value::as_object).unwrap_or(&empty);
    let applied = applied.and_then(Value::as_object).unwrap_or(&empty);
    let mut out = Map::new();
    let only_applied = applied.keys().filter(|k| !live.contains_key(*k));
    for key in live.keys().chain(only_applied) {
        if let Some(value) = one(shape.child(key), live.get(key), applied.get(key))? {
            out.insert(key.clone(), value);
        }
    }
    Ok((!out.is_empty()).then_some(Value::Object(out)))
}

/// Live items keep their order, applied ones keep theirs; an item of both goes where the applied order puts it.
fn items(shape: Shape, live: Option<&Value>, applied: Option<&Value>) -> Result<Option<Value>, String> {
    let (live, live_by) = index(shape, live, true)?;
    let (applied, applied_by) = index(shape, applied, false)?;
    let mut shared: VecDeque<&PathElement> = applied
        .iter()
        .map(|(e, _)| e)
        .filter(|e| live_by.contains_key(*e))
        .collect();
    let mut next = shared.pop_front();
    let mut merged: BTreeSet<&PathElement> = BTreeSet::new();
    let mut out = Vec::with_capacity(live.len().max(applied.len()));
    let (mut l, mut a) = (0, 0);
    while l < live.len() || a < applied.len() {
        if let (Some((element, _)), Some((wanted, item))) = (live.get(l), applied.get(a)) {
            if element == wanted {
                merged.insert(element);
                let own = live_by.get(element).copied().flatten();
                out.extend(one(shape.item(), own, Some(item))?);
                l += 1;
                a += 1;
                next = shared.pop_front();
                continue;
            }
            if applied_by.contains_key(element) && next.is_some_and(|n| n != element) {
                // Shared, but not the one whose turn it is.
                l += 1;
                continue;
            }
        }
        if let Some((element, item)) = live.get(l) {
            if !applied_by.contains_key(element) {
                out.extend(one(shape.item(), Some(item), None)?);
                l += 1;
                continue;
            }
            if merged.contains(element) {
                l += 1;
            }
        }
        if let Some((element, item)) = applied.get(a) {
            merged.insert(element);
            let own = live_by.get(element).copied().flatten();
            out.extend(one(shape.item(), own, Some(item))?);
            a += 1;
            if next == Some(element) {
                next = shared.pop_front();
            }
        }
    }
    Ok((!out.is_empty()).then_some(Value::Array(out)))
}

type Named<'a> = Vec<(PathElement, &'a Value)>;
/// By name; nothing for a name that several items have.
type ByName<'a> = BTreeMap<PathElement, Option<&'a Value>>;

fn index<'a>(
    shape: Shape,
    list: Option<&'a Value>,
    duplicates: bool,
) -> Result<(Named<'a>, ByName<'a>), String> {
    let (mut named, mut by) = (Vec::new(), BTreeMap::new());
    for (i, item) in list.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let element = shape
            .element_of(item)
            .map_err(|why| format!("element {i}: {why}"))?;
        if by.contains_key(&element) {
            if !duplicates {
                return Err(format!("duplicate entries for key {element}"));
            }
            by.insert(element.clone(), None);
        } else {
            by.insert(element.clone(), Some(item));
        }
        named.push((element, item));
    }
    Ok((named, by))
}
