//! Values and what is selected of them.

use super::{Evaluation, no_such_key, over_budget};
use crate::error::{Error, Result};
use crate::library::mutation;
use crate::plan::{Attribute, Field, Index, Node, Root, Step};
use crate::value::{Map, Value, equal, text};

impl<'a> Evaluation<'a> {
    /// The value of an attribute. Naming a variable has a price, but not where the value is only passed on.
    pub(super) fn attribute(&mut self, attribute: &'a Attribute, charge: bool) -> Result<Value<'a>> {
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

    pub(super) fn conditional(
        &mut self,
        condition: &'a Node,
        yes: &'a Node,
        no: &'a Node,
    ) -> Result<Value<'a>> {
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
            Index::Node(node) => {
                let index = self.passed(node)?;
                index.check_index()?;
                index
            }
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
            Value::Object(_)
                if let Some(field) = index.as_str().and_then(|name| mutation::read(value, name)) =>
            {
                Ok(Some(field))
            }
            _ if may_miss => Ok(None),
            _ => Err(no_such_key(&index)),
        }
    }
}

fn find_field<'a>(map: &Map<'a>, field: &'a Field) -> Result<Option<Value<'a>>> {
    match map {
        Map::Json(_, decl) if equal::has_fields(&decl.kind) => match &field.name {
            Some(name) => map.find_name(name),
            None => Ok(None),
        },
        Map::Json(..) => map.find_name(&field.text),
        Map::Owned(_) => map.find(&field.ident),
    }
}
