//! Which incident an alert belongs to, and whether it still fires: the truth that decides when an incident ends.
//!
//! Kept twice in one commit: by alert, to find an alert's incident; and by incident with the class in the key, so that
//! the first entry of a short scan is the worst alert that still fires.

use serde::{Deserialize, Serialize};

use crate::alert::{AlertId, Severity};
use crate::core::IncidentId;
use crate::store::{Batch, Error, Key, Range, Record, SharedStore};

use super::keys;

/// How an alert stands in its incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Class {
    Firing(Severity),
    Ended,
}

impl Class {
    pub(super) fn firing(self) -> Option<Severity> {
        match self {
            Self::Firing(severity) => Some(severity),
            Self::Ended => None,
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Firing(Severity::Critical) => '0',
            Self::Firing(Severity::Warning) => '1',
            Self::Firing(Severity::Info) => '2',
            Self::Ended => '9',
        }
    }

    fn of_letter(letter: char) -> Self {
        match letter {
            '0' => Self::Firing(Severity::Critical),
            '1' => Self::Firing(Severity::Warning),
            '2' => Self::Firing(Severity::Info),
            _ => Self::Ended,
        }
    }
}

/// An alert's place, stored by alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    pub(super) incident: IncidentId,
    pub(super) class: Class,
}

impl Record for Link {}

/// The entry below the incident; all it says is in its key.
#[derive(Serialize, Deserialize)]
struct Below {}

impl Record for Below {}

fn below(incident: IncidentId, class: Class, alert: &AlertId) -> Key {
    keys::incident_alerts(incident).child(&format!("{}-{alert}", class.letter()))
}

/// Reads an alert's link.
pub(super) async fn read(store: &SharedStore, alert: &AlertId) -> Result<Option<Link>, Error> {
    store.read(&keys::alert_incident(alert)).await?.map(|entry| entry.decode()).transpose()
}

/// Writes an alert's link in both places.
pub(super) fn write(batch: &mut Batch, alert: &AlertId, before: Option<Link>, after: Link) -> Result<(), Error> {
    match before {
        Some(before) if before != after => {
            batch.delete(below(before.incident, before.class, alert));
        }
        Some(_) => return Ok(()),
        // Two shards could meet an alert whose group key changed between two messages; one of them wins.
        None => {
            batch.require_absent(keys::alert_incident(alert));
        }
    }
    batch.put(keys::alert_incident(alert), &after)?;
    batch.put(below(after.incident, after.class, alert), &Below {})?;
    Ok(())
}

/// The incident's alerts, worst firing first, ended ones last: at most `limit` of them.
pub(super) async fn of_incident(
    store: &SharedStore,
    incident: IncidentId,
    limit: usize,
) -> Result<Vec<(AlertId, Class)>, Error> {
    let entries = store.scan(&Range::under(&keys::incident_alerts(incident), limit)).await?;
    Ok(entries.iter().filter_map(|entry| parse(entry.key.last())).collect())
}

/// The worst alert that fires and is not one of `known`. Reads at most one more than there are known ones.
pub(super) async fn worst_other(
    store: &SharedStore,
    incident: IncidentId,
    known: usize,
    is_known: impl Fn(&AlertId) -> bool,
) -> Result<Option<Severity>, Error> {
    let mut range = Range::under(&keys::incident_alerts(incident), known + 1);
    // Ended ones stand last and are not looked at.
    range.to = Key::stored(format!("{}/{}", keys::incident_alerts(incident), Class::Ended.letter()));
    let entries = store.scan(&range).await?;
    Ok(entries
        .iter()
        .filter_map(|entry| parse(entry.key.last()))
        .find(|(alert, _)| !is_known(alert))
        .and_then(|(_, class)| class.firing()))
}

fn parse(last: &str) -> Option<(AlertId, Class)> {
    let (letter, alert) = last.split_once('-')?;
    Some((AlertId(alert.to_owned()), Class::of_letter(letter.chars().next()?)))
}
