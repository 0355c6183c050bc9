//! Order, equality, indexing and containment.

use super::{Library, mismatch};
use crate::ast::operators as op;
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::types::Type;
use crate::value::{Value, equal};
use std::cmp::Ordering;

pub(super) fn register(library: &mut Library) {
    library
        .add(op::EQUALS, "equals", "(A, A) -> bool", equals)
        .cost(rules::EQUAL);
    library
        .add(op::NOT_EQUALS, "not_equals", "(A, A) -> bool", not_equals)
        .cost(rules::COMPARE);
    orders(library, op::LESS, "less", less);
    orders(library, op::LESS_EQUALS, "less_equals", less_equals);
    orders(library, op::GREATER, "greater", greater);
    orders(library, op::GREATER_EQUALS, "greater_equals", greater_equals);
    library.add(op::INDEX, "index_list", "(list(A), int) -> A", index);
    library.add(op::INDEX, "index_map", "(map(A, B), A) -> B", index);
    library
        .add(op::IN, "in_list", "(A, list(A)) -> bool", contained)
        .cost(rules::IN_LIST);
    library.add(op::IN, "in_map", "(A, map(A, B)) -> bool", contained);
    for (name, type_, text) in [
        ("size_bytes", "bytes_size", "bytes"),
        ("size_list", "list_size", "list(A)"),
        ("size_map", "map_size", "map(A, B)"),
        ("size_string", "string_size", "string"),
    ] {
        let signature = format!("({text}) -> int");
        library.add("size", name, &signature, size);
        library.add_member("size", type_, &signature, size);
    }
}

/// The signatures of an operator, in the order upstream declares them: error messages depend on it.
fn orders(library: &mut Library, name: &'static str, id: &'static str, eval: super::Eval) {
    const TYPES: [(&str, &str, &str); 14] = [
        ("bool", "bool", "bool"),
        ("int64", "int", "int"),
        ("int64_double", "int", "double"),
        ("int64_uint64", "int", "uint"),
        ("uint64", "uint", "uint"),
        ("uint64_double", "uint", "double"),
        ("uint64_int64", "uint", "int"),
        ("double", "double", "double"),
        ("double_int64", "double", "int"),
        ("double_uint64", "double", "uint"),
        ("string", "string", "string"),
        ("bytes", "bytes", "bytes"),
        ("timestamp", "timestamp", "timestamp"),
        ("duration", "duration", "duration"),
    ];
    for (suffix, left, right) in TYPES {
        let id = format!("{id}_{suffix}");
        let overload = library.add(name, id, &format!("({left}, {right}) -> bool"), eval);
        if matches!(suffix, "string" | "bytes") {
            overload.cost(rules::COMPARE);
        }
    }
}

fn equals<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [a, b] => equal::equal(a, b).map(Value::Bool),
        _ => mismatch(),
    }
}

/// What cannot be compared is not equal.
fn not_equals<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [a, b] => Ok(Value::Bool(!matches!(equal::equal(a, b), Ok(true)))),
        _ => mismatch(),
    }
}

fn ordered<'a>(args: &[Value<'a>], name: &str, fits: impl Fn(Ordering) -> bool) -> Result<Value<'a>> {
    match args {
        [
            Value::Null
            | Value::List(_)
            | Value::Map(_)
            | Value::Type(_)
            | Value::Optional(_)
            | Value::Object(_),
            _,
        ] => Err(Error::new(format!("no such overload: {name}"))),
        [a, b] => a.compare(b).map(|order| Value::Bool(fits(order))),
        _ => mismatch(),
    }
}

fn less<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    ordered(args, op::LESS, Ordering::is_lt)
}

fn less_equals<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    ordered(args, op::LESS_EQUALS, Ordering::is_le)
}

fn greater<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    ordered(args, op::GREATER, Ordering::is_gt)
}

fn greater_equals<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    ordered(args, op::GREATER_EQUALS, Ordering::is_ge)
}

/// The evaluator indexes by itself; only the signatures are needed.
fn index<'a>(_: &[Value<'a>]) -> Result<Value<'a>> {
    mismatch()
}

fn contained<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [item, Value::List(list)] => list.contains(item).map(Value::Bool),
        [key, Value::Map(map)] => map.find(key).map(|found| Value::Bool(found.is_some())),
        _ => mismatch(),
    }
}

fn size<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Object(object)] if object.type_name().starts_with("kubernetes.") => {
            Err(Error::fixed("no such overload: size"))
        }
        [value] => match value.size() {
            Some(size) => Ok(Value::Int(size as i64)),
            None => Err(Error::fixed("no such overload: size")),
        },
        _ => mismatch(),
    }
}

/// The types whose values have an order, with the names that signatures give them.
pub(super) const COMPARABLE: [(&str, Type); 8] = [
    ("int", Type::Int),
    ("uint", Type::Uint),
    ("double", Type::Double),
    ("bool", Type::Bool),
    ("duration", Type::Duration),
    ("timestamp", Type::Timestamp),
    ("string", Type::String),
    ("bytes", Type::Bytes),
];
