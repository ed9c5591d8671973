//! Evidence (one checked fact with an id) and the finding (a conclusion that cites it).

use serde::{Deserialize, Serialize};

use crate::core::{Tainted, Timestamp};

/// `E1`, `E2` … within one incident.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EvidenceId(pub String);

/// One checked fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its id in the incident.
    pub id: EvidenceId,
    /// Where it was read: `own metrics`, `own logs`, `process table` …
    pub source: String,
    /// What was asked, in the source's own words.
    pub query: String,
    /// From when.
    pub from: Timestamp,
    /// To when.
    pub to: Timestamp,
    /// What came back.
    pub outcome: Outcome,
    /// The fact in one sentence.
    pub says: String,
    /// Samples: log lines, points as text; at most 20.
    #[serde(default)]
    pub samples: Vec<Tainted>,
}

/// An error, a timeout, a cut answer and an empty answer are four different things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Outcome {
    /// An answer with something in it.
    Data {
        /// Rows, lines or points.
        rows: u64,
        /// Whether more was there than was read.
        truncated: bool,
    },
    /// The source answered, and there is nothing.
    Empty,
    /// The source did not answer in time.
    Timeout,
    /// The source answered with an error, or not at all.
    Failed {
        /// Its words.
        why: String,
    },
}

/// The kinds of fault a finding may name (the same words as `mayday diagnose`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum FaultKind {
    Cpu,
    Memory,
    Disk,
    Network,
    Latency,
    Error,
    Saturation,
    Dependency,
    Config,
    Change,
    Crash,
}

/// A conclusion. Every finding cites evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The service or part blamed.
    pub component: String,
    /// What kind of fault.
    pub kind: FaultKind,
    /// 0 to 1.
    pub confidence: f64,
    /// One sentence for people.
    pub says: String,
    /// What proves it; never empty.
    pub evidence: Vec<EvidenceId>,
}
