//! Faults on purpose: a crash before or after a journal record, a failing or repeated task. Part of the engine, so that
//! tests prove every playbook; a running Mayday has [`Faults::none`].

use std::collections::BTreeSet;

/// What goes wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// The process dies right before the commit that holds this record of a run's journal (from 0) is made.
    pub crash_before: Option<u64>,
    /// The process dies right after the commit that holds this record is durable.
    pub crash_after: Option<u64>,
    /// These tasks fail for good instead of being performed.
    pub fail: BTreeSet<String>,
    /// These are performed, and nobody hears their answer.
    pub unheard: BTreeSet<String>,
    /// What must hold after these does not.
    pub unverified: BTreeSet<String>,
    /// This task is performed twice under the same intent.
    pub repeat: Option<String>,
}

impl Faults {
    /// Nothing goes wrong on purpose.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether the process dies before a commit with these records.
    #[must_use]
    pub fn before(&self, records: &std::ops::Range<u64>) -> bool {
        self.crash_before.is_some_and(|record| records.contains(&record))
    }

    /// Whether it dies after one.
    #[must_use]
    pub fn after(&self, records: &std::ops::Range<u64>) -> bool {
        self.crash_after.is_some_and(|record| records.contains(&record))
    }
}
