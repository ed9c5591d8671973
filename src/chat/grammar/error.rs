//! What is wrong with a line, and where.

use std::fmt;
use std::ops::Range;

use crate::core::message::command::grammar as say;

/// A line that is no command. Shown with the place marked:
///
/// ```text
/// `ackk` is not a command. Did you mean `ack`?
///   ackk INC-7
///   ^^^^
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct GrammarError {
    /// The line as it was read.
    pub line: String,
    /// The bytes of it that are wrong; empty at the end if something is missing.
    pub at: Range<usize>,
    /// What is wrong, one sentence.
    pub what: String,
    /// What was probably meant.
    pub near: Option<String>,
    /// How the command is said, once it is known which.
    pub usage: Option<String>,
}

/// A longer line is shown around its wrong place only.
const WINDOW: usize = 60;

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(near) = &self.near {
            write!(f, " {}", say::did_you_mean(near))?;
        }
        let (excerpt, skip, width) = self.excerpt();
        write!(f, "\n  {excerpt}\n  {}{}", " ".repeat(skip), "^".repeat(width.max(1)))?;
        if let Some(usage) = &self.usage {
            write!(f, "\n{}", say::usage_is(usage))?;
        }
        Ok(())
    }
}

impl GrammarError {
    /// The part of the line to show, how many characters of it stand before the mark, and how wide the mark is.
    fn excerpt(&self) -> (String, usize, usize) {
        // Every control character takes one column, so that the caret stands where it should.
        let shown: Vec<char> = self.line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let count = |upto: usize| self.line.get(..upto).map_or(shown.len(), |head| head.chars().count());
        let (start, end) = (count(self.at.start), count(self.at.end));
        let first = start.saturating_sub(WINDOW / 2);
        let last = shown.len().min(first + WINDOW);
        let mut excerpt: String = shown[first..last].iter().collect();
        let mut skip = start - first;
        if first > 0 {
            excerpt.insert(0, '…');
            skip += 1;
        }
        if last < shown.len() {
            excerpt.push('…');
        }
        (excerpt, skip, end.min(last).saturating_sub(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_under_the_wrong_characters_also_after_wide_ones() {
        let line = "logs é ackk".to_owned();
        let at = line.find("ackk").unwrap();
        let error = GrammarError { at: at..at + 4, line, what: "No.".to_owned(), near: None, usage: None };
        assert_eq!(error.to_string(), "No.\n  logs é ackk\n         ^^^^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("{} wrong {}", "a".repeat(500), "b".repeat(500));
        let error = GrammarError { at: 501..506, line, what: "No.".to_owned(), near: None, usage: None };
        let shown = error.to_string();
        assert!(shown.lines().all(|line| line.chars().count() < 70), "{shown}");
        let (text, mark) = (shown.lines().nth(1).unwrap(), shown.lines().nth(2).unwrap());
        let column = mark.find('^').unwrap();
        assert_eq!(text.chars().skip(column).take(5).collect::<String>(), "wrong");
    }
}
