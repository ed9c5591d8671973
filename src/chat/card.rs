//! The card: a chat-neutral message, read at 3 a.m. on a phone. The title alone says what is wrong, where, since when.
//!
//! All strings are plain text; each adapter escapes them for its medium.

use serde::{Deserialize, Serialize};

use crate::alert::Severity;
use crate::core::Timestamp;

/// A chat-neutral message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Card {
    /// `INC-7`, `RUN-3`; shown in mono type.
    pub id: String,
    /// Carries the one colour; also always written out.
    pub severity: Option<Severity>,
    /// The state in a word: `triggered`, `acknowledged`, `resolved` …
    pub state: String,
    /// Whether the trouble is over; such a card is drawn quiet.
    pub over: bool,
    /// When the state began; shown as "4 min ago", the exact time on hover.
    pub since: Option<Timestamp>,
    /// Small words after the state: `12 alerts folded in`, `acknowledged by Ana`, `MTTR 41 s`.
    pub notes: Vec<String>,
    /// What is wrong, where, since when.
    pub title: String,
    /// Impact or a second sentence.
    pub subtitle: Option<String>,
    /// Name and value, dense.
    pub facts: Vec<Fact>,
    /// One picture.
    pub chart: Option<Chart>,
    /// The finding, similar incidents, run progress …
    pub sections: Vec<Section>,
    /// What would change, with its own buttons.
    pub plan: Option<PlanBox>,
    /// Buttons of the card itself.
    pub buttons: Vec<Button>,
}

/// A name and a value with its unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// `Errors`.
    pub name: String,
    /// `48 %`.
    pub value: String,
    /// `normal is 0.2 %`.
    pub normal: Option<String>,
    /// What proves it.
    pub evidence: Vec<EvidenceRef>,
}

/// A reference to one piece of evidence; one tap away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRef {
    /// `E1`.
    pub id: String,
    /// Path on Mayday's own listener (`/incidents/INC-7/evidence/E1`); adapters make it absolute.
    pub path: String,
}

/// One line of a section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// A bold beginning: `Likely cause:`.
    pub lead: Option<String>,
    /// The sentence.
    pub text: String,
    /// Drawn quieter: confidence, what was ruled out, what was not seen.
    pub quiet: bool,
    /// What proves it.
    pub evidence: Vec<EvidenceRef>,
}

/// Lines under a thin rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Optional heading.
    pub heading: Option<String>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A proposed or running change: what, before → after, how to undo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanBox {
    /// `Proposed: restart order-service`.
    pub heading: String,
    /// Mono lines, `service order-service   pid 4711 → new process`.
    pub diff: Vec<String>,
    /// Quieter mono lines below: blast radius, undo, verification.
    pub notes: Vec<String>,
    /// One quiet sentence below the buttons: who may approve, until when.
    pub footer: Option<String>,
    /// What happened so far, task by task, once it runs.
    pub steps: Vec<Step>,
    /// Approve, reject.
    pub buttons: Vec<Button>,
}

/// One task of a run as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The task's name.
    pub name: String,
    /// `done`, `running`, `failed`, `skipped`, `waiting`, `in doubt`, `undone`.
    pub state: String,
    /// A few words: outcome or error.
    pub note: Option<String>,
}

/// A button is a command line with a label that says what will happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// `Restart order-service`, not `OK`.
    pub label: String,
    /// The command it says for the person who presses it: `approve RUN-3 --plan 9f86d0…`.
    pub command: String,
    /// How it looks.
    pub style: ButtonStyle,
    /// Ask for a text first, appended to the command (a reason): the prompt.
    pub ask: Option<String>,
}

/// How a button looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ButtonStyle {
    /// The one thing to do.
    Primary,
    /// Everything else.
    Plain,
}

/// A line chart of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    /// Caption: `Requests in flight of order-service, last 30 min`.
    pub caption: String,
    /// Unit of the values: `%`, `ms`, `/s`.
    pub unit: String,
    /// Points in time order; at most 400.
    pub points: Vec<(Timestamp, f64)>,
    /// A dashed line with a label: `limit 100`.
    pub threshold: Option<(String, f64)>,
    /// The moment things went wrong, with a label.
    pub mark: Option<(String, Timestamp)>,
}
