//! Tokens.

use crate::issue::Reports;

/// What a token is. The names are those of the grammar, for error messages tell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Eof,
    Equals,
    NotEquals,
    In,
    Less,
    LessEquals,
    GreaterEquals,
    Greater,
    And,
    Or,
    LeftBracket,
    RightBracket,
    LeftBrace,
    RightBrace,
    LeftParen,
    RightParen,
    Dot,
    Comma,
    Minus,
    Exclamation,
    Question,
    Colon,
    Plus,
    Star,
    Slash,
    Percent,
    True,
    False,
    Null,
    Float,
    Int,
    Uint,
    String,
    Bytes,
    Identifier,
    EscapedIdentifier,
}

impl Kind {
    /// How messages name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Eof => "<EOF>",
            Kind::Equals => "'=='",
            Kind::NotEquals => "'!='",
            Kind::In => "'in'",
            Kind::Less => "'<'",
            Kind::LessEquals => "'<='",
            Kind::GreaterEquals => "'>='",
            Kind::Greater => "'>'",
            Kind::And => "'&&'",
            Kind::Or => "'||'",
            Kind::LeftBracket => "'['",
            Kind::RightBracket => "']'",
            Kind::LeftBrace => "'{'",
            Kind::RightBrace => "'}'",
            Kind::LeftParen => "'('",
            Kind::RightParen => "')'",
            Kind::Dot => "'.'",
            Kind::Comma => "','",
            Kind::Minus => "'-'",
            Kind::Exclamation => "'!'",
            Kind::Question => "'?'",
            Kind::Colon => "':'",
            Kind::Plus => "'+'",
            Kind::Star => "'*'",
            Kind::Slash => "'/'",
            Kind::Percent => "'%'",
            Kind::True => "'true'",
            Kind::False => "'false'",
            Kind::Null => "'null'",
            Kind::Float => "NUM_FLOAT",
            Kind::Int => "NUM_INT",
            Kind::Uint => "NUM_UINT",
            Kind::String => "STRING",
            Kind::Bytes => "BYTES",
            Kind::Identifier => "IDENTIFIER",
            Kind::EscapedIdentifier => "ESC_IDENTIFIER",
        }
    }
}

/// A token and its place, from the first code point to behind the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Splits a text. What is no token is reported and left out.
pub(crate) fn tokens(chars: &[char], reports: &mut Reports) -> Vec<Token> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match longest(&chars[at..]) {
            Match::Skip(length) => at += length,
            Match::Token(kind, length) => {
                found.push(Token {
                    kind,
                    start: at,
                    end: at + length,
                });
                at += length;
            }
            // The character that fits nothing is part of the message, and left out too.
            Match::Nothing(length) => {
                let end = (at + length + 1).min(chars.len());
                let text: String = chars[at..end].iter().collect();
                reports.add(
                    Some(at),
                    format!("Syntax error: token recognition error at: '{text}'"),
                );
                at = end;
            }
        }
    }
    found.push(Token {
        kind: Kind::Eof,
        start: chars.len(),
        end: chars.len(),
    });
    found
}

enum Match {
    Token(Kind, usize),
    Skip(usize),
    /// No token; so many characters looked like the beginning of one.
    Nothing(usize),
}

fn longest(rest: &[char]) -> Match {
    let next = rest.get(1).copied();
    let two = |second: char, both: Kind, one: Option<Kind>| match (next == Some(second), one) {
        (true, _) => Match::Token(both, 2),
        (false, Some(kind)) => Match::Token(kind, 1),
        (false, None) => Match::Nothing(1),
    };
    let one = |kind| Match::Token(kind, 1);
    match rest[0] {
        '\t' | ' ' | '\r' | '\n' | '\u{c}' => {
            Match::Skip(span(rest, |c| matches!(c, '\t' | ' ' | '\r' | '\n' | '\u{c}')))
        }
        '/' if next == Some('/') => Match::Skip(span(rest, |c| c != '\n')),
        '/' => one(Kind::Slash),
        '=' => two('=', Kind::Equals, None),
        '!' => two('=', Kind::NotEquals, Some(Kind::Exclamation)),
        '<' => two('=', Kind::LessEquals, Some(Kind::Less)),
        '>' => two('=', Kind::GreaterEquals, Some(Kind::Greater)),
        '&' => two('&', Kind::And, None),
        '|' => two('|', Kind::Or, None),
        '[' => one(Kind::LeftBracket),
        ']' => one(Kind::RightBracket),
        '{' => one(Kind::LeftBrace),
        '}' => one(Kind::RightBrace),
        '(' => one(Kind::LeftParen),
        ')' => one(Kind::RightParen),
        '.' if next.is_some_and(|c| c.is_ascii_digit()) => number(rest),
        '.' => one(Kind::Dot),
        ',' => one(Kind::Comma),
        '-' => one(Kind::Minus),
        '?' => one(Kind::Question),
        ':' => one(Kind::Colon),
        '+' => one(Kind::Plus),
        '*' => one(Kind::Star),
        '%' => one(Kind::Percent),
        '0'..='9' => number(rest),
        '"' | '\'' => match quoted(rest, false) {
            Ok(length) => Match::Token(Kind::String, length),
            Err(length) => Match::Nothing(length),
        },
        '`' => {
            let length = 1 + span(&rest[1..], |c| {
                c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ' ')
            });
            match rest.get(length) {
                Some('`') if length > 1 => Match::Token(Kind::EscapedIdentifier, length + 1),
                _ => Match::Nothing(length),
            }
        }
        c if c.is_ascii_alphabetic() || c == '_' => word(rest),
        _ => Match::Nothing(0),
    }
}

fn span(chars: &[char], fits: impl Fn(char) -> bool) -> usize {
    chars.iter().position(|c| !fits(*c)).unwrap_or(chars.len())
}

fn digits(chars: &[char]) -> usize {
    span(chars, |c| c.is_ascii_digit())
}

fn number(rest: &[char]) -> Match {
    let at = |i: usize| rest.get(i).copied().unwrap_or('\0');
    if at(0) == '0' && at(1) == 'x' {
        let length = 2 + span(&rest[2..], |c| c.is_ascii_hexdigit());
        if length > 2 {
            return match at(length) {
                'u' | 'U' => Match::Token(Kind::Uint, length + 1),
                _ => Match::Token(Kind::Int, length),
            };
        }
    }
    let whole = digits(rest);
    let mut length = whole;
    let mut float = false;
    if at(length) == '.' && at(length + 1).is_ascii_digit() {
        float = true;
        length += 1 + digits(&rest[length + 1..]);
    }
    if matches!(at(length), 'e' | 'E') {
        let sign = usize::from(matches!(at(length + 1), '+' | '-'));
        if at(length + 1 + sign).is_ascii_digit() {
            float = true;
            length += 1 + sign + digits(&rest[length + 1 + sign..]);
        }
    }
    match (float, at(length)) {
        (true, _) => Match::Token(Kind::Float, length),
        (false, 'u' | 'U') => Match::Token(Kind::Uint, length + 1),
        (false, _) => Match::Token(Kind::Int, length),
    }
}

fn word(rest: &[char]) -> Match {
    // r'' and b'' and br'': the longest reading is the one that counts.
    let bytes = usize::from(matches!(rest[0], 'b' | 'B'));
    let raw = usize::from(matches!(rest.get(bytes), Some('r' | 'R')));
    let prefix = bytes + raw;
    if prefix > 0
        && matches!(rest.get(prefix), Some('"' | '\''))
        && let Ok(length) = quoted(&rest[prefix..], raw > 0)
    {
        let kind = if bytes > 0 { Kind::Bytes } else { Kind::String };
        return Match::Token(kind, prefix + length);
    }
    let length = span(rest, |c| c.is_ascii_alphanumeric() || c == '_');
    let kind = match &rest[..length] {
        ['i', 'n'] => Kind::In,
        ['t', 'r', 'u', 'e'] => Kind::True,
        ['f', 'a', 'l', 's', 'e'] => Kind::False,
        ['n', 'u', 'l', 'l'] => Kind::Null,
        _ => Kind::Identifier,
    };
    Match::Token(kind, length)
}

/// How long a quoted text is, or how far it looked like one.
fn quoted(rest: &[char], raw: bool) -> Result<usize, usize> {
    let quote = rest[0];
    if rest.len() >= 3 && rest[1] == quote && rest[2] == quote {
        let mut at = 3;
        while at < rest.len() {
            if rest[at..].starts_with(&[quote, quote, quote]) {
                return Ok(at + 3);
            }
            match (rest[at], raw) {
                ('\\', false) => match escape(&rest[at..]) {
                    Ok(length) => at += length,
                    Err(_) => break,
                },
                _ => at += 1,
            }
        }
        // What is no long text begins with an empty one.
        return Ok(2);
    }
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            c if c == quote => return Ok(at + 1),
            '\n' | '\r' => return Err(at),
            '\\' if !raw => match escape(&rest[at..]) {
                Ok(length) => at += length,
                Err(length) => return Err(at + length),
            },
            _ => at += 1,
        }
    }
    Err(at)
}

/// How long an escape sequence is, or how far it looked like one.
fn escape(rest: &[char]) -> Result<usize, usize> {
    let run = |from: usize, count: usize, fits: fn(char) -> bool| {
        let found = span(&rest[from.min(rest.len())..], fits).min(count);
        if found == count {
            Ok(from + count)
        } else {
            Err(from + found)
        }
    };
    let octal = |c: char| matches!(c, '0'..='7');
    let hex = |c: char| c.is_ascii_hexdigit();
    match rest.get(1) {
        Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`') => Ok(2),
        Some('0'..='3') => run(2, 2, octal),
        Some('x' | 'X') => run(2, 2, hex),
        Some('u') => run(2, 4, hex),
        Some('U') => run(2, 8, hex),
        _ => Err(1),
    }
}
