//! Paths of fields as rules and selectable fields name them, such as `.spec.labels['a/b']`.
//!
//! Source: ValidFieldPath in pkg/apiserver/schema/cel/validation.go.

use super::{Additional, Structural};
use std::fmt::Write;

/// Finds the schema a path leads to; none where any value may be. Also writes the path as errors have it.
///
/// # Errors
///
/// What is wrong with it, in upstream's words.
pub fn find<'a>(
    schema: &'a Structural,
    json_path: &str,
    brackets: bool,
) -> Result<(String, Option<&'a Structural>), String> {
    let mut at = Some(schema);
    let mut written = String::new();
    let mut tokens = Tokens(json_path);
    while let Some(token) = tokens.next() {
        let name = match token {
            "." => tokens.next().ok_or(END)?.to_string(),
            "[" if !brackets => return Err("array notation is not allowed".into()),
            "[" => {
                let quoted = tokens.next().ok_or(END)?;
                let inner = quoted.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
                let Some(inner) = inner.filter(|_| quoted.len() >= 2) else {
                    return Err(format!("expected single quoted string but got {quoted}"));
                };
                unescaped(inner).map_err(|why| format!("invalid string literal: {why}"))?
            }
            other => return Err(format!("expected [ or . but got: {other}")),
        };
        let here = at.ok_or(ABSENT)?;
        let named = !here.properties.is_empty();
        at = match (named, &here.additional) {
            (true, _) => Some(here.properties.get(name.as_str()).ok_or(ABSENT)?),
            (false, Additional::Like(field)) => Some(field),
            (false, Additional::Unsaid) => return Err(ABSENT.into()),
            (false, Additional::Any | Additional::Forbidden) => None,
        };
        // Writing into memory cannot fail.
        let _ = match (named, written.is_empty()) {
            (true, true) => write!(written, "{name}"),
            (true, false) => write!(written, ".{name}"),
            (false, _) => write!(written, "[{name}]"),
        };
        if token == "[" {
            match tokens.next().ok_or(END)? {
                "]" => {}
                other => return Err(format!("expected ] but got {other}")),
            }
        }
    }
    Ok((written, at))
}

const END: &str = "unexpected end of JSON path";
const ABSENT: &str = "does not refer to a valid field";

/// Divides a path at `.`, `[` and `]`, which are tokens, but not within quotes.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0;
        let end = if text.starts_with('\'') {
            let bytes = text.as_bytes();
            let closing = (1..bytes.len()).find(|i| bytes[*i] == b'\'' && bytes[i - 1] != b'\\');
            closing.map_or(text.len(), |i| i + 1)
        } else {
            text.find(['.', '[', ']']).unwrap_or(text.len()).max(1)
        };
        if text.is_empty() {
            return None;
        }
        let (token, rest) = text.split_at(end);
        self.0 = rest;
        Some(token)
    }
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match characters.next() {
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(same @ ('\'' | '\\')) => same,
            other => {
                return Err(format!(
                    "invalid escape char \\{}",
                    other.map_or(String::new(), String::from)
                ));
            }
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths() {
        let schema = Structural::of(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"a.b": {"type": "string"}}},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        }}));
        let check = |path: &str, expected: Result<(&str, &str), &str>| {
            let found = find(&schema, path, true);
            let found = found.map(|(written, at)| (written, at.map_or("", |s| s.type_.as_str())));
            let found = found
                .as_ref()
                .map(|(w, t)| (w.as_str(), *t))
                .map_err(String::as_str);
            assert_eq!(found, expected, "{path}");
        };
        check(".spec", Ok(("spec", "object")));
        check(".spec['a.b']", Ok(("spec.a.b", "string")));
        check(".map.x", Ok(("map[x]", "integer")));
        check(".map['it\\'s']", Ok(("map[it's]", "integer")));
        check(".spec.z", Err("does not refer to a valid field"));
        check(".spec[0]", Err("expected single quoted string but got 0"));
        check(".spec['a.b'", Err("unexpected end of JSON path"));
        check(
            ".map['\\q']",
            Err("invalid string literal: invalid escape char \\q"),
        );
        check(".spec.", Err("unexpected end of JSON path"));
        check("spec", Err("expected [ or . but got: spec"));
        assert_eq!(
            find(&schema, ".map['a']", false).err().as_deref(),
            Some("array notation is not allowed")
        );
    }
}
