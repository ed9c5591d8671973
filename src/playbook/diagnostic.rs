//! Mistakes in a playbook: where, a stable code, what is wrong and the fix. All of a file's at once.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in a file, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// What kind of mistake it is. The code never changes its meaning, so that editors and people can look it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Code {
    /// The file can't be read, is not UTF-8 or is too large.
    PB001,
    /// The text is not YAML, or goes over a limit (nesting, aliases, nodes).
    PB002,
    /// A key that the language does not have.
    PB003,
    /// A key that must be there is missing.
    PB004,
    /// A value of the wrong type.
    PB005,
    /// A word that is not one of those allowed.
    PB006,
    /// Not a duration.
    PB007,
    /// An id that can't be one (characters, length).
    PB008,
    /// The same id, output variable or parameter twice.
    PB009,
    /// A dependency on a task that is not there.
    PB010,
    /// Tasks that wait for each other in a circle.
    PB011,
    /// A task type that Mayday does not know.
    PB012,
    /// A parameter that the task type does not have.
    PB013,
    /// A parameter that the task type needs is missing.
    PB014,
    /// A parameter's value has the wrong type.
    PB015,
    /// A condition is not CEL.
    PB016,
    /// A condition or a text names something that nothing declares.
    PB017,
    /// An output is used by a task that does not come after the task that declares it.
    PB018,
    /// An output has no such field.
    PB019,
    /// A text is not a valid template.
    PB020,
    /// A trigger that can't work.
    PB021,
    /// Text from outside would become part of a change without a check.
    PB022,
    /// A number outside of what is allowed.
    PB023,
    /// A test names a task, parameter or output that is not there.
    PB024,
    /// A verification that can't be measured.
    PB025,
    /// Numbers of two kinds in one calculation.
    PB026,
    /// The action line of a task is not right for its type.
    PB027,
    /// Two playbooks with one id.
    PB028,
    /// A way to undo a task that can't work.
    PB029,
    /// A task that only undoes another has something that such a task can't have.
    PB030,
    /// A `for_each` that can't work.
    PB031,
    /// A playbook that would run itself, or a line of playbooks that is too long.
    PB032,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The file's name as the author knows it.
    pub file: String,
    /// Where in it.
    pub place: Place,
    /// Which kind.
    pub code: Code,
    /// What is wrong, and the fix.
    pub says: String,
}

impl fmt::Display for Diagnostic {
    /// `file:line:col: CODE: what is wrong, and the fix`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}: {}", self.file, self.place.line, self.place.column, self.code, self.says)
    }
}

/// Collects the mistakes of one file. Bounded: a file with more than [`Report::MOST`] is wrong enough.
#[derive(Debug)]
pub struct Report {
    file: String,
    found: Vec<Diagnostic>,
}

impl Report {
    /// More mistakes than this are not listed.
    pub const MOST: usize = 200;

    /// An empty report about a file.
    #[must_use]
    pub fn about(file: &str) -> Self {
        Self { file: file.to_owned(), found: Vec::new() }
    }

    /// Adds a mistake.
    pub fn add(&mut self, place: Place, code: Code, says: impl Into<String>) {
        if self.found.len() < Self::MOST {
            // Text of the file may stand in the sentence: one line, bounded.
            let says = says.into().replace(['\n', '\r'], " ");
            self.found.push(Diagnostic {
                file: self.file.clone(),
                place,
                code,
                says: crate::core::text::capped(&says, 600),
            });
        }
    }

    /// Whether nothing is wrong so far.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    /// The mistakes in the order of the file.
    #[must_use]
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|found| (found.place, found.code));
        self.found.dedup();
        self.found
    }
}
