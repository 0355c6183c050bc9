//! Sets of kinds of tokens.

use crate::lexer::Kind as T;
use std::fmt;

/// Kinds of tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Set(u64);

impl Set {
    pub(super) const EMPTY: Set = Set(0);

    pub(super) const fn of(kinds: &[T]) -> Set {
        let mut bits = 0;
        let mut i = 0;
        while i < kinds.len() {
            bits |= 1 << kinds[i] as u64;
            i += 1;
        }
        Set(bits)
    }

    pub(super) fn has(self, kind: T) -> bool {
        self.0 & (1 << kind as u64) != 0
    }

    pub(super) fn union(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }
}

/// All kinds, in the order in which messages name them.
const ALL: [T; 36] = [
    T::Eof,
    T::Equals,
    T::NotEquals,
    T::In,
    T::Less,
    T::LessEquals,
    T::GreaterEquals,
    T::Greater,
    T::And,
    T::Or,
    T::LeftBracket,
    T::RightBracket,
    T::LeftBrace,
    T::RightBrace,
    T::LeftParen,
    T::RightParen,
    T::Dot,
    T::Comma,
    T::Minus,
    T::Exclamation,
    T::Question,
    T::Colon,
    T::Plus,
    T::Star,
    T::Slash,
    T::Percent,
    T::True,
    T::False,
    T::Null,
    T::Float,
    T::Int,
    T::Uint,
    T::String,
    T::Bytes,
    T::Identifier,
    T::EscapedIdentifier,
];

/// One name, or all in braces.
impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = ALL.into_iter().filter(|k| self.has(*k)).map(T::name).collect();
        match names.as_slice() {
            [one] => f.write_str(one),
            names => write!(f, "{{{}}}", names.join(", ")),
        }
    }
}
