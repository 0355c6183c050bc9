//! What can go wrong when an expression is evaluated.

use std::fmt;
use std::sync::Arc;

/// An error of evaluation. Displayed as clients see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Message);

#[derive(Clone)]
enum Message {
    Fixed(&'static str),
    Made(Arc<str>),
    /// The evaluation has cost more than it may. Unlike others this error cannot be absorbed.
    OverBudget,
}

pub(crate) type Result<R> = std::result::Result<R, Error>;

impl Error {
    /// The arguments of a call fit none of its signatures.
    pub(crate) const NO_OVERLOAD: Error = Error::fixed("no such overload");

    pub(crate) const OVER_BUDGET: Error = Error(Message::OverBudget);

    pub(crate) const fn fixed(message: &'static str) -> Self {
        Error(Message::Fixed(message))
    }

    pub(crate) fn new(message: impl Into<Arc<str>>) -> Self {
        Error(Message::Made(message.into()))
    }

    /// Whether the evaluation was ended because it cost more than it may.
    pub fn is_over_budget(&self) -> bool {
        matches!(self.0, Message::OverBudget)
    }

    /// Whether the arguments of a call fit none of its signatures.
    pub fn is_no_overload(&self) -> bool {
        self.message().starts_with("no such overload")
    }

    /// The message.
    pub fn message(&self) -> &str {
        match &self.0 {
            Message::Fixed(message) => message,
            Message::Made(message) => message,
            Message::OverBudget => "operation cancelled: actual cost limit exceeded",
        }
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        Error(self.clone()).message() == Error(other.clone()).message()
    }
}

impl Eq for Message {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.message(), f)
    }
}

impl std::error::Error for Error {}
