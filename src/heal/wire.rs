//! The loop's traits, carried out by the real rooms below.

use super::ports::{Chosen, Explained, Explains, Incidents, NoMatch, Triggers};
use crate::alert::{Alert, AlertId};
use crate::core::{BoxFuture, IncidentId};
use crate::diagnose::Diagnosis;
use crate::incident::{self, Incident, OpenIncident};
use crate::playbook::library::Library;
use crate::playbook::model::{Playbook, Task};
use crate::store;

impl Incidents for incident::Incidents {
    fn incident(&self, id: IncidentId) -> BoxFuture<'_, Result<Option<Incident>, store::Error>> {
        Box::pin(self.get(id))
    }

    fn open(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OpenIncident>, store::Error>> {
        Box::pin(Self::open(self, limit))
    }

    fn alert<'a>(&'a self, id: &'a AlertId) -> BoxFuture<'a, Result<Option<Alert>, store::Error>> {
        Box::pin(async move { Ok(Self::alert(self, id).await?.map(|view| view.alert)) })
    }
}

impl Triggers for Library {
    fn best(&self, alert: &Alert) -> Result<Chosen, NoMatch> {
        let found = self.best_match(alert);
        match found.playbook {
            Some(book) => {
                let names = book.playbook.parameters.keys().any(|name| names_service(&book.playbook, name));
                Ok(Chosen { playbook: book.playbook.playbook_id.clone(), names_service: names })
            }
            None => Err(NoMatch { notes: found.reports }),
        }
    }
}

impl Explains for Diagnosis {
    fn explain<'a>(&'a self, incident: &'a Incident) -> BoxFuture<'a, Explained> {
        Box::pin(Self::explain(self, incident))
    }
}

/// Whether a task takes this parameter as its service.
#[must_use]
pub fn names_service(playbook: &Playbook, parameter: &str) -> bool {
    let takes = |task: &Task| {
        let words = task.parameters.get("service").and_then(serde_json::Value::as_str)?.trim();
        let inner = words.strip_prefix("{{")?.strip_suffix("}}")?.trim();
        Some(inner.strip_prefix("params.")? == parameter)
    };
    playbook.tasks.iter().any(|task| takes(task) == Some(true))
}
