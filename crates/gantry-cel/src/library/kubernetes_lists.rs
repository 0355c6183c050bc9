//! Kubernetes' functions of lists: `isSorted`, `sum`, `min`, `max`, `indexOf`, `lastIndexOf`.

use super::comparison::COMPARABLE;
use super::{Library, arithmetic, mismatch};
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::value::{Value, equal};
use std::cmp::Ordering;

pub(super) fn register(library: &mut Library) {
    for (name, _) in COMPARABLE {
        let list = format!("(list({name}))");
        let of = |function: &str| format!("list_{name}_{function}");
        library
            .add_member(
                "isSorted",
                of("is_sorted_bool"),
                &format!("{list} -> bool"),
                is_sorted,
            )
            .cost(rules::TRAVERSE);
        let same = format!("{list} -> {name}");
        library
            .add_member("max", of(&format!("max_{name}")), &same, max)
            .cost(rules::TRAVERSE);
        library
            .add_member("min", of(&format!("min_{name}")), &same, min)
            .cost(rules::TRAVERSE);
    }
    let sums: [(&str, super::Eval); 4] = [
        ("int", |args| sum(args, Value::Int(0))),
        ("uint", |args| sum(args, Value::Uint(0))),
        ("double", |args| sum(args, Value::Double(0.0))),
        ("duration", |args| sum(args, Value::Duration(0))),
    ];
    for (name, eval) in sums {
        let id = format!("list_{name}_sum_{name}");
        library
            .add_member("sum", id, &format!("(list({name})) -> {name}"), eval)
            .cost(rules::TRAVERSE);
    }
    const INDEX: &str = "(list(A), A) -> int";
    library
        .add_member("indexOf", "list_a_index_of_int", INDEX, index_of)
        .cost(rules::TRAVERSE);
    library
        .add_member("lastIndexOf", "list_a_last_index_of_int", INDEX, last_index_of)
        .cost(rules::TRAVERSE);
}

/// Kinds of values that have an order.
fn is_ordered(value: &Value<'_>) -> bool {
    !matches!(
        value,
        Value::Null | Value::List(_) | Value::Map(_) | Value::Type(_) | Value::Optional(_) | Value::Object(_)
    )
}

fn is_sorted<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(list)] = args else {
        return mismatch();
    };
    let mut before: Option<Value> = None;
    for item in list.iter() {
        let item = item?;
        if !is_ordered(&item) {
            return mismatch();
        }
        if let Some(before) = before
            && matches!(before.compare(&item), Ok(Ordering::Greater))
        {
            return Ok(Value::Bool(false));
        }
        before = Some(item);
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(args: &[Value<'a>], zero: Value<'a>) -> Result<Value<'a>> {
    let [Value::List(list)] = args else {
        return mismatch();
    };
    let mut sum = zero;
    for item in list.iter() {
        sum = arithmetic::add(&[sum, item?])?;
    }
    Ok(sum)
}

fn most<'a>(args: &[Value<'a>], name: &str, worse: Ordering) -> Result<Value<'a>> {
    let [Value::List(list)] = args else {
        return mismatch();
    };
    let mut best: Option<Value> = None;
    for item in list.iter() {
        let item = item?;
        if !is_ordered(&item) {
            return mismatch();
        }
        match &best {
            Some(best) if best.compare(&item) != Ok(worse) => {}
            _ => best = Some(item),
        }
    }
    best.ok_or_else(|| Error::new(format!("{name} called on empty list")))
}

fn max<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    most(args, "max", Ordering::Less)
}

fn min<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    most(args, "min", Ordering::Greater)
}

fn index_of<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(list), item] = args else {
        return mismatch();
    };
    let found = list
        .iter()
        .position(|i| matches!(i.and_then(|i| equal::direct(&i, item)), Ok(true)));
    Ok(Value::Int(found.map_or(-1, |i| i as i64)))
}

fn last_index_of<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(list), item] = args else {
        return mismatch();
    };
    let equals = |i: &usize| {
        matches!(
            list.get(*i).map(|v| v.and_then(|v| equal::direct(&v, item))),
            Some(Ok(true))
        )
    };
    let found = (0..list.len()).rev().find(equals);
    Ok(Value::Int(found.map_or(-1, |i| i as i64)))
}
