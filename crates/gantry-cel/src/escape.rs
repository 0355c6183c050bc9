//! How names of fields become identifiers of the language.

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

const ESCAPES: [(&str, &str); 4] = [
    ("__underscores__", "__"),
    ("__dot__", "."),
    ("__dash__", "-"),
    ("__slash__", "/"),
];

/// The identifier by which expressions name a field; none if they cannot.
pub fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let escaped = ESCAPES.iter().find(|(_, plain)| rest.starts_with(plain));
        if let Some((escaped, plain)) = escaped {
            out.push_str(escaped);
            rest = &rest[plain.len()..];
        } else if c.is_ascii_alphanumeric() || c == '_' {
            out.push(c);
            rest = &rest[1..];
        } else {
            return None;
        }
    }
    Some(out)
}

/// The field's name that an identifier stands for; none if it has an escape sequence nobody knows.
pub fn unescape(ident: &str) -> Option<String> {
    if !ident.contains("__") {
        return Some(ident.to_owned());
    }
    let mut out = String::with_capacity(ident.len());
    let mut rest = ident;
    while let Some(start) = rest.find("__") {
        // A sequence is what stands between double underscores and has none itself.
        let inner = &rest[start + 2..];
        let end = inner.find('_').unwrap_or(inner.len());
        if end == 0 || !inner[end..].starts_with("__") {
            let skip = if end == 0 { start + 1 } else { start + 2 };
            out.push_str(&rest[..skip]);
            rest = &rest[skip..];
            continue;
        }
        out.push_str(&rest[..start]);
        let sequence = &rest[start..start + 2 + end + 2];
        let content = &inner[..end];
        match ESCAPES.iter().find(|(escaped, _)| *escaped == sequence) {
            Some((_, plain)) => out.push_str(plain),
            None if RESERVED.contains(&content) && sequence.len() == ident.len() => out.push_str(content),
            None => return None,
        }
        rest = &rest[start + sequence.len()..];
    }
    out.push_str(rest);
    Some(out)
}

/// Whether expressions can name a variable so.
pub fn is_identifier(name: &str) -> bool {
    let letter = |b: u8| b == b'_' || b.is_ascii_alphabetic();
    name.bytes().next().is_some_and(letter)
        && name.bytes().all(|b| letter(b) || b.is_ascii_digit())
        && !is_reserved(name)
}

/// Whether a word is one of the language, which fields may still be called.
pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_identifiers() {
        let check = |name: &str, ident: Option<&str>| {
            assert_eq!(escape(name).as_deref(), ident, "{name}");
            if let Some(ident) = ident {
                assert_eq!(unescape(ident).as_deref(), Some(name), "{ident}");
            }
        };
        check("a", Some("a"));
        check("a_b", Some("a_b"));
        check("a__b", Some("a__underscores__b"));
        check("a___b", Some("a__underscores___b"));
        check("a.b-c/d", Some("a__dot__b__dash__c__slash__d"));
        check("namespace", Some("__namespace__"));
        check("namespaces", Some("namespaces"));
        check("", None);
        check("1a", None);
        check("a b", None);
        check("a$b", None);
        let check = |name: &str, fine: bool| assert_eq!(is_identifier(name), fine, "{name}");
        check("_a1", true);
        check("1a", false);
        check("a-b", false);
        check("in", false);
        assert_eq!(unescape("__nothing__"), None);
        assert_eq!(unescape("a__if__b"), None);
    }
}
