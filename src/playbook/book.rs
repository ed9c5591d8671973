//! A playbook that has passed its checks, ready to run: the text, its digest, and everything compiled from it.

use super::check::{self, Graph};
use super::condition::Condition;
use super::diagnostic::{Code, Diagnostic, Report};
use super::model::Playbook;
use super::read;
use crate::core::digest;

/// A checked playbook. One that has a mistake can't be made.
#[derive(Debug)]
pub struct Book {
    /// What the author wrote, as types.
    pub playbook: Playbook,
    /// What the author wrote.
    pub text: String,
    /// SHA-256 of the text: the version that runs and approvals are bound to.
    pub digest: String,
    /// Where it came from, for people.
    pub file: String,
    /// The tasks' order.
    pub graph: Graph,
    /// Conditions of each task.
    pub conditions: Vec<Vec<Condition>>,
    /// The list of each `for_each` that is worked out.
    pub each: Vec<Option<Condition>>,
    /// What must hold after each task, or what a Verify or Wait task waits for.
    pub verify: Vec<Option<Condition>>,
    /// `when` of each trigger.
    pub when: Vec<Option<Condition>>,
}

impl AsRef<Book> for Book {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Book {
    /// Reads and checks a playbook; `file` is its name as the author knows it.
    ///
    /// # Errors
    /// Every mistake, in the order of the file.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        Self::compile(file, bytes, |_| true)
    }

    /// Reads the text of a run that was accepted when it was proposed. What a stricter check would now advise against does
    /// not hold it up: only what this Mayday can't carry out does.
    ///
    /// # Errors
    /// Each thing that can't be carried out, in the order of the file.
    pub fn stored(file: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        Self::compile(file, bytes, |code| !is_advice(code))
    }

    fn compile(file: &str, bytes: &[u8], counts: impl Fn(Code) -> bool) -> Result<Self, Vec<Diagnostic>> {
        let mut report = Report::about(file);
        let Some((playbook, places)) = read::playbook(bytes, &mut report) else { return Err(report.finish()) };
        let text = String::from_utf8_lossy(bytes).into_owned();
        let compiled = check::check(&playbook, &places, &text, &mut report);
        let mut mistakes = report.finish();
        mistakes.retain(|mistake| counts(mistake.code));
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Self {
            digest: digest::hex(text.as_bytes()),
            file: file.to_owned(),
            playbook,
            text,
            graph: compiled.graph,
            conditions: compiled.conditions,
            each: compiled.each,
            verify: compiled.verify,
            when: compiled.when,
        })
    }

    /// The version people see: the author's, and the beginning of the digest.
    #[must_use]
    pub fn version(&self) -> String {
        let digest = &self.digest[..12];
        self.playbook.version.as_ref().map_or_else(|| digest.to_owned(), |version| format!("{version}-{digest}"))
    }

    /// Whether a task only reads, so that it can be carried out again at any time and nobody notices.
    #[must_use]
    pub fn reads(&self, index: usize) -> bool {
        check::repeatable(&self.playbook.tasks[index])
    }

    /// The read task that gives the output of this name, if it can be carried out again to measure anew.
    #[must_use]
    pub fn reader(&self, variable: &str) -> Option<usize> {
        check::reader(&self.playbook, variable)
    }
}

/// Whether a mistake is one of sense and not of language: everything it speaks of is read and compiled all the same, and a run
/// that meets it fails at that task as any other.
const fn is_advice(code: Code) -> bool {
    matches!(code, Code::PB033 | Code::PB035 | Code::PB036 | Code::PB037)
}
