//! Nothing is due for long without being done, nothing was given up, and the newest checkpoint still fits.

use super::{Auditor, Finding, say};
use crate::access::audit::checkpoint;
use crate::core::Timestamp;
use crate::ops::health::QUEUES;
use crate::store::{self, Key, Range};
use crate::work::Shard;

/// Items that were given up are counted up to so many.
const DEAD: usize = 1_000;

impl Auditor {
    pub(super) async fn queues(&self) -> Result<Vec<Finding>, store::Error> {
        let mut findings = Vec::new();
        for queue in QUEUES {
            for shard in Shard::all() {
                let range = Range::under(&Key::of(["queue", queue, &shard.key()]), 1);
                let Some(first) = self.store.scan(&range).await?.into_iter().next() else { continue };
                // `<due ms>-<id>`, see `work::queue`.
                let due = first.key.last().split('-').next().and_then(|millis| millis.parse::<i64>().ok());
                let due = due.and_then(|millis| Timestamp::from_millisecond(millis).ok());
                if let Some(due) = due.filter(|due| self.is_late(*due)) {
                    let says = say::item_not_done(queue, shard.0, due);
                    findings.push(Finding::new("item_not_done", format!("queue {queue}"), says));
                }
            }
            let dead = self.store.scan(&Range::under(&Key::of(["dead", queue]), DEAD)).await?;
            if let Some(first) = dead.first() {
                let says = say::items_given_up(queue, dead.len(), dead.len() == DEAD, first.key.as_str());
                findings.push(Finding::new("item_given_up", format!("queue {queue}"), says));
            }
        }
        Ok(findings)
    }

    /// A chain that was cut, or written anew, no longer has the hash that was signed. (Who cuts the checkpoints too shows
    /// only against a copy that was kept elsewhere.)
    pub(super) async fn checkpoint(&self) -> Result<Vec<Finding>, store::Error> {
        let checkpoint::Judged { wrong, trusted, .. } = checkpoint::judged(&self.store, self.key.as_deref()).await?;
        let mut findings = Vec::new();
        for (number, wrong) in wrong {
            let says = say::checkpoint_changed(number, &wrong.to_string());
            findings.push(Finding::new("checkpoint_changed", format!("checkpoint {number}"), says));
        }
        let Some(signed) = trusted else { return Ok(findings) };
        for head in &signed.heads {
            let hash = self.audit.hash_at(&head.chain, head.seq).await?;
            if hash.as_ref() != Some(&head.hash) {
                let says = say::audit_cut(&head.chain, head.seq, signed.at);
                findings.push(Finding::new("audit_cut", format!("audit chain {}", head.chain), says));
            }
        }
        Ok(findings)
    }
}
