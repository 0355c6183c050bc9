//! What is wrong with the grammar of an expression.

use crate::issue::Reports;
use crate::lexer::Token;

/// Reports what the parser stumbles over.
pub(crate) fn report(_chars: &[char], tokens: &[Token], reports: &mut Reports) {
    reports.add(tokens.last().map(|t| t.start), "Syntax error");
}
