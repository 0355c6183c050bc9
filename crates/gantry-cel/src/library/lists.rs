//! cel-go's functions of lists: `slice`, `flatten`, `sort`, `reverse`, `distinct`, `lists.range`.

use super::comparison::COMPARABLE;
use super::{Library, mismatch};
use crate::ast::operators as op;
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::types::Type;
use crate::value::{List, Value, equal};
use std::cmp::Ordering;

pub(super) fn register(library: &mut Library) {
    library
        .add_member("slice", "list_slice", "(list(T), int, int) -> list(T)", slice)
        .cost(rules::SLICE);
    library
        .add_member("flatten", "list_flatten", "(list(list(T))) -> list(T)", flatten)
        .cost(rules::FLATTEN);
    library
        .add_member(
            "flatten",
            "list_flatten_int",
            "(list(dyn), int) -> list(dyn)",
            flatten,
        )
        .cost(rules::FLATTEN);
    for (_, type_) in COMPARABLE {
        let name = type_.runtime_name();
        let text = matches!(type_, Type::String | Type::Bytes);
        let plain = type_.to_string();
        library
            .add_member(
                "sort",
                format!("list_{name}_sort"),
                &format!("(list({plain})) -> list({plain})"),
                sort,
            )
            .cost(if text { rules::SORT_TEXTS } else { rules::SORT });
        let id = format!("list_{name}_sortByAssociatedKeys");
        library
            .add_member(
                op::SORT_BY_KEYS,
                id,
                &format!("(list(T), list({plain})) -> list(T)"),
                sort_by,
            )
            .cost(if text {
                rules::SORT_BY_TEXTS
            } else {
                rules::SORT_BY
            });
    }
    library
        .add("lists.range", "lists_range", "(int) -> list(int)", range)
        .cost(rules::NUMBERS);
    library
        .add_member("reverse", "list_reverse", "(list(T)) -> list(T)", reverse)
        .cost(rules::REORDER);
    library
        .add_member("distinct", "list_distinct", "(list(T)) -> list(T)", distinct)
        .cost(rules::DISTINCT);
}

fn slice<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = args else {
        return mismatch();
    };
    let refused = |why: &str| Err(Error::new(format!("cannot slice({start}, {end}), {why}")));
    if *start < 0 || *end < 0 {
        return refused("negative indexes not supported");
    }
    if start > end {
        return refused("start index must be less than or equal to end index");
    }
    if (list.len() as i64) < *end {
        return refused(&format!("list is length {}", list.len()));
    }
    let items = (*start as usize..*end as usize).filter_map(|i| list.get(i));
    items.collect::<Result<Vec<_>>>().map(Value::list)
}

fn flatten<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (list, depth) = match args {
        [Value::List(list)] => (list, 1),
        [Value::List(list), Value::Int(depth)] => (list, *depth),
        _ => return mismatch(),
    };
    if depth < 0 {
        return Err(Error::fixed("level must be non-negative"));
    }
    let mut flat = Vec::new();
    flatten_into(list, depth, &mut flat)?;
    Ok(Value::list(flat))
}

/// Lists nest no deeper than data and expressions do, so this does not either.
fn flatten_into<'a>(list: &List<'a>, depth: i64, flat: &mut Vec<Value<'a>>) -> Result<()> {
    for item in list.iter() {
        match item? {
            Value::List(inner) if depth > 0 => flatten_into(&inner, depth - 1, flat)?,
            item => flat.push(item),
        }
    }
    Ok(())
}

fn sorted<'a>(list: &List<'a>, keys: &List<'a>) -> Result<Value<'a>> {
    if list.len() != keys.len() {
        return Err(Error::new(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} \
             elements respectively",
            list.len(),
            keys.len()
        )));
    }
    let items = list.iter().collect::<Result<Vec<_>>>()?;
    let keys = keys.iter().collect::<Result<Vec<_>>>()?;
    let Some(first) = keys.first() else {
        return Ok(Value::List(list.clone()));
    };
    if first.compare(first).is_err() && !matches!(first, Value::Double(_)) {
        return Err(Error::fixed("list elements must be comparable"));
    }
    let kind = first.type_name();
    if keys.iter().any(|key| key.type_name() != kind) {
        return Err(Error::fixed("list elements must have the same type"));
    }
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|a, b| keys[*a].compare(&keys[*b]).unwrap_or(Ordering::Equal));
    Ok(Value::list(order.into_iter().map(|i| items[i].clone()).collect()))
}

fn sort<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::List(list)] => sorted(list, list),
        _ => mismatch(),
    }
}

fn sort_by<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::List(list), Value::List(keys)] => sorted(list, keys),
        _ => mismatch(),
    }
}

fn range<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        // So many cost more than there is in any budget.
        [Value::Int(n)] if *n > crate::value::LONGEST_LIST as i64 => Err(Error::OVER_BUDGET),
        [Value::Int(n)] => Ok(Value::list((0..*n).map(Value::Int).collect())),
        _ => mismatch(),
    }
}

fn reverse<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(list)] = args else {
        return mismatch();
    };
    let items = (0..list.len()).rev().filter_map(|i| list.get(i));
    items.collect::<Result<Vec<_>>>().map(Value::list)
}

fn distinct<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(list)] = args else {
        return mismatch();
    };
    let mut unique: Vec<Value> = Vec::new();
    for item in list.iter() {
        let item = item?;
        if !unique
            .iter()
            .any(|other| matches!(equal::direct(&item, other), Ok(true)))
        {
            unique.push(item);
        }
    }
    Ok(Value::list(unique))
}
