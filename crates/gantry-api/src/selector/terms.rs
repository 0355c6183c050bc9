//! The terms of a field selector. Source: k8s.io/apimachinery/pkg/fields/selector.go.

/// What one field must be, or must not.
#[derive(Debug, PartialEq)]
pub struct FieldTerm {
    /// The field's label.
    pub label: String,
    /// The value, its escapes resolved.
    pub value: String,
    /// Whether the field must have the value; else it must not.
    pub equal: bool,
}

/// Parses `a=b,c!=d`. In values, `\` stands before a `,`, `=` or `\` that is meant itself.
pub fn field_terms(selector: &str) -> Result<Vec<FieldTerm>, String> {
    let parts = split(selector).into_iter().filter(|part| !part.is_empty());
    let term = |part: &str| {
        let (label, value, equal) = halves(part)
            .ok_or_else(|| format!("invalid selector: '{selector}'; can't understand '{part}'"))?;
        Ok(FieldTerm {
            label: label.to_owned(),
            value: unescaped(value)?,
            equal,
        })
    };
    parts.map(term).collect()
}

fn split(selector: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in selector.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&selector[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&selector[start..]);
    parts
}

/// Label, value, and whether they are to be equal: a term at its first operator.
fn halves(term: &str) -> Option<(&str, &str, bool)> {
    let at = |i: usize| {
        [("!=", false), ("==", true), ("=", true)]
            .iter()
            .find(|(sign, _)| term[i..].starts_with(sign))
            .map(|(sign, equal)| (&term[..i], &term[i + sign.len()..], *equal))
    };
    term.char_indices().find_map(|(i, _)| at(i))
}

fn unescaped(value: &str) -> Result<String, String> {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => text.push(c),
                other => {
                    let sequence: String = std::iter::once('\\').chain(other).collect();
                    return Err(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    ));
                }
            },
            // Upstream shows the character's number.
            ',' | '=' => {
                let number = u32::from(c);
                return Err(format!(
                    "invalid field selector: unescaped character in value: {number}"
                ));
            }
            c => text.push(c),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms() {
        let check = |selector: &str, expected: Result<&[(&str, &str, bool)], &str>| {
            let found = field_terms(selector);
            let expected = expected.map_err(str::to_owned).map(|terms| {
                let term = |(label, value, equal): &(&str, &str, bool)| FieldTerm {
                    label: (*label).into(),
                    value: (*value).into(),
                    equal: *equal,
                };
                terms.iter().map(term).collect::<Vec<_>>()
            });
            assert_eq!(found, expected, "{selector}");
        };
        check("", Ok(&[]));
        check(",", Ok(&[]));
        check(
            "a=b,c!=d,e==",
            Ok(&[("a", "b", true), ("c", "d", false), ("e", "", true)]),
        );
        check(
            r"a=b\,c\=d\\,e=f",
            Ok(&[("a", r"b,c=d\", true), ("e", "f", true)]),
        );
        check("a!b=c", Ok(&[("a!b", "c", true)]));
        check("a", Err("invalid selector: 'a'; can't understand 'a'"));
        check(
            "a=b=c",
            Err("invalid field selector: unescaped character in value: 61"),
        );
        check(
            r"a=\b",
            Err(r"invalid field selector: invalid escape sequence: \b"),
        );
        check(r"a=\", Err(r"invalid field selector: invalid escape sequence: \"));
    }
}
