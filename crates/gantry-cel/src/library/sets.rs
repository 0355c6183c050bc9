//! Lists as sets.

use super::{Library, mismatch};
use crate::cost::rules;
use crate::error::Result;
use crate::value::{List, Value};

pub(super) fn register(library: &mut Library) {
    const TWO: &str = "(list(T), list(T)) -> bool";
    library
        .add("sets.contains", "list_sets_contains_list", TWO, contains)
        .cost(rules::SETS);
    library
        .add("sets.equivalent", "list_sets_equivalent_list", TWO, equivalent)
        .cost(rules::SETS_TWICE);
    library
        .add("sets.intersects", "list_sets_intersects_list", TWO, intersects)
        .cost(rules::SETS);
}

fn has_all<'a>(list: &List<'a>, others: &List<'a>) -> Result<bool> {
    for other in others.iter() {
        if !list.contains(&other?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::List(a), Value::List(b)] => has_all(a, b).map(Value::Bool),
        _ => mismatch(),
    }
}

fn equivalent<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::List(a), Value::List(b)] => Ok(Value::Bool(has_all(a, b)? && has_all(b, a)?)),
        _ => mismatch(),
    }
}

fn intersects<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(a), Value::List(b)] = args else {
        return mismatch();
    };
    let shared = |item: Result<Value<'a>>| matches!(item.and_then(|i| b.contains(&i)), Ok(true));
    Ok(Value::Bool(a.iter().any(shared)))
}
