//! What the listener needs of the rooms behind it, as small traits, so that it is tested alone.

use std::net::IpAddr;
use std::sync::Arc;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::sessions::SignedIn;
use crate::access::{self, Person, Session};
use crate::alert::Format;
use crate::chat::Commands;
use crate::chat::web::WebChat;
use crate::core::{BoxFuture, IncidentId, SharedClock};
use crate::incident::{Accepted, Incident, Moment, Refused};
use crate::ops::health::Report;

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
    /// The channel of incidents that have no other; `/` shows it while nothing has happened anywhere.
    pub home_channel: String,
    /// The demo's faults, where there is a demo.
    pub demo: Option<Arc<dyn DemoPanel>>,
    /// Time.
    pub clock: SharedClock,
}

/// Takes alerts in.
pub trait Intake: Send + Sync + 'static {
    /// Normalises and stores them; returns after they are durable.
    fn accept<'a>(
        &'a self,
        format: Format,
        integration: &'a str,
        body: &'a [u8],
    ) -> BoxFuture<'a, Result<Accepted, Refused>>;
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

/// Knows persons, sessions and tokens. A refusal to sign in is [`access::Error::SignIn`] with a sentence.
pub trait Gate: Send + Sync + 'static {
    /// Which ways to sign in there are.
    fn ways(&self) -> SignInWays;
    /// The session of a cookie's secret.
    fn session<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<Option<Session>, access::Error>>;
    /// The person of an API token.
    fn bearer(&self, token: &str) -> Option<Person>;
    /// Uses up a one-time link.
    fn redeem<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<SignedIn, access::Error>>;
    /// Name and password, from this address.
    fn sign_in<'a>(
        &'a self,
        name: &'a str,
        password: SecretString,
        from: IpAddr,
    ) -> BoxFuture<'a, Result<SignedIn, access::Error>>;
    /// Ends a session.
    fn sign_out<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<(), access::Error>>;
    /// The person someone means by `web:ana`, `ana` or `@ana`, for `as`.
    fn find(&self, said: &str) -> Option<Person>;
}

/// Knows how Mayday itself is.
pub trait Health: Send + Sync + 'static {
    /// Its parts.
    fn report(&self) -> BoxFuture<'_, Report>;
    /// Whether alerts can be taken now; if not, why.
    fn ready(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// One fault of the demo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// `hang`, as `mayday demo break` takes it.
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
