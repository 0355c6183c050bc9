//! Patterns of Go's regexp package, run by the regex crate: both are RE2's syntax, but for what is translated here.

use regex::{Regex, RegexBuilder};
use std::fmt::Write;
use std::sync::OnceLock;

/// A compiled pattern may take this much memory, and so may the automaton that runs it.
const SIZE_LIMIT: usize = 1 << 20;

/// A pattern. It is compiled when it is first needed: most are never.
#[derive(Debug)]
pub struct Pattern {
    text: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// A pattern that has been checked with [`Pattern::check`].
    pub fn new(text: &str) -> Self {
        Pattern {
            text: text.into(),
            compiled: OnceLock::new(),
        }
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a text has a match. A pattern that cannot be compiled matches nothing.
    pub fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile(&self.text).ok());
        compiled.as_ref().is_some_and(|r| r.is_match(text))
    }

    /// Says what is wrong with a pattern, if it cannot be used.
    pub fn check(text: &str) -> Result<(), String> {
        compile(text).map(drop).map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => "expression too large".to_string(),
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or("").trim();
                format!("error parsing regexp: {}", last.trim_start_matches("error: "))
            }
        })
    }
}

fn compile(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&translated(text))
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(SIZE_LIMIT)
        .build()
}

/// The pattern in the regex crate's words: classes such as `\d` are ASCII's, a brace that is no repetition stands for
/// itself, and within brackets `[`, `&`, `~` and `-` mean nothing more than in Go.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = after;
        match c {
            '\\' => {
                let Some(next) = after.chars().next() else {
                    out.push('\\');
                    break;
                };
                rest = &after[next.len_utf8()..];
                match next {
                    'd' | 'D' | 'w' | 'W' | 's' | 'S' => {
                        let class = match next.to_ascii_lowercase() {
                            'd' => "0-9",
                            'w' => "0-9A-Za-z_",
                            _ => r"\t\n\f\r ",
                        };
                        let not = if next.is_ascii_uppercase() { "^" } else { "" };
                        // Infallible: the target is a String.
                        let _ = write!(out, "[{not}{class}]");
                    }
                    'b' | 'B' if !in_class => {
                        let _ = write!(out, "(?-u:\\{next})");
                    }
                    'Q' => {
                        let (quoted, end) = after[1..].split_once("\\E").unwrap_or((&after[1..], ""));
                        out.push_str(&regex::escape(quoted));
                        rest = end;
                    }
                    _ => {
                        out.push('\\');
                        out.push(next);
                    }
                }
            }
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if let Some(after) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = after;
                }
                // The first bracket is one of the characters.
                if let Some(after) = rest.strip_prefix(']') {
                    out.push_str("\\]");
                    rest = after;
                }
            }
            '[' => match rest.strip_prefix(':').and_then(|r| r.split_once(":]")) {
                Some((name, after)) => {
                    let _ = write!(out, "[:{name}:]");
                    rest = after;
                }
                None => out.push_str("\\["),
            },
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '-' if in_class && (rest.starts_with('-') || rest.starts_with(']')) => out.push_str("\\-"),
            '{' if !in_class && !is_repetition(rest) => out.push_str("\\{"),
            c => out.push(c),
        }
    }
    out
}

/// Whether what follows a brace makes it a repetition: `n}`, `n,}` or `n,m}`.
fn is_repetition(rest: &str) -> bool {
    let Some((inside, _)) = rest.split_once('}') else {
        return false;
    };
    let (from, to) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |t: &str| t.chars().all(|c| c.is_ascii_digit());
    !from.is_empty() && digits(from) && digits(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_do_in_go() {
        let check = |pattern: &str, text: &str, expected: bool| {
            Pattern::check(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
        };
        check(r"^\d+$", "123", true);
        check(r"^\d+$", "١", false);
        check(r"^[\w.-]+$", "a_b.c-d", true);
        check(r"^[^\s]+$", "a b", false);
        check(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "a-b", true);
        check(r"^{x}$", "{x}", true);
        check(r"^a{2,3}$", "aa", true);
        check(r"[[]", "[", true);
        check(r"^[]a]+$", "]a", true);
        check(r"^[a&&b]+$", "&ab", true);
        check(r"^[[:alpha:]]+$", "ab", true);
        check(r"^\Qa.b\E$", "a.b", true);
        check(r"^\Qa.b\E$", "axb", false);
        check(r"\bfoo\b", "a foo b", true);
        check(r"^\/a\/$", "/a/", true);
        assert!(Pattern::check("(").is_err());
        assert!(Pattern::check(r"(\pL{1000}){1000}").is_err());
        assert!(Pattern::check("(?=a)").is_err());
    }
}
