//! The desk's traits, carried out by the real rooms.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::ports::{
    Audits, Causes, Healths, Incidents, No, ParameterBrief, People, Plans, PlaybookBrief, Playbooks, Said, Schedules,
    TaskBrief,
};
use super::speaker::no_run_error;
use crate::access::{Actor, Audit, AuditRecord, Person, Persons};
use crate::alert::Alert;
use crate::catalog::Catalog;
use crate::chat::Card;
use crate::core::message::command as say;
use crate::core::{BoxFuture, IncidentId, Timestamp};
use crate::heal::{Explained, Investigator, names_service};
use crate::incident::{self, Act, Incident, Moment};
use crate::ops::health::{Health, Report};
use crate::ops::schedule::{Listed, Scheduler};
use crate::playbook::engine::{Engine, Preview};
use crate::playbook::model::{Parameter, Task, Trigger};
use crate::playbook::versions::{self, History, Version, Versions};
use crate::playbook::{Book, parameters, tasks};
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
                // Beside the record of what the change came to, which its room writes.
                action: format!("command {}", said.verb),
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

impl Schedules for Scheduler {
    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, No>> {
        Box::pin(async move { Ok(Self::list(self).await?) })
    }
}

impl Healths for Health {
    fn report(&self) -> BoxFuture<'_, Report> {
        Box::pin(Self::report(self))
    }
}

impl From<versions::Error> for No {
    fn from(error: versions::Error) -> Self {
        match error {
            versions::Error::Refused(why) => Self::Refused(why),
            versions::Error::Store(error) => error.into(),
        }
    }
}

impl Playbooks for Versions {
    fn all(&self) -> Vec<PlaybookBrief> {
        self.library().all().iter().map(|book| brief(book)).collect()
    }

    fn find(&self, id: &str) -> Option<PlaybookBrief> {
        self.library().get(id).map(|book| brief(&book))
    }

    fn history<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<History, No>> {
        Box::pin(async move { Ok(Self::history(self, id).await?) })
    }

    fn diff<'a>(&'a self, id: &'a str, from: u32, to: u32) -> BoxFuture<'a, Result<String, No>> {
        Box::pin(async move { Ok(Self::diff(self, id, from, to).await?) })
    }

    fn choose<'a>(&'a self, id: &'a str, version: Option<u32>, by: Actor) -> BoxFuture<'a, Result<Version, No>> {
        Box::pin(async move { Ok(Self::choose(self, id, version, by).await?) })
    }

    fn resolve(
        &self,
        id: &str,
        given: &BTreeMap<String, String>,
        alert: Option<&Alert>,
    ) -> Result<BTreeMap<String, String>, String> {
        let library = self.library();
        let Some(book) = library.get(id) else { return Err(say::no_playbook(id, library.nearest(id).as_deref())) };
        let given = given.iter().map(|(name, text)| (name.clone(), Value::String(text.clone()))).collect();
        let alert = alert.map(serde_json::to_value).transpose().map_err(|error| error.to_string())?;
        let values = parameters::resolve(&book.playbook, &given, alert.as_ref())?;
        Ok(values.into_iter().map(|(name, value)| (name, plain(&value))).collect())
    }
}

impl Plans for Engine {
    fn preview<'a>(
        &'a self,
        id: &'a str,
        given: &'a BTreeMap<String, String>,
        alert: Option<&'a Alert>,
    ) -> BoxFuture<'a, Result<Vec<Preview>, No>> {
        Box::pin(async move {
            // The engine gives each text its parameter's type.
            let given = given.iter().map(|(name, text)| (name.clone(), Value::String(text.clone()))).collect();
            Self::preview(self, id, &given, alert).await.map_err(no_run_error)
        })
    }
}

/// A playbook as people read it.
pub(super) fn brief(book: &Book) -> PlaybookBrief {
    let playbook = &book.playbook;
    let trigger = |trigger: &Trigger| {
        let (service, severity) = (trigger.service_name.as_deref(), trigger.severity.as_deref());
        say::trigger(&trigger.alert_name, service, severity, trigger.when.as_deref())
    };
    let parameter = |(name, parameter): (&String, &Parameter)| ParameterBrief {
        name: name.clone(),
        kind: word(&parameter.kind),
        default: parameter.default.as_ref().map(plain),
        says: parameter.description.clone().unwrap_or_default(),
        names_service: names_service(playbook, name),
    };
    let task = |task: &Task| TaskBrief {
        id: task.id.clone(),
        name: if task.name.is_empty() { task.id.clone() } else { task.name.clone() },
        kind: task.kind.clone(),
        risk: word(&tasks::risk(task)),
    };
    PlaybookBrief {
        id: playbook.playbook_id.clone(),
        name: playbook.name.clone(),
        description: playbook.description.clone(),
        version: book.version(),
        triggers: playbook.trigger_conditions.iter().map(trigger).collect(),
        parameters: playbook.parameters.iter().map(parameter).collect(),
        tasks: playbook.tasks.iter().map(task).collect(),
    }
}

/// An enum's word as playbooks write it.
fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).map(|value| plain(&value)).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
