//! Strategic merge patches: lists merge by the keys that the schema gives, and directives in the patch say more.
//!
//! Source: k8s.io/apimachinery/pkg/util/strategicpatch.

use super::unprocessable;
use crate::apply::element;
use crate::json::printed;
use crate::schema::{self, Field, Message, Type};
use crate::status::Status;
use serde_json::{Map, Value};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

/// Applies a strategic merge patch to an object of the schema `message`.
///
/// # Errors
///
/// 400 for a malformed directive, 422 for lists of lists, 500, as upstream has it, for a list item without its key
/// and the like.
pub fn strategic(target: Value, patch: &Value, message: &'static Message) -> Result<Value, Status> {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            merge_object(target, patch, Place::Object(message)).map(Value::Object)
        }
        // A patch that is null changes nothing.
        (target, _) => Ok(target),
    }
}

/// What the schema knows about an object.
#[derive(Clone, Copy)]
enum Place {
    Object(&'static Message),
    Map(&'static Type),
    Unknown,
}

impl Place {
    fn of(type_: &'static Type) -> Self {
        match type_ {
            Type::Message(name) => schema::message(name).map_or(Place::Unknown, Place::Object),
            Type::Map(item) => Place::Map(item),
            _ => Place::Unknown,
        }
    }

    fn field(self, key: &str) -> Option<&'static Field> {
        match self {
            Place::Object(message) => message.field(key),
            _ => None,
        }
    }

    fn child(self, key: &str) -> Self {
        match self {
            Place::Map(item) => Place::of(item),
            _ => self.field(key).map_or(Place::Unknown, |f| Place::of(&f.type_)),
        }
    }
}

fn has(field: Option<&Field>, strategy: &str) -> bool {
    field.is_some_and(|f| f.patch_strategy.contains(&strategy))
}

/// Upstream gives these errors no reason and no better code.
fn failed(why: String) -> Status {
    Status::new(500, "", why)
}

fn bad_format(of: &str) -> Status {
    Status::bad_request(format!("invalid patch format of {of}"))
}

fn is_directive(key: &str) -> bool {
    key == PATCH || key == RETAIN || key.starts_with(ORDER) || key.starts_with(DELETE)
}

fn merge_object(
    mut target: Map<String, Value>,
    patch: &Map<String, Value>,
    place: Place,
) -> Result<Map<String, Value>, Status> {
    match patch.get(PATCH).map(|d| d.as_str().unwrap_or_default()) {
        Some("replace") => {
            let mut whole = patch.clone();
            whole.remove(PATCH);
            return Ok(whole);
        }
        Some("delete") => return Ok(Map::new()),
        Some(_) => {
            let why = format!(
                "unknown patch type: {} in map: {}",
                printed(&patch[PATCH]),
                printed(&Value::Object(patch.clone()))
            );
            return Err(failed(why));
        }
        None => {}
    }
    retain_keys(&mut target, patch)?;
    for (key, gone) in patch {
        if let Some(name) = key.strip_prefix(DELETE)
            && let (Some(list), Some(gone)) = (
                target.get_mut(name).and_then(Value::as_array_mut),
                gone.as_array(),
            )
        {
            let gone: BTreeSet<Name> = gone.iter().map(Name).collect();
            list.retain(|v| !gone.contains(&Name(v)));
        } else if key.starts_with("$deleteFromPrimitiveList") && !key.starts_with(DELETE) {
            return Err(bad_format("primitive list"));
        }
    }
    let mut done = Vec::new();
    for (key, order) in patch.iter().filter(|(k, _)| k.starts_with("$setElementOrder")) {
        let name = key
            .strip_prefix(ORDER)
            .ok_or_else(|| bad_format("setElementOrder list"))?;
        set_order(&mut target, patch, place, name, order)?;
        done.push(name);
    }
    for (key, value) in patch {
        if is_directive(key) || done.contains(&key.as_str()) {
            continue;
        }
        if value.is_null() {
            target.remove(key);
            continue;
        }
        let field = place.field(key);
        let merged = match (target.get_mut(key).map(Value::take), value) {
            (Some(Value::Object(old)), Value::Object(new)) if !has(field, "replace") => {
                Some(Value::Object(merge_object(old, new, place.child(key))?))
            }
            (Some(Value::Array(old)), Value::Array(new)) if has(field, "merge") => {
                Some(Value::Array(merge_list(old, new, field)?))
            }
            (Some(Value::Object(_)), Value::Object(_)) | (Some(Value::Array(_)), Value::Array(_)) => {
                Some(value.clone())
            }
            _ => fresh(value),
        };
        match merged {
            Some(value) => target.insert(key.clone(), value),
            None => target.remove(key),
        };
    }
    Ok(target)
}

/// `$retainKeys`: only the fields named there stay.
fn retain_keys(target: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), Status> {
    let Some(keep) = patch.get(RETAIN) else {
        return Ok(());
    };
    let keep = keep.as_array().ok_or_else(|| bad_format("retainKeys"))?;
    let kept = |key: &str| keep.iter().any(|k| k.as_str() == Some(key));
    if patch
        .iter()
        .any(|(key, v)| !v.is_null() && !is_directive(key) && !kept(key))
    {
        return Err(bad_format("retainKeys"));
    }
    target.retain(|key, _| kept(key));
    Ok(())
}

/// `$setElementOrder/<name>`: merges that list, if the patch has it, and puts its items in the order given.
fn set_order(
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    place: Place,
    name: &str,
    order: &Value,
) -> Result<(), Status> {
    let list = |v: &Value| {
        v.as_array()
            .cloned()
            .ok_or_else(|| failed(format!("expected a []interface {{}}, but received {v}")))
    };
    let order = list(order)?;
    let field = place.field(name);
    let key = field.map_or("", |f| f.merge_key);
    let old = target.get(name).map(list).transpose()?;
    let new = patch.get(name).map(list).transpose()?;
    if let Some(new) = &new {
        check_order(new, &order, key)?;
    }
    let server = old.clone().unwrap_or_default();
    let merged = match (old, new) {
        (Some(old), None) => old,
        (None, Some(new)) => new.iter().filter_map(fresh).collect(),
        (Some(old), Some(new)) if has(field, "merge") => merge_list(old, &new, field)?,
        (Some(_), Some(new)) => new,
        (None, None) => return Ok(()),
    };
    if !key.is_empty() {
        merged.iter().try_for_each(|item| with_key(item, key).map(drop))?;
    }
    target.insert(
        name.to_string(),
        Value::Array(ordered(merged, &order, &server, key)),
    );
    Ok(())
}

/// The items that a patch sets must come in the order it sets.
fn check_order(items: &[Value], order: &[Value], key: &str) -> Result<(), Status> {
    if items.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut order_left = order.iter();
    let in_order = items.iter().filter(|item| item.get(PATCH).is_none()).all(|item| {
        let own = name(item, key);
        order_left.any(|o| own.is_some() && name(o, key) == own)
    });
    match in_order {
        true => Ok(()),
        false => Err(failed(format!(
            "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
            Value::Array(items.to_vec()),
            Value::Array(order.to_vec())
        ))),
    }
}

/// Merges a list by its merge key, or a list of plain values as a set.
fn merge_list(old: Vec<Value>, patch: &[Value], field: Option<&'static Field>) -> Result<Vec<Value>, Status> {
    let mut all = old.iter().chain(patch);
    let Some(first) = all.next() else {
        return Ok(old);
    };
    if old.iter().chain(patch).any(Value::is_array) {
        return Err(unprocessable());
    }
    if all.any(|item| mem::discriminant(item) != mem::discriminant(first)) {
        return Err(failed(format!(
            "list element types are not identical: [{} {}]",
            printed(&Value::Array(old.clone())),
            printed(&Value::Array(patch.to_vec()))
        )));
    }
    if !first.is_object() {
        let mut seen = BTreeSet::new();
        let both = old.iter().chain(patch);
        let merged = both.filter(|item| seen.insert(Name(item))).cloned().collect();
        return Ok(ordered(merged, patch, &old, ""));
    }
    let key = field.map_or("", |f| f.merge_key);
    if key.is_empty() {
        let name = field.map_or("", |f| f.name);
        return Err(failed(format!("cannot merge lists without merge key for {name}")));
    }
    let item_place = match field.map(|f| &f.type_) {
        Some(Type::List(item)) => Place::of(item),
        _ => Place::Unknown,
    };
    merge_items(old, patch, key, item_place)
}

fn merge_items(old: Vec<Value>, patch: &[Value], key: &str, place: Place) -> Result<Vec<Value>, Status> {
    let mut plain = Vec::new();
    let mut deleted = BTreeSet::new();
    let mut replace = false;
    for item in patch {
        match item.get(PATCH).map(|d| d.as_str().unwrap_or_default()) {
            None => plain.push(item.clone()),
            Some("delete") => deleted.extend(with_key(item, key)?.get(key).map(Name)),
            Some("replace") => replace = true,
            Some("merge") => {
                return Err(failed(
                    "merging lists cannot yet be specified in the patch".into(),
                ));
            }
            Some(_) => {
                return Err(failed(format!(
                    "unknown patch type: {} in map: {item}",
                    item[PATCH]
                )));
            }
        }
    }
    if replace {
        return Ok(plain.iter().filter_map(fresh).collect());
    }
    let mut merged = old;
    merged.retain(|v| name(v, key).is_none_or(|name| !deleted.contains(&name)));
    let server = merged.clone();
    let mut places = positions(&server, key);
    for item in &plain {
        let inner = with_key(item, key)?;
        match name(item, key).and_then(|name| places.get(&name)) {
            Some(at) => {
                if let Value::Object(old) = merged[*at].take() {
                    merged[*at] = Value::Object(merge_object(old, inner, place)?);
                }
            }
            None => {
                places.extend(name(item, key).map(|name| (name, merged.len())));
                merged.extend(fresh(item));
            }
        }
    }
    merged.iter().try_for_each(|item| with_key(item, key).map(drop))?;
    Ok(ordered(merged, &plain, &server, key))
}

fn with_key<'a>(item: &'a Value, key: &str) -> Result<&'a Map<String, Value>, Status> {
    item.as_object().filter(|i| i.contains_key(key)).ok_or_else(|| {
        failed(format!(
            "map: {} does not contain declared merge key: {key}",
            printed(item)
        ))
    })
}

/// A patch's value where there is nothing to merge it into: without nulls in objects, and without directives.
fn fresh(value: &Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(PATCH) => None,
        Value::Object(map) => Some(Value::Object(
            map.iter()
                .filter(|(key, v)| !v.is_null() && !is_directive(key))
                .filter_map(|(key, v)| Some((key.clone(), fresh(v)?)))
                .collect(),
        )),
        Value::Array(items) => Some(items.iter().filter_map(fresh).collect()),
        plain => Some(plain.clone()),
    }
}

/// What tells an item from others: the value of its key, or a plain value itself. Lists may be long, so names are
/// looked up in maps.
#[derive(Clone, Copy)]
struct Name<'a>(&'a Value);

impl Ord for Name<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        element::compare(self.0, other.0)
    }
}

impl PartialOrd for Name<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Name<'_> {}

fn name<'a>(item: &'a Value, key: &str) -> Option<Name<'a>> {
    match key {
        "" => Some(Name(item)),
        key => item.get(key).map(Name),
    }
}

/// Where each name first stands.
fn positions<'a>(items: &'a [Value], key: &str) -> BTreeMap<Name<'a>, usize> {
    let mut out = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        if let Some(name) = name(item, key) {
            out.entry(name).or_insert(at);
        }
    }
    out
}

/// Upstream's normalizeElementOrder: wanted items in their order, the others where the server had them.
fn ordered(items: Vec<Value>, wanted: &[Value], server: &[Value], key: &str) -> Vec<Value> {
    let (wanted, server) = (positions(wanted, key), positions(server, key));
    let at = |places: &BTreeMap<Name, usize>, item: &Value| {
        name(item, key).and_then(|name| places.get(&name).copied())
    };
    let (mut named, others): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|item| at(&wanted, item).is_some());
    named.sort_by_cached_key(|item| at(&wanted, item));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut out = Vec::new();
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (Some(o), Some(n)) => match (at(&server, o), at(&server, n)) {
                (Some(o), Some(n)) => o < n,
                _ => false,
            },
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return out,
        };
        out.extend(if other_first { others.next() } else { named.next() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Each case: what, the object, the patch, and the object after it or the error's code.
    fn check(group: &str, kind: &str, cases: Vec<(&str, Value, Value, Result<Value, u16>)>) {
        let version = "v1";
        let message = schema::message_for(group, version, kind).unwrap();
        for (what, object, patch, want) in cases {
            let got = strategic(object, &patch, message).map_err(|s| s.code);
            assert_eq!(got, want, "{what}");
        }
    }

    #[test]
    fn lists_by_key() {
        let pod = |containers: Value| json!({"spec": {"containers": containers}});
        let (a, b, c) = (
            json!({"name": "a", "image": "1"}),
            json!({"name": "b", "image": "2"}),
            json!({"name": "c", "image": "3"}),
        );
        check(
            "",
            "Pod",
            vec![
                (
                    "an item merges by its key",
                    pod(json!([a, b])),
                    pod(json!([{"name": "b", "image": "9"}])),
                    Ok(pod(json!([a, {"name": "b", "image": "9"}]))),
                ),
                (
                    "a new item comes before what the server has, unless an order says otherwise",
                    pod(json!([a])),
                    pod(json!([c])),
                    Ok(pod(json!([c, a]))),
                ),
                (
                    "an item is deleted",
                    pod(json!([a, b])),
                    pod(json!([{"name": "a", "$patch": "delete"}])),
                    Ok(pod(json!([b]))),
                ),
                (
                    "deleting what is not there is no error",
                    pod(json!([a])),
                    pod(json!([{"name": "z", "$patch": "delete"}])),
                    Ok(pod(json!([a]))),
                ),
                (
                    "the list is replaced",
                    pod(json!([a, b])),
                    pod(json!([{"$patch": "replace"}, c])),
                    Ok(pod(json!([c]))),
                ),
                (
                    "a null removes a field of an item",
                    pod(json!([a])),
                    pod(json!([{"name": "a", "image": null}])),
                    Ok(pod(json!([{"name": "a"}]))),
                ),
                (
                    "nulls and directives of a new item are dropped",
                    pod(json!([])),
                    pod(json!([{"name": "a", "image": null, "$setElementOrder/env": []}])),
                    Ok(pod(json!([{"name": "a"}]))),
                ),
                (
                    "the order is set",
                    pod(json!([a, b])),
                    json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}),
                    Ok(pod(json!([b, a]))),
                ),
                (
                    "items that the order does not name stay where the server had them",
                    pod(json!([a, b, c])),
                    json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}]}}),
                    Ok(pod(json!([a, c, b]))),
                ),
                (
                    "an order and a new item",
                    pod(json!([a, b])),
                    json!({"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "c"}, {"name": "b"}],
                        "containers": [c]}}),
                    Ok(pod(json!([a, c, b]))),
                ),
                (
                    "an order, and a deleted item",
                    pod(json!([a, b])),
                    json!({"spec": {"$setElementOrder/containers": [{"name": "b"}],
                        "containers": [{"name": "a", "$patch": "delete"}]}}),
                    Ok(pod(json!([b]))),
                ),
                (
                    "an order that the patch's own items do not follow",
                    pod(json!([a, b])),
                    json!({"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
                        "containers": [b, a]}}),
                    Err(500),
                ),
                (
                    "an item without its key",
                    pod(json!([a])),
                    pod(json!([{"image": "9"}])),
                    Err(500),
                ),
                (
                    "an unknown directive",
                    pod(json!([a])),
                    pod(json!([{"name": "a", "$patch": "jump"}])),
                    Err(500),
                ),
                (
                    "items of different types",
                    pod(json!([a])),
                    pod(json!(["a"])),
                    Err(500),
                ),
                (
                    "a list whose strategy is not merge is replaced",
                    json!({"spec": {"containers": [{"name": "a", "command": ["x"]}]}}),
                    json!({"spec": {"containers": [{"name": "a", "command": ["y"]}]}}),
                    Ok(json!({"spec": {"containers": [{"name": "a", "command": ["y"]}]}})),
                ),
            ],
        );
    }

    #[test]
    fn plain_lists() {
        let pod = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
        check(
            "",
            "Pod",
            vec![
                (
                    "plain values merge as a set",
                    pod(json!(["a", "b"])),
                    pod(json!(["b", "c"])),
                    Ok(pod(json!(["a", "b", "c"]))),
                ),
                (
                    "values are deleted",
                    pod(json!(["a", "b"])),
                    json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "z"]}}),
                    Ok(pod(json!(["b"]))),
                ),
                (
                    "values are deleted, added and ordered",
                    pod(json!(["a", "b", "c"])),
                    json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "finalizers": ["d"],
                        "$setElementOrder/finalizers": ["d", "c", "a"]}}),
                    Ok(pod(json!(["d", "c", "a"]))),
                ),
                (
                    "a malformed deletion",
                    pod(json!(["a"])),
                    json!({"metadata": {"$deleteFromPrimitiveList": ["a"]}}),
                    Err(400),
                ),
                (
                    "a malformed order",
                    pod(json!(["a"])),
                    json!({"metadata": {"$setElementOrder": ["a"]}}),
                    Err(400),
                ),
                ("lists of lists", pod(json!(["a"])), pod(json!([["a"]])), Err(422)),
            ],
        );
    }

    #[test]
    fn objects() {
        let strategy = |s: Value| json!({"spec": {"replicas": 1, "strategy": s}});
        let patch = |s: Value| json!({"spec": {"strategy": s}});
        let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}});
        check(
            "apps",
            "Deployment",
            vec![
                (
                    "only the keys named are retained",
                    strategy(rolling.clone()),
                    patch(json!({"$retainKeys": ["type"], "type": "Recreate"})),
                    Ok(strategy(json!({"type": "Recreate"}))),
                ),
                (
                    "a key that is set must be retained",
                    strategy(rolling.clone()),
                    patch(json!({"$retainKeys": ["type"], "rollingUpdate": {}})),
                    Err(400),
                ),
                (
                    "a null need not be retained",
                    strategy(rolling.clone()),
                    patch(json!({"$retainKeys": ["type"], "rollingUpdate": null, "type": "Recreate"})),
                    Ok(strategy(json!({"type": "Recreate"}))),
                ),
                (
                    "retained keys must be a list",
                    strategy(rolling.clone()),
                    patch(json!({"$retainKeys": "type"})),
                    Err(400),
                ),
                (
                    "an object is replaced",
                    strategy(rolling.clone()),
                    patch(json!({"$patch": "replace", "type": "Recreate"})),
                    Ok(strategy(json!({"type": "Recreate"}))),
                ),
                (
                    "an object is emptied",
                    strategy(rolling.clone()),
                    patch(json!({"$patch": "delete"})),
                    Ok(strategy(json!({}))),
                ),
                (
                    "an object that is not there is not deleted into being",
                    json!({"spec": {"replicas": 1}}),
                    patch(json!({"$patch": "delete"})),
                    Ok(json!({"spec": {"replicas": 1}})),
                ),
                (
                    "an unknown directive",
                    strategy(rolling.clone()),
                    patch(json!({"$patch": "jump"})),
                    Err(500),
                ),
                (
                    "maps merge",
                    json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
                    json!({"metadata": {"labels": {"a": null, "c": "3"}}}),
                    Ok(json!({"metadata": {"labels": {"b": "2", "c": "3"}}})),
                ),
                (
                    "a value of another type is replaced",
                    strategy(rolling.clone()),
                    patch(json!("x")),
                    Ok(strategy(json!("x"))),
                ),
            ],
        );
    }

    /// Not timed, but a quadratic merge of these would be noticed.
    #[test]
    fn long_lists() {
        let names =
            |from: usize, to: usize| -> Vec<String> { (from..to).rev().map(|i| format!("x/{i}")).collect() };
        let pod = |finalizers: Value, owners: Value| json!({"metadata": {"finalizers": finalizers, "ownerReferences": owners}});
        let owners = |names: &[String]| names.iter().map(|n| json!({"uid": n})).collect::<Value>();
        let (old, new) = (names(0, 30_000), names(15_000, 45_000));
        let mut patch = pod(json!(new), owners(&new));
        patch["metadata"]["$setElementOrder/finalizers"] = json!(names(0, 45_000));
        let message = schema::message_for("", "v1", "Pod").unwrap();
        let merged = strategic(pod(json!(old), owners(&old)), &patch, message).unwrap();
        assert_eq!(merged["metadata"]["finalizers"], json!(names(0, 45_000)));
        assert_eq!(
            merged["metadata"]["ownerReferences"].as_array().map(Vec::len),
            Some(45_000)
        );
    }
}
