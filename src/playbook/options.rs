//! `playbooks:` of the configuration: approvals, limits, and where the team's own playbooks stand.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::access::{Policy, Risk};
use crate::core::duration::Span;

/// How playbooks run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// A folder with the team's own playbooks (`*.yaml`), beside those that Mayday ships. One with a shipped id replaces it.
    pub folder: Option<PathBuf>,
    /// How many people must approve a change, by its risk.
    pub approvals: Approvals,
    /// A request for approval is void after this, and the run ends as expired.
    pub approval_expires: Span,
    /// Whether who proposed a run may approve it, where the task does not say.
    pub allow_self: bool,
    /// A run that is not done by then ends as failed; for playbooks without `max_duration`.
    pub max_duration: Span,
    /// Tasks of one run that may be carried out at the same time.
    pub parallel_tasks: usize,
    /// Tasks of all runs that may be carried out at the same time; more wait, the run with the highest `priority` first.
    pub effects_at_once: usize,
    /// Runs that may be open at the same time; more are refused.
    pub open_runs: usize,
    /// An output larger than this is cut before it is stored, bytes.
    pub output_bytes: usize,
    /// What runs tasks gets this long to finish when Mayday stops; what is not done by then is settled at the next start.
    pub grace: Span,
}

/// People needed for a change, by its risk. At least one: without asking, only a standing policy allows a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Approvals {
    /// What can be taken back.
    pub reversible: NonZeroU32,
    /// What interrupts something.
    pub disruptive: NonZeroU32,
    /// What can't be taken back.
    pub destructive: NonZeroU32,
}

impl Default for Approvals {
    fn default() -> Self {
        let of = |risk| NonZeroU32::new(Policy::default_for(risk).count).unwrap_or(NonZeroU32::MIN);
        Self { reversible: of(Risk::Reversible), disruptive: of(Risk::Disruptive), destructive: of(Risk::Destructive) }
    }
}

impl Approvals {
    /// People needed for a change of this risk.
    #[must_use]
    pub const fn of(&self, risk: Risk) -> u32 {
        match risk {
            Risk::Read => 0,
            Risk::Reversible => self.reversible.get(),
            Risk::Disruptive => self.disruptive.get(),
            Risk::Destructive => self.destructive.get(),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            folder: None,
            approvals: Approvals::default(),
            approval_expires: Span::from_secs(30 * 60),
            allow_self: false,
            max_duration: Span::from_secs(4 * 3600),
            parallel_tasks: 8,
            effects_at_once: 256,
            open_runs: 10_000,
            output_bytes: 64 * 1024,
            grace: Span::from_secs(5),
        }
    }
}
