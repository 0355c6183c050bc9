//! Signatures of functions, written as `(string, list(A)) -> bool`.

use crate::types::Type;

/// The types of the arguments and of the result.
///
/// # Panics
///
/// If the text is no signature: they are all written in this crate.
pub(crate) fn parse(text: &str) -> (Vec<Type>, Type) {
    let (args, result) = text.split_once(" -> ").expect("a signature has a result");
    let args = args.strip_prefix('(').and_then(|a| a.strip_suffix(')'));
    let args = list(args.expect("a signature has arguments"));
    (args.iter().map(|a| type_of(a)).collect(), type_of(result))
}

/// Splits at commas that are not within parentheses.
fn list(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let mut parts = Vec::new();
    let mut start = 0;
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    if !text.is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}

fn type_of(text: &str) -> Type {
    let (name, params) = match text.split_once('(') {
        Some((name, rest)) => (name, list(rest.strip_suffix(')').expect("parentheses match"))),
        None => (text, Vec::new()),
    };
    let params: Vec<Type> = params.into_iter().map(type_of).collect();
    match (name, params.as_slice()) {
        ("dyn", []) => Type::Dyn,
        ("bool", []) => Type::Bool,
        ("int", []) => Type::Int,
        ("uint", []) => Type::Uint,
        ("double", []) => Type::Double,
        ("string", []) => Type::String,
        ("bytes", []) => Type::Bytes,
        ("duration", []) => Type::Duration,
        ("timestamp", []) => Type::Timestamp,
        ("list", [element]) => Type::list(element.clone()),
        ("map", [key, value]) => Type::map(key.clone(), value.clone()),
        ("type", [of]) => Type::Type(of.clone().into()),
        ("net.IP" | "net.CIDR" | "optional_type", _) => Type::Opaque(name.into(), params.into()),
        _ if name.starts_with("kubernetes.") => Type::object(name),
        _ => {
            assert!(name.len() == 1, "unknown type {name}");
            Type::Param(name.into())
        }
    }
}
