//! `&&`, `||`, `!` and the ternary operator. But for `!` they are evaluated by the evaluator itself.

use super::{Library, mismatch};
use crate::ast::operators as op;
use crate::error::Result;
use crate::types::Type;
use crate::value::Value;

pub(super) fn register(library: &mut Library) {
    for type_ in [
        Type::Bool,
        Type::Bytes,
        Type::Double,
        Type::Duration,
        Type::Int,
        Type::list(Type::Param("A".into())),
        Type::map(Type::Param("A".into()), Type::Param("B".into())),
        Type::Null,
        Type::String,
        Type::Timestamp,
        Type::Type(Type::Dyn.into()),
        Type::Uint,
    ] {
        library.add_type(type_);
    }
    library.add(op::CONDITIONAL, "conditional", "(bool, A, A) -> A", unevaluated);
    library.add(op::AND, "logical_and", "(bool, bool) -> bool", unevaluated);
    library.add(op::OR, "logical_or", "(bool, bool) -> bool", unevaluated);
    library.add(op::NOT, "logical_not", "(bool) -> bool", not);
    let overload = library.add(
        op::NOT_STRICTLY_FALSE,
        "not_strictly_false",
        "(bool) -> bool",
        not_strictly_false,
    );
    overload.takes_errors = true;
}

fn unevaluated<'a>(_: &[Value<'a>]) -> Result<Value<'a>> {
    mismatch()
}

fn not<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Bool(b)] => Ok(Value::Bool(!b)),
        _ => mismatch(),
    }
}

/// The argument of a loop's condition; errors never get here and count as true.
fn not_strictly_false<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::Bool(!matches!(args, [Value::Bool(false)])))
}
