//! What operators stand between: names, calls, literals, lists, maps and messages.

use super::{Failure, Nested, Parse, Parser};
use crate::ast::{Entry, Expr, Field, Kind, List, Literal, Struct};
use crate::lexer::{Kind as T, Token};
use crate::unescape;
use smol_str::SmolStr;

/// Identifiers that are kept for later versions of the language.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];

impl Parser<'_> {
    pub(super) fn primary(&mut self) -> Parse<Nested> {
        let token = self.next();
        match token.kind {
            T::LeftParen => {
                let inner = self.expr()?;
                self.expect(T::RightParen)?;
                Ok(inner)
            }
            T::LeftBracket => self.list(token),
            T::LeftBrace => self.map(token),
            T::Dot => {
                let name = self.expect(T::Identifier)?;
                self.named(token.start, ".", name)
            }
            T::Identifier => self.named(token.start, "", token),
            T::Minus => {
                let number = self.next();
                self.number(token.start, "-", number)
            }
            T::Int | T::Uint | T::Float => self.number(token.start, "", token),
            T::String | T::Bytes => {
                let literal = self.quoted(token);
                Ok(self.nodes.node(token.start, Kind::Literal(literal)).into())
            }
            T::True => Ok(self.constant(token, Literal::Bool(true))),
            T::False => Ok(self.constant(token, Literal::Bool(false))),
            T::Null => Ok(self.constant(token, Literal::Null)),
            _ => Err(Failure::Syntax),
        }
    }

    fn constant(&mut self, token: Token, literal: Literal) -> Nested {
        self.nodes.node(token.start, Kind::Literal(literal)).into()
    }

    /// What begins with a name: a variable, a call or a message.
    fn named(&mut self, start: usize, dot: &str, name: Token) -> Parse<Nested> {
        let mut ahead = 0;
        while self.ahead(ahead) == T::Dot && self.ahead(ahead + 1) == T::Identifier {
            ahead += 2;
        }
        if self.ahead(ahead) == T::LeftBrace {
            let mut full = dot.to_owned() + &self.text(name);
            for token in &self.tokens[self.at..self.at + ahead] {
                full.push_str(&self.text(*token));
            }
            self.at += ahead;
            return self.message(full.into());
        }
        let text = self.text(name);
        let reserved = RESERVED.contains(&text.as_str());
        if reserved {
            self.reports
                .add(Some(start), format!("reserved identifier: {text}"));
        }
        let text: SmolStr = (dot.to_owned() + &text).into();
        match self.take(T::LeftParen) {
            Some(open) => {
                let (args, depth) = self.arguments()?;
                let expr = match reserved {
                    true => self.nodes.node(start, Kind::Broken),
                    false => self.call(open, &text, None, args),
                };
                Ok(Nested { expr, depth })
            }
            None => {
                let kind = if reserved { Kind::Broken } else { Kind::Ident(text) };
                Ok(self.nodes.node(name.start, kind).into())
            }
        }
    }

    fn message(&mut self, name: SmolStr) -> Parse<Nested> {
        let open = self.expect(T::LeftBrace)?;
        let id = self.nodes.id(open.start);
        let mut fields = Vec::new();
        let mut depth = 0;
        while !matches!(self.peek(), T::RightBrace | T::Comma) {
            let optional = self.take(T::Question).is_some();
            let name = self.next();
            if !matches!(name.kind, T::Identifier | T::EscapedIdentifier) {
                return Err(Failure::Syntax);
            }
            if name.kind == T::EscapedIdentifier {
                self.reports.add(Some(name.start), "unsupported syntax: '`'");
            }
            let colon = self.expect(T::Colon)?;
            let field = self.nodes.id(colon.start);
            let value = self.expr()?;
            depth = depth.max(value.depth);
            fields.push(Field {
                id: field,
                name: self.text(name).into(),
                optional,
                value: value.expr,
            });
            if self.peek() != T::Comma || self.ahead(1) == T::RightBrace {
                break;
            }
            self.next();
        }
        self.take(T::Comma);
        self.expect(T::RightBrace)?;
        let kind = Kind::Struct(Box::new(Struct { name, fields }));
        let expr = Expr { id, kind };
        Ok(Nested { expr, depth })
    }

    fn list(&mut self, open: Token) -> Parse<Nested> {
        let id = self.nodes.id(open.start);
        let mut list = List::default();
        let mut depth = 0;
        while !matches!(self.peek(), T::RightBracket | T::Comma) {
            if self.take(T::Question).is_some() {
                list.optional.push(list.elements.len());
            }
            let element = self.expr()?;
            depth = depth.max(element.depth);
            list.elements.push(element.expr);
            if self.peek() != T::Comma || self.ahead(1) == T::RightBracket {
                break;
            }
            self.next();
        }
        self.take(T::Comma);
        self.expect(T::RightBracket)?;
        let kind = Kind::List(list);
        let expr = Expr { id, kind };
        Ok(Nested { expr, depth })
    }

    fn map(&mut self, open: Token) -> Parse<Nested> {
        let id = self.nodes.id(open.start);
        let mut entries = Vec::new();
        let mut depth = 0;
        while !matches!(self.peek(), T::RightBrace | T::Comma) {
            let optional = self.take(T::Question).is_some();
            let key = self.expr()?;
            self.expect(T::Colon)?;
            let value = self.expr()?;
            depth = depth.max(key.depth).max(value.depth);
            entries.push(Entry {
                key: key.expr,
                value: value.expr,
                optional,
            });
            if self.peek() != T::Comma || self.ahead(1) == T::RightBrace {
                break;
            }
            self.next();
        }
        self.take(T::Comma);
        self.expect(T::RightBrace)?;
        let kind = Kind::Map(entries);
        let expr = Expr { id, kind };
        Ok(Nested { expr, depth })
    }

    fn number(&mut self, start: usize, sign: &str, token: Token) -> Parse<Nested> {
        let text = self.text(token);
        let (radix, digits) = match text.strip_prefix("0x") {
            Some(digits) => (16, digits),
            None => (10, text.as_str()),
        };
        let (literal, name) = match token.kind {
            T::Int => {
                let signed = sign.to_owned() + digits;
                (i64::from_str_radix(&signed, radix).ok().map(Literal::Int), "int")
            }
            T::Uint if sign.is_empty() => {
                let digits = digits.trim_end_matches(['u', 'U']);
                (u64::from_str_radix(digits, radix).ok().map(Literal::Uint), "uint")
            }
            T::Float => {
                let value: Option<f64> = (sign.to_owned() + &text).parse().ok();
                (value.filter(|v| v.is_finite()).map(Literal::Double), "double")
            }
            _ => return Err(Failure::Syntax),
        };
        let kind = match literal {
            Some(literal) => Kind::Literal(literal),
            None => {
                self.reports.add(Some(start), format!("invalid {name} literal"));
                Kind::Broken
            }
        };
        Ok(self.nodes.node(start, kind).into())
    }

    fn quoted(&mut self, token: Token) -> Literal {
        let text = self.text(token);
        let bytes = token.kind == T::Bytes;
        let found = unescape::unescape(if bytes { &text[1..] } else { &text }, bytes);
        let found = found.unwrap_or_else(|message| {
            self.reports.add(Some(token.start), message);
            Vec::new()
        });
        match bytes {
            true => Literal::Bytes(found),
            false => Literal::String(String::from_utf8_lossy(&found).into()),
        }
    }
}
