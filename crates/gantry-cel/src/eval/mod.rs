//! Evaluation, and what it costs.

mod attribute;
mod containers;

use crate::error::{Error, Result};
use crate::library;
use crate::plan::{Invocation, Node};
use crate::value::{Key, Value, text};
use smol_str::SmolStr;

/// One evaluation.
pub(crate) struct Evaluation<'a> {
    pub(crate) slots: Vec<Slot<'a>>,
    /// The names of the environment's variables.
    pub(crate) names: &'a [SmolStr],
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
        names: &[],
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
            Node::Make(make) => self.make(make),
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
            Slot::Unset => {
                let name = self.names.get(slot).map_or("", SmolStr::as_str);
                Err(Error::new(format!("no such attribute(s): {name}")))
            }
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
        let function = invocation.function;
        let result = match (&invocation.prepared, invocation.overload) {
            (Some(prepared), _) => prepared(args),
            (None, Some(overload)) if !overload.guarded || overload.fits(args) => (overload.eval)(args),
            (None, Some(_)) => library::no_overload(function.name, args),
            (None, None) if !function.overloads[0].guarded => (function.overloads[0].eval)(args),
            (None, None) => match function.overloads.iter().find(|o| o.fits(args)) {
                Some(overload) => (overload.eval)(args),
                None => library::no_overload(function.name, args),
            },
        };
        over_budget(&result)?;
        self.charge((invocation.cost)(args, result.as_ref().ok()))?;
        result
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
