//! What the language itself can do with texts.

use super::{Library, Prepared, mismatch};
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::value::Value;
use gantry_formats::Pattern;

pub(super) fn register(library: &mut Library) {
    const TWO: &str = "(string, string) -> bool";
    library
        .add_member("contains", "contains_string", TWO, contains)
        .cost(rules::WITHIN);
    library
        .add_member("endsWith", "ends_with_string", TWO, ends_with)
        .cost(rules::AT_END);
    library
        .add_member("startsWith", "starts_with_string", TWO, starts_with)
        .cost(rules::AT_END);
    library.add("matches", "matches", TWO, matches).prepare = Some(prepare);
    library
        .add_member("matches", "matches_string", TWO, matches)
        .cost(rules::MATCH)
        .prepare = Some(prepare);
}

fn contains<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.contains(&**part))),
        _ => mismatch(),
    }
}

fn ends_with<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.ends_with(&**part))),
        _ => mismatch(),
    }
}

fn starts_with<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.starts_with(&**part))),
        _ => mismatch(),
    }
}

fn matches<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text), Value::String(pattern)] => {
            let pattern = super::regex::compile(pattern).map_err(Error::new)?;
            Ok(Value::Bool(pattern.is_match(text)))
        }
        [Value::String(_), _] => mismatch(),
        _ => Err(Error::fixed("no such overload: matches")),
    }
}

fn prepare(pattern: &str) -> std::result::Result<Prepared, String> {
    let pattern = Pattern::compile(pattern)?;
    Ok(Box::new(move |args| match args.first() {
        Some(Value::String(text)) => Ok(Value::Bool(pattern.is_match(text))),
        _ => mismatch(),
    }))
}
