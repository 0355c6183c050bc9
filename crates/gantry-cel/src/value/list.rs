//! Lists.

use super::{Value, equal};
use crate::decl::{Decl, DeclKind, ListOrder};
use crate::error::{Error, Result};
use serde_json::Value as Json;
use std::sync::Arc;

/// No list made by expressions is longer: going through it would cost more than an evaluation may.
pub(crate) const LONGEST: usize = 10_000_000;

/// A list of values.
#[derive(Clone, Debug)]
pub enum List<'a> {
    /// JSON and its declaration.
    Json(&'a [Json], &'a Decl),
    /// Values, and the declaration of the list they were added to.
    Owned(Arc<Vec<Value<'a>>>, Option<&'a Decl>),
    /// Two lists, one after the other.
    Concat(Arc<Concat<'a>>),
}

/// Two lists, one after the other.
#[derive(Debug)]
pub struct Concat<'a> {
    first: List<'a>,
    second: List<'a>,
    length: usize,
}

impl<'a> List<'a> {
    /// How many items it has.
    pub fn len(&self) -> usize {
        match self {
            List::Json(items, _) => items.len(),
            List::Owned(items, _) => items.len(),
            List::Concat(both) => both.length,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at an index.
    ///
    /// # Errors
    ///
    /// If the item is not as declared.
    pub fn get(&self, index: usize) -> Option<Result<Value<'a>>> {
        match self {
            List::Json(items, decl) => {
                let item = items.get(index)?;
                Some(match &decl.kind {
                    DeclKind::List { item: decl, .. } => Value::declared(item, decl),
                    _ => Ok(Value::json(item)),
                })
            }
            List::Owned(items, _) => items.get(index).cloned().map(Ok),
            List::Concat(both) => match index.checked_sub(both.first.len()) {
                None => both.first.get(index),
                Some(index) => both.second.get(index),
            },
        }
    }

    /// The items, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>>> + '_ {
        (0..self.len()).filter_map(|i| self.get(i))
    }

    fn decl(&self) -> Option<&'a Decl> {
        match self {
            List::Json(_, decl) => Some(decl),
            List::Owned(_, decl) => *decl,
            List::Concat(_) => None,
        }
    }

    /// How a schema says items are compared; none if no schema says.
    pub(crate) fn order(&self) -> Option<&'a ListOrder> {
        match &self.decl()?.kind {
            DeclKind::List { order, .. } => Some(order),
            _ => None,
        }
    }

    /// Whether a schema declares it.
    pub(crate) fn is_declared(&self) -> bool {
        self.order().is_some()
    }

    /// Both, one after the other; sets and maps stay such.
    pub(crate) fn concat(&self, other: &List<'a>) -> Result<List<'a>> {
        match self.order() {
            Some(order) => equal::merge(self, other, order),
            None if self.is_empty() => Ok(other.clone()),
            None if other.is_empty() => Ok(self.clone()),
            None => match self.len().saturating_add(other.len()) {
                length if length > LONGEST => Err(Error::OVER_BUDGET),
                length => Ok(List::Concat(Arc::new(Concat {
                    first: self.clone(),
                    second: other.clone(),
                    length,
                }))),
            },
        }
    }

    /// The same declaration for other items.
    pub(crate) fn with_items(&self, items: Vec<Value<'a>>) -> List<'a> {
        List::Owned(Arc::new(items), self.decl())
    }

    /// Whether an item equals a value.
    pub(crate) fn contains(&self, value: &Value<'a>) -> Result<bool> {
        let mut error = None;
        for item in self.iter() {
            let found = match self.is_declared() {
                true => item.and_then(|item| equal::direct(&item, value)),
                false => item.and_then(|item| equal::direct(value, &item)),
            };
            match found {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(e) if self.is_declared() => error = error.or(Some(e)),
                Err(_) => {}
            }
        }
        error.map_or(Ok(false), Err)
    }

    /// The index a value stands for.
    pub(crate) fn index_of(&self, index: &Value<'a>) -> Result<i64> {
        match index {
            Value::Int(i) => Ok(*i),
            Value::Double(d) => {
                equal::whole_int(*d).ok_or_else(|| Error::new(format!("unsupported index value {d} in list")))
            }
            Value::Uint(u) => {
                i64::try_from(*u).map_err(|_| Error::new(format!("unsupported index value {u} in list")))
            }
            other => Err(Error::new(format!(
                "unsupported index type '{}' in list",
                other.type_name()
            ))),
        }
    }
}
