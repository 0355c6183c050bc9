//! When values are equal. Source: cel-go's common/types and k8s.io/apiserver/pkg/cel/common/valuesunstructured.go.

use super::{Key, List, Map, Value};
use crate::decl::{DeclKind, ListOrder};
use crate::error::{Error, Result};
use serde_json::Value as Json;
use smol_str::SmolStr;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// `==`: null equals null alone.
pub(crate) fn equal<'a>(a: &Value<'a>, b: &Value<'a>) -> Result<bool> {
    match (a, b) {
        (Value::Null, Value::Null) => Ok(true),
        (Value::Null, _) | (_, Value::Null) => Ok(false),
        _ => direct(a, b),
    }
}

/// Equality as the left value sees it. What a schema declares refuses values of other kinds.
pub(crate) fn direct<'a>(a: &Value<'a>, b: &Value<'a>) -> Result<bool> {
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => **a == **b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a.instant() == b.instant(),
        (Value::Type(a), Value::Type(b)) => a == b,
        (Value::Object(a), Value::Object(b)) => return a.equals(&**b).ok_or(Error::NO_OVERLOAD),
        (Value::Object(_), _) => return Err(Error::NO_OVERLOAD),
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => return direct(a, b),
            (a, b) => a.is_none() && b.is_none(),
        },
        (Value::List(a), Value::List(b)) => return lists(a, b),
        (Value::List(a), _) if a.is_declared() => return Err(Error::NO_OVERLOAD),
        (Value::Map(a), Value::Map(b)) => return maps(a, b),
        (Value::Map(a), _) if a.is_declared() => return Err(Error::NO_OVERLOAD),
        (Value::Preserved(a), Value::Preserved(b)) => a == b,
        _ => compare_numbers(a, b) == Some(Ordering::Equal),
    })
}

/// Compares numbers of whatever kind; none for what is no number or has no order.
pub(crate) fn compare_numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), Value::Int(b)) => double_and_int(*a, *b),
        (Value::Double(a), Value::Uint(b)) => double_and_uint(*a, *b),
        (Value::Int(a), Value::Double(b)) => double_and_int(*b, *a).map(Ordering::reverse),
        (Value::Uint(a), Value::Double(b)) => double_and_uint(*b, *a).map(Ordering::reverse),
        _ => None,
    }
}

fn double_and_int(a: f64, b: i64) -> Option<Ordering> {
    if a < i64::MIN as f64 {
        Some(Ordering::Less)
    } else if a > i64::MAX as f64 {
        Some(Ordering::Greater)
    } else {
        a.partial_cmp(&(b as f64))
    }
}

fn double_and_uint(a: f64, b: u64) -> Option<Ordering> {
    if a < 0.0 {
        Some(Ordering::Less)
    } else if a > u64::MAX as f64 {
        Some(Ordering::Greater)
    } else {
        a.partial_cmp(&(b as f64))
    }
}

/// A double as an integer, if it is a whole number.
pub(crate) fn whole_int(d: f64) -> Option<i64> {
    (d > i64::MIN as f64 && d < i64::MAX as f64 && d.fract() == 0.0).then_some(d as i64)
}

fn whole_uint(d: f64) -> Option<u64> {
    (d >= 0.0 && d < u64::MAX as f64 && d.fract() == 0.0).then_some(d as u64)
}

/// The same number as keys of other kinds.
pub(crate) fn other_numbers<'a>(key: &Value<'a>) -> Vec<Key<'a>> {
    match key {
        Value::Int(i) => u64::try_from(*i).ok().map(Key::Uint).into_iter().collect(),
        Value::Uint(u) => i64::try_from(*u).ok().map(Key::Int).into_iter().collect(),
        Value::Double(d) => {
            let int = whole_int(*d).map(Key::Int);
            int.into_iter().chain(whole_uint(*d).map(Key::Uint)).collect()
        }
        _ => Vec::new(),
    }
}

fn lists<'a>(a: &List<'a>, b: &List<'a>) -> Result<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    match a.order() {
        Some(ListOrder::Set) => {
            let ours = a
                .iter()
                .map(|item| item.map(|i| scalar(&i)))
                .collect::<Result<BTreeSet<_>>>()?;
            for item in b.iter() {
                if !ours.contains(&scalar(&item?)) {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Some(ListOrder::Map(keys)) => {
            let mut ours = BTreeMap::new();
            for item in a.iter() {
                let item = item?;
                ours.insert(map_key(&item, keys), item);
            }
            for item in b.iter() {
                let item = item?;
                match ours.get(&map_key(&item, keys)) {
                    Some(found) if direct(found, &item)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        Some(ListOrder::Atomic) => {
            for (a, b) in a.iter().zip(b.iter()) {
                if !direct(&a?, &b?)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        // Of lists nobody declared, items that cannot be compared do not count.
        None => Ok(a
            .iter()
            .zip(b.iter())
            .all(|(a, b)| !matches!(a.and_then(|a| equal(&a, &b?)), Ok(false)))),
    }
}

fn maps<'a>(a: &Map<'a>, b: &Map<'a>) -> Result<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    if let (Map::Json(ours, decl), true) = (a, a.is_declared()) {
        for (name, value) in ours.iter() {
            if decl.child(name).is_none() {
                match b {
                    Map::Json(theirs, _) if theirs.get(name).is_some_and(|other| other != value) => {
                        return Ok(false);
                    }
                    Map::Json(..) => continue,
                    Map::Owned(_) => return Err(Error::NO_OVERLOAD),
                }
            }
            let key = Value::String(super::Text::Borrowed(name));
            match (a.find(&key)?, b.find(&key)?) {
                (Some(a), Some(b)) if !direct(&a, &b)? => return Ok(false),
                (Some(_), None) | (None, Some(_)) => return Ok(false),
                _ => {}
            }
        }
        return Ok(true);
    }
    for key in a.keys() {
        let Some(other) = b.find(&key)? else {
            return Ok(false);
        };
        if let Some(ours) = a.find(&key)?
            && matches!(equal(&ours, &other), Ok(false))
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A scalar in a form that can be looked up.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Scalar<'a> {
    Absent,
    Key(Key<'a>),
    Other(String),
}

fn scalar<'a>(value: &Value<'a>) -> Scalar<'a> {
    match Key::of(value) {
        Ok(key) => Scalar::Key(key),
        Err(_) => Scalar::Other(super::text::show(value)),
    }
}

/// The keys of an item of a list that is a map.
fn map_key<'a>(item: &Value<'a>, keys: &[SmolStr]) -> Vec<Scalar<'a>> {
    let of = |name: &SmolStr| {
        let name = crate::schema::escaped_key(name);
        match item {
            Value::Map(Map::Json(map, _)) => map.get(&name).map_or(Scalar::Absent, |v| match v {
                Json::Null => Scalar::Absent,
                v => scalar(&Value::json(v)),
            }),
            Value::Map(map) => match map.find(&Value::from(name)) {
                Ok(Some(value)) => scalar(&value),
                _ => Scalar::Absent,
            },
            _ => Scalar::Absent,
        }
    };
    keys.iter().map(of).collect()
}

/// `+` of lists that a schema declares: sets take what they have not, maps replace what has the same keys.
pub(crate) fn merge<'a>(a: &List<'a>, b: &List<'a>, order: &ListOrder) -> Result<List<'a>> {
    let mut items = a.iter().collect::<Result<Vec<_>>>()?;
    match order {
        ListOrder::Atomic => items.extend(b.iter().collect::<Result<Vec<_>>>()?),
        ListOrder::Set => {
            let mut seen: BTreeSet<_> = items.iter().map(scalar).collect();
            for item in b.iter() {
                let item = item?;
                if seen.insert(scalar(&item)) {
                    items.push(item);
                }
            }
        }
        ListOrder::Map(keys) => {
            let mut places: BTreeMap<_, usize> = items
                .iter()
                .enumerate()
                .map(|(i, item)| (map_key(item, keys), i))
                .collect();
            for item in b.iter() {
                let item = item?;
                let next = items.len();
                match *places.entry(map_key(&item, keys)).or_insert(next) {
                    place if place == next => items.push(item),
                    place => items[place] = item,
                }
            }
        }
    }
    Ok(a.with_items(items))
}

/// Whether a declaration is of an object, whose keys are identifiers.
pub(crate) fn has_fields(kind: &DeclKind) -> bool {
    matches!(kind, DeclKind::Object(_))
}
