//! Incidents are counted without a gap: a number that was taken has its record. And an alert that was taken in has an
//! incident.

use serde::{Deserialize, Serialize};

use super::{Auditor, Finding, INCIDENTS, readable, say};
use crate::alert::Status;
use crate::core::{IncidentId, Timestamp};
use crate::store::{self, Key, Range, Record};

/// The last number that was taken.
#[derive(Serialize, Deserialize)]
struct Last(u64);
impl Record for Last {}

/// So many alerts are looked at in a round, those that began last.
const ALERTS: usize = 300;

/// What an alert's record says, as far as it matters here.
#[derive(Serialize, Deserialize)]
struct Taken {
    alert: Fires,
    received_at: Timestamp,
}
impl Record for Taken {}

#[derive(Serialize, Deserialize)]
struct Fires {
    status: Status,
}

impl Auditor {
    /// An alert that fires and was taken in long ago belongs to an incident. All that don't are one finding: where the
    /// incidents stand still there are many.
    pub(super) async fn alerts(&self) -> Result<Vec<Finding>, store::Error> {
        let mut findings = Vec::new();
        let late = self.clock.now().checked_sub(self.options.late.0).unwrap_or(Timestamp::UNIX_EPOCH);
        // An alert's id begins with its start in milliseconds, as hex.
        let until = Key::of(["alert", &format!("{:011x}", late.as_millisecond().max(0))]);
        let range = Range::under(&Key::of(["alert"]), ALERTS).backward().past(&until);
        let mut without = Vec::new();
        for entry in self.store.scan(&range).await? {
            let Some(taken) = readable(entry.decode::<Taken>(), &mut findings)? else { continue };
            let fires = taken.alert.status == Status::Firing && self.is_late(taken.received_at);
            let link = Key::of(["alert-incident", entry.key.last()]);
            if fires && self.store.read(&link).await?.is_none() {
                without.push(entry.key.last().to_owned());
            }
        }
        if let Some(first) = without.first() {
            let says = say::alerts_without_incident(without.len(), first);
            findings.push(Finding::new("alert_without_incident", "alerts", says));
        }
        Ok(findings)
    }

    /// Which of the newest numbers of incidents have no record. A number is taken by the commit that writes its record. (A
    /// run's is not: a proposal that came to nothing leaves a gap.)
    pub(super) async fn numbers(&self) -> Result<Vec<Finding>, store::Error> {
        let mut findings = Vec::new();
        // Before the records, which may be more meanwhile, never fewer.
        let counter = self.store.read(&Key::of(["serial", "incident"])).await?;
        let last = readable(counter.map(|entry| entry.decode::<Last>()).transpose(), &mut findings)?.flatten();
        let last = last.map_or(0, |last| last.0);
        let records = self.store.scan(&Range::under(&Key::of(["incident"]), INCIDENTS).backward()).await?;
        let found: Vec<u64> = records.iter().filter_map(|entry| entry.key.last().parse().ok()).collect();
        // What lies before the oldest that was read is not known.
        let reaches = match found.last() {
            Some(oldest) if records.len() == INCIDENTS => *oldest,
            _ => 1,
        };
        let first = reaches.max((last + 1).saturating_sub(INCIDENTS as u64));
        for number in (first..=last).filter(|number| !found.contains(number)) {
            let id = IncidentId::new(number);
            findings.push(Finding::new("number_missing", id.to_string(), say::number_missing(id, last)));
        }
        Ok(findings)
    }
}
