//! Room on the stack for expressions that nest deeply.
//!
//! What works on a tree calls itself for each node below. Limits bound how deep that goes, but not to what fits into the
//! stack of a server's thread; such expressions are rare, and get a thread of their own.

use crate::issue::Reports;
use crate::lexer::{self, Kind};

/// How deep expressions may nest that need no more stack than any thread has.
const USUAL: usize = 50;

/// What the deepest ones need, with much to spare. Only what is used takes memory.
const ROOM: usize = 32 << 20;

/// How deep an expression nests at most: brackets within brackets, and chains of operators.
pub(crate) fn nesting(expression: &str) -> usize {
    let at_most = expression
        .bytes()
        .filter(|b| b"([{.+-*/%?<>=".contains(b))
        .count()
        + expression.matches("in").count();
    if at_most <= USUAL {
        return at_most;
    }
    let chars: Vec<char> = expression.chars().collect();
    let tokens = lexer::tokens(&chars, &mut Reports::default());
    nesting_of(tokens.iter().map(|token| token.kind))
}

fn nesting_of(tokens: impl Iterator<Item = Kind>) -> usize {
    let (mut depth, mut most) = (0, 0);
    // How many of these are operators, for each bracket that is open.
    let mut chains = vec![0];
    for kind in tokens {
        let longer = match kind {
            Kind::LeftParen | Kind::LeftBracket | Kind::LeftBrace => {
                chains.push(0);
                depth += 1;
                0
            }
            Kind::RightParen | Kind::RightBracket | Kind::RightBrace => {
                if chains.len() > 1 {
                    depth -= 1 + chains.pop().unwrap_or(0);
                }
                1
            }
            // What is joined by these stands side by side.
            Kind::Comma | Kind::And | Kind::Or => {
                depth -= chains.last_mut().map_or(0, std::mem::take);
                0
            }
            Kind::Equals | Kind::NotEquals | Kind::In | Kind::Less | Kind::LessEquals => 1,
            Kind::GreaterEquals | Kind::Greater | Kind::Dot | Kind::Minus | Kind::Question => 1,
            Kind::Plus | Kind::Star | Kind::Slash | Kind::Percent => 1,
            _ => 0,
        };
        chains.last_mut().into_iter().for_each(|chain| *chain += longer);
        depth += longer;
        most = most.max(depth);
    }
    most
}

/// There is no thread for what needs one.
pub(crate) struct NoRoom;

/// Does work for something that nests so deep.
pub(crate) fn with_room<R: Send>(nesting: usize, work: impl FnOnce() -> R + Send) -> Result<R, NoRoom> {
    if nesting <= USUAL {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(ROOM)
            .spawn_scoped(scope, work);
        match thread.map_err(|_| NoRoom)?.join() {
            Ok(result) => Ok(result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
