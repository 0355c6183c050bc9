//! From tokens to expressions, with macros expanded as they are met.

mod primary;

use crate::ast::{Call, Expr, Id, Kind, Literal, Select, operators as op};
use crate::issue::{Issues, Reports};
use crate::lexer::{self, Kind as T, Token};
use crate::source::Source;
use crate::{macros, recovery};

/// Longer expressions are refused.
const MOST_CODE_POINTS: usize = 100_000;

/// An expression that has grown by macros to more nodes than this is refused.
const MOST_NODES: usize = 300_000;

/// Rules of the grammar nest this deep at most.
const DEEPEST: usize = 250;

/// A parsed expression; `places` has the offset of every node.
pub(crate) struct Parsed {
    pub(crate) source: Source,
    pub(crate) root: Expr,
    pub(crate) places: Vec<usize>,
}

/// Parses an expression; `binds` says whether `cel.bind` is a macro.
pub(crate) fn parse(text: &str, binds: bool) -> Result<Parsed, Issues> {
    let source = Source::new(text);
    let mut reports = Reports::default();
    if source.chars.len() > MOST_CODE_POINTS {
        let size = source.chars.len();
        reports.add(
            None,
            format!("expression code point size exceeds limit: size: {size}, limit {MOST_CODE_POINTS}"),
        );
        return Err(reports.into_issues(&source));
    }
    let tokens = lexer::tokens(&source.chars, &mut reports);
    let mut parser = Parser {
        chars: &source.chars,
        tokens: &tokens,
        at: 0,
        nodes: Nodes {
            binds,
            ..Nodes::default()
        },
        reports,
        depth: [0; 4],
        too_nested: false,
    };
    let root = parser.start();
    let Parser {
        nodes,
        mut reports,
        too_nested,
        ..
    } = parser;
    match root {
        Ok(root) if reports.is_empty() && !too_nested => Ok(Parsed {
            root,
            places: nodes.places,
            source,
        }),
        result => {
            match result {
                Err(Failure::Syntax) => recovery::report(&source.chars, &tokens, &mut reports),
                Err(Failure::TooDeep) => {
                    reports.add(None, format!("expression recursion limit exceeded: {DEEPEST}"));
                }
                Ok(_) if too_nested => reports.add(None, "max recursion depth exceeded"),
                Ok(_) => {}
            }
            Err(reports.into_issues(&source))
        }
    }
}

/// Makes nodes and keeps their places.
#[derive(Default)]
pub(crate) struct Nodes {
    places: Vec<usize>,
    pub(crate) binds: bool,
}

impl Nodes {
    pub(crate) fn id(&mut self, offset: usize) -> Id {
        self.places.push(offset);
        (self.places.len() - 1) as Id
    }

    pub(crate) fn node(&mut self, offset: usize, kind: Kind) -> Expr {
        Expr {
            id: self.id(offset),
            kind,
        }
    }

    pub(crate) fn place(&self, id: Id) -> usize {
        self.places[id as usize]
    }

    /// Whether there are so many that no more should be copied: macros that copy what they are called on double it.
    pub(crate) fn are_many(&self) -> bool {
        self.places.len() > MOST_NODES
    }
}

enum Failure {
    Syntax,
    TooDeep,
}

/// The rules whose nesting is limited.
#[derive(Clone, Copy)]
enum Rule {
    Expr,
    Relation,
    Calc,
    Member,
}

struct Parser<'p> {
    chars: &'p [char],
    tokens: &'p [Token],
    at: usize,
    nodes: Nodes,
    reports: Reports,
    depth: [usize; 4],
    too_nested: bool,
}

/// An expression and how deep operators nest in it.
struct Nested {
    expr: Expr,
    depth: usize,
}

impl From<Expr> for Nested {
    fn from(expr: Expr) -> Self {
        Nested { expr, depth: 0 }
    }
}

type Parse<R> = Result<R, Failure>;

impl Parser<'_> {
    fn start(&mut self) -> Parse<Expr> {
        let root = self.expr()?.expr;
        self.expect(T::Eof)?;
        Ok(root)
    }

    fn peek(&self) -> T {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> T {
        self.tokens.get(self.at + by).map_or(T::Eof, |t| t.kind)
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at.min(self.tokens.len() - 1)];
        self.at += 1;
        token
    }

    fn take(&mut self, kind: T) -> Option<Token> {
        (self.peek() == kind).then(|| self.next())
    }

    fn expect(&mut self, kind: T) -> Parse<Token> {
        self.take(kind).ok_or(Failure::Syntax)
    }

    fn text(&self, token: Token) -> String {
        self.chars[token.start..token.end].iter().collect()
    }

    fn enter(&mut self, rule: Rule) -> Parse<()> {
        self.depth[rule as usize] += 1;
        if self.depth[rule as usize] > DEEPEST {
            return Err(Failure::TooDeep);
        }
        Ok(())
    }

    fn leave(&mut self, rule: Rule, times: usize) {
        self.depth[rule as usize] -= times;
    }

    fn above(&mut self, expr: Expr, below: usize) -> Nested {
        let depth = below + 1;
        self.too_nested |= depth > DEEPEST;
        Nested { expr, depth }
    }

    fn expr(&mut self) -> Parse<Nested> {
        self.enter(Rule::Expr)?;
        let mut found = self.disjunction()?;
        if let Some(token) = self.take(T::Question) {
            let yes = self.disjunction()?;
            self.expect(T::Colon)?;
            let no = self.expr()?;
            let depth = found.depth.max(yes.depth).max(no.depth);
            let call = self.call(token, op::CONDITIONAL, None, vec![found.expr, yes.expr, no.expr]);
            found = self.above(call, depth);
        }
        self.leave(Rule::Expr, 1);
        Ok(found)
    }

    fn disjunction(&mut self) -> Parse<Nested> {
        self.chain(T::Or, op::OR, |p| p.chain(T::And, op::AND, |p| p.relation(0)))
    }

    /// Terms joined by an operator become a balanced tree, so that long chains are not deep.
    fn chain(&mut self, token: T, name: &str, term: impl Fn(&mut Self) -> Parse<Nested>) -> Parse<Nested> {
        let first = term(self)?;
        if self.peek() != token {
            return Ok(first);
        }
        let mut depth = first.depth;
        let mut terms = vec![Some(first.expr)];
        let mut operators = Vec::new();
        while let Some(token) = self.take(token) {
            let next = term(self)?;
            depth = depth.max(next.depth);
            terms.push(Some(next.expr));
            operators.push(self.nodes.id(token.start));
        }
        let expr = balance(name, &mut terms, &operators);
        Ok(Nested { expr, depth })
    }

    fn relation(&mut self, precedence: usize) -> Parse<Nested> {
        self.enter(Rule::Relation)?;
        let mut entered = 1;
        let mut left = self.calc(0)?;
        loop {
            let name = match self.peek() {
                _ if precedence > 1 => break,
                T::Less => op::LESS,
                T::LessEquals => op::LESS_EQUALS,
                T::Greater => op::GREATER,
                T::GreaterEquals => op::GREATER_EQUALS,
                T::Equals => op::EQUALS,
                T::NotEquals => op::NOT_EQUALS,
                T::In => op::IN,
                _ => break,
            };
            self.enter(Rule::Relation)?;
            entered += 1;
            let token = self.next();
            let right = self.relation(2)?;
            left = self.binary(token, name, left, right);
        }
        self.leave(Rule::Relation, entered);
        Ok(left)
    }

    fn calc(&mut self, precedence: usize) -> Parse<Nested> {
        self.enter(Rule::Calc)?;
        let mut entered = 1;
        let mut left = self.unary()?;
        loop {
            let (name, binds) = match self.peek() {
                T::Star => (op::MULTIPLY, 2),
                T::Slash => (op::DIVIDE, 2),
                T::Percent => (op::MODULO, 2),
                T::Plus => (op::ADD, 1),
                T::Minus => (op::SUBTRACT, 1),
                _ => break,
            };
            if binds < precedence {
                break;
            }
            self.enter(Rule::Calc)?;
            entered += 1;
            let token = self.next();
            let right = self.calc(binds + 1)?;
            left = self.binary(token, name, left, right);
        }
        self.leave(Rule::Calc, entered);
        Ok(left)
    }

    fn binary(&mut self, token: Token, name: &str, left: Nested, right: Nested) -> Nested {
        let depth = left.depth.max(right.depth);
        let call = self.call(token, name, None, vec![left.expr, right.expr]);
        self.above(call, depth)
    }

    fn unary(&mut self) -> Parse<Nested> {
        let kind = self.peek();
        let number = matches!(self.ahead(1), T::Int | T::Float);
        let name = match kind {
            T::Exclamation => op::NOT,
            T::Minus if !number => op::NEGATE,
            _ => return self.member(),
        };
        let first = self.next();
        let mut count = 1;
        while self.take(kind).is_some() {
            count += 1;
        }
        let member = self.member()?;
        // Pairs of them change nothing.
        if count % 2 == 0 {
            return Ok(member);
        }
        let expr = self.call(first, name, None, vec![member.expr]);
        Ok(Nested {
            expr,
            depth: member.depth,
        })
    }

    fn member(&mut self) -> Parse<Nested> {
        self.enter(Rule::Member)?;
        let mut entered = 1;
        let mut found = self.primary()?;
        while matches!(self.peek(), T::Dot | T::LeftBracket) {
            self.enter(Rule::Member)?;
            entered += 1;
            let token = self.next();
            found = match token.kind {
                T::Dot => self.selection(token, found)?,
                _ => self.index(token, found)?,
            };
        }
        self.leave(Rule::Member, entered);
        Ok(found)
    }

    fn selection(&mut self, dot: Token, operand: Nested) -> Parse<Nested> {
        let optional = self.take(T::Question).is_some();
        let name = self.next();
        if !matches!(name.kind, T::Identifier | T::EscapedIdentifier) {
            return Err(Failure::Syntax);
        }
        let text = self.text(name);
        if !optional && name.kind == T::Identifier && self.peek() == T::LeftParen {
            let open = self.next();
            let (args, depth) = self.arguments()?;
            let call = self.call(open, &text, Some(operand.expr), args);
            return Ok(self.above(call, operand.depth.max(depth)));
        }
        if name.kind == T::EscapedIdentifier {
            self.reports.add(Some(name.start), "unsupported syntax: '`'");
        }
        let kind = if optional {
            let literal = Kind::Literal(Literal::String(text.into()));
            let field = self.nodes.node(name.start, literal);
            Kind::Call(Box::new(Call {
                function: op::OPTIONAL_SELECT.into(),
                target: None,
                args: vec![operand.expr, field],
            }))
        } else {
            Kind::Select(Box::new(Select {
                operand: operand.expr,
                field: text.into(),
                test: false,
            }))
        };
        let expr = self.nodes.node(dot.start, kind);
        Ok(self.above(expr, operand.depth))
    }

    fn index(&mut self, open: Token, operand: Nested) -> Parse<Nested> {
        let name = match self.take(T::Question) {
            Some(_) => op::OPTIONAL_INDEX,
            None => op::INDEX,
        };
        let index = self.expr()?;
        self.expect(T::RightBracket)?;
        let depth = operand.depth.max(index.depth);
        let call = self.call(open, name, None, vec![operand.expr, index.expr]);
        Ok(self.above(call, depth))
    }

    /// What stands between parentheses that are already open, and how deep it nests.
    fn arguments(&mut self) -> Parse<(Vec<Expr>, usize)> {
        let mut args = Vec::new();
        let mut depth = 0;
        if self.peek() != T::RightParen {
            loop {
                let arg = self.expr()?;
                depth = depth.max(arg.depth);
                args.push(arg.expr);
                if self.take(T::Comma).is_none() {
                    break;
                }
            }
        }
        self.expect(T::RightParen)?;
        Ok((args, depth))
    }

    /// A call, or what the macro of this name makes of it.
    fn call(&mut self, token: Token, name: &str, target: Option<Expr>, args: Vec<Expr>) -> Expr {
        match macros::expand(&mut self.nodes, token.start, name, target, args) {
            Ok(expr) => expr,
            Err(error) => {
                self.reports.add(Some(error.at), error.message);
                self.nodes.node(error.at, Kind::Broken)
            }
        }
    }
}

fn balance(name: &str, terms: &mut [Option<Expr>], operators: &[Id]) -> Expr {
    let middle = operators.len() / 2;
    let (left, right) = terms.split_at_mut(middle + 1);
    let side = |terms: &mut [Option<Expr>], operators: &[Id]| match operators.is_empty() {
        true => terms[0].take().expect("each term is taken once"),
        false => balance(name, terms, operators),
    };
    let left = side(left, &operators[..middle]);
    let right = side(right, &operators[middle + 1..]);
    Expr {
        id: operators[middle],
        kind: Kind::Call(Box::new(Call {
            function: name.into(),
            target: None,
            args: vec![left, right],
        })),
    }
}
