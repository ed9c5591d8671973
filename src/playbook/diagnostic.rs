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

/// What kind of mistake it is. The code never changes its meaning, so that editors and people can look it up. The second
/// paragraph of each is the fix; the reference prints both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Code {
    /// The file can't be read, is not UTF-8 or is too large.
    ///
    /// Save it as UTF-8; split one that is too large.
    PB001,
    /// The text is not YAML, or goes over a limit (nesting, aliases, values).
    ///
    /// Quote texts with `: `, `{{`, `*` or `&` in them, and indent with spaces.
    PB002,
    /// A key that the language does not have, or not there.
    ///
    /// Correct its spelling, or move it to where it belongs.
    PB003,
    /// A key that must be there is missing.
    ///
    /// Add it.
    PB004,
    /// A value of the wrong type.
    ///
    /// Write what the sentence asks for; text that looks like a number needs quotes.
    PB005,
    /// A word that is not one of those allowed.
    ///
    /// Choose one of those that are listed.
    PB006,
    /// Not a duration.
    ///
    /// Write a whole number with its unit, as `500ms`, `90s`, `10m`, `2h30m`, `7d` or `1w`.
    PB007,
    /// An id or name that can't be one (characters, length), or that every condition already has.
    ///
    /// Use letters, digits, `_` and, in ids, `.` and `-`.
    PB008,
    /// The same key, task id, output variable or test name twice.
    ///
    /// Keep one, or rename one.
    PB009,
    /// A dependency on a task that is not there.
    ///
    /// Correct the id.
    PB010,
    /// Tasks that wait for each other in a circle.
    ///
    /// Remove one of the dependencies.
    PB011,
    /// A task type that Mayday does not know.
    ///
    /// Choose one of the types of the reference.
    PB012,
    /// A parameter that the task type, or the playbook it runs, does not have.
    ///
    /// Correct its spelling, or remove it.
    PB013,
    /// A parameter that the task type, or the playbook it runs, needs is missing.
    ///
    /// Add it under `parameters:`.
    PB014,
    /// A parameter's value has the wrong type.
    ///
    /// Write what the sentence asks for.
    PB015,
    /// A condition is not CEL.
    ///
    /// Write one as `cpu.value < 80 && logs.errors == 0`.
    PB016,
    /// A condition or a text names something that nothing declares.
    ///
    /// Correct the name, or declare it: an output with `output_variable`, a parameter under `parameters`.
    PB017,
    /// An output is used by a task that does not come after the task that gives it.
    ///
    /// Add that task to `depends_on`.
    PB018,
    /// An output has no such field.
    ///
    /// Choose one of the fields that the task type gives.
    PB019,
    /// A text is not a valid template.
    ///
    /// Fill values in as `{{ params.service }}`.
    PB020,
    /// A trigger that can't work.
    ///
    /// Name the alert, and let `when` compare its one value.
    PB021,
    /// Text from outside would become part of a change without a check.
    ///
    /// Make it a parameter of type `name` with that text as its default.
    PB022,
    /// A number outside of what is allowed, or more entries than are.
    ///
    /// Stay within the limits that the sentence names.
    PB023,
    /// A test that can't test: it names a task, parameter or output that is not there, lacks one, or expects nothing.
    ///
    /// Correct the name, give what is missing, or say what must come of it.
    PB024,
    /// A verification that can't be measured.
    ///
    /// Name the output of a read task that comes before.
    PB025,
    /// Numbers of two kinds in one calculation.
    ///
    /// Write whole numbers with a fraction, as `1.0`.
    PB026,
    /// The action line of a task is missing, or not right for its type.
    ///
    /// Write it as `GET /path`, `POST service:/path` or `GET service:health`; only an API_Call has one.
    PB027,
    /// Two playbooks with one id.
    ///
    /// Rename one.
    PB028,
    /// A way to undo a task that can't work.
    ///
    /// Name a task that undoes it, write `inverse` where the type has one, or remove it.
    PB029,
    /// A task that only undoes another has something that such a task can't have, or another waits for it.
    ///
    /// Remove it.
    PB030,
    /// A `for_each` that can't work.
    ///
    /// Give it a list of 1 to 100 items, or CEL that gives one.
    PB031,
    /// A playbook that would run itself, or a line of playbooks that is too long.
    ///
    /// Remove one of the Sub_Playbook tasks.
    PB032,
    /// A condition that puts values of two kinds together, or is neither true nor false.
    ///
    /// Compare numbers with numbers and text with text, as `logs.errors > 0`.
    PB033,
    /// A condition or text calls something that is not there.
    ///
    /// Choose one of the functions of the reference.
    PB034,
    /// A time that does not fit into another one.
    ///
    /// Make it shorter, or the time around it longer.
    PB035,
    /// A parameter that nothing uses.
    ///
    /// Use it as `{{ params.name }}` in a text or `params.name` in a condition, or remove it.
    PB036,
    /// An approval that nobody can give.
    ///
    /// Name more people, or ask for fewer.
    PB037,
}

/// What a code means, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The code as it is printed.
    pub code: String,
    /// What it means.
    pub meaning: String,
    /// What to do in general; a diagnostic's own sentence says it for the case.
    pub fix: String,
}

impl Code {
    /// What every code means, as its doc comment says.
    #[must_use]
    pub fn words() -> Vec<Words> {
        let schema = serde_json::to_value(schemars::schema_for!(Self)).unwrap_or_default();
        let all = schema["oneOf"].as_array().into_iter().flatten();
        all.map(|code| {
            let says = code["description"].as_str().unwrap_or_default();
            let (meaning, fix) = says.split_once("\n\n").unwrap_or((says, ""));
            let code = code["const"].as_str().unwrap_or_default();
            Words { code: code.to_owned(), meaning: meaning.to_owned(), fix: fix.to_owned() }
        })
        .collect()
    }
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
