//! Incidents that a person resolved while alerts of them fire: a word that only repeats that one of these fires is news.
//!
//! They stand under `incident-held/<n>`, which is nearly always empty, so that intake pays one short scan for a body of
//! duplicates and nothing for each of them.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Incident, keys, links};
use crate::alert::AlertId;
use crate::core::IncidentId;
use crate::store::{Batch, Error, Range, Record, SharedStore};

/// A word that an alert still fires counts when it is received so long after a person resolved its incident: whoever
/// repaired by hand is not called back by words in flight, or by rates and averages that end a little later.
pub(super) const GRACE: Duration = Duration::from_secs(120);

/// So many of the newest are looked at.
const MOST: usize = 1000;

/// Nothing but that it is so.
#[derive(Serialize, Deserialize)]
struct Held {}

impl Record for Held {}

fn is_held(incident: &Incident) -> bool {
    incident.phase.is_over() && incident.firing > 0
}

/// Writes whether an incident is over while its alerts fire, if that has changed.
pub(super) fn write(batch: &mut Batch, before: Option<&Incident>, now: &Incident) -> Result<(), Error> {
    match (before.is_some_and(is_held), is_held(now)) {
        (false, true) => drop(batch.put(keys::held(now.id), &Held {})?),
        (true, false) => drop(batch.delete(keys::held(now.id))),
        (true, true) | (false, false) => {}
    }
    Ok(())
}

/// What intake asks, read when it is first needed.
#[derive(Default)]
pub(super) struct HeldIncidents {
    read: Option<HashSet<IncidentId>>,
}

impl HeldIncidents {
    /// Whether the alert belongs to an incident that a person resolved while alerts of it fire.
    pub(super) async fn has(&mut self, store: &SharedStore, alert: &AlertId) -> Result<bool, Error> {
        if self.read.is_none() {
            let entries = store.scan(&Range::under(&keys::all_held(), MOST).backward()).await?;
            let ids = entries.iter().filter_map(|entry| entry.key.last().parse().map(IncidentId::new).ok());
            self.read = Some(ids.collect());
        }
        let Some(held) = self.read.as_ref().filter(|held| !held.is_empty()) else { return Ok(false) };
        Ok(links::read(store, alert).await?.is_some_and(|link| held.contains(&link.incident)))
    }
}
