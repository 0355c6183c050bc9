//! Evaluation, and what it costs.

use crate::cost::{NEW_LIST, NEW_MAP};
use crate::error::{Error, Result};
use crate::library;
use crate::plan::{Attribute, Field, Fold, Grow, Index, Invocation, Node, Root, Step};
use crate::value::{Key, List, Map, Value, text};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One evaluation.
pub(crate) struct Evaluation<'a> {
    pub(crate) slots: Vec<Slot<'a>>,
    pub(crate) cost: u64,
    pub(crate) limit: u64,
}

/// The value of a variable.
#[derive(Clone)]
pub(crate) enum Slot<'a> {
    Unset,
    Known(Result<Value<'a>>),
    /// An accumulator nobody has looked at.
    Initial(&'a Node),
}

/// The value of an expression without variables, whatever it costs.
pub(crate) fn constant(node: &Node) -> Result<Value<'static>> {
    let mut evaluation = Evaluation {
        slots: Vec::new(),
        cost: 0,
        limit: u64::MAX,
    };
    evaluation.eval(node).map(|value| value.into_static())
}

impl<'a> Evaluation<'a> {
    fn charge(&mut self, cost: u64) -> Result<()> {
        self.cost = self.cost.saturating_add(cost);
        match self.cost > self.limit {
            true => Err(Error::OVER_BUDGET),
            false => Ok(()),
        }
    }

    pub(crate) fn eval(&mut self, node: &'a Node) -> Result<Value<'a>> {
        match node {
            Node::Const(value) => Ok(value.clone()),
            Node::Attribute(attribute) => self.attribute(attribute, true),
            Node::Call(invocation) => self.call(invocation),
            Node::And(terms) => self.logic(terms, false),
            Node::Or(terms) => self.logic(terms, true),
            Node::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                self.conditional(condition, yes, no)
            }
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Fold(fold) => self.fold(fold),
            Node::Member(member) => {
                let value = self.eval(&member.0)?;
                Ok(Value::Bool(
                    Key::of(&value).is_ok_and(|key| member.1.contains(&key)),
                ))
            }
            Node::OrOptional(sides) => match self.eval(&sides[0])? {
                Value::Optional(None) => self.eval(&sides[1]),
                other => Ok(other),
            },
            Node::OrValue(sides) => match self.eval(&sides[0])? {
                Value::Optional(None) => self.eval(&sides[1]),
                Value::Optional(Some(value)) => Ok((*value).clone()),
                other => Ok(other),
            },
            Node::Grow(grow) => self.grow(grow),
        }
    }

    fn read(&mut self, slot: usize) -> Result<Value<'a>> {
        match &self.slots[slot] {
            Slot::Known(value) => value.clone(),
            Slot::Initial(node) => {
                let value = self.eval(node);
                over_budget(&value)?;
                self.slots[slot] = Slot::Known(value.clone());
                value
            }
            Slot::Unset => Err(Error::fixed("no such attribute(s)")),
        }
    }

    /// The value of an attribute. Naming a variable has a price, but not where the value is only passed on.
    fn attribute(&mut self, attribute: &'a Attribute, charge: bool) -> Result<Value<'a>> {
        let value = match &attribute.root {
            Root::Slot(slot) => self.read(*slot),
            Root::Node(node) => self.eval(node),
            Root::Conditional(condition, sides) => self.conditional(condition, &sides[0], &sides[1]),
        };
        let value = value.and_then(|value| self.steps(value, attribute));
        over_budget(&value)?;
        // Asking whether something is there costs no more than the way to it.
        if charge && !attribute.test && !matches!(attribute.root, Root::Conditional(..)) {
            self.charge(1)?;
        }
        value
    }

    /// The value of a branch or an index, which attributes only pass on.
    fn passed(&mut self, node: &'a Node) -> Result<Value<'a>> {
        match node {
            Node::Attribute(attribute) => self.attribute(attribute, false),
            node => self.eval(node),
        }
    }

    fn conditional(&mut self, condition: &'a Node, yes: &'a Node, no: &'a Node) -> Result<Value<'a>> {
        match self.eval(condition)? {
            Value::Bool(true) => self.passed(yes),
            Value::Bool(false) => self.passed(no),
            _ => Err(Error::NO_OVERLOAD),
        }
    }

    fn steps(&mut self, mut value: Value<'a>, attribute: &'a Attribute) -> Result<Value<'a>> {
        if attribute.steps.is_empty() {
            return Ok(value);
        }
        let mut optional = false;
        match &value {
            Value::Optional(None) if attribute.test => return Ok(Value::Bool(false)),
            Value::Optional(None) => return Ok(value),
            Value::Optional(Some(inner)) => {
                value = inner.undeclared();
                optional = true;
            }
            _ => {}
        }
        let last = attribute.steps.len() - 1;
        for (i, step) in attribute.steps.iter().enumerate() {
            optional |= step.optional;
            let test = attribute.test && i == last;
            let found = self.step(&value, step, optional || test);
            match found {
                Ok(None) if test => {
                    if !optional {
                        self.charge(1)?;
                    }
                    return Ok(Value::Bool(false));
                }
                Ok(None) => return Ok(Value::NONE),
                Ok(Some(next)) => {
                    self.charge(1)?;
                    value = next;
                }
                Err(e) => {
                    if !optional && !e.is_over_budget() {
                        self.charge(1)?;
                    }
                    return Err(e);
                }
            }
        }
        Ok(match (attribute.test, optional) {
            (true, _) => Value::Bool(true),
            (false, true) => Value::some(value),
            (false, false) => value,
        })
    }

    /// Where a step leads; none only if it need not lead anywhere.
    fn step(&mut self, value: &Value<'a>, step: &'a Step, may_miss: bool) -> Result<Option<Value<'a>>> {
        let index = match &step.index {
            Index::Field(field) => {
                if let Value::Map(map) = value {
                    return match find_field(map, field)? {
                        None if !may_miss => Err(no_such_key(&field.ident)),
                        found => Ok(found),
                    };
                }
                field.ident.clone()
            }
            Index::Const(value) => value.clone(),
            Index::Node(node) => self.passed(node)?,
        };
        match value {
            Value::Map(map) => match map.find(&index)? {
                None if !may_miss => Err(no_such_key(&index)),
                found => Ok(found),
            },
            Value::List(list) => {
                let at = list.index_of(&index)?;
                match usize::try_from(at).ok().and_then(|at| list.get(at)) {
                    Some(item) => item.map(Some),
                    None if may_miss => Ok(None),
                    None => Err(Error::new(format!("index out of bounds: {}", text::show(&index)))),
                }
            }
            _ if may_miss => Ok(None),
            _ => Err(no_such_key(&index)),
        }
    }

    /// `&&` and `||`: one side that decides makes the other's errors irrelevant.
    fn logic(&mut self, terms: &'a [Node; 2], decides: bool) -> Result<Value<'a>> {
        let mut error = None;
        for term in terms {
            match self.eval(term) {
                Ok(Value::Bool(b)) if b == decides => return Ok(Value::Bool(decides)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => error = error.or(Some(Error::NO_OVERLOAD)),
                Err(e) if e.is_over_budget() => return Err(e),
                Err(e) => error = error.or(Some(e)),
            }
        }
        error.map_or(Ok(Value::Bool(!decides)), Err)
    }

    fn call(&mut self, invocation: &'a Invocation) -> Result<Value<'a>> {
        match &*invocation.args {
            [] => self.invoke(invocation, &[]),
            [arg] => match self.eval(arg) {
                Ok(value) => self.invoke(invocation, &[value]),
                Err(e) if e.is_over_budget() => Err(e),
                Err(_) if invocation.function.overloads[0].takes_errors => {
                    self.charge(1)?;
                    Ok(Value::Bool(true))
                }
                Err(e) => self.failed(invocation, &[Value::Null], e),
            },
            // Both sides are evaluated, and counted, even if the first fails.
            [left, right] if invocation.prepared.is_none() && invocation.overload.is_some() => {
                let left = self.eval(left);
                over_budget(&left)?;
                let right = self.eval(right);
                over_budget(&right)?;
                match (left, right) {
                    (Ok(left), Ok(right)) => self.invoke(invocation, &[left, right]),
                    (Err(e), right) => {
                        self.failed(invocation, &[Value::Null, right.unwrap_or(Value::Null)], e)
                    }
                    (Ok(left), Err(e)) => self.failed(invocation, &[left, Value::Null], e),
                }
            }
            [left, right] => {
                let left = self.eval(left)?;
                let right = self.eval(right)?;
                self.invoke(invocation, &[left, right])
            }
            args => {
                let mut values = Vec::with_capacity(args.len());
                for arg in args {
                    values.push(self.eval(arg)?);
                }
                self.invoke(invocation, &values)
            }
        }
    }

    fn failed(&mut self, invocation: &Invocation, args: &[Value<'a>], error: Error) -> Result<Value<'a>> {
        self.charge((invocation.cost)(args, None))?;
        Err(error)
    }

    fn invoke(&mut self, invocation: &'a Invocation, args: &[Value<'a>]) -> Result<Value<'a>> {
        // What would cost too much is not even begun.
        let least = (invocation.cost)(args, None);
        if self.cost.saturating_add(least) > self.limit {
            return self.charge(least).and(Err(Error::OVER_BUDGET));
        }
        let result = match (&invocation.prepared, invocation.overload) {
            (Some(prepared), _) => prepared(args),
            (None, Some(overload)) => (overload.eval)(args),
            (None, None) => {
                let overloads = invocation.function.overloads.iter();
                match overloads.clone().find(|o| o.fits(args)) {
                    Some(overload) => (overload.eval)(args),
                    None => library::no_overload(invocation.function.name, args),
                }
            }
        };
        over_budget(&result)?;
        self.charge((invocation.cost)(args, result.as_ref().ok()))?;
        result
    }

    fn list(&mut self, elements: &'a [(Node, bool)]) -> Result<Value<'a>> {
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

    fn map(&mut self, entries: &'a [(Node, Node, bool)]) -> Result<Value<'a>> {
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

    /// The accumulator and what is added to it, as a call of two arguments would be counted.
    fn grow(&mut self, grow: &'a Grow) -> Result<Value<'a>> {
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

    fn fold(&mut self, fold: &'a Fold) -> Result<Value<'a>> {
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
                let name = go_type(other);
                return Err(Error::new(format!("got '{name}', expected iterable type")));
            }
            (other, Some(_)) => {
                let name = go_type(other);
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

/// Ends the evaluation if it has cost too much: that error is no value.
fn over_budget<R>(result: &Result<R>) -> Result<()> {
    match result {
        Err(e) if e.is_over_budget() => Err(e.clone()),
        _ => Ok(()),
    }
}

fn no_such_key(key: &Value<'_>) -> Error {
    Error::new(format!("no such key: {}", text::show(key)))
}

fn find_field<'a>(map: &Map<'a>, field: &'a Field) -> Result<Option<Value<'a>>> {
    match map {
        Map::Json(_, decl) if crate::value::equal::has_fields(&decl.kind) => match &field.name {
            Some(name) => map.find_name(name),
            None => Ok(None),
        },
        Map::Json(..) => map.find_name(&field.text),
        Map::Owned(_) => map.find(&field.ident),
    }
}

/// How upstream's messages name the kind of a value.
fn go_type(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "types.Null",
        Value::Bool(_) => "types.Bool",
        Value::Int(_) => "types.Int",
        Value::Uint(_) => "types.Uint",
        Value::Double(_) => "types.Double",
        Value::String(_) => "types.String",
        Value::Bytes(_) => "types.Bytes",
        Value::Duration(_) => "types.Duration",
        Value::Timestamp(_) => "types.Timestamp",
        Value::List(_) => "*types.baseList",
        Value::Map(_) => "*types.baseMap",
        Value::Type(_) => "*types.Type",
        Value::Optional(_) => "*types.Optional",
        Value::Object(object) => object.type_name(),
        Value::Preserved(_) => "*common.unknownPreserved",
    }
}
