//! Walks over objects and sets under a shape: which paths an object has, and what to take out of one.

use super::element::PathElement;
use super::set::{Node, Set};
use super::shape::Shape;
use serde_json::Value;
use std::collections::BTreeSet;

/// Whether a value counts as empty where upstream tells empty from absent.
pub fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(_) => false,
    }
}

/// The paths that an object has.
pub fn extract(shape: Shape, value: &Value) -> Set {
    node_of(shape, value).children
}

fn node_of(shape: Shape, value: &Value) -> Node {
    let mut node = Node::default();
    match value {
        Value::Object(map) if shape.is_object() => {
            for (key, v) in map {
                let mut below = node_of(shape.child(key), v);
                below.member |= v.is_null()
                    || v.as_object().is_some_and(serde_json::Map::is_empty)
                    || !shape.declares(key);
                node.children.push(PathElement::field(key), below);
            }
        }
        Value::Array(items) if shape.is_list() => {
            let mut twice = BTreeSet::new();
            let mut named = Vec::with_capacity(items.len());
            let mut seen = BTreeSet::new();
            for item in items {
                if let Ok(element) = shape.element_of(item) {
                    if !seen.insert(element.clone()) {
                        twice.insert(element.clone());
                    }
                    named.push((element, item));
                }
            }
            // In order, so that each is put at the end of the set.
            named.sort_by(|(a, _), (b, _)| a.cmp(b));
            for (element, item) in named {
                // Items that cannot be told apart are one member, with nothing below.
                let mut below = match twice.contains(&element) {
                    true => Node::default(),
                    false => node_of(shape.item(), item),
                };
                below.member = true;
                node.children.push(element, below);
            }
        }
        Value::Null if shape.is_object() || shape.is_list() => {}
        _ => node.member = true,
    }
    node
}

/// Takes the paths of a set, and all below them, out of an object. What becomes empty stays, empty.
pub fn remove(shape: Shape, value: &mut Value, gone: &Set) {
    match value {
        Value::Object(map) if shape.is_object() => {
            map.retain(|key, v| match gone.field(key) {
                Some(node) if node.member => false,
                Some(node) => {
                    remove(shape.child(key), v, &node.children);
                    true
                }
                None => true,
            });
        }
        Value::Array(items) if shape.is_list() => {
            items.retain_mut(|item| {
                let node = shape.element_of(item).ok().and_then(|e| gone.get(&e));
                match node {
                    Some(node) if node.member => false,
                    Some(node) => {
                        remove(shape.item(), item, &node.children);
                        true
                    }
                    None => true,
                }
            });
        }
        _ => {}
    }
}

/// The set with every declared field on the way to a path in it; sets do not hold those as a rule.
pub fn with_named_fields(shape: Shape, set: &Set) -> Set {
    let mut out = set.clone();
    add_named_fields(shape, &mut out);
    out
}

fn add_named_fields(shape: Shape, set: &mut Set) {
    for entry in set.entries_mut() {
        if entry.node.children.is_empty() {
            continue;
        }
        if let PathElement::Field(name) = &entry.element {
            entry.node.member |= shape.declares(name);
        }
        add_named_fields(shape.at(&entry.element), &mut entry.node.children);
    }
}

/// Brings a stored set up to date with a schema that now takes as one value what it once divided.
pub fn reconcile(shape: Shape, set: &mut Set) {
    if matches!(shape, Shape::Deduced) {
        return;
    }
    for entry in set.entries_mut() {
        if entry.node.children.is_empty() {
            continue;
        }
        match shape.at(&entry.element) {
            Shape::Leaf => entry.node = Node::leaf(),
            below => reconcile(below, &mut entry.node.children),
        }
    }
}
