//! cel-go's functions of texts, as of their version 2. Places in texts count characters.

use super::{Library, mismatch};
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::value::{Value, characters, text};

pub(super) fn register(library: &mut Library) {
    library.add_member("charAt", "string_char_at_int", "(string, int) -> string", char_at);
    const FIND: &str = "(string, string) -> int";
    const FIND_FROM: &str = "(string, string, int) -> int";
    for (name, id, eval) in [
        ("indexOf", "string_index_of_string", index_of as super::Eval),
        ("lastIndexOf", "string_last_index_of_string", last_index_of),
    ] {
        library.add_member(name, id, FIND, eval).cost(rules::TRAVERSE);
        library
            .add_member(name, format!("{id}_int"), FIND_FROM, eval)
            .cost(rules::TRAVERSE);
    }
    const SAME: &str = "(string) -> string";
    library
        .add_member("lowerAscii", "string_lower_ascii", SAME, |args| {
            made(args, |s| s.to_ascii_lowercase())
        })
        .cost(rules::TARGET);
    library
        .add_member("upperAscii", "string_upper_ascii", SAME, |args| {
            made(args, |s| s.to_ascii_uppercase())
        })
        .cost(rules::TARGET);
    library
        .add_member("trim", "string_trim", SAME, |args| {
            made(args, |s| s.trim().to_owned())
        })
        .cost(rules::TARGET);
    let replace_type = "(string, string, string) -> string";
    library
        .add_member("replace", "string_replace_string_string", replace_type, replace)
        .cost(rules::REPLACE);
    let replace_type = "(string, string, string, int) -> string";
    library
        .add_member(
            "replace",
            "string_replace_string_string_int",
            replace_type,
            replace,
        )
        .cost(rules::REPLACE);
    library
        .add_member(
            "split",
            "string_split_string",
            "(string, string) -> list(string)",
            split,
        )
        .cost(rules::SPLIT);
    library
        .add_member(
            "split",
            "string_split_string_int",
            "(string, string, int) -> list(string)",
            split,
        )
        .cost(rules::SPLIT);
    library
        .add_member(
            "substring",
            "string_substring_int",
            "(string, int) -> string",
            substring,
        )
        .cost(rules::TARGET);
    library
        .add_member(
            "substring",
            "string_substring_int_int",
            "(string, int, int) -> string",
            substring,
        )
        .cost(rules::TARGET);
    library
        .add("strings.quote", "strings_quote", SAME, |args| made(args, quote))
        .cost(rules::QUOTE);
    library
        .add_member("join", "list_join", "(list(string)) -> string", join)
        .cost(rules::JOIN);
    library
        .add_member(
            "join",
            "list_join_string",
            "(list(string), string) -> string",
            join,
        )
        .cost(rules::JOIN);
}

/// Longer texts are not made: what they cost is more than there is in any budget.
const LONGEST: usize = 64 << 20;

fn made<'a>(args: &[Value<'a>], make: impl Fn(&str) -> String) -> Result<Value<'a>> {
    match args {
        [Value::String(text)] => Ok(make(text).into()),
        _ => mismatch(),
    }
}

fn out_of_range<R>(index: i64) -> Result<R> {
    Err(Error::new(format!("index out of range: {index}")))
}

/// Where a character begins; the end of the text is a place too.
fn place(text: &str, index: i64) -> Option<usize> {
    let index = usize::try_from(index).ok()?;
    if text.is_ascii() {
        return (index <= text.len()).then_some(index);
    }
    let ends = std::iter::once(text.len());
    text.char_indices().map(|(i, _)| i).chain(ends).nth(index)
}

fn char_at<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::String(text), Value::Int(index)] = args else {
        return mismatch();
    };
    match place(text, *index) {
        Some(at) => Ok(text[at..]
            .chars()
            .next()
            .map_or_else(String::new, String::from)
            .into()),
        None => out_of_range(*index),
    }
}

fn index_of<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (text, part, from) = match args {
        [Value::String(text), Value::String(part)] => (text, part, 0),
        [Value::String(text), Value::String(part), Value::Int(from)] => (text, part, *from),
        _ => return mismatch(),
    };
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    if from < 0 {
        return out_of_range(from);
    }
    let found = place(text, from).and_then(|at| text[at..].find(&**part).map(|i| at + i));
    Ok(Value::Int(found.map_or(-1, |at| characters(&text[..at]) as i64)))
}

fn last_index_of<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (text, part, from) = match args {
        [Value::String(text), Value::String(part)] if part.is_empty() => {
            return Ok(Value::Int(characters(text) as i64));
        }
        [Value::String(text), Value::String(part)] => (text, part, None),
        [Value::String(text), Value::String(part), Value::Int(from)] => (text, part, Some(*from)),
        _ => return mismatch(),
    };
    if part.is_empty() {
        return Ok(Value::Int(from.unwrap_or(0)));
    }
    let end = match from {
        None => text.len(),
        Some(from) if from < 0 => return out_of_range(from),
        Some(from) => match place(text, from).filter(|at| *at < text.len()) {
            // The part may begin there, and end behind.
            Some(at) => (at + part.len()).min(text.len()),
            None => return Ok(Value::Int(-1)),
        },
    };
    let end = (end..=text.len())
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(text.len());
    let mut found = text[..end].rfind(&**part);
    if let (Some(from), Some(at)) = (from, found)
        && characters(&text[..at]) as i64 > from
    {
        found = place(text, from).and_then(|at| text[..at].rfind(&**part));
    }
    Ok(Value::Int(found.map_or(-1, |at| characters(&text[..at]) as i64)))
}

fn replace<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (text, old, new, most) = match args {
        [Value::String(text), Value::String(old), Value::String(new)] => (text, old, new, usize::MAX),
        [
            Value::String(text),
            Value::String(old),
            Value::String(new),
            Value::Int(n),
        ] => (text, old, new, usize::try_from(*n).unwrap_or(usize::MAX)),
        _ => return mismatch(),
    };
    let count = match old.is_empty() {
        true => characters(text) + 1,
        false => text.matches(&**old).count(),
    };
    if count
        .min(most)
        .saturating_mul(new.len())
        .saturating_add(text.len())
        > LONGEST
    {
        return Err(Error::OVER_BUDGET);
    }
    Ok(text.replacen(&**old, new, most).into())
}

fn split<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (text, separator, most) = match args {
        [Value::String(text), Value::String(separator)] => (text, separator, -1),
        [Value::String(text), Value::String(separator), Value::Int(most)] => (text, separator, *most),
        _ => return mismatch(),
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let parts: Vec<Value> = match (separator.is_empty(), most) {
        (_, 0) => Vec::new(),
        // Each character is a part; the last one takes the rest.
        (true, _) => {
            let mut rest: &str = text;
            let mut parts = Vec::new();
            while let Some(c) = rest.chars().next() {
                let length = if parts.len() + 1 == most {
                    rest.len()
                } else {
                    c.len_utf8()
                };
                parts.push(rest[..length].into());
                rest = &rest[length..];
            }
            parts
        }
        (false, _) => text.splitn(most, &**separator).map(Value::from).collect(),
    };
    Ok(Value::list(parts))
}

fn substring<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (text, start, end) = match args {
        [Value::String(text), Value::Int(start)] => (text, *start, None),
        [Value::String(text), Value::Int(start), Value::Int(end)] => (text, *start, Some(*end)),
        _ => return mismatch(),
    };
    if let Some(end) = end.filter(|end| start > *end) {
        return Err(Error::new(format!(
            "invalid substring range. start: {start}, end: {end}"
        )));
    }
    let Some(from) = place(text, start) else {
        return out_of_range(start);
    };
    match end.map(|end| (end, place(text, end))) {
        None => Ok(text[from..].into()),
        Some((_, Some(to))) => Ok(text[from..to].into()),
        Some((end, None)) => out_of_range(end),
    }
}

fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn join<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (list, separator) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, &**separator),
        _ => return mismatch(),
    };
    let mut joined = String::new();
    for (i, item) in list.iter().enumerate() {
        if i > 0 {
            joined.push_str(separator);
        }
        match item? {
            Value::String(text) => joined.push_str(&text),
            other => return Err(Error::new(format!("join: invalid input: {}", text::show(&other)))),
        }
        if joined.len() > LONGEST {
            return Err(Error::OVER_BUDGET);
        }
    }
    Ok(joined.into())
}
