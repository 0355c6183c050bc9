//! Finding what matches a pattern.

use super::{Library, Prepared, mismatch};
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::value::Value;
use ::regex::Regex;
use gantry_formats::Pattern;
use std::cell::RefCell;

pub(super) fn register(library: &mut Library) {
    library
        .add_member("find", "string_find_string", "(string, string) -> string", find)
        .cost(rules::FIND)
        .prepare = Some(|text| prepare(text, found));
    library
        .add_member(
            "findAll",
            "string_find_all_string",
            "(string, string) -> list(string)",
            find_all,
        )
        .cost(rules::FIND)
        .prepare = Some(|text| prepare(text, all_found));
    let all = "(string, string, int) -> list(string)";
    library
        .add_member("findAll", "string_find_all_string_int", all, find_all)
        .cost(rules::FIND)
        .prepare = Some(|text| prepare(text, all_found));
}

/// What patterns that are not constant compile to is kept for a while: loops use the same ones again.
const KEPT: usize = 8;

thread_local! {
    static COMPILED: RefCell<Vec<(Box<str>, Regex)>> = const { RefCell::new(Vec::new()) };
}

/// Compiles a pattern, or finds it compiled.
pub(super) fn compile(text: &str) -> std::result::Result<Regex, String> {
    COMPILED.with_borrow_mut(|kept| {
        if let Some((_, regex)) = kept.iter().find(|(t, _)| &**t == text) {
            return Ok(regex.clone());
        }
        let regex = Pattern::compile(text)?;
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((text.into(), regex.clone()));
        Ok(regex)
    })
}

type Search = for<'a> fn(&Regex, &[Value<'a>]) -> Result<Value<'a>>;

fn prepare(text: &str, search: Search) -> std::result::Result<Prepared, String> {
    let regex = Pattern::compile(text)?;
    Ok(Box::new(move |args| search(&regex, args)))
}

fn search<'a>(args: &[Value<'a>], search: Search) -> Result<Value<'a>> {
    match args {
        [Value::String(_), Value::String(pattern), ..] => match compile(pattern) {
            Ok(regex) => search(&regex, args),
            Err(why) => Err(Error::new(format!("Illegal regex: {why}"))),
        },
        _ => mismatch(),
    }
}

fn find<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    search(args, found)
}

fn find_all<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    search(args, all_found)
}

fn found<'a>(regex: &Regex, args: &[Value<'a>]) -> Result<Value<'a>> {
    match args.first() {
        Some(Value::String(text)) => Ok(regex.find(text).map_or("", |m| m.as_str()).into()),
        _ => mismatch(),
    }
}

fn all_found<'a>(regex: &Regex, args: &[Value<'a>]) -> Result<Value<'a>> {
    let most = match args.get(2) {
        None => usize::MAX,
        // A negative number is none.
        Some(Value::Int(n)) => usize::try_from(*n).unwrap_or(usize::MAX),
        Some(_) => return mismatch(),
    };
    match args.first() {
        Some(Value::String(text)) => {
            let found = regex.find_iter(text).take(most).map(|m| m.as_str().into());
            Ok(Value::list(found.collect()))
        }
        _ => mismatch(),
    }
}
