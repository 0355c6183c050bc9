//! Who owns the fields of a new object, written straight as JSON: most writes make objects, and then no sets need to be
//! compared, changed and encoded. [`super::Writer::update`] says the same.

use super::compare::always;
use super::element::PathElement;
use super::set::Set;
use super::shape::Shape;
use super::walk::is_empty;
use serde_json::{Map, Value};

/// The fields that a new object sets, in their FieldsV1 form: all that differs from `empty`, an object that says nothing.
/// Left out are those that are nobody's, and one by its name. `None` when they are none.
///
/// # Errors
///
/// The object is not divided as its schema says.
pub fn fields(
    shape: Shape,
    empty: &Value,
    new: &Value,
    nobodys: &Set,
    left_out: &str,
) -> Result<Option<String>, String> {
    let mut written = Written(String::with_capacity(1024));
    written.0.push('{');
    for (key, value) in new.as_object().into_iter().flatten() {
        if key != left_out {
            written.field(shape, Some(empty), key, value, Some(nobodys))?;
        }
    }
    written.0.push('}');
    Ok(Some(written.0).filter(|fields| fields != "{}"))
}

/// What was written so far.
struct Written(String);

impl Written {
    /// A field of an object, which there was before as `old`.
    fn field(
        &mut self,
        shape: Shape,
        old: Option<&Value>,
        name: &str,
        new: &Value,
        nobodys: Option<&Set>,
    ) -> Result<(), String> {
        let declared = shape.declared(name);
        let always = declared.filter(|_| old.is_some()).and_then(always);
        let before = old.and_then(|old| old.get(name)).or(always);
        let below = declared.map_or_else(|| shape.child(name), Shape::of_field);
        let nobodys = nobodys.and_then(|set| set.field(name));
        let start = self.key(
            name.bytes().any(|c| c < b' ' || c == b'"' || c == b'\\'),
            &["f:", name],
        );
        let inside = self.0.len();
        let member = self.value(below, before, new, nobodys.map(|node| &node.children))?;
        let owned = member && nobodys.is_none_or(|node| !node.member);
        self.end(start, inside, owned);
        Ok(())
    }

    /// The items of a list, which was not there before.
    fn items(&mut self, shape: Shape, items: &[Value]) -> Result<(), String> {
        let mut named: Vec<(PathElement, &Value)> = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let element = shape
                .element_of(item)
                .map_err(|why| format!("element {i}: {why}"))?;
            named.push((element, item));
        }
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        let alike = named.chunk_by(|(a, _), (b, _)| a == b);
        let mut keys: Vec<(String, &[(PathElement, &Value)])> =
            alike.map(|items| (items[0].0.encode(), items)).collect();
        // In the order of their texts.
        keys.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (key, items) in keys {
            let start = self.key(true, &[&key]);
            let inside = self.0.len();
            // Items that cannot be told apart are one, with nothing below.
            if let [(_, item)] = items {
                self.value(shape.item(), None, item, None)?;
            }
            self.end(start, inside, true);
        }
        Ok(())
    }

    /// What is below a value that was `old`; whether the value itself is among the fields.
    fn value(
        &mut self,
        shape: Shape,
        old: Option<&Value>,
        new: &Value,
        nobodys: Option<&Set>,
    ) -> Result<bool, String> {
        if old == Some(new) {
            return Ok(false);
        }
        let empty = is_empty(old) && is_empty(Some(new));
        match new {
            Value::Object(map) if shape.is_object() && !empty => self.map(shape, old, map, nobodys)?,
            Value::Array(items) if shape.is_list() && !empty => self.items(shape, items)?,
            _ => return Ok(true),
        }
        Ok(old.is_none())
    }

    fn map(
        &mut self,
        shape: Shape,
        old: Option<&Value>,
        map: &Map<String, Value>,
        nobodys: Option<&Set>,
    ) -> Result<(), String> {
        map.iter()
            .try_for_each(|(name, value)| self.field(shape, old, name, value, nobodys))
    }

    /// Begins an entry; where it begins.
    fn key(&mut self, escape: bool, parts: &[&str]) -> usize {
        let start = self.0.len();
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        if escape {
            self.0.push_str(&Value::from(parts.concat()).to_string());
        } else {
            self.0.push('"');
            parts.iter().for_each(|part| self.0.push_str(part));
            self.0.push('"');
        }
        self.0.push_str(":{");
        start
    }

    /// Ends an entry that has what stands behind `inside`, and is perhaps itself among the fields; takes it back if neither.
    fn end(&mut self, start: usize, inside: usize, owned: bool) {
        match (owned, self.0.len() > inside) {
            (false, false) => return self.0.truncate(start),
            (true, true) => self.0.insert_str(inside, "\".\":{},"),
            _ => {}
        }
        self.0.push('}');
    }
}
