//! What is wrong with an expression.

use crate::source::{Location, NOWHERE, Source};
use std::fmt;

/// More issues than this are counted, not told.
const MOST: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The line, from 1; -1 when it concerns the whole expression.
    pub line: i32,
    /// The column, from 0; -1 when it concerns the whole expression.
    pub column: i32,
    /// What is wrong, without the place.
    pub message: String,
    rendered: String,
}

/// As clients see it: `ERROR: <input>:1:6: ...` and below it the line with a mark at the place.
impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}

/// All that is wrong with an expression, in the order of the text. Displayed as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issues {
    /// At most a hundred.
    pub list: Vec<Issue>,
    truncated: usize,
}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, issue) in self.list.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{issue}")?;
        }
        if self.truncated > 0 {
            write!(f, "\n{} more errors were truncated", self.truncated)?;
        }
        Ok(())
    }
}

impl std::error::Error for Issues {}

/// Collects issues while an expression is read and checked.
#[derive(Default)]
pub(crate) struct Reports {
    list: Vec<(Option<usize>, String)>,
    count: usize,
}

impl Reports {
    /// Notes what is wrong at an offset, or with the whole.
    pub(crate) fn add(&mut self, at: Option<usize>, message: impl Into<String>) {
        self.count += 1;
        if self.count <= MOST {
            self.list.push((at, message.into()));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn into_issues(self, source: &Source) -> Issues {
        let truncated = self.count - self.list.len();
        let mut list: Vec<(Location, String)> = self
            .list
            .into_iter()
            .map(|(at, message)| (at.map_or(NOWHERE, |o| source.location(o)), message))
            .collect();
        list.sort_by_key(|(at, _)| *at);
        let list = list.into_iter().map(|(at, message)| Issue {
            line: at.line,
            column: at.column,
            rendered: source.render(at, &message),
            message,
        });
        Issues {
            list: list.collect(),
            truncated,
        }
    }
}
