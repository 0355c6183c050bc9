//! Lists and maps: how they are made, and loops over them.

use super::{Evaluation, Slot, no_such_key, over_budget};
use crate::cost::{NEW_LIST, NEW_MAP, NEW_OBJECT};
use crate::error::{Error, Result};
use crate::library::{self, mutation};
use crate::plan::{Fold, Grow, Make, Node};
use crate::value::{Key, List, Map, Value, text};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::sync::Arc;

impl<'a> Evaluation<'a> {
    pub(super) fn list(&mut self, elements: &'a [(Node, bool)]) -> Result<Value<'a>> {
        let items = self.elements(elements);
        over_budget(&items)?;
        self.charge(NEW_LIST)?;
        items.map(Value::list)
    }

    fn elements(&mut self, elements: &'a [(Node, bool)]) -> Result<Vec<Value<'a>>> {
        let mut items = Vec::with_capacity(elements.len());
        for (node, optional) in elements {
            match (self.eval(node)?, optional) {
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(value)), true) => items.push((*value).clone()),
                (value, true) => {
                    let value = text::show(&value);
                    return Err(Error::new(format!(
                        "cannot initialize optional list element from non-optional value {value}"
                    )));
                }
                (value, false) => items.push(value),
            }
        }
        Ok(items)
    }

    pub(super) fn map(&mut self, entries: &'a [(Node, Node, bool)]) -> Result<Value<'a>> {
        let map = self.entries(entries);
        over_budget(&map)?;
        self.charge(NEW_MAP)?;
        map.map(|map| Value::Map(Map::Owned(Arc::new(map))))
    }

    fn entries(&mut self, entries: &'a [(Node, Node, bool)]) -> Result<BTreeMap<Key<'a>, Value<'a>>> {
        let mut map = BTreeMap::new();
        for (key, value, optional) in entries {
            let key = self.eval(key)?;
            let value = self.eval(value)?;
            let place = Key::of(&key)?;
            match (value, optional) {
                (Value::Optional(None), true) => {
                    map.remove(&place);
                }
                (Value::Optional(Some(value)), true) => {
                    map.insert(place, (*value).clone());
                }
                (value, true) => {
                    let (key, value) = (text::show(&key), text::show(&value));
                    return Err(Error::new(format!(
                        "cannot initialize optional entry '{key}' from non-optional value {value}"
                    )));
                }
                (value, false) => {
                    map.insert(place, value);
                }
            }
        }
        Ok(map)
    }

    pub(super) fn make(&mut self, make: &'a Make) -> Result<Value<'a>> {
        let made = self.fields(make);
        over_budget(&made)?;
        self.charge(NEW_OBJECT)?;
        mutation::make(&make.type_, made?)
    }

    fn fields(&mut self, make: &'a Make) -> Result<BTreeMap<SmolStr, Value<'a>>> {
        let mut fields = BTreeMap::new();
        for (name, node, optional) in &make.fields {
            match (self.eval(node)?, optional) {
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(value)), true) => {
                    fields.insert(name.clone(), (*value).clone());
                }
                (value, true) => {
                    let value = text::show(&value);
                    return Err(Error::new(format!(
                        "cannot initialize optional entry '{name}' from non-optional value {value}"
                    )));
                }
                (value, false) => {
                    fields.insert(name.clone(), value);
                }
            }
        }
        Ok(fields)
    }

    /// The accumulator and what is added to it, as a call of two arguments would be counted.
    pub(super) fn grow(&mut self, grow: &'a Grow) -> Result<Value<'a>> {
        let before = self.read(grow.accumulator);
        over_budget(&before)?;
        self.charge(1)?;
        if let (Ok(Value::List(List::Owned(..))), [Node::List(elements)]) = (&before, &*grow.rest) {
            let items = self.elements(elements);
            over_budget(&items)?;
            self.charge(NEW_LIST)?;
            self.charge(1)?;
            return self.extended(grow.accumulator, before?, items?);
        }
        let mut args = vec![before.clone().unwrap_or(Value::Null)];
        let mut error = before.err();
        for node in &grow.rest {
            match self.eval(node) {
                Ok(value) => args.push(value),
                Err(e) if e.is_over_budget() => return Err(e),
                Err(e) => {
                    error = error.or(Some(e));
                    args.push(Value::Null);
                }
            }
        }
        if let Some(e) = error {
            return self.failed(&grow.invocation, &args, e);
        }
        match args.as_slice() {
            [Value::List(List::Owned(..)), Value::List(list)] => {
                self.charge(1)?;
                let items = list.iter().collect::<Result<Vec<_>>>()?;
                let before = args.swap_remove(0);
                self.extended(grow.accumulator, before, items)
            }
            [Value::Map(Map::Owned(_)), ..] => {
                self.charge(1)?;
                let before = args.remove(0);
                self.slots[grow.accumulator] = Slot::Unset;
                library::insert(before, &args)
            }
            _ => self.invoke(&grow.invocation, &args),
        }
    }

    fn extended(&mut self, slot: usize, list: Value<'a>, items: Vec<Value<'a>>) -> Result<Value<'a>> {
        // The loop stores the result here again; till then the list must not be seen twice, or it would be copied.
        self.slots[slot] = Slot::Unset;
        match list {
            Value::List(List::Owned(mut list, decl)) => {
                Arc::make_mut(&mut list).extend(items);
                Ok(Value::List(List::Owned(list, decl)))
            }
            other => Ok(other),
        }
    }

    pub(super) fn fold(&mut self, fold: &'a Fold) -> Result<Value<'a>> {
        let range = self.eval(&fold.range)?;
        self.slots[fold.accumulator] = Slot::Initial(&fold.initial);
        match (&range, fold.second) {
            (Value::List(list), second) => {
                for (i, item) in list.iter().enumerate() {
                    let more = match second {
                        Some(second) => self.iterate(fold, Ok(Value::Int(i as i64)), Some((second, item))),
                        None => self.iterate(fold, item, None),
                    };
                    if !more? {
                        break;
                    }
                }
            }
            (Value::Map(map), second) => {
                for key in map.keys() {
                    let second = second.map(|slot| {
                        let value = map.find(&key).and_then(|v| v.ok_or_else(|| no_such_key(&key)));
                        (slot, value)
                    });
                    if !self.iterate(fold, Ok(key), second)? {
                        break;
                    }
                }
            }
            (other, None) => {
                let name = text::go_type(other);
                return Err(Error::new(format!("got '{name}', expected iterable type")));
            }
            (other, Some(_)) => {
                let name = text::go_type(other);
                return Err(Error::new(format!(
                    "unsupported comprehension range type: {name}"
                )));
            }
        }
        let result = self.eval(&fold.result);
        self.slots[fold.accumulator] = Slot::Unset;
        result
    }

    /// One round of a loop; false when it is to end.
    fn iterate(
        &mut self,
        fold: &'a Fold,
        first: Result<Value<'a>>,
        second: Option<(usize, Result<Value<'a>>)>,
    ) -> Result<bool> {
        self.slots[fold.variable] = Slot::Known(first);
        if let Some((slot, value)) = second {
            self.slots[slot] = Slot::Known(value);
        }
        if !matches!(fold.condition, Node::Const(Value::Bool(true))) {
            let condition = self.eval(&fold.condition);
            over_budget(&condition)?;
            if matches!(condition, Ok(Value::Bool(false))) {
                return Ok(false);
            }
        }
        let value = self.eval(&fold.step);
        over_budget(&value)?;
        self.slots[fold.accumulator] = Slot::Known(value);
        Ok(true)
    }
}
