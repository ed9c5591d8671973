//! `schedules:` of the configuration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::timetable::Timetable;
use crate::core::Tainted;
use crate::core::message::schedule as say;
use crate::core::nearest::hint;

/// What a schedule may name as its job.
pub const JOBS: &[&str] = &["sign_audit", "look_for_missing_records"];

/// One schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Its name; what was done for it is remembered under it.
    pub id: String,
    /// Minute, hour, day of month, month, day of week; or `@hourly`, `@daily`, `@weekly`, `@monthly`.
    pub cron: String,
    /// The time zone whose clocks count: `Europe/Berlin`. UTC when missing.
    #[serde(default = "utc")]
    pub zone: String,
    /// The playbook to propose; approval is asked as for any other run.
    #[serde(default)]
    pub playbook: Option<String>,
    /// Its parameters.
    #[serde(default)]
    pub parameters: BTreeMap<String, Value>,
    /// Or a job of Mayday's own: `sign_audit`, `look_for_missing_records`.
    #[serde(default)]
    pub job: Option<String>,
    /// What becomes of ticks at which Mayday did not run.
    #[serde(default)]
    pub missed: Missed,
}

/// What becomes of ticks that were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// Nothing.
    #[default]
    Skip,
    /// The newest of them is made up for.
    RunOnce,
    /// The newest 24 of them are made up for, in order.
    RunAll,
}

impl Missed {
    /// Its word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::RunOnce => "run_once",
            Self::RunAll => "run_all",
        }
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Options {
    /// When it is due.
    ///
    /// # Errors
    /// The key that is wrong, and why.
    pub fn timetable(&self) -> Result<Timetable, (&'static str, String)> {
        let zone = Timetable::zone(&self.zone).map_err(|why| ("zone", why))?;
        Timetable::cron(&self.cron, zone).map_err(|why| ("cron", why))
    }

    /// What can't hold, each with the key it stands at.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems: Vec<(&'static str, String)> = self.timetable().err().into_iter().collect();
        if Tainted::new(self.id.as_str()).as_name().is_err() || self.id.contains('/') {
            problems.push(("id", say::bad_id()));
        }
        match (&self.playbook, &self.job) {
            (Some(_), Some(_)) => problems.push(("job", say::both())),
            (None, None) => problems.push(("id", say::neither(JOBS))),
            (None, Some(job)) if !JOBS.contains(&job.as_str()) => {
                problems.push(("job", say::no_job(job, &hint(job, JOBS.iter().copied()), JOBS)));
            }
            (None, Some(_)) if !self.parameters.is_empty() => problems.push(("parameters", say::job_takes_none())),
            _ => {}
        }
        problems
    }

    /// What it does, in a word.
    #[must_use]
    pub fn what(&self) -> &str {
        self.playbook.as_deref().or(self.job.as_deref()).unwrap_or_default()
    }
}
