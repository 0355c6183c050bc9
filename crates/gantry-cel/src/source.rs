//! The text of an expression, and where in it something is.

/// A text with its lines. Offsets count code points, as positions in messages do.
pub(crate) struct Source {
    pub(crate) chars: Vec<char>,
    /// Where lines begin, but for the first.
    lines: Vec<usize>,
}

/// Where something is: lines from 1, columns from 0. Nowhere is line -1, column -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    pub(crate) line: i32,
    pub(crate) column: i32,
}

/// For what concerns the whole text.
pub(crate) const NOWHERE: Location = Location { line: -1, column: -1 };

/// Longer lines are not shown below a message.
const LONGEST_SNIPPET: usize = 16384;

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let lines = chars
            .iter()
            .enumerate()
            .filter(|(_, c)| **c == '\n')
            .map(|(i, _)| i + 1)
            .collect();
        Source { chars, lines }
    }

    pub(crate) fn location(&self, offset: usize) -> Location {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = if line == 0 { 0 } else { self.lines[line - 1] };
        Location {
            line: line as i32 + 1,
            column: (offset - start) as i32,
        }
    }

    /// A message as it is shown: with the line it is about, and a mark below the place.
    pub(crate) fn render(&self, at: Location, message: &str) -> String {
        let mut text = format!("ERROR: <input>:{}:{}: {message}", at.line, at.column + 1);
        let Some(snippet) = self.line(at.line).filter(|s| s.len() <= LONGEST_SNIPPET) else {
            return text;
        };
        text.push_str("\n | ");
        text.push_str(&snippet);
        text.push_str("\n | ");
        let mut chars = snippet.chars();
        for _ in 0..at.column.max(0) {
            match chars.next() {
                Some(c) => text.push(if c.is_ascii() { '.' } else { '\u{ff0e}' }),
                None => break,
            }
        }
        let wide = chars.next().is_some_and(|c| !c.is_ascii());
        text.push(if wide { '\u{ff3e}' } else { '^' });
        text
    }

    fn line(&self, line: i32) -> Option<String> {
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        if self.chars.is_empty() || index > self.lines.len() {
            return None;
        }
        let start = if index == 0 { 0 } else { self.lines[index - 1] };
        let end = self.lines.get(index).map_or(self.chars.len(), |next| next - 1);
        let show = |c: &char| if *c == '\t' { ' ' } else { *c };
        Some(self.chars[start..end].iter().map(show).collect())
    }
}
