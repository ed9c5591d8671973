//! The desk's traits, carried out by the real rooms.

use std::sync::Arc;

use serde_json::json;

use super::ports::{Audits, Causes, Healths, Incidents, No, People, Said};
use crate::access::{Actor, Audit, AuditRecord, Person, Persons};
use crate::alert::Alert;
use crate::catalog::Catalog;
use crate::chat::Card;
use crate::core::{BoxFuture, IncidentId, Timestamp};
use crate::heal::{Explained, Investigator};
use crate::incident::{self, Act, Incident, Moment};
use crate::ops::health::{Health, Report};
use crate::store::Batch;

/// Incidents of the store, with the catalogue for their cards.
pub struct StoredIncidents {
    /// The room's handle.
    pub incidents: incident::Incidents,
    /// Tells a card what a service is for.
    pub catalog: Arc<Catalog>,
}

impl From<incident::Error> for No {
    fn from(error: incident::Error) -> Self {
        match error {
            incident::Error::Store(error) => error.into(),
            sentence => Self::Refused(sentence.to_string()),
        }
    }
}

impl Incidents for StoredIncidents {
    fn get(&self, id: IncidentId) -> BoxFuture<'_, Result<Option<Incident>, No>> {
        Box::pin(async move { Ok(self.incidents.get(id).await?) })
    }

    fn list(&self, open: bool, limit: usize) -> BoxFuture<'_, Result<Vec<Incident>, No>> {
        Box::pin(async move { Ok(self.incidents.list(open, None, limit).await?) })
    }

    fn timeline(&self, id: IncidentId, limit: usize) -> BoxFuture<'_, Result<Vec<Moment>, No>> {
        Box::pin(async move {
            let mut moments = self.incidents.timeline(id).await?;
            let surplus = moments.len().saturating_sub(limit);
            moments.drain(..surplus);
            Ok(moments)
        })
    }

    fn act(&self, id: IncidentId, by: Actor, act: Act) -> BoxFuture<'_, Result<Incident, No>> {
        Box::pin(async move { Ok(self.incidents.act(id, by, act).await?) })
    }

    fn newest_alert<'a>(&'a self, incident: &'a Incident) -> BoxFuture<'a, Result<Option<Alert>, No>> {
        Box::pin(async move {
            let Some(id) = incident.latest_alerts.last() else { return Ok(None) };
            Ok(self.incidents.alert(id).await?.map(|view| view.alert))
        })
    }

    fn card(&self, incident: &Incident, now: Timestamp) -> Card {
        incident::card::card(incident, self.catalog.find(incident.service.as_data()), now)
    }
}

impl People for Persons {
    fn find(&self, name: &str) -> Option<Person> {
        let by_name = || Self::all(self).into_iter().find(|person| person.name.eq_ignore_ascii_case(name));
        Self::find(self, name).or_else(by_name).cloned()
    }

    fn all(&self) -> Vec<Person> {
        Self::all(self).into_iter().cloned().collect()
    }
}

impl Audits for Audit {
    fn record(&self, said: Said) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let record = AuditRecord {
                actor: said.by,
                action: said.verb.to_owned(),
                subject: said.subject,
                detail: json!({ "said": said.line, "place": said.place }),
                right: None,
            };
            self.commit(Batch::new(), record).await.map(|_| ()).map_err(|error| error.to_string())
        })
    }
}

impl Causes for Investigator {
    fn look<'a>(&'a self, incident: &'a Incident) -> BoxFuture<'a, Result<Explained, No>> {
        Box::pin(async move { Ok(self.look_and_tell(incident).await?) })
    }
}

impl Healths for Health {
    fn report(&self) -> BoxFuture<'_, Report> {
        Box::pin(Self::report(self))
    }
}
