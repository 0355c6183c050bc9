//! What is wrong with the grammar of an expression.
//!
//! cel-go's parser is made by ANTLR, and clients see what ANTLR says of a syntax error: what it expected, and how it went on.
//! So an expression that the parser refuses is gone through again here, by ANTLR's rules for errors: a token too many is
//! dropped, one that is missing is made up, and else all is skipped until something fits that surrounds the place.

mod grammar;
mod set;

use crate::issue::Reports;
use crate::lexer::{self, Kind as T, Token};
use grammar::{Choice, Element, GRAMMAR, Rule};
use set::Set;

/// Rules nest no deeper.
const DEEPEST: usize = 250;
/// After so many attempts nothing more is tried.
const MOST_ATTEMPTS: usize = 30;
/// So many tokens are skipped at once at most.
const MOST_SKIPPED: usize = 256;

/// Reports what is wrong.
pub(crate) fn report(chars: &[char], tokens: &[Token], reports: &mut Reports) {
    let mut recovery = Recovery {
        chars,
        tokens,
        reports,
        at: 0,
        state: 0,
        calls: Vec::new(),
        recovering: false,
        last: None,
        attempts: 0,
        expressions: 0,
    };
    // However it ends, all is reported.
    let _ = recovery.rule(Rule::Start, 0);
}

/// Why a rule does not go on.
enum Stop {
    /// It does not fit; the rule ends here and the one around it goes on.
    Misfit(Misfit),
    /// Nothing goes on.
    Abort,
}

enum Misfit {
    /// A token that is not expected.
    Mismatch,
    /// From this token on, no way of reading fits.
    NoAlternative { from: usize, to: usize },
}

type Step<R = ()> = Result<R, Stop>;

struct Recovery<'r> {
    chars: &'r [char],
    tokens: &'r [Token],
    reports: &'r mut Reports,
    at: usize,
    /// The state of the grammar's automaton.
    state: usize,
    /// The states in which the rules around were called.
    calls: Vec<usize>,
    recovering: bool,
    /// Where it was recovered last, and in which states.
    last: Option<(usize, Vec<usize>)>,
    attempts: usize,
    expressions: usize,
}

impl Recovery<'_> {
    fn peek(&self) -> T {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> T {
        self.token(self.at + by).kind
    }

    fn token(&self, index: usize) -> Token {
        self.tokens[index.min(self.tokens.len() - 1)]
    }

    fn consume(&mut self) {
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
    }

    /// A text in quotation marks, on one line.
    fn shown(&self, from: usize, to: usize) -> String {
        let (start, end) = (self.token(from).start, self.token(to).end);
        let text: String = match self.token(from).kind {
            T::Eof => "<EOF>".into(),
            _ => lexer::without_strangers(&self.chars[start..end]),
        };
        let text = text
            .replace('\t', "\\t")
            .replace('\n', "\\n")
            .replace('\r', "\\r");
        format!("'{text}'")
    }

    fn say(&mut self, at: usize, message: &str) {
        let place = self.token(at).start;
        self.reports.add(Some(place), format!("Syntax error: {message}"));
    }

    /// What may stand here.
    fn expected(&self) -> Set {
        GRAMMAR.expected(self.state, &self.calls)
    }

    fn rule(&mut self, rule: Rule, precedence: usize) -> Step {
        if rule == Rule::Expr {
            self.expressions += 1;
            if self.expressions > DEEPEST {
                let message = format!("expression recursion limit exceeded: {DEEPEST}");
                self.reports.add(None, message);
                return Err(Stop::Abort);
            }
        }
        match self.sequence(GRAMMAR.elements(rule), precedence) {
            Err(Stop::Misfit(misfit)) => {
                self.report_misfit(misfit);
                if rule == Rule::Name {
                    // What stands there is asked for a name all the same.
                    let place = self.token(self.at).start;
                    self.reports.add(Some(place), "unsupported ident kind");
                }
                self.recover()?;
            }
            other => other?,
        }
        if rule == Rule::Expr {
            self.expressions -= 1;
        }
        Ok(())
    }

    fn call(&mut self, state: usize, rule: Rule, precedence: usize) -> Step {
        self.state = state;
        self.calls.push(state);
        self.rule(rule, precedence)?;
        self.calls.pop();
        self.state = state;
        Ok(())
    }

    fn sequence(&mut self, elements: &[Element], precedence: usize) -> Step {
        for element in elements {
            self.element(element, precedence)?;
        }
        Ok(())
    }

    fn element(&mut self, element: &Element, precedence: usize) -> Step {
        match element {
            Element::Token(state, set) => {
                self.state = *state;
                match set.has(self.peek()) {
                    true => {
                        self.matched();
                        self.consume();
                        Ok(())
                    }
                    false => self.recover_inline(),
                }
            }
            Element::Rule(state, rule, precedence) => self.call(*state, *rule, *precedence),
            Element::Optional(state, body) => {
                self.sync(*state, false)?;
                match GRAMMAR.first(body).has(self.peek()) {
                    true => self.sequence(body, precedence),
                    false => Ok(()),
                }
            }
            Element::Star(entry, back, choice, body) => {
                self.sync(*entry, false)?;
                while self.goes_on(*choice, body, precedence) {
                    self.sequence(body, precedence)?;
                    self.sync(*back, true)?;
                }
                Ok(())
            }
            Element::Plus(start, back, body) => {
                self.sync(*start, false)?;
                loop {
                    self.sequence(body, precedence)?;
                    self.sync(*back, true)?;
                    match (self.peek(), self.ahead(1)) {
                        (T::Exclamation, _) if GRAMMAR.first(body).has(T::Exclamation) => {}
                        (T::Minus, next) if GRAMMAR.first(body).has(T::Minus) => {
                            if !GRAMMAR.begins_unary(next) {
                                return self.no_alternative(1);
                            }
                        }
                        _ => return Ok(()),
                    }
                }
            }
            Element::Alternatives(state, choice, alternatives) => {
                self.sync(*state, false)?;
                let chosen = self.choose(*choice)?;
                self.sequence(&alternatives[chosen], precedence)
            }
        }
    }

    fn no_alternative<R>(&self, ahead: usize) -> Step<R> {
        Err(Stop::Misfit(Misfit::NoAlternative {
            from: self.at,
            to: self.at + ahead,
        }))
    }

    /// Whether a loop goes on. It always can end.
    fn goes_on(&self, choice: Choice, body: &[Element], precedence: usize) -> bool {
        let next = self.peek();
        match choice {
            Choice::Relation => precedence <= 1 && GRAMMAR.first(body).has(next),
            Choice::Calculation => match next {
                T::Star | T::Slash | T::Percent => precedence <= 2,
                T::Plus | T::Minus => precedence <= 1,
                _ => false,
            },
            // A comma before the end belongs to what is around.
            Choice::Items => next == T::Comma && GRAMMAR.begins_item(self.ahead(1)),
            Choice::Fields => {
                let next = (next, self.ahead(1));
                matches!(
                    next,
                    (T::Comma, T::Question | T::Identifier | T::EscapedIdentifier)
                )
            }
            _ => GRAMMAR.first(body).has(next),
        }
    }

    fn choose(&self, choice: Choice) -> Step<usize> {
        Ok(match (choice, self.peek()) {
            (Choice::Calculation, T::Plus | T::Minus) => 1,
            (Choice::Calculation, _) => 0,
            (Choice::Unary, T::Exclamation) => 1,
            (Choice::Unary, T::Minus) => match self.ahead(1) {
                T::Int | T::Float => 0,
                next if GRAMMAR.begins_unary(next) && next != T::Exclamation => 2,
                _ => return self.no_alternative(1),
            },
            (Choice::Unary, _) => 0,
            (Choice::Member, T::LeftBracket) => 2,
            (Choice::Member, _) => match (self.ahead(1), self.ahead(2)) {
                (T::Identifier, T::LeftParen) => 1,
                (T::Identifier | T::EscapedIdentifier | T::Question, _) => 0,
                _ => return self.no_alternative(1),
            },
            (Choice::Primary, T::LeftParen) => 2,
            (Choice::Primary, T::LeftBracket) => 3,
            (Choice::Primary, T::LeftBrace) => 4,
            (Choice::Primary, first @ (T::Dot | T::Identifier)) => {
                let mut next = usize::from(first == T::Dot);
                if self.ahead(next) != T::Identifier {
                    return self.no_alternative(1);
                }
                next += 1;
                if self.ahead(next) == T::LeftParen {
                    return Ok(1);
                }
                while self.ahead(next) == T::Dot && self.ahead(next + 1) == T::Identifier {
                    next += 2;
                }
                if self.ahead(next) == T::LeftBrace { 5 } else { 0 }
            }
            (Choice::Primary, _) => 6,
            (Choice::Literal, T::Minus) => match self.ahead(1) {
                T::Int => 0,
                T::Float => 2,
                _ => return self.no_alternative(1),
            },
            (Choice::Literal, T::Int) => 0,
            (Choice::Literal, T::Uint) => 1,
            (Choice::Literal, T::Float) => 2,
            (Choice::Literal, T::String) => 3,
            (Choice::Literal, T::Bytes) => 4,
            (Choice::Literal, T::True) => 5,
            (Choice::Literal, T::False) => 6,
            (Choice::Literal, T::Null) => 7,
            (Choice::Identifier, T::Identifier) => 0,
            (Choice::Identifier, T::EscapedIdentifier) => 1,
            _ => return self.no_alternative(0),
        })
    }

    /// Before a decision: a token that fits none is dropped, if the next one fits.
    fn sync(&mut self, state: usize, back: bool) -> Step {
        self.state = state;
        if self.recovering {
            return Ok(());
        }
        let next = GRAMMAR.next(state);
        if next.may_end || next.set.has(self.peek()) {
            return Ok(());
        }
        if back {
            self.report_unwanted();
            let set = self.expected().union(self.recovery_set());
            return self.skip_to(set, usize::MAX);
        }
        match self.delete() {
            true => Ok(()),
            false => Err(Stop::Misfit(Misfit::Mismatch)),
        }
    }

    fn matched(&mut self) {
        self.recovering = false;
        self.last = None;
    }

    /// Drops a token if the one behind it is expected.
    fn delete(&mut self) -> bool {
        if !self.expected().has(self.ahead(1)) {
            return false;
        }
        self.report_unwanted();
        self.consume();
        self.matched();
        true
    }

    fn recover_inline(&mut self) -> Step {
        self.attempt()?;
        if self.delete() {
            self.consume();
            return Ok(());
        }
        let behind = GRAMMAR.after(self.state);
        if GRAMMAR.expected(behind, &self.calls).has(self.peek()) {
            self.report_missing();
            return Ok(());
        }
        Err(Stop::Misfit(Misfit::Mismatch))
    }

    fn attempt(&mut self) -> Step {
        if self.attempts == MOST_ATTEMPTS {
            let message = format!("error recovery attempt limit exceeded: {MOST_ATTEMPTS}");
            self.say(self.at, &message);
            return Err(Stop::Abort);
        }
        self.attempts += 1;
        Ok(())
    }

    fn report_misfit(&mut self, misfit: Misfit) {
        if std::mem::replace(&mut self.recovering, true) {
            return;
        }
        match misfit {
            Misfit::Mismatch => {
                let (found, expected) = (self.shown(self.at, self.at), self.expected());
                self.say(self.at, &format!("mismatched input {found} expecting {expected}"));
            }
            Misfit::NoAlternative { from, to } => {
                let reserved = matches!(self.token(to).kind, T::True | T::False | T::Null) && to == from + 1;
                let message = match reserved {
                    // As upstream always said it.
                    true => format!("mismatched input {} expecting IDENTIFIER", self.shown(to, to)),
                    false => format!("no viable alternative at input {}", self.shown(from, to)),
                };
                self.say(to, &message);
            }
        }
    }

    fn report_unwanted(&mut self) {
        if std::mem::replace(&mut self.recovering, true) {
            return;
        }
        let (found, expected) = (self.shown(self.at, self.at), self.expected());
        self.say(self.at, &format!("extraneous input {found} expecting {expected}"));
    }

    fn report_missing(&mut self) {
        if std::mem::replace(&mut self.recovering, true) {
            return;
        }
        let (found, expected) = (self.shown(self.at, self.at), self.expected());
        self.say(self.at, &format!("missing {expected} at {found}"));
    }

    /// Skips what fits nothing that is around.
    fn recover(&mut self) -> Step {
        self.attempt()?;
        let mut budget = MOST_SKIPPED;
        if let Some((at, states)) = &self.last
            && *at == self.at
            && states.contains(&self.state)
        {
            budget -= 1;
            self.consume();
        }
        let mut states = match self.last.take() {
            Some((_, states)) => states,
            None => Vec::new(),
        };
        states.push(self.state);
        self.last = Some((self.at, states));
        let set = self.recovery_set();
        self.skip_to(set, budget)
    }

    fn skip_to(&mut self, set: Set, mut budget: usize) -> Step {
        while self.peek() != T::Eof && !set.has(self.peek()) {
            if budget == 0 {
                let message = format!("error recovery token lookahead limit exceeded: {MOST_SKIPPED}");
                self.reports.add(None, message);
                return Err(Stop::Abort);
            }
            budget -= 1;
            self.consume();
        }
        Ok(())
    }

    /// What may follow the rules around.
    fn recovery_set(&self) -> Set {
        let follow = |state: &usize| GRAMMAR.next(GRAMMAR.after(*state)).set;
        self.calls.iter().map(follow).fold(Set::EMPTY, Set::union)
    }
}
