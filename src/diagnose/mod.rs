//! What is wrong, why, and how sure: the cause of an incident from own metrics, logs, processes and health checks,
//! without a language model.
//!
//! [`gather`] asks every source about the service, what it calls and who calls it (each with its own time limit);
//! [`observe`] turns answers into evidence and clues; [`rank`] weighs clues along the dependencies and blames the service
//! furthest down that explains the rest; [`picture`] chooses the chart. All but `gather` is pure.
//!
//! Architecture Invariant: every finding cites evidence, and a source that was silent, broken, empty or cut is four
//! different outcomes, each of them said.

mod gather;
mod observe;
mod picture;
pub mod ports;
mod rank;
mod scope;
mod signal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::analysis::{Evidence, Finding};
use crate::catalog::Catalog;
use crate::chat::{Chart, Fact};
use crate::core::duration::Span;
use crate::core::message::diagnose as say;
use crate::core::{IncidentId, SharedClock, Timestamp};
use crate::incident::Incident;
use crate::source::{Logs, Metrics};
pub use ports::{Health, HealthAnswer, HttpHealth, Machine};

/// How diagnosis looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// How far before the incident's start "normal" is measured.
    pub look_back: Span,
    /// How long one source may take for one service.
    pub source_timeout: Span,
    /// How long a health check may take; slower counts as no answer.
    pub health_timeout: Span,
    /// At most so many services are looked at, the nearest first.
    pub services: usize,
    /// At most so many log lines per service.
    pub log_lines: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            look_back: Span::from_secs(15 * 60),
            source_timeout: Span(std::time::Duration::from_millis(1_500)),
            health_timeout: Span::from_secs(1),
            services: 12,
            log_lines: 4_000,
        }
    }
}

/// What is diagnosed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// For links to evidence.
    pub incident: Option<IncidentId>,
    /// The service that is said to be sick.
    pub service: String,
    /// When it began, as far as is known.
    pub since: Timestamp,
    /// When it was over; none while it lasts.
    pub until: Option<Timestamp>,
}

/// What is known now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Explained {
    /// Conclusions, best first; at most 3.
    pub findings: Vec<Finding>,
    /// What was seen, the cited ones first; at most 30.
    pub evidence: Vec<Evidence>,
    /// What could not be seen, in words.
    pub not_seen: Vec<String>,
    /// The metric that changed most.
    pub chart: Option<Chart>,
    /// Numbers worth showing; at most 4.
    pub facts: Vec<Fact>,
    /// The service that explains the subject's trouble, if that is another one and the first finding says so.
    pub cause: Option<String>,
}

/// Where diagnosis reads.
#[derive(Clone)]
pub struct Sources {
    /// Log lines.
    pub logs: Arc<dyn Logs>,
    /// Series.
    pub metrics: Arc<dyn Metrics>,
    /// Processes and scrape targets.
    pub machine: Arc<dyn Machine>,
    /// Health checks.
    pub health: Arc<dyn Health>,
}

/// Explains incidents. Cheap to clone.
#[derive(Clone)]
pub struct Diagnosis {
    sources: Sources,
    catalog: Arc<Catalog>,
    options: Options,
    clock: SharedClock,
}

impl Diagnosis {
    /// A diagnosis over these sources.
    #[must_use]
    pub fn new(sources: Sources, catalog: Arc<Catalog>, options: Options, clock: SharedClock) -> Self {
        Self { sources, catalog, options, clock }
    }

    /// Explains an incident. Takes at most about the source timeout; never fails: what was not seen is said.
    pub async fn explain(&self, incident: &Incident) -> Explained {
        let subject = Subject {
            incident: Some(incident.id),
            service: incident.service.as_data().to_owned(),
            since: incident.started_at,
            until: incident.over_at(),
        };
        self.explain_subject(&subject).await
    }

    /// The same for any service and time.
    pub async fn explain_subject(&self, subject: &Subject) -> Explained {
        let began = std::time::Instant::now();
        if subject.service.trim().is_empty() {
            return Explained { not_seen: vec![say::no_service()], ..Explained::default() };
        }
        let scope = scope::around(&self.catalog, &subject.service, self.options.services);
        let window = gather::window(subject, self.clock.now(), self.options.look_back.0);
        let seen = gather::all(&self.sources, &scope, &window, &self.options).await;
        let observed = observe::all(&seen, &scope, &window);
        let mut not_seen = scope.not_seen.clone();
        not_seen.extend(observed.unseen());
        not_seen.push(say::no_such_sources());
        let ranked = rank::verdicts(&observed, &scope);
        let verdicts = &ranked.verdicts;
        let (findings, evidence) = rank::cite(verdicts, observed.evidence.clone());
        let (chart, facts) = picture::of(&observed, verdicts, &evidence, &scope, &window, subject.incident);
        metrics::histogram!("mayday_diagnose_explain_seconds").record(began.elapsed().as_secs_f64());
        metrics::counter!("mayday_diagnose_explained_total", "found" => if findings.is_empty() { "no" } else { "yes" })
            .increment(1);
        let evidence = evidence.into_iter().map(|(_, one)| one).collect();
        Explained { findings, evidence, not_seen, chart, facts, cause: ranked.cause }
    }
}
