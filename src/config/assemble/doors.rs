//! The listener's doors, opened to the real rooms.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::access::{Audit, Cursor, Persons, Sessions, token_file::TokenFile};
use crate::alert;
use crate::alert::AlertId;
use crate::core::person::{Person, PersonId};
use crate::core::{BoxFuture, IncidentId, RunId};
use crate::http::doors::{
    Collection, Gate, Health, Incoming, Intake, Listing, Part, ReadError, Reads, Receipt, Refusal, Rejected,
    SignInError, SignInWays, SignedIn,
};
use crate::http::options::Format;
use crate::incident::{self, Incident, Moment};
use crate::ops;
use crate::playbook::Runs;

/// Alerts from the listener go to the incident room's intake.
pub struct Alerts(pub incident::Intake);

impl Intake for Alerts {
    fn accept(&self, incoming: Incoming) -> BoxFuture<'_, Result<Receipt, Refusal>> {
        Box::pin(async move {
            let format = match incoming.format {
                Format::Any => alert::Format::Alert,
                Format::Alertmanager => alert::Format::Alertmanager,
                Format::Zabbix => alert::Format::Zabbix,
                Format::Generic => alert::Format::Generic,
            };
            let integration = incoming.integration.as_deref().unwrap_or("open");
            let accepted = self.0.accept(format, integration, incoming.team.as_deref(), &incoming.body).await;
            let accepted = accepted.map_err(|refused| {
                let after_secs = refused.retry_after_secs();
                match (after_secs, refused) {
                    (Some(after_secs), refused) => Refusal::Busy { why: refused.to_string(), after_secs },
                    (None, incident::Refused::NotUnderstood(why)) => {
                        let (why, fix) = why.why_and_fix();
                        Refusal::NotUnderstood { why, fix }
                    }
                    (None, refused) => Refusal::NotUnderstood {
                        why: refused.to_string(),
                        fix: "send fewer alerts in one body".to_owned(),
                    },
                }
            })?;
            Ok(Receipt {
                accepted: accepted.accepted as u64,
                duplicates: accepted.duplicates as u64,
                rejected: accepted
                    .rejected
                    .into_iter()
                    .map(|rejected| Rejected { index: rejected.index, why: rejected.why })
                    .collect(),
                alert_ids: accepted.alert_ids.into_iter().map(|id| id.0).collect(),
            })
        })
    }
}

/// What the API and the pages read.
pub struct Shelf {
    /// Incidents and alerts.
    pub incidents: incident::Incidents,
    /// Runs.
    pub runs: Arc<dyn Runs>,
    /// The audit chain.
    pub audit: Audit,
}

fn failed(error: impl std::fmt::Display) -> ReadError {
    ReadError::Failed(error.to_string())
}

fn value(item: impl serde::Serialize) -> Result<Value, ReadError> {
    serde_json::to_value(item).map_err(failed)
}

/// A page of items; the cursor is the last one's id when the page is full.
fn page<T: serde::Serialize>(
    items: Vec<T>,
    limit: usize,
    id: impl Fn(&T) -> String,
) -> Result<Listing, ReadError> {
    let next_cursor = if items.len() < limit { None } else { items.last().map(id) };
    Ok(Listing { items: items.into_iter().map(value).collect::<Result<_, _>>()?, next_cursor })
}

impl Reads for Shelf {
    fn list<'a>(
        &'a self,
        collection: Collection,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listing, ReadError>> {
        Box::pin(async move {
            match collection {
                Collection::Alerts => {
                    let before = cursor.map(|cursor| AlertId(cursor.to_owned()));
                    let alerts = self.incidents.alerts(before.as_ref(), limit).await.map_err(failed)?;
                    page(alerts, limit, |view| view.alert.alert_id.0.clone())
                }
                Collection::Incidents => {
                    let before = parsed::<IncidentId>(cursor)?;
                    let incidents = self.incidents.list(false, before, limit).await.map_err(failed)?;
                    page(incidents, limit, |incident| incident.id.to_string())
                }
                Collection::Runs => {
                    let runs = self.runs.list(parsed::<RunId>(cursor)?, limit).await.map_err(failed)?;
                    page(runs, limit, |run| run.run.to_string())
                }
                Collection::Audit => {
                    let from = parsed::<Cursor>(cursor)?;
                    let page = self.audit.list(from.as_ref(), limit).await.map_err(failed)?;
                    let items = page.records.into_iter().map(value).collect::<Result<_, _>>()?;
                    Ok(Listing { items, next_cursor: page.next })
                }
            }
        })
    }

    fn item<'a>(&'a self, collection: Collection, id: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        Box::pin(async move {
            match collection {
                Collection::Alerts => {
                    let alert = self.incidents.alert(&AlertId(id.to_owned())).await.map_err(failed)?;
                    alert.map(value).transpose()
                }
                Collection::Incidents => match id.parse() {
                    Ok(id) => self.incidents.get(id).await.map_err(failed)?.map(value).transpose(),
                    Err(_) => Ok(None),
                },
                Collection::Runs => match id.parse() {
                    Ok(id) => self.runs.get(id).await.map_err(failed)?.map(value).transpose(),
                    Err(_) => Ok(None),
                },
                Collection::Audit => {
                    // `main:17` is the page that begins with that record.
                    let Ok(cursor) = id.parse::<Cursor>() else { return Ok(None) };
                    let page = self.audit.list(Some(&cursor), 1).await.map_err(failed)?;
                    page.records.into_iter().next().map(value).transpose()
                }
            }
        })
    }

    fn incident(&self, id: IncidentId) -> BoxFuture<'_, Result<Option<Incident>, ReadError>> {
        Box::pin(async move { self.incidents.get(id).await.map_err(failed) })
    }

    fn incidents(&self, open_only: bool, limit: usize) -> BoxFuture<'_, Result<Vec<Incident>, ReadError>> {
        Box::pin(async move { self.incidents.list(open_only, None, limit).await.map_err(failed) })
    }

    fn timeline(&self, id: IncidentId) -> BoxFuture<'_, Result<Vec<Moment>, ReadError>> {
        Box::pin(async move { self.incidents.timeline(id).await.map_err(failed) })
    }
}

fn parsed<T: std::str::FromStr>(cursor: Option<&str>) -> Result<Option<T>, ReadError> {
    cursor.map(str::parse).transpose().map_err(|_| ReadError::BadCursor)
}

/// Who is who.
pub struct Door {
    /// Everyone known.
    pub persons: Arc<Persons>,
    /// Who is signed in.
    pub sessions: Sessions,
    /// The token of the data folder, for commands from a terminal.
    pub token: TokenFile,
}

fn signed_in(session: crate::access::sessions::SignedIn) -> SignedIn {
    SignedIn { session: session.secret.expose_secret().to_owned(), person: session.person, lasts: session.valid }
}

impl From<crate::access::Error> for SignInError {
    fn from(error: crate::access::Error) -> Self {
        use crate::access::Error;
        match error {
            Error::LinkSpent => Self::LinkVoid,
            Error::WrongPassword => Self::Wrong,
            Error::Throttled { retry_after } => Self::TooMany { after_secs: retry_after.as_secs().max(1) },
            other => Self::Failed(other.to_string()),
        }
    }
}

impl Gate for Door {
    fn ways(&self) -> SignInWays {
        SignInWays { link: !self.persons.have_passwords(), password: self.persons.have_passwords() }
    }

    fn session<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<Option<Person>, String>> {
        Box::pin(async move {
            let session = self.sessions.check(secret).await.map_err(|error| error.to_string())?;
            Ok(session.map(|session| session.person))
        })
    }

    fn bearer<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Person>, String>> {
        Box::pin(async move { Ok(self.token.is(token).then(Persons::admin_token)) })
    }

    fn redeem<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<SignedIn, SignInError>> {
        Box::pin(async move { Ok(signed_in(self.sessions.redeem(token).await?)) })
    }

    fn sign_in<'a>(
        &'a self,
        name: &'a str,
        password: &'a str,
        address: std::net::IpAddr,
    ) -> BoxFuture<'a, Result<SignedIn, SignInError>> {
        Box::pin(async move {
            let password = SecretString::from(password.to_owned());
            Ok(signed_in(self.sessions.sign_in(name, password, address).await?))
        })
    }

    fn sign_out<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.sessions.sign_out(secret).await.map_err(|error| error.to_string()) })
    }

    fn find<'a>(&'a self, id: &'a PersonId) -> BoxFuture<'a, Option<Person>> {
        Box::pin(async move { self.persons.get(id).or_else(|| self.persons.find(&id.0)).cloned() })
    }
}

/// How Mayday itself is.
pub struct Pulse {
    /// Asks the parts.
    pub health: ops::health::Health,
    /// Says whether the inbox is full.
    pub intake: incident::Intake,
}

impl Health for Pulse {
    fn parts(&self) -> BoxFuture<'_, Vec<Part>> {
        Box::pin(async move {
            let report = self.health.report().await;
            let part = |part: ops::health::Part| Part {
                ok: part.state != ops::health::State::Down,
                name: part.name,
                says: part.says,
            };
            report.parts.into_iter().map(part).collect()
        })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            match self.intake.is_overloaded().await {
                Ok(false) => Ok(()),
                Ok(true) => Err("the inbox is full".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}
