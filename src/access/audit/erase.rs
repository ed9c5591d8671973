//! Erases what a record says, when retention or a law demands it: the link with its digest stays, so the chain stays whole.
//!
//! The payload is replaced by a marker, and the same commit appends a record that says who erased what and why. A marker
//! without such a record is no erasure but a removal, and [`super::verify()`] says so.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Audit, AuditRecord, Link, Payload, head_key, link_key, payload_key};
use crate::access::Actor;
use crate::core::Timestamp;
use crate::store::{self, Batch, Record};

/// The action of the record that an erasure leaves.
pub(super) const ACTION: &str = "erase_audit";

/// Stands in place of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Erased {
    /// When.
    erased_at: Timestamp,
}
impl Record for Erased {}

/// Why a record's payload was not erased.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CantErase {
    /// There is no such record.
    #[error("there is no record {0}; `mayday audit export` lists them")]
    NoRecord(String),
    /// It is gone already.
    #[error("what record {0} says is erased already")]
    Already(String),
    /// The trace of an erasure stays.
    #[error("record {0} says that another one was erased; such records stay")]
    Trace(String),
    /// So does that of a cut.
    #[error("record {0} says that a cut of the audit was accepted; such records stay")]
    Acceptance(String),
    /// The store's.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A record's name in texts: `main:17`.
pub(super) fn name(chain: &str, seq: u64) -> String {
    format!("{chain}:{seq}")
}

impl Audit {
    /// Erases what a record says. Its place, time, digest and hash stay.
    ///
    /// # Errors
    /// [`CantErase`].
    pub async fn erase(&self, chain: &str, seq: u64, by: Actor, reason: &str) -> Result<(), CantErase> {
        let named = name(chain, seq);
        loop {
            let link = self.store.read(&link_key(chain, seq)).await?;
            let found = self.store.read(&payload_key(chain, seq)).await?;
            let (Some(link), Some(entry)) = (link, found) else { return Err(CantErase::NoRecord(named)) };
            if entry.decode::<Erased>().is_ok() {
                return Err(CantErase::Already(named));
            }
            let link: Link = link.decode()?;
            match entry.decode::<Payload>()?.action.as_str() {
                ACTION => return Err(CantErase::Trace(named)),
                super::cut::ACTION => return Err(CantErase::Acceptance(named)),
                _ => {}
            }
            let mut appender = self.open(chain).await?;
            let mut batch = Batch::new();
            batch.require_unchanged(entry.key.clone(), entry.revision);
            batch.put(entry.key.clone(), &Erased { erased_at: self.clock.now() })?;
            let record = AuditRecord {
                actor: by.clone(),
                action: ACTION.to_owned(),
                subject: named.clone(),
                detail: json!({"digest": link.payload, "reason": reason}),
                right: None,
            };
            appender.append(&mut batch, record)?;
            match appender.commit(batch).await {
                Ok(_) => return Ok(()),
                // Another process wrote to the chain, or erased this: look again.
                Err(store::Error::Conflict(key)) if key == head_key(chain) || key == entry.key => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
