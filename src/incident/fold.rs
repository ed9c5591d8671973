//! One fault, one card that asks for something: an incident whose cause has an incident of its own is folded into that one.
//!
//! Both stay records with their own timelines, and both end by their own alerts. The folded one says in its subtitle whom it
//! suffers from and makes no proposal; the other lists who suffers. Who belongs to whom is found out in `heal`; here is what
//! it does to the records.

use serde::{Deserialize, Serialize};

use super::apply::Outcome;
use super::{Incident, Signal, group};
use crate::core::message::incident as say;
use crate::core::{IncidentId, Timestamp};
use crate::store::Record;

/// So many that suffer are remembered; the rest is on their own cards.
const SUFFERERS: usize = 20;

/// When it stands alone again, so many alerts before the newest are looked at for what fits them.
const OTHERS: usize = 4;

/// Another incident, and the service that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    /// Which.
    pub incident: IncidentId,
    /// Canonical name.
    pub service: String,
}

/// What is known of an incident's relation to others, of the present episode.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Relations {
    /// The service that the latest search blames, if it is another one.
    pub blames: Option<String>,
    /// The incident this one is folded into.
    pub suffers_from: Option<Related>,
    /// Incidents folded into this one, at most 20.
    pub sufferers: Vec<Related>,
}

/// What the index of open incidents says of one, so that who looks for causes and consequences reads one short row and
/// not every incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIncident {
    /// Which, and of which service.
    pub own: Related,
    /// How it stands to others.
    #[serde(default)]
    pub relations: Relations,
}

impl Record for OpenIncident {}

impl Incident {
    /// As the index of open incidents has it; none when it is over.
    #[must_use]
    pub fn as_open(&self) -> Option<OpenIncident> {
        let open = !self.phase.is_over();
        open.then(|| OpenIncident { own: self.related(), relations: self.known.relations.clone() })
    }

    /// As others refer to it.
    #[must_use]
    pub fn related(&self) -> Related {
        Related { incident: self.id, service: self.service.as_data().to_owned() }
    }

    /// Whether another incident's service is its cause.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        self.known.relations.suffers_from.is_some()
    }
}

/// Folds an incident into another, or takes it out again.
pub(super) fn suffers_from(outcome: &mut Outcome, cause: Option<Related>, now: Timestamp) {
    let incident = &mut outcome.incident;
    if incident.known.relations.suffers_from == cause {
        return;
    }
    let id = incident.id;
    let before = std::mem::replace(&mut incident.known.relations.suffers_from, cause);
    let open = !incident.phase.is_over();
    let mut newest = incident.latest_alerts.iter().rev().cloned();
    let (newest, others) = (newest.next(), newest.take(OTHERS).collect::<Vec<_>>());
    let says = match (&incident.known.relations.suffers_from, before) {
        (Some(cause), _) => say::folded_into(cause.incident, &cause.service),
        (None, Some(cause)) => say::stands_alone(cause.incident),
        (None, None) => return,
    };
    outcome.changed = true;
    if outcome.incident.is_folded() {
        outcome.signals.push(Signal::Folded { incident: id });
    } else if let Some(alert) = newest.filter(|_| open) {
        // Its own incident again: it is looked at, and what fits is proposed, as if it had just opened.
        outcome.signals.push(Signal::Opened { incident: id, alert });
        outcome.signals.extend(others.into_iter().map(|alert| Signal::Joined { incident: id, alert }));
    }
    outcome.moment(now, group::mayday(), says);
}

/// Notes that another incident is folded into this one, or no longer is.
pub(super) fn sufferer(outcome: &mut Outcome, other: Related, suffers: bool, now: Timestamp) {
    let listed = &mut outcome.incident.known.relations.sufferers;
    let known = listed.iter().any(|one| one.incident == other.incident);
    if known == suffers || suffers && listed.len() >= SUFFERERS {
        return;
    }
    let (id, service) = (other.incident, other.service.clone());
    if suffers {
        listed.push(other);
    } else {
        listed.retain(|one| one.incident != id);
    }
    outcome.changed = true;
    let says = if suffers { say::suffers(id, &service) } else { say::no_longer_suffers(id, &service) };
    outcome.moment(now, group::mayday(), says);
}
