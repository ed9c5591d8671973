//! The doors, carried out by the real rooms.

use std::net::IpAddr;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::doors::{Collection, Gate, Health, Intake, Listing, ReadError, Reads, SignInWays};
use super::secret;
use crate::access::audit::{Cursor, MAIN};
use crate::access::sessions::SignedIn;
use crate::access::{self, Audit, Person, Persons, Session, Sessions};
use crate::alert::{AlertId, Format};
use crate::core::redact::shown_json;
use crate::core::{BoxFuture, IncidentId, RunId};
use crate::incident::{self, Accepted, Incident, Incidents, Moment, Refused};
use crate::ops::health::{Report, State};
use crate::playbook::Runs;
use crate::store;

impl Intake for incident::Intake {
    fn accept<'a>(
        &'a self,
        format: Format,
        integration: &'a str,
        body: &'a [u8],
    ) -> BoxFuture<'a, Result<Accepted, Refused>> {
        Box::pin(self.accept(format, integration, body))
    }
}

/// Sessions and persons of `access/`, and the admin token of the data folder.
pub struct People {
    /// Signs people in and out.
    pub sessions: Sessions,
    /// Who there is.
    pub persons: Arc<Persons>,
    /// The token file's token.
    pub admin_token: SecretString,
    /// Whether a one-time link was printed.
    pub link: bool,
}

impl Gate for People {
    fn ways(&self) -> SignInWays {
        SignInWays { link: self.link, password: self.persons.have_passwords() }
    }

    fn session<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<Option<Session>, access::Error>> {
        Box::pin(self.sessions.check(secret))
    }

    fn bearer(&self, token: &str) -> Option<Person> {
        let right = secret::same(token.as_bytes(), self.admin_token.expose_secret().as_bytes());
        right.then(Persons::admin_token)
    }

    fn redeem<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<SignedIn, access::Error>> {
        Box::pin(self.sessions.redeem(token))
    }

    fn sign_in<'a>(
        &'a self,
        name: &'a str,
        password: SecretString,
        from: IpAddr,
    ) -> BoxFuture<'a, Result<SignedIn, access::Error>> {
        Box::pin(self.sessions.sign_in(name, password, from))
    }

    fn sign_out<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<(), access::Error>> {
        Box::pin(self.sessions.sign_out(secret))
    }

    fn find(&self, said: &str) -> Option<Person> {
        self.persons.find(said).cloned()
    }
}

/// What is in the store, for the API and the incident pages.
pub struct Stored {
    /// Incidents and alerts.
    pub incidents: Incidents,
    /// Runs.
    pub runs: Arc<dyn Runs>,
    /// The audit chain.
    pub audit: Audit,
}

impl From<store::Error> for ReadError {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A page of things that have ids; the last one's is the next cursor if the page is full.
fn listing<T: serde::Serialize>(items: &[T], limit: usize, id: impl Fn(&T) -> String) -> Result<Listing, ReadError> {
    let next_cursor = if items.len() < limit { None } else { items.last().map(id) };
    let items = items.iter().map(view).collect::<Result<_, _>>()?;
    Ok(Listing { items, next_cursor })
}

/// A record as the API shows it: without secrets and characters that drive a terminal.
fn view(item: &impl serde::Serialize) -> Result<Value, ReadError> {
    let mut value = value(item)?;
    shown_json(&mut value);
    Ok(value)
}

/// A link of the audit chain, word for word: its digest is over these words.
fn value(item: &impl serde::Serialize) -> Result<Value, ReadError> {
    serde_json::to_value(item).map_err(|error| ReadError::Failed(error.to_string()))
}

fn cursor<T: std::str::FromStr>(text: Option<&str>) -> Result<Option<T>, ReadError> {
    text.map(|text| text.parse().map_err(|_| ReadError::BadCursor)).transpose()
}

impl Stored {
    async fn page(&self, collection: Collection, after: Option<&str>, limit: usize) -> Result<Listing, ReadError> {
        match collection {
            Collection::Alerts => {
                let before = after.map(|id| AlertId(id.to_owned()));
                let alerts = self.incidents.alerts(before.as_ref(), limit).await?;
                listing(&alerts, limit, |view| view.alert.alert_id.to_string())
            }
            Collection::Incidents => {
                let incidents = self.incidents.list(false, cursor(after)?, limit).await?;
                listing(&incidents, limit, |incident| incident.id.to_string())
            }
            Collection::Runs => {
                let runs = self.runs.list(cursor(after)?, limit).await;
                let runs = runs.map_err(|error| ReadError::Failed(error.to_string()))?;
                listing(&runs, limit, |run| run.run.to_string())
            }
            Collection::Audit => {
                let page = self.audit.list(cursor::<Cursor>(after)?.as_ref(), limit).await?;
                let items = page.records.iter().map(value).collect::<Result<_, _>>()?;
                Ok(Listing { items, next_cursor: page.next })
            }
        }
    }

    async fn one(&self, collection: Collection, id: &str) -> Result<Option<Value>, ReadError> {
        match collection {
            Collection::Alerts => self.incidents.alert(&AlertId(id.to_owned())).await?.as_ref().map(view).transpose(),
            Collection::Incidents => match id.parse::<IncidentId>() {
                Ok(id) => self.incidents.get(id).await?.as_ref().map(view).transpose(),
                Err(_) => Ok(None),
            },
            Collection::Runs => match id.parse::<RunId>() {
                Ok(id) => {
                    let run = self.runs.get(id).await.map_err(|error| ReadError::Failed(error.to_string()))?;
                    run.as_ref().map(view).transpose()
                }
                Err(_) => Ok(None),
            },
            Collection::Audit => {
                let place = if id.contains(':') { id.to_owned() } else { format!("{MAIN}:{id}") };
                let (Some((chain, seq)), Ok(from)) = (place.rsplit_once(':'), place.parse::<Cursor>()) else {
                    return Ok(None);
                };
                let page = self.audit.list(Some(&from), 1).await?;
                let found = page.records.first().filter(|entry| entry.chain == chain && entry.seq.to_string() == seq);
                found.map(value).transpose()
            }
        }
    }
}

impl Reads for Stored {
    fn list<'a>(
        &'a self,
        collection: Collection,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listing, ReadError>> {
        Box::pin(self.page(collection, cursor, limit))
    }

    fn item<'a>(&'a self, collection: Collection, id: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        Box::pin(self.one(collection, id))
    }

    fn incident(&self, id: IncidentId) -> BoxFuture<'_, Result<Option<Incident>, ReadError>> {
        Box::pin(async move { Ok(self.incidents.get(id).await?) })
    }

    fn incidents(&self, open_only: bool, limit: usize) -> BoxFuture<'_, Result<Vec<Incident>, ReadError>> {
        Box::pin(async move { Ok(self.incidents.list(open_only, None, limit).await?) })
    }

    fn timeline(&self, id: IncidentId) -> BoxFuture<'_, Result<Vec<Moment>, ReadError>> {
        Box::pin(async move { Ok(self.incidents.timeline(id).await?) })
    }
}

impl Health for crate::ops::health::Health {
    fn report(&self) -> BoxFuture<'_, Report> {
        Box::pin(self.report())
    }

    /// Ready as long as no part is down; a degraded Mayday still takes alerts.
    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let report = self.report().await;
            let down = report.parts.iter().find(|part| part.state == State::Down);
            down.map_or(Ok(()), |part| Err(format!("{}: {}", part.name, part.says)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Actor, AuditRecord};
    use crate::core::clock::SystemClock;
    use crate::playbook::view::{Decided, Order, ProposeRequest, Proposed, RunView};
    use crate::store::Batch;
    use crate::store::memory::Memory;

    struct NoRuns;

    impl Runs for NoRuns {
        fn propose(&self, _: ProposeRequest) -> BoxFuture<'_, Result<Proposed, crate::playbook::Error>> {
            Box::pin(async { Ok(Proposed::Already(RunId::new(1))) })
        }
        fn order<'a>(
            &'a self,
            _: RunId,
            _: Order,
            _: &'a Person,
        ) -> BoxFuture<'a, Result<Decided, crate::playbook::Error>> {
            Box::pin(async { Ok(Decided::Nothing(String::new())) })
        }
        fn withdraw(&self, _: RunId, _: String) -> BoxFuture<'_, Result<Decided, crate::playbook::Error>> {
            Box::pin(async { Ok(Decided::Nothing(String::new())) })
        }
        fn get(&self, _: RunId) -> BoxFuture<'_, Result<Option<RunView>, crate::playbook::Error>> {
            Box::pin(async { Ok(None) })
        }
        fn list(&self, _: Option<RunId>, _: usize) -> BoxFuture<'_, Result<Vec<RunView>, crate::playbook::Error>> {
            Box::pin(async { Ok(Vec::new()) })
        }
    }

    #[tokio::test]
    async fn what_was_accepted_is_found_page_by_page_and_one_by_one() {
        let (store, clock) = (Memory::shared(), SystemClock::shared());
        let catalog = Arc::new(crate::catalog::Catalog::default());
        let intake = incident::Intake::new(store.clone(), clock.clone(), catalog, incident::Options::default());
        let alert = |n: u32| serde_json::json!({"alert_name": "Disk_Full", "severity": "Warning", "service_name": format!("s{n}"), "status": "firing"});
        let body = serde_json::to_vec(&(0..5).map(alert).collect::<Vec<_>>()).unwrap();
        let accepted = Intake::accept(&intake, Format::Generic, "open", &body).await.unwrap();
        assert_eq!(accepted.accepted, 5);
        let audit = Audit::new(store.clone(), clock.clone());
        for _ in 0..3 {
            let record = AuditRecord {
                actor: Actor::Mayday("test".into()),
                action: "tried".into(),
                subject: "RUN-1".into(),
                detail: Value::Null,
                right: None,
            };
            audit.commit(Batch::new(), record).await.unwrap();
        }
        let stored = Stored { incidents: Incidents::new(store, clock), runs: Arc::new(NoRuns), audit };
        for (collection, count) in [(Collection::Alerts, 5), (Collection::Audit, 3), (Collection::Runs, 0)] {
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                let page = stored.list(collection, cursor.as_deref(), 2).await.unwrap();
                seen.extend(page.items);
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            let distinct: std::collections::HashSet<String> = seen.iter().map(Value::to_string).collect();
            assert_eq!((seen.len(), distinct.len()), (count, count), "{collection:?}");
        }
        let hostile = serde_json::json!({"alert_name": "X\u{202e}evil\nINC-1 fine\u{1b}[2J", "severity": "Warning", "service_name": "s9",
            "description": "password=hunter2", "labels": {"dsn": "postgres://app:S3cr3tPw@db/x"}});
        let body = serde_json::to_vec(&hostile).unwrap();
        let bad = Intake::accept(&intake, Format::Generic, "open", &body).await.unwrap().alert_ids[0].to_string();
        let shown = stored.item(Collection::Alerts, &bad).await.unwrap().unwrap();
        let text = shown.to_string();
        assert!(!text.contains("hunter2") && !text.contains("S3cr3tPw") && !text.contains('\u{202e}'), "{text}");
        assert!(!shown["alert_name"].as_str().unwrap().contains(['\n', '\u{1b}']), "{text}");
        let id = accepted.alert_ids[0].to_string();
        assert_eq!(stored.item(Collection::Alerts, &id).await.unwrap().unwrap()["alert_id"], id);
        assert_eq!(stored.item(Collection::Audit, "2").await.unwrap().unwrap()["seq"], 2);
        assert_eq!(stored.item(Collection::Audit, "9").await.unwrap(), None);
        assert_eq!(stored.item(Collection::Incidents, "nonsense").await.unwrap(), None);
        assert_eq!(stored.list(Collection::Incidents, Some("x"), 2).await, Err(ReadError::BadCursor));
    }
}
