//! Reading YAML within limits.

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
        serde_saphyr::from_str_with_options::<Value>(text, options)
    };
    match read(DuplicateKeyPolicy::Error) {
        Ok(value) => Ok((value, None)),
        Err(serde_saphyr::Error::DuplicateMappingKey { key, location }) => {
            let key = key.unwrap_or_default();
            let twice = format!("line {}: key {key:?} already set in map", location.line());
            let value = read(DuplicateKeyPolicy::LastWins).map_err(|e| e.to_string())?;
            Ok((value, Some(twice)))
        }
        Err(error) => Err(as_upstream(&error.to_string())),
    }
}

/// Upstream names the line before the error, unless it is the first.
fn as_upstream(error: &str) -> String {
    let place = error.rsplit_once(" at line ");
    match place.and_then(|(why, place)| Some((why, place.split_once(',')?.0))) {
        Some((why, "1")) => why.into(),
        Some((why, line)) => format!("line {line}: {why}"),
        None => error.into(),
    }
}

/// What stands before the next document, if there is one: a line of three dashes, which no value can hold.
fn first_document(text: &str) -> &str {
    let is_mark = |line: &str| {
        line.strip_prefix("---")
            .is_some_and(|rest| rest.trim().is_empty())
    };
    let mut at = 0;
    let mut begun = false;
    for line in text.split_inclusive('\n') {
        if begun && is_mark(line) {
            return &text[..at];
        }
        begun |= !line.trim().is_empty() && !is_mark(line) && !line.starts_with('#');
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
        check(
            "a: 1\nb: 2\na: 3\n",
            json!({"a": 3, "b": 2}),
            Some("line 3: key \"a\" already set in map"),
        );
    }
}
