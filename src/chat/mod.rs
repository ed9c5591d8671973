//! Talking to people: the chat-neutral [`Card`], the command grammar, and one adapter per chat behind [`Chat`].
//!
//! What goes out is a [`Post`]; what comes in is an [`Inbound`] handed to [`Commands`], which `command/` implements.
//!
//! Architecture Invariant: nothing here knows incidents, playbooks or actions; a button is a command line, nothing more.
//! Architecture Invariant: types of a chat's library stay inside that chat's adapter.

pub mod card;
pub mod grammar;
pub mod outbox;
pub mod web;

use serde::{Deserialize, Serialize};

pub use card::{Button, ButtonStyle, Card, Chart, EvidenceRef, Fact, Line, PlanBox, Section};

use crate::core::{BoxFuture, Person, Timestamp};

/// A chat room: which chat, and its name there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChannelId {
    /// `web`, later `slack`, `discord`.
    pub chat: String,
    /// The channel's name or id there, without `#`.
    pub name: String,
}

impl ChannelId {
    /// A channel of the web chat.
    pub fn web(name: impl Into<String>) -> Self {
        Self { chat: "web".to_owned(), name: name.into() }
    }
}

/// One message to show. Showing the same `slot` in the same channel again edits that message in place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Post {
    /// Where.
    pub channel: ChannelId,
    /// The message's identity in the channel, chosen by the sender: `INC-7`, or `INC-7/finding` for a reply.
    pub slot: String,
    /// The slot whose thread this goes to; none for the channel itself.
    pub thread: Option<String>,
    /// Grows with each edit; an adapter ignores a version it has already passed, so that late deliveries do no harm.
    pub version: u64,
    /// Who speaks: `Mayday`, or a person's name when their command is shown.
    pub author: String,
    /// When it was said, UTC.
    pub at: Timestamp,
    /// What is shown.
    pub content: Content,
}

/// What a message shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A card.
    Card(Box<Card>),
    /// Plain text, lines separated by `\n`; the adapter escapes it.
    Text(String),
}

/// A chat that can show posts.
pub trait Chat: Send + Sync + 'static {
    /// `web`, `slack`, `discord`.
    fn name(&self) -> &'static str;
    /// Shows or edits one message; returns when the chat has it. May be called again with the same post.
    fn show<'a>(&'a self, post: &'a Post) -> BoxFuture<'a, Result<(), Error>>;
}

/// What someone said to Mayday: a command line, typed or behind a button.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// Who, signed in and known.
    pub person: Person,
    /// Set when an admin speaks as `person`; audited.
    pub impersonated_by: Option<Person>,
    /// Where it was said; none from a terminal.
    pub channel: Option<ChannelId>,
    /// The slot whose thread it was said in, as `INC-7`; gives commands their default incident.
    pub thread: Option<String>,
    /// The command line without `/mayday`.
    pub text: String,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Whether the command did what it says.
    pub ok: bool,
    /// The answer as text, lines separated by `\n`. Always there: terminals and screen readers read this.
    pub text: String,
    /// The answer as a card where that reads better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Box<Card>>,
    /// Machine-readable result for `--json`.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub data: serde_json::Value,
}

/// One possible completion of a command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The whole line with the completion in it.
    pub line: String,
    /// What it means, a few words.
    pub hint: String,
}

/// What comes in from a chat goes here; `command/` implements it.
pub trait Commands: Send + Sync + 'static {
    /// Carries out one command. Never fails: a refusal is a [`Reply`] with `ok: false` that says what to do.
    fn say<'a>(&'a self, inbound: Inbound) -> BoxFuture<'a, Reply>;
    /// Completions of a half-written line that this person may use, best first, at most `limit`.
    fn complete<'a>(&'a self, person: &'a Person, line: &'a str, limit: usize) -> BoxFuture<'a, Vec<Completion>>;
}

/// Why a chat did not take a post.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Try again, not before this many milliseconds.
    #[error("the chat is not reachable now: {why}")]
    Later {
        /// What it said.
        why: String,
        /// Wait at least this long, milliseconds.
        after_ms: u64,
    },
    /// It will never take this one (channel gone, no permission): shown as a dead letter.
    #[error("the chat refused the message: {0}")]
    Refused(String),
}

impl crate::store::Record for Post {}
