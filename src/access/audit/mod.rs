//! The audit: every change and every decision, in hash chains that show an edit, a gap or another order.
//!
//! A record is written by the same commit as what it records. Three keys: the link `audit/<chain>/<seq>` (position, time,
//! digest of the payload, the previous link's hash, its own), the payload `audit-payload/<chain>/<seq>` (who did what; kept
//! apart so that it can be erased later without breaking the chain, see `erase.rs`; salted so that its digest does not tell
//! it), and the chain's head. The chains' ends are signed now and then (`checkpoint.rs`).
//!
//! A chain takes one commit at a time, since each link needs the hash before it; several chains go in parallel (the chain's
//! name is a parameter, for one chain per shard). An [`Appender`] puts several records into one commit.

pub mod checkpoint;
mod cut;
mod erase;
mod list;
mod sign;
mod verify;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

pub use cut::{Accepted, CantAccept, Cut};
pub use erase::CantErase;
pub use list::{Cursor, Entry, Page, Since};
pub use sign::{NAME as KEY_NAME, Signer, is_signed};
pub use verify::{Bad, Checkpoint, Report, verify};

use super::{Actor, Right, random};
use crate::core::redact::{redact, redact_json};
use crate::core::{SharedClock, Timestamp, digest};
use crate::store::{self, Batch, Key, Record, Revision, SharedStore};

/// The chain that is written to unless another is named.
pub const MAIN: &str = "main";

/// What `prev` of the first link is.
const START: &str = "";

/// So often a commit is tried again when another process took the chain's next place.
const RETRIES: usize = 8;

/// One thing that was done or decided.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Who.
    pub actor: Actor,
    /// What, in a word: `approve`, `sign_in`, `perform`.
    pub action: String,
    /// To what: `RUN-3`, `INC-7`.
    pub subject: String,
    /// The rest; secrets in it are redacted before it is written.
    pub detail: Value,
    /// Why it was allowed; every change has one.
    pub right: Option<Right>,
}

/// One place of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Link {
    seq: u64,
    at: Timestamp,
    prev: String,
    payload: String,
    hash: String,
}
impl Record for Link {}

impl Link {
    fn hash_of(chain: &str, seq: u64, at: Timestamp, prev: &str, payload: &str) -> String {
        let at = at.as_nanosecond().to_be_bytes();
        digest::of_parts([chain.as_bytes(), &seq.to_be_bytes(), &at, prev.as_bytes(), payload.as_bytes()])
    }
}

/// What a link vouches for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Payload {
    actor: Actor,
    action: String,
    subject: String,
    detail: Value,
    right: Option<Right>,
    salt: String,
}
impl Record for Payload {}

/// Where a chain ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    seq: u64,
    at: Timestamp,
    hash: String,
}
impl Record for Head {}

/// What is known of a chain's end between commits; none: read it.
type Known = Option<(Head, Option<Revision>)>;

/// Writes and reads the audit. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    store: SharedStore,
    clock: SharedClock,
    /// The outer lock is held to look a chain up, never while waiting; the inner one for the length of a commit.
    chains: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<Known>>>>>,
}

impl Audit {
    /// The audit of this store.
    #[must_use]
    pub fn new(store: SharedStore, clock: SharedClock) -> Self {
        Self { store, clock, chains: Arc::default() }
    }

    /// Commits a change together with its record in the main chain.
    ///
    /// # Errors
    /// The store's; a conflict means that one of the batch's own conditions failed.
    pub async fn commit(&self, batch: Batch, record: AuditRecord) -> Result<Revision, store::Error> {
        self.commit_to(MAIN, batch, record).await
    }

    /// Commits a change together with its record in a chain.
    ///
    /// # Errors
    /// As [`Audit::commit`].
    pub async fn commit_to(&self, chain: &str, batch: Batch, record: AuditRecord) -> Result<Revision, store::Error> {
        self.commit_all(chain, batch, &[record]).await
    }

    /// Commits a change together with several records in a chain. What else came into the chain meanwhile (an erasure, by
    /// another process) only has them follow that.
    ///
    /// # Errors
    /// As [`Audit::commit`].
    pub async fn commit_all(
        &self,
        chain: &str,
        batch: Batch,
        records: &[AuditRecord],
    ) -> Result<Revision, store::Error> {
        let mut left = RETRIES;
        loop {
            let mut appender = self.open(chain).await?;
            let mut attempt = batch.clone();
            for record in records {
                appender.append(&mut attempt, record.clone())?;
            }
            match appender.commit(attempt).await {
                Err(store::Error::Conflict(key)) if key == head_key(chain) && left > 0 => left -= 1,
                other => return other,
            }
        }
    }

    /// Takes a chain's end, to put several records into one commit. Others wait until the appender is gone, so do nothing
    /// slow with it.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(&self, chain: &str) -> Result<Appender, store::Error> {
        let lock = {
            let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
            chains.entry(chain.to_owned()).or_default().clone()
        };
        let mut known = lock.lock_owned().await;
        let (head, revision) = match known.take() {
            Some(found) => found,
            None => self.read_head(chain).await?,
        };
        Ok(Appender {
            chain: chain.to_owned(),
            store: self.store.clone(),
            now: self.clock.now(),
            head,
            revision,
            appended: 0,
            known,
        })
    }

    async fn read_head(&self, chain: &str) -> Result<(Head, Option<Revision>), store::Error> {
        match self.store.read(&head_key(chain)).await? {
            Some(entry) => Ok((entry.decode()?, Some(entry.revision))),
            None => Ok((Head { seq: 0, at: Timestamp::UNIX_EPOCH, hash: START.to_owned() }, None)),
        }
    }
}

/// The end of a chain, held until it is committed or dropped.
pub struct Appender {
    chain: String,
    store: SharedStore,
    now: Timestamp,
    head: Head,
    revision: Option<Revision>,
    appended: u64,
    /// Empty while this appender lives: if it is dropped without a commit, the next one reads the head again.
    known: OwnedMutexGuard<Known>,
}

impl Appender {
    /// Adds a record to the batch; gives its place in the chain.
    ///
    /// # Errors
    /// [`store::Error::Encode`]; [`store::Error::Unavailable`] when the system gives no random numbers.
    pub fn append(&mut self, batch: &mut Batch, record: AuditRecord) -> Result<u64, store::Error> {
        let payload = Payload::of(record)?;
        let seq = self.head.seq + 1;
        // A clock that was set back must not make the chain look reordered.
        let at = self.now.max(self.head.at);
        let bytes = store::record::encode(&payload)?;
        let payload_digest = digest::hex(&bytes);
        let hash = Link::hash_of(&self.chain, seq, at, &self.head.hash, &payload_digest);
        let link =
            Link { seq, at, prev: std::mem::take(&mut self.head.hash), payload: payload_digest, hash: hash.clone() };
        self.head = Head { seq, at, hash };
        self.appended += 1;
        batch.writes.push(store::Write::Put(payload_key(&self.chain, seq), bytes));
        batch.put(link_key(&self.chain, seq), &link)?;
        Ok(seq)
    }

    /// Where the chain ends with what was appended.
    fn end(&self) -> Checkpoint {
        Checkpoint { chain: self.chain.clone(), seq: self.head.seq, hash: self.head.hash.clone() }
    }

    /// Commits the batch with everything appended to it. On a conflict at the chain's own head (another process was first)
    /// build the batch again with a new appender.
    ///
    /// # Errors
    /// The store's.
    pub async fn commit(mut self, mut batch: Batch) -> Result<Revision, store::Error> {
        let key = head_key(&self.chain);
        batch.require_as_read(key.clone(), self.revision);
        batch.put(key, &self.head)?;
        let revision = self.store.commit(batch).await?;
        *self.known = Some((self.head, Some(revision)));
        metrics::counter!("mayday_access_audit_records_total").increment(self.appended);
        Ok(revision)
    }
}

impl Payload {
    fn of(record: AuditRecord) -> Result<Self, store::Error> {
        let AuditRecord { actor, action, subject, mut detail, mut right } = record;
        redact_json(&mut detail);
        if let Some(Right::BreakGlass { reason, .. }) = &mut right {
            *reason = redact(reason).into_owned();
        }
        if let Some(Right::Persons { votes, .. }) = &mut right {
            for reason in votes.iter_mut().filter_map(|vote| vote.reason.as_mut()) {
                *reason = redact(reason).into_owned();
            }
        }
        let salt = random::bytes::<16>().map_err(|error| store::Error::Unavailable(error.to_string()))?;
        let salt = base64::engine::general_purpose::STANDARD_NO_PAD.encode(salt);
        Ok(Self { actor, action, subject, detail, right, salt })
    }
}

fn number(seq: u64) -> String {
    format!("{seq:012}")
}

fn head_key(chain: &str) -> Key {
    Key::of(["audit-head", chain])
}

fn link_key(chain: &str, seq: u64) -> Key {
    Key::of(["audit", chain, &number(seq)])
}

fn payload_key(chain: &str, seq: u64) -> Key {
    Key::of(["audit-payload", chain, &number(seq)])
}

#[cfg(test)]
mod tests;
