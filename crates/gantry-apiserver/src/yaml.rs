//! Reading YAML within limits, and writing it.

mod plain;
mod write;

pub use write::{write, write_item};

use gantry_api::json::settle_numbers;
use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

/// The nodes that aliases may stand for: more than any honest object has, fewer than would take long.
const ALIAS_LIMIT: usize = 100_000;

/// The first document of a text, and what upstream says of a key that appears twice; of such keys the last counts.
///
/// # Errors
///
/// What is wrong, in our reader's words.
pub fn read(text: &str) -> Result<(Value, Option<String>), String> {
    let text = first_document(text);
    let read = |duplicate_keys| {
        let options = serde_saphyr::options! {
            duplicate_keys: duplicate_keys,
            with_snippet: false,
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: ALIAS_LIMIT },
        };
        let read = serde_saphyr::from_str_with_options::<Value>(text, options);
        // As upstream makes JSON of it.
        read.map(|mut value| {
            settle_numbers(&mut value);
            value
        })
    };
    match read(DuplicateKeyPolicy::Error) {
        Ok(value) => Ok((value, None)),
        Err(serde_saphyr::Error::DuplicateMappingKey { key, location }) => {
            let key = key.unwrap_or_default();
            let twice = format!("line {}: key {key:?} already set in map", location.line());
            let value = read(DuplicateKeyPolicy::LastWins).map_err(|e| e.to_string())?;
            Ok((value, Some(twice)))
        }
        Err(error) => Err(as_upstream(&error.to_string(), text)),
    }
}

/// What our reader says, the end of what upstream says, and where upstream finds the place of it.
const ERRORS: [(&str, &str, Place); 19] = [
    (
        "tabs disallowed within this context",
        "found character that cannot start any token",
        Place::Here,
    ),
    (
        "unexpected character: `\\u{",
        "control characters are not allowed",
        Place::Nowhere,
    ),
    (
        "unexpected character: ",
        "found character that cannot start any token",
        Place::Here,
    ),
    (
        "while scanning a plain scalar, found a tab",
        "found a tab character that violates indentation",
        Place::Here,
    ),
    (
        "simple key expected ':'",
        "could not find expected ':'",
        Place::Below,
    ),
    ("unclosed quote", "found unexpected end of stream", Place::End),
    (
        "unclosed bracket '['",
        "did not find expected ',' or ']'",
        Place::LastLine,
    ),
    (
        "unclosed bracket '{'",
        "did not find expected ',' or '}'",
        Place::LastLine,
    ),
    (
        "misplaced bracket",
        "did not find expected node content",
        Place::Above,
    ),
    (
        "invalid trailing content after",
        "did not find expected key",
        Place::Above,
    ),
    (
        "comment intercepting the multiline text",
        "did not find expected key",
        Place::Above,
    ),
    (
        "while parsing a block mapping, ",
        "did not find expected key",
        Place::Above,
    ),
    (
        "while parsing a block collection, ",
        "did not find expected '-' indicator",
        Place::Above,
    ),
    (
        "while parsing a quoted scalar, found unknown escape",
        "found unknown escape character",
        Place::Here,
    ),
    (
        "while scanning a block scalar, ",
        "did not find expected comment or line break",
        Place::Here,
    ),
    (
        "while scanning a verbatim tag, ",
        "did not find the expected '>'",
        Place::Here,
    ),
    (
        "while scanning a YAML directive, ",
        "did not find expected digit or '.' character",
        Place::Here,
    ),
    (
        "unexpected EOF while parsing an implicit flow mapping",
        "did not find expected node content",
        Place::Above,
    ),
    (
        "mapping values are not allowed",
        "mapping values are not allowed in this context",
        Place::Here,
    ),
];

/// Where upstream finds an error that our reader finds in a line. Its scanner names no first line, and its parser counts from 0.
#[derive(Clone, Copy)]
enum Place {
    Here,
    Below,
    Above,
    End,
    LastLine,
    Nowhere,
}

/// An error in upstream's words, if it is one of the common ones, with the line before it.
fn as_upstream(error: &str, text: &str) -> String {
    let place = error.rsplit_once(" at line ");
    let Some((why, line)) = place.and_then(|(why, place)| Some((why, place.split_once(',')?.0))) else {
        return error.into();
    };
    let line: usize = line.parse().unwrap_or(1);
    let known = ERRORS.iter().find(|(ours, ..)| why.starts_with(ours));
    let (mut why, place) = known.map_or((why, Place::Here), |(_, theirs, place)| (*theirs, *place));
    if matches!(place, Place::LastLine) && text.trim_end().ends_with(['[', '{', ',']) {
        why = "did not find expected node content";
    }
    let beyond_first = |line: usize| Some(line).filter(|line| *line > 1);
    let line = match place {
        Place::Here => beyond_first(line),
        Place::Below => Some(line + 1),
        Place::Above => Some(line - 1).filter(|line| *line > 0),
        Place::End => beyond_first(text.matches('\n').count() + 1),
        Place::LastLine => Some(text.lines().count()),
        Place::Nowhere => None,
    };
    match line {
        Some(line) => format!("line {line}: {why}"),
        None => why.into(),
    }
}

/// The first document: what stands before a line of three dashes or dots, which no value can hold.
fn first_document(text: &str) -> &str {
    let is_mark = |line: &str, mark: &str| {
        let rest = line.strip_prefix(mark);
        rest.is_some_and(|rest| rest.trim().is_empty())
    };
    let (mut at, mut begun) = (0, false);
    for line in text.split_inclusive('\n') {
        let starts = is_mark(line, "---");
        if begun && (starts || is_mark(line, "...")) {
            return &text[..at];
        }
        begun |= starts || !line.trim().is_empty() && !line.starts_with(['#', '%']);
        at += line.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_document_counts() {
        let check = |text: &str, value: Value, twice: Option<&str>| {
            assert_eq!(read(text), Ok((value, twice.map(String::from))), "{text}");
        };
        check("a: 1", json!({"a": 1}), None);
        check("---\na: 1\n---\nb: 2\n", json!({"a": 1}), None);
        check("# x\n---\na: |\n  ---\n  b\n", json!({"a": "---\nb\n"}), None);
        check("", Value::Null, None);
        let why = "mapping values are not allowed in this context";
        assert_eq!(read("a: b: c"), Err(why.into()));
        assert_eq!(read("x: y\na: b: c"), Err(format!("line 2: {why}")));
        check("a: 1\n...\nb: 2\n", json!({"a": 1}), None);
        check("---\n---\na: 1", Value::Null, None);
        check(
            "a: 1\nb: 2\na: 3\n",
            json!({"a": 3, "b": 2}),
            Some("line 3: key \"a\" already set in map"),
        );
    }

    #[test]
    fn errors_are_upstreams() {
        let check = |text: &str, why: &str| assert_eq!(read(text), Err(why.into()), "{text}");
        check("a:\n\t- b", "line 2: found character that cannot start any token");
        check("a: @b", "found character that cannot start any token");
        check("a:\n  b: 1\n c: 2", "line 2: did not find expected key");
        check("- a\nb: c", "line 1: did not find expected '-' indicator");
        check("a: [1, 2", "line 1: did not find expected ',' or ']'");
        check("a: {b: 1", "line 1: did not find expected ',' or '}'");
        check("a: [\n", "line 1: did not find expected node content");
        check("a: \"x", "found unexpected end of stream");
        check("a: 'x\nb: c", "line 2: found unexpected end of stream");
        check("a: 1\nb", "line 3: could not find expected ':'");
        check("a: \"b\" c", "did not find expected key");
        check("a: ]", "did not find expected node content");
        check("a: \"\\q\"", "found unknown escape character");
    }
}
