//! The rules that functions cost by.

use super::{Estimate, NEW_LIST, NEW_OBJECT, PATTERN, Range, Rule, TRAVERSAL, scaled};
use crate::types::Type;
use crate::value::{Map, Value};

/// What most calls cost.
pub(crate) const ONE: Rule = Rule {
    counted: |_, _| 1,
    estimated: |_| Estimate::of(Range::ONE),
    by_name: true,
};

/// A call out of the expression, of which an evaluation can afford two.
pub(crate) const AUTHORIZATION: Rule = Rule {
    counted: |_, _| 350_000,
    estimated: |_| Estimate::of(Range::exactly(350_000)),
    by_name: true,
};

fn size(args: &[Value<'_>], index: usize) -> u64 {
    args.get(index).map_or(1, Value::cost_size)
}

/// Goes through the text it is called on, and returns one no longer.
pub(crate) const TARGET: Rule = Rule {
    counted: |args, _| scaled(size(args, 0), TRAVERSAL),
    estimated: |call| Estimate::sized(call.target().by(TRAVERSAL), call.target()),
    by_name: true,
};

/// Goes through its argument.
pub(crate) const ARGUMENT: Rule = Rule {
    counted: |args, _| scaled(size(args, 0), TRAVERSAL),
    estimated: |call| Estimate::of(call.arg(0).by(TRAVERSAL)),
    by_name: true,
};

/// Goes through its argument, of which the result is made.
pub(crate) const ARGUMENT_KEPT: Rule = Rule {
    counted: |args, _| scaled(size(args, 0), TRAVERSAL),
    estimated: |call| Estimate::sized(call.arg(0).by(TRAVERSAL), call.arg(0)),
    by_name: true,
};

/// Goes through its argument twice.
pub(crate) const ARGUMENT_TWICE: Rule = Rule {
    counted: |args, _| scaled(size(args, 0), 2.0 * TRAVERSAL),
    estimated: |call| Estimate::of(call.arg(0).by(2.0 * TRAVERSAL)),
    by_name: true,
};

/// Looks for a text at one end of another.
pub(crate) const AT_END: Rule = Rule {
    counted: |args, _| scaled(size(args, 0), TRAVERSAL),
    estimated: |call| Estimate::of(call.known(0).by(TRAVERSAL)),
    by_name: false,
};

/// Looks for a text within another.
pub(crate) const WITHIN: Rule = Rule {
    counted: |args, _| scaled(size(args, 0), TRAVERSAL).saturating_mul(scaled(size(args, 1), TRAVERSAL)),
    estimated: |call| {
        Estimate::of(
            call.known_target()
                .by(TRAVERSAL)
                .times(call.known(0).by(TRAVERSAL)),
        )
    },
    by_name: false,
};

fn pattern_counted(args: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    let text = ((1.0 + size(args, 0) as f64) * TRAVERSAL).ceil() as u64;
    text.saturating_mul(scaled(size(args, 1), PATTERN))
}

/// Matches a pattern.
pub(crate) const MATCH: Rule = Rule {
    counted: pattern_counted,
    estimated: |call| {
        let text = call.known_target().plus(Range::ONE).by(TRAVERSAL);
        Estimate::of(text.times(call.known(0).by(PATTERN)))
    },
    by_name: false,
};

/// Finds what matches a pattern.
pub(crate) const FIND: Rule = Rule {
    counted: pattern_counted,
    estimated: |call| {
        let text = call.target().plus(Range::ONE).by(TRAVERSAL);
        Estimate::sized(
            text.times(call.arg(0).by(PATTERN)),
            Range::new(0, call.target().max),
        )
    },
    by_name: true,
};

/// Looks through a list.
pub(crate) const IN_LIST: Rule = Rule {
    counted: |args, _| size(args, 1),
    estimated: |call| Estimate::of(call.known(1)),
    by_name: false,
};

fn smaller(args: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    scaled(size(args, 0).min(size(args, 1)), TRAVERSAL)
}

fn compared(call: &super::Call<'_>) -> Estimate {
    let most = call.known(0).max.min(call.known(1).max);
    Estimate::of(Range::new(u64::from(most > 0), most).by(TRAVERSAL))
}

/// Compares two texts, or other values by their size.
pub(crate) const COMPARE: Rule = Rule {
    counted: smaller,
    estimated: compared,
    by_name: false,
};

/// Whether two values are equal, by `==`: some kinds of values have a price of their own.
pub(crate) const EQUAL: Rule = Rule {
    counted: |args, result| match args.first() {
        Some(Value::Object(_)) => 1,
        _ => smaller(args, result),
    },
    estimated: |call| {
        let (Some(a), Some(b)) = (call.args.first(), call.args.get(1)) else {
            return compared(call);
        };
        if !a.type_.same(&b.type_, false) {
            return compared(call);
        }
        match &a.type_ {
            Type::Opaque(name, _) if name == "net.IP" || name == "net.CIDR" => Estimate::of(Range::ONE),
            Type::Object(object) if object.decl.is_none() => match object.name.as_str() {
                "kubernetes.NamedFormat" => Estimate::of(Range::new(1, 64).by(TRAVERSAL)),
                "kubernetes.URL" => {
                    let most = b.size.map_or(1, |size| size.max);
                    Estimate::of(Range::new(1, most).by(TRAVERSAL))
                }
                _ => Estimate::of(Range::ONE),
            },
            _ => compared(call),
        }
    },
    by_name: true,
};

/// Makes one text of two.
pub(crate) const JOIN_TWO: Rule = Rule {
    counted: |args, _| scaled(size(args, 0).saturating_add(size(args, 1)), TRAVERSAL),
    estimated: |call| {
        let both = call.known(0).plus(call.known(1));
        Estimate::sized(both.by(TRAVERSAL), both)
    },
    by_name: false,
};

/// Makes one list of two.
pub(crate) const ADD_LISTS: Rule = Rule {
    counted: |_, _| 1,
    estimated: |call| Estimate::sized(Range::ONE, call.known(0).plus(call.known(1))),
    by_name: false,
};

/// Makes bytes of a text; a character takes four at most.
pub(crate) const TO_BYTES: Rule = Rule {
    counted: |args, _| scaled(size(args, 0), TRAVERSAL),
    estimated: |call| {
        let text = call.known(0);
        // Upstream's product wraps.
        Estimate::sized(text.by(TRAVERSAL), Range::new(text.min, text.max.wrapping_mul(4)))
    },
    by_name: false,
};

/// Makes a text of bytes.
pub(crate) const TO_TEXT: Rule = Rule {
    counted: |args, _| scaled(size(args, 0), TRAVERSAL),
    estimated: |call| {
        let bytes = call.known(0);
        Estimate::sized(bytes.by(TRAVERSAL), Range::new(bytes.min / 4, bytes.max))
    },
    by_name: false,
};

/// Puts a text in quotation marks.
pub(crate) const QUOTE: Rule = Rule {
    counted: |args, _| scaled(size(args, 0), TRAVERSAL),
    estimated: |call| {
        let text = call.known(0);
        let most = text.max.wrapping_mul(2).wrapping_add(2);
        Estimate::sized(text.by(TRAVERSAL), Range::new(text.min.wrapping_add(2), most))
    },
    by_name: false,
};

/// Fills in a format.
pub(crate) const FORMAT: Rule = Rule {
    counted: |args, _| scaled(size(args, 0), TRAVERSAL),
    estimated: |call| Estimate::of(call.known_target().by(TRAVERSAL)),
    by_name: false,
};

/// Splits a text.
pub(crate) const SPLIT: Rule = Rule {
    counted: |args, _| scaled(size(args, 0), 2.0 * TRAVERSAL),
    estimated: |call| {
        let text = call.target();
        // As upstream reads it, a negative limit is a large one.
        let most = call.args.get(1).and_then(|arg| match arg.expr?.kind {
            crate::ast::Kind::Literal(crate::ast::Literal::Int(i)) => Some(i as u64),
            _ => None,
        });
        Estimate::sized(text.by(2.0 * TRAVERSAL), Range::new(0, most.unwrap_or(text.max)))
    },
    by_name: true,
};

/// Joins texts.
pub(crate) const JOIN: Rule = Rule {
    counted: |_, result| scaled(result.map_or(1, Value::cost_size), 2.0 * TRAVERSAL),
    estimated: |call| {
        let list = call.target();
        let mut size = match call.items() {
            Some((_, item)) => list.times(item),
            None => Range::ZERO,
        };
        if !call.args.is_empty() {
            let separators = Range::new(list.min.saturating_sub(1), list.max.saturating_sub(1));
            size = size.plus(call.arg(0).times(separators));
        }
        Estimate::sized(size.by(TRAVERSAL), size)
    },
    by_name: true,
};

/// Replaces parts of a text.
pub(crate) const REPLACE: Rule = Rule {
    counted: |args, _| scaled(size(args, 0), 2.0 * TRAVERSAL),
    estimated: |call| {
        let (text, old, new) = (call.target(), call.arg(0), call.arg(1));
        let mut count = Range::ZERO;
        let mut kept = Range::ZERO;
        // An empty text stands between all characters, and at both ends.
        if old.min == 0 {
            count.max = text.max.saturating_add(1);
            kept.max = text.max;
        } else if new.max <= old.min {
            kept.max = text.max;
        } else {
            count.max = (text.max as f64 / old.min as f64).ceil() as u64;
        }
        if old.max == 0 {
            count.min = text.min.saturating_add(1);
            kept.min = text.min;
        } else if old.max <= new.min {
            kept.min = text.min;
        } else {
            count.min = (text.min as f64 / old.max as f64).ceil() as u64;
        }
        Estimate::sized(text.by(2.0 * TRAVERSAL), count.times(new).plus(kept))
    },
    by_name: true,
};

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
    ((size as f64 * factor) as u64).saturating_add(1 + NEW_LIST)
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

/// An address has 4 or 16 bytes.
const ADDRESS: Range = Range::new(4, 16);

fn contains_ip(parse: bool, args: &[Value<'_>]) -> u64 {
    let parsed = if parse {
        scaled(size(args, 1), TRAVERSAL)
    } else {
        0
    };
    scaled(2 * size(args, 0), TRAVERSAL) + parsed
}

fn parsed(call: &super::Call<'_>) -> Range {
    call.arg(0).by(TRAVERSAL)
}

/// Whether a network has an address.
pub(crate) const HAS_ADDRESS: Rule = Rule {
    counted: |args, _| contains_ip(false, args),
    estimated: |_| Estimate::of(ADDRESS.plus(ADDRESS).by(TRAVERSAL)),
    by_name: true,
};

/// Whether a network has an address that must be parsed.
pub(crate) const HAS_ADDRESS_TEXT: Rule = Rule {
    counted: |args, _| contains_ip(true, args),
    estimated: |call| Estimate::of(ADDRESS.plus(ADDRESS).by(TRAVERSAL).plus(parsed(call))),
    by_name: true,
};

fn networks() -> Range {
    let compared = ADDRESS.plus(ADDRESS).by(TRAVERSAL);
    compared.plus(ADDRESS.by(TRAVERSAL)).plus(Range::ONE)
}

/// Whether a network has another.
pub(crate) const HAS_NETWORK: Rule = Rule {
    counted: |args, _| contains_ip(false, args) + scaled(size(args, 0), TRAVERSAL) + 1,
    estimated: |_| Estimate::of(networks()),
    by_name: true,
};

/// Whether a network has another that must be parsed.
pub(crate) const HAS_NETWORK_TEXT: Rule = Rule {
    counted: |args, _| contains_ip(true, args) + scaled(size(args, 0), TRAVERSAL) + 1,
    estimated: |call| Estimate::of(networks().plus(parsed(call))),
    by_name: true,
};

/// Reads a selector.
pub(crate) const SELECTOR: Rule = Rule {
    counted: |args, _| selector(Range::exactly(args.get(1).map_or(1, |a| a.size().unwrap_or(1)))).max,
    estimated: |call| Estimate::of(selector(call.arg(0))),
    by_name: true,
};

/// A requirement is two characters long at least.
fn selector(length: Range) -> Range {
    let requirements = length.by(0.5).by((NEW_LIST + NEW_OBJECT) as f64);
    Range::exactly(NEW_LIST)
        .plus(length.by(TRAVERSAL))
        .plus(requirements)
}
