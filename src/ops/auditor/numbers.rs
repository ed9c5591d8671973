//! Incidents are counted without a gap: a number that was taken has its record.

use serde::{Deserialize, Serialize};

use super::{Auditor, Finding, INCIDENTS, readable, say};
use crate::core::IncidentId;
use crate::store::{self, Key, Range, Record};

/// The last number that was taken.
#[derive(Serialize, Deserialize)]
struct Last(u64);
impl Record for Last {}

impl Auditor {
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
