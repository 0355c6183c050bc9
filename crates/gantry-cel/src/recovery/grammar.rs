//! The grammar of the language as an automaton, to tell what may stand where.

use super::set::Set;
use crate::lexer::Kind as T;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Start,
    Expr,
    Or,
    And,
    Relation,
    Calc,
    Unary,
    Member,
    Primary,
    Arguments,
    Items,
    Fields,
    OptionalField,
    Entries,
    Name,
    OptionalExpr,
    Literal,
}

const RULES: usize = 17;

/// How a decision is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The next token decides.
    Next,
    Relation,
    Calculation,
    Unary,
    Member,
    Primary,
    Items,
    Fields,
    Identifier,
    Literal,
}

/// A part of a rule, with the states of the automaton in which it begins, and in which a loop begins again.
pub(super) enum Element {
    Token(usize, Set),
    /// The rule is called with a precedence.
    Rule(usize, Rule, usize),
    Optional(usize, Vec<Element>),
    Star(usize, usize, Choice, Vec<Element>),
    Plus(usize, usize, Vec<Element>),
    Alternatives(usize, Choice, Vec<Vec<Element>>),
}

enum Edge {
    To(usize),
    Token(Set, usize),
    /// A rule, and where it goes on behind.
    Call(Rule, usize),
}

/// What may come next in a state.
#[derive(Clone, Copy)]
pub(super) struct Next {
    pub(super) set: Set,
    /// Whether the rule may end here.
    pub(super) may_end: bool,
}

pub(super) struct Grammar {
    rules: Vec<Vec<Element>>,
    starts: [usize; RULES],
    ends: [usize; RULES],
    edges: Vec<Vec<Edge>>,
}

/// The grammar; it is only needed when an expression is wrong.
pub(super) static GRAMMAR: LazyLock<Grammar> = LazyLock::new(Grammar::new);

/// A part of a rule as it is written down.
enum Part {
    Token(Set),
    Rule(Rule),
    /// A rule called with a precedence.
    Climb(Rule, usize),
    Optional(Vec<Part>),
    Star(Choice, Vec<Part>),
    Plus(Vec<Part>),
    Alternatives(Choice, Vec<Vec<Part>>),
}

fn token(kind: T) -> Part {
    Part::Token(Set::of(&[kind]))
}

fn maybe(kind: T) -> Part {
    Part::Optional(vec![token(kind)])
}

/// What a rule is made of.
fn written(rule: Rule) -> Vec<Part> {
    use Part::{Alternatives, Climb, Optional, Plus, Star};
    let arguments = || Optional(vec![Part::Rule(Rule::Arguments)]);
    match rule {
        Rule::Start => vec![Part::Rule(Rule::Expr), token(T::Eof)],
        Rule::Expr => vec![
            Part::Rule(Rule::Or),
            Optional(vec![
                token(T::Question),
                Part::Rule(Rule::Or),
                token(T::Colon),
                Part::Rule(Rule::Expr),
            ]),
        ],
        Rule::Or => vec![
            Part::Rule(Rule::And),
            Star(Choice::Next, vec![token(T::Or), Part::Rule(Rule::And)]),
        ],
        Rule::And => vec![
            Part::Rule(Rule::Relation),
            Star(Choice::Next, vec![token(T::And), Part::Rule(Rule::Relation)]),
        ],
        Rule::Relation => {
            let operators = [
                T::Equals,
                T::NotEquals,
                T::In,
                T::Less,
                T::LessEquals,
                T::GreaterEquals,
                T::Greater,
            ];
            let body = vec![Part::Token(Set::of(&operators)), Climb(Rule::Relation, 2)];
            vec![Part::Rule(Rule::Calc), Star(Choice::Relation, body)]
        }
        Rule::Calc => {
            let times = vec![
                Part::Token(Set::of(&[T::Star, T::Slash, T::Percent])),
                Climb(Rule::Calc, 3),
            ];
            let plus = vec![Part::Token(Set::of(&[T::Plus, T::Minus])), Climb(Rule::Calc, 2)];
            let body = vec![Alternatives(Choice::Calculation, vec![times, plus])];
            vec![Part::Rule(Rule::Unary), Star(Choice::Calculation, body)]
        }
        Rule::Unary => vec![Alternatives(
            Choice::Unary,
            vec![
                vec![Part::Rule(Rule::Member)],
                vec![Plus(vec![token(T::Exclamation)]), Part::Rule(Rule::Member)],
                vec![Plus(vec![token(T::Minus)]), Part::Rule(Rule::Member)],
            ],
        )],
        Rule::Member => {
            let select = vec![token(T::Dot), maybe(T::Question), Part::Rule(Rule::Name)];
            let call = vec![
                token(T::Dot),
                token(T::Identifier),
                token(T::LeftParen),
                arguments(),
                token(T::RightParen),
            ];
            let index = vec![
                token(T::LeftBracket),
                maybe(T::Question),
                Part::Rule(Rule::Expr),
                token(T::RightBracket),
            ];
            let body = vec![Alternatives(Choice::Member, vec![select, call, index])];
            vec![Part::Rule(Rule::Primary), Star(Choice::Next, body)]
        }
        Rule::Primary => {
            let within = |open, rule, close| {
                let inner = Optional(vec![Part::Rule(rule)]);
                vec![token(open), inner, maybe(T::Comma), token(close)]
            };
            let mut message = vec![
                maybe(T::Dot),
                token(T::Identifier),
                Star(Choice::Next, vec![token(T::Dot), token(T::Identifier)]),
            ];
            message.extend(within(T::LeftBrace, Rule::Fields, T::RightBrace));
            vec![Alternatives(
                Choice::Primary,
                vec![
                    vec![maybe(T::Dot), token(T::Identifier)],
                    vec![
                        maybe(T::Dot),
                        token(T::Identifier),
                        token(T::LeftParen),
                        arguments(),
                        token(T::RightParen),
                    ],
                    vec![token(T::LeftParen), Part::Rule(Rule::Expr), token(T::RightParen)],
                    within(T::LeftBracket, Rule::Items, T::RightBracket),
                    within(T::LeftBrace, Rule::Entries, T::RightBrace),
                    message,
                    vec![Part::Rule(Rule::Literal)],
                ],
            )]
        }
        Rule::Arguments => vec![
            Part::Rule(Rule::Expr),
            Star(Choice::Next, vec![token(T::Comma), Part::Rule(Rule::Expr)]),
        ],
        Rule::Items => vec![
            Part::Rule(Rule::OptionalExpr),
            Star(
                Choice::Items,
                vec![token(T::Comma), Part::Rule(Rule::OptionalExpr)],
            ),
        ],
        Rule::Fields | Rule::Entries => {
            let (name, choice) = match rule {
                Rule::Fields => (Rule::OptionalField, Choice::Fields),
                _ => (Rule::OptionalExpr, Choice::Items),
            };
            let pair = || [Part::Rule(name), token(T::Colon), Part::Rule(Rule::Expr)];
            let more = std::iter::once(token(T::Comma)).chain(pair()).collect();
            pair().into_iter().chain([Star(choice, more)]).collect()
        }
        Rule::OptionalField => vec![maybe(T::Question), Part::Rule(Rule::Name)],
        Rule::OptionalExpr => vec![maybe(T::Question), Part::Rule(Rule::Expr)],
        Rule::Name => vec![Alternatives(
            Choice::Identifier,
            vec![vec![token(T::Identifier)], vec![token(T::EscapedIdentifier)]],
        )],
        Rule::Literal => {
            let mut literals = vec![
                vec![maybe(T::Minus), token(T::Int)],
                vec![token(T::Uint)],
                vec![maybe(T::Minus), token(T::Float)],
            ];
            let others = [T::String, T::Bytes, T::True, T::False, T::Null];
            literals.extend(others.map(|kind| vec![token(kind)]));
            vec![Alternatives(Choice::Literal, literals)]
        }
    }
}

/// As they are declared.
const ORDER: [Rule; RULES] = [
    Rule::Start,
    Rule::Expr,
    Rule::Or,
    Rule::And,
    Rule::Relation,
    Rule::Calc,
    Rule::Unary,
    Rule::Member,
    Rule::Primary,
    Rule::Arguments,
    Rule::Items,
    Rule::Fields,
    Rule::OptionalField,
    Rule::Entries,
    Rule::Name,
    Rule::OptionalExpr,
    Rule::Literal,
];

impl Grammar {
    fn new() -> Grammar {
        let mut grammar = Grammar {
            rules: Vec::new(),
            starts: [0; RULES],
            ends: [0; RULES],
            edges: Vec::new(),
        };
        for rule in ORDER {
            let (start, end) = (grammar.state(), grammar.state());
            grammar.starts[rule as usize] = start;
            grammar.ends[rule as usize] = end;
            let elements = grammar.sequence(written(rule), start, end);
            grammar.rules.push(elements);
        }
        grammar
    }

    fn state(&mut self) -> usize {
        self.edges.push(Vec::new());
        self.edges.len() - 1
    }

    fn edge(&mut self, from: usize, edge: Edge) {
        self.edges[from].push(edge);
    }

    /// Lays out parts between two states.
    fn sequence(&mut self, parts: Vec<Part>, from: usize, to: usize) -> Vec<Element> {
        let mut at = self.state();
        self.edge(from, Edge::To(at));
        let mut elements = Vec::with_capacity(parts.len());
        for part in parts {
            let next = self.state();
            elements.push(self.part(part, at, next));
            at = next;
        }
        self.edge(at, Edge::To(to));
        elements
    }

    fn part(&mut self, part: Part, at: usize, next: usize) -> Element {
        match part {
            Part::Token(set) => {
                self.edge(at, Edge::Token(set, next));
                Element::Token(at, set)
            }
            Part::Rule(rule) => {
                self.edge(at, Edge::Call(rule, next));
                Element::Rule(at, rule, 0)
            }
            Part::Climb(rule, precedence) => {
                self.edge(at, Edge::Call(rule, next));
                Element::Rule(at, rule, precedence)
            }
            Part::Optional(body) => {
                let body = self.sequence(body, at, next);
                self.edge(at, Edge::To(next));
                Element::Optional(at, body)
            }
            Part::Star(choice, body) => {
                let back = self.state();
                let body = self.sequence(body, at, back);
                self.edge(at, Edge::To(next));
                self.edge(back, Edge::To(at));
                Element::Star(at, back, choice, body)
            }
            Part::Plus(body) => {
                let back = self.state();
                let body = self.sequence(body, at, back);
                self.edge(back, Edge::To(at));
                self.edge(back, Edge::To(next));
                Element::Plus(at, back, body)
            }
            Part::Alternatives(choice, alternatives) => {
                let laid = alternatives
                    .into_iter()
                    .map(|a| self.sequence(a, at, next))
                    .collect();
                Element::Alternatives(at, choice, laid)
            }
        }
    }

    pub(super) fn elements(&self, rule: Rule) -> &[Element] {
        &self.rules[rule as usize]
    }

    /// What may come next within the rule that a state is of.
    pub(super) fn next(&self, state: usize) -> Next {
        let mut next = Next {
            set: Set::EMPTY,
            may_end: false,
        };
        let mut seen = vec![false; self.edges.len()];
        next.may_end = self.look(state, &mut next.set, &mut seen);
        next
    }

    /// Adds what may come next, and tells whether the rule may end. No rule of this grammar is empty.
    fn look(&self, state: usize, set: &mut Set, seen: &mut [bool]) -> bool {
        if self.ends.contains(&state) {
            return true;
        }
        if std::mem::replace(&mut seen[state], true) {
            return false;
        }
        let mut may_end = false;
        for edge in &self.edges[state] {
            match edge {
                Edge::To(to) => may_end |= self.look(*to, set, seen),
                Edge::Token(kinds, _) => *set = set.union(*kinds),
                Edge::Call(rule, _) => {
                    self.look(self.starts[*rule as usize], set, seen);
                }
            }
        }
        may_end
    }

    /// The state behind the token or the rule that a state begins.
    pub(super) fn after(&self, state: usize) -> usize {
        match self.edges[state].first() {
            Some(Edge::To(to) | Edge::Token(_, to) | Edge::Call(_, to)) => *to,
            None => state,
        }
    }

    /// What may come next, given the states in which the rules around were called.
    pub(super) fn expected(&self, state: usize, calls: &[usize]) -> Set {
        let mut next = self.next(state);
        let mut set = next.set;
        for call in calls.iter().rev() {
            if !next.may_end {
                return set;
            }
            next = self.next(self.after(*call));
            set = set.union(next.set);
        }
        match next.may_end {
            true => set.union(Set::of(&[T::Eof])),
            false => set,
        }
    }

    /// What parts may begin with.
    pub(super) fn first(&self, parts: &[Element]) -> Set {
        match parts.first() {
            Some(
                Element::Token(state, _)
                | Element::Rule(state, ..)
                | Element::Optional(state, _)
                | Element::Star(state, ..)
                | Element::Plus(state, ..)
                | Element::Alternatives(state, ..),
            ) => self.next(*state).set,
            None => Set::EMPTY,
        }
    }

    /// Whether a token begins a term, or what stands before one.
    pub(super) fn begins_unary(&self, kind: T) -> bool {
        self.next(self.starts[Rule::Unary as usize]).set.has(kind)
    }

    /// Whether a token begins an element of a list.
    pub(super) fn begins_item(&self, kind: T) -> bool {
        self.next(self.starts[Rule::OptionalExpr as usize]).set.has(kind)
    }
}
