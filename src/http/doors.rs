//! What the listener needs of the rooms behind it, as small traits, so that it is tested alone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::options::Format;
use crate::chat::Commands;
use crate::chat::web::WebChat;
use crate::core::person::{Person, PersonId};
use crate::core::{BoxFuture, IncidentId, SharedClock};
use crate::incident::{Incident, Moment};

/// Everything behind the listener.
#[derive(Clone)]
pub struct Doors {
    /// Takes alerts.
    pub intake: Arc<dyn Intake>,
    /// Carries out commands.
    pub commands: Arc<dyn Commands>,
    /// The channels of the page.
    pub chat: WebChat,
    /// What the API and the incident pages show.
    pub reads: Arc<dyn Reads>,
    /// Who is who.
    pub gate: Arc<dyn Gate>,
    /// How Mayday itself is.
    pub health: Arc<dyn Health>,
    /// Renders the metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The demo's faults, where there is a demo.
    pub demo: Option<Arc<dyn DemoPanel>>,
    /// Time.
    pub clock: SharedClock,
}

/// A webhook's body with what is known about its sender.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Its shape.
    pub format: Format,
    /// The integration it came from; none in an open demo.
    pub integration: Option<String>,
    /// That integration's team.
    pub team: Option<String>,
    /// The body, decompressed; UTF-8.
    pub body: Bytes,
}

/// Takes alerts in.
pub trait Intake: Send + Sync + 'static {
    /// Normalises and stores them; returns after they are durable.
    fn accept(&self, incoming: Incoming) -> BoxFuture<'_, Result<Receipt, Refusal>>;
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// Alerts that are now durable, duplicates included.
    pub accepted: u64,
    /// Of these, how many were known already.
    pub duplicates: u64,
    /// Alerts that were set aside.
    pub rejected: Vec<Rejected>,
    /// Ids of the accepted ones, in the order of the batch.
    pub alert_ids: Vec<String>,
}

/// One alert that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Why.
    pub why: String,
}

/// Why a whole body was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing of it can be understood.
    NotUnderstood {
        /// What is wrong, with the place.
        why: String,
        /// What was looked for, what to do.
        fix: String,
    },
    /// Not now: the store is behind, or can't be reached.
    Busy {
        /// What is the matter.
        why: String,
        /// Try again after so many seconds.
        after_secs: u64,
    },
}

/// The collections of `/api/v1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collection {
    /// Alerts.
    Alerts,
    /// Incidents.
    Incidents,
    /// Runs.
    Runs,
    /// The audit chain.
    Audit,
}

impl Collection {
    /// By the name in the path.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "alerts" => Some(Self::Alerts),
            "incidents" => Some(Self::Incidents),
            "runs" => Some(Self::Runs),
            "audit" => Some(Self::Audit),
            _ => None,
        }
    }
}

/// One page of a collection, newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listing {
    /// The items.
    pub items: Vec<Value>,
    /// Give this as `cursor` for the next page; none at the end.
    pub next_cursor: Option<String>,
}

/// Why nothing could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// The cursor is not one that a page gave.
    BadCursor,
    /// The store failed.
    Failed(String),
}

/// Reads for the API and the incident pages.
pub trait Reads: Send + Sync + 'static {
    /// A page, newest first, of what comes after `cursor`.
    fn list<'a>(
        &'a self,
        collection: Collection,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listing, ReadError>>;
    /// One item by its id (`INC-7`, an alert's id, `RUN-3`, a number of the audit chain).
    fn item<'a>(&'a self, collection: Collection, id: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>>;
    /// One incident.
    fn incident(&self, id: IncidentId) -> BoxFuture<'_, Result<Option<Incident>, ReadError>>;
    /// Incidents, newest first, at most `limit`; only open ones if asked.
    fn incidents(&self, open_only: bool, limit: usize) -> BoxFuture<'_, Result<Vec<Incident>, ReadError>>;
    /// What happened in an incident, oldest first.
    fn timeline(&self, id: IncidentId) -> BoxFuture<'_, Result<Vec<Moment>, ReadError>>;
}

/// Which ways to sign in there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignInWays {
    /// A one-time link, printed at the start.
    pub link: bool,
    /// A name and a password.
    pub password: bool,
}

/// A new session.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The secret for the cookie.
    pub session: String,
    /// Who.
    pub person: Person,
    /// How long it lasts.
    pub lasts: Duration,
}

/// Why someone was not signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInError {
    /// The link was used, has expired, or never was one.
    LinkVoid,
    /// Name and password don't belong together.
    Wrong,
    /// Too many tries.
    TooMany {
        /// Try again after so many seconds.
        after_secs: u64,
    },
    /// The store failed.
    Failed(String),
}

/// Knows persons, sessions and tokens.
pub trait Gate: Send + Sync + 'static {
    /// Which ways to sign in there are.
    fn ways(&self) -> SignInWays;
    /// The person of a session's secret.
    fn session<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<Option<Person>, String>>;
    /// The person of an API token.
    fn bearer<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Person>, String>>;
    /// Uses up a one-time link.
    fn redeem<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<SignedIn, SignInError>>;
    /// Name and password.
    fn sign_in<'a>(&'a self, name: &'a str, password: &'a str) -> BoxFuture<'a, Result<SignedIn, SignInError>>;
    /// Ends a session.
    fn sign_out<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<(), String>>;
    /// A known person by id or name, for `as`.
    fn find<'a>(&'a self, id: &'a PersonId) -> BoxFuture<'a, Option<Person>>;
}

/// How one part of Mayday is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `store`, `queue post`, `watch` …
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// One sentence.
    pub says: String,
}

/// Knows how Mayday itself is.
pub trait Health: Send + Sync + 'static {
    /// Its parts.
    fn parts(&self) -> BoxFuture<'_, Vec<Part>>;
    /// Whether alerts can be taken now; if not, why.
    fn ready(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// One fault of the demo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// `order-hang`, as `mayday demo break` takes it.
    pub name: String,
    /// What it does, a sentence.
    pub does: String,
    /// Whether it is broken now.
    pub active: bool,
}

/// The demo's faults.
pub trait DemoPanel: Send + Sync + 'static {
    /// All of them.
    fn faults(&self) -> BoxFuture<'_, Vec<Fault>>;
    /// Makes one; the answer is a sentence. An error says which there are.
    fn make<'a>(&'a self, fault: &'a str) -> BoxFuture<'a, Result<String, String>>;
}
