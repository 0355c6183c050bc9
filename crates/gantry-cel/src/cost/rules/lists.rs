//! The rules that functions of lists cost by.

use super::size;
use crate::cost::{Estimate, NEW_LIST, Range, Rule, TRAVERSAL};
use crate::types::Type;
use crate::value::{Map, Value};

/// Goes through a list and all that is in it.
pub(crate) const TRAVERSE: Rule = Rule {
    counted: |args, _| args.first().map_or(0, traversal),
    estimated: |call| match call.items() {
        Some((type_, size)) => {
            let each = match type_ {
                Type::String | Type::Bytes => Range::ONE.plus(size.by(TRAVERSAL)),
                _ => Range::ONE,
            };
            Estimate::of(call.target().times(each))
        }
        None => Estimate::of(call.target().by(TRAVERSAL)),
    },
    by_name: true,
};

fn traversal(value: &Value<'_>) -> u64 {
    let text = |length: usize| (length as f64 * TRAVERSAL) as u64;
    match value {
        Value::String(s) => text(s.len()),
        Value::Bytes(b) => text(b.len()),
        Value::List(list) => list.iter().map(|i| i.as_ref().map_or(1, traversal)).sum(),
        Value::Map(map) => {
            let of = |key: &Value<'_>| match map.find(key) {
                Ok(Some(value)) => traversal(key) + traversal(&value),
                _ => traversal(key) + 1,
            };
            map.keys().iter().map(of).sum()
        }
        _ => 1,
    }
}

fn items(value: Option<&Value<'_>>) -> u64 {
    match value {
        Some(Value::List(list)) => list.len() as u64,
        Some(Value::Map(Map::Owned(map))) => map.len() as u64,
        Some(other) => other.cost_size(),
        None => 1,
    }
}

fn new_list(factor: f64, size: u64) -> u64 {
    // A negative product wraps, as upstream's does.
    let items = match size as f64 * factor {
        product if product < 0.0 => product as i64 as u64,
        product => product as u64,
    };
    match factor < 0.0 {
        true => items.wrapping_add(1 + NEW_LIST),
        false => items.saturating_add(1 + NEW_LIST),
    }
}

fn new_list_estimate(factor: f64, size: Range) -> Estimate {
    let cost = size.by(factor).plus(Range::ONE).plus(Range::exactly(NEW_LIST));
    Estimate::sized(cost, size)
}

/// Takes part of a list.
pub(crate) const SLICE: Rule = Rule {
    counted: |_, result| new_list(1.0, items(result)),
    estimated: |call| {
        let start = call.literal(0).unwrap_or(0);
        let end = call.literal(1).unwrap_or(call.target().max);
        new_list_estimate(1.0, Range::exactly(end.wrapping_sub(start)))
    },
    by_name: false,
};

/// Makes a list of numbers.
pub(crate) const NUMBERS: Rule = Rule {
    counted: |args, _| match args.first() {
        Some(Value::Int(n)) => new_list(1.0, (*n).max(0) as u64),
        _ => 1,
    },
    estimated: |call| new_list_estimate(1.0, Range::exactly(call.literal(0).unwrap_or(u64::MAX))),
    by_name: false,
};

/// Makes another list of the same items.
pub(crate) const REORDER: Rule = Rule {
    counted: |_, result| new_list(1.0, items(result)),
    estimated: |call| new_list_estimate(1.0, call.target()),
    by_name: false,
};

/// Makes one list of lists within lists.
pub(crate) const FLATTEN: Rule = Rule {
    counted: |args, _| {
        let depth = match args.get(1) {
            Some(Value::Int(depth)) => *depth as f64,
            _ => 1.0,
        };
        new_list(depth, size(args, 0))
    },
    estimated: |call| {
        let depth = match call.args.is_empty() {
            true => 1,
            false => call.literal(0).unwrap_or(u64::MAX),
        };
        new_list_estimate(depth as f64, call.target())
    },
    by_name: false,
};

fn each_with_each(list: Option<&Value<'_>>) -> u64 {
    let size = items(list);
    let first = match list {
        Some(Value::List(list)) => list.get(0),
        _ => None,
    };
    let text = matches!(first, Some(Ok(Value::String(_) | Value::Bytes(_))));
    let factor = if text { 2.0 + TRAVERSAL } else { 2.0 };
    new_list(factor, size.saturating_mul(size))
}

/// Compares each item of a list with each other.
pub(crate) const DISTINCT: Rule = Rule {
    counted: |args, _| each_with_each(args.first()),
    estimated: |call| new_list_estimate(2.0, call.target().times(call.target())),
    by_name: false,
};

/// Sorts a list.
pub(crate) const SORT: Rule = Rule {
    counted: |args, _| each_with_each(args.first()),
    estimated: |call| new_list_estimate(2.0, call.target().times(call.target())),
    by_name: false,
};

/// Sorts a list of texts or bytes.
pub(crate) const SORT_TEXTS: Rule = Rule {
    counted: |args, _| each_with_each(args.first()),
    estimated: |call| new_list_estimate(2.0 + TRAVERSAL, call.target().times(call.target())),
    by_name: false,
};

/// Sorts a list by keys.
pub(crate) const SORT_BY: Rule = Rule {
    counted: |args, _| each_with_each(args.get(1)),
    estimated: |call| new_list_estimate(2.0, call.arg(0).times(call.arg(0))),
    by_name: false,
};

/// Sorts a list by keys that are texts or bytes.
pub(crate) const SORT_BY_TEXTS: Rule = Rule {
    counted: |args, _| each_with_each(args.get(1)),
    estimated: |call| new_list_estimate(2.0 + TRAVERSAL, call.arg(0).times(call.arg(0))),
    by_name: false,
};

/// Looks for each item of a list in another.
pub(crate) const SETS: Rule = Rule {
    counted: |args, _| size(args, 0).saturating_mul(size(args, 1)).saturating_add(1),
    estimated: |call| Estimate::of(call.arg(0).times(call.arg(1)).plus(Range::ONE)),
    by_name: false,
};

/// The same both ways.
pub(crate) const SETS_TWICE: Rule = Rule {
    counted: |args, _| (size(args, 0).saturating_mul(size(args, 1)).saturating_mul(2)).saturating_add(1),
    estimated: |call| Estimate::of(call.arg(0).times(call.arg(1)).by(2.0).plus(Range::ONE)),
    by_name: false,
};
