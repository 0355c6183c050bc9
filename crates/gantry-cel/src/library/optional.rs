//! Values that may be absent.

use super::{Library, mismatch};
use crate::ast::operators as op;
use crate::error::{Error, Result};
use crate::value::{Value, text};

pub(super) fn register(library: &mut Library) {
    library.add_type(crate::types::Type::Opaque("optional_type".into(), [].into()));
    library.add("optional.of", "optional_of", "(V) -> optional_type(V)", of);
    library.add(
        "optional.ofNonZeroValue",
        "optional_ofNonZeroValue",
        "(V) -> optional_type(V)",
        of_non_zero,
    );
    library.add("optional.none", "optional_none", "() -> optional_type(V)", |_| {
        Ok(Value::NONE)
    });
    library.add_member("value", "optional_value", "(optional_type(V)) -> V", value);
    library.add_member(
        "hasValue",
        "optional_hasValue",
        "(optional_type(V)) -> bool",
        has_value,
    );
    let or = "(optional_type(V), optional_type(V)) -> optional_type(V)";
    library.add_member("or", "optional_or_optional", or, |_| mismatch());
    library.add_member(
        "orValue",
        "optional_orValue_value",
        "(optional_type(V), V) -> V",
        |_| mismatch(),
    );

    for (id, signature) in [
        ("list_optindex_optional_int", "(list(V), int) -> optional_type(V)"),
        (
            "optional_list_optindex_optional_int",
            "(optional_type(list(V)), int) -> optional_type(V)",
        ),
        (
            "map_optindex_optional_value",
            "(map(K, V), K) -> optional_type(V)",
        ),
        (
            "optional_map_optindex_optional_value",
            "(optional_type(map(K, V)), K) -> optional_type(V)",
        ),
    ] {
        library.add(op::OPTIONAL_INDEX, id, signature, |_| mismatch());
    }
    let list = "(optional_type(list(V)), int) -> optional_type(V)";
    library.add(op::INDEX, "optional_list_index_int", list, |_| mismatch());
    let map = "(optional_type(map(K, V)), K) -> optional_type(V)";
    library.add(op::INDEX, "optional_map_index_value", map, |_| mismatch());

    library.add_member("last", "list_last", "(list(V)) -> optional_type(V)", last);
    library.add_member("first", "list_first", "(list(V)) -> optional_type(V)", first);
    library.add(
        "optional.unwrap",
        "optional_unwrap",
        "(list(optional_type(V))) -> list(V)",
        unwrap,
    );
    library.add_member(
        "unwrapOpt",
        "optional_unwrapOpt",
        "(list(optional_type(V))) -> list(V)",
        unwrap,
    );
}

fn of<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    args.first()
        .map_or_else(mismatch, |value| Ok(Value::some(value.clone())))
}

fn of_non_zero<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [value] if value.is_zero() => Ok(Value::NONE),
        _ => of(args),
    }
}

fn value<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Optional(Some(value))] => Ok((**value).clone()),
        [Value::Optional(None)] => Err(Error::fixed("optional.none() dereference")),
        _ => super::no_overload("value", args),
    }
}

fn has_value<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
        _ => super::no_overload("hasValue", args),
    }
}

fn at<'a>(args: &[Value<'a>], name: &str, index: impl Fn(usize) -> usize) -> Result<Value<'a>> {
    match args {
        [Value::List(list)] if list.is_empty() => Ok(Value::NONE),
        [Value::List(list)] => match list.get(index(list.len())) {
            Some(item) => item.map(Value::some),
            None => Ok(Value::NONE),
        },
        _ => super::no_overload(name, args),
    }
}

fn first<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    at(args, "first", |_| 0)
}

fn last<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    at(args, "last", |length| length - 1)
}

fn unwrap<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(list)] = args else {
        return mismatch();
    };
    let mut there = Vec::new();
    for item in list.iter() {
        match item? {
            Value::Optional(Some(value)) => there.push((*value).clone()),
            Value::Optional(None) => {}
            other => {
                return Err(Error::new(format!(
                    "value {} is not optional",
                    text::show(&other)
                )));
            }
        }
    }
    Ok(Value::list(there))
}
