//! Signed checkpoints: now and then, where each chain ends, signed, so that a copy kept elsewhere shows later whether the
//! records up to there are still the same.
//!
//! They stand under `audit-checkpoint/<n>`, the newest [`KEPT`] of them, each with the digest of the one before. One is
//! made every [`Options::every`] if anything was written since. With several replicas, whoever comes first makes it.
//!
//! What they can't show: records that were written and cut off between two checkpoints, or after the last one that was
//! copied elsewhere; and anything at all to someone who holds the key and has replaced every copy. So copy them to a
//! place that this machine can't change, and note the public key there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Checkpoint, Head, Signer, digest, is_signed};
use crate::core::duration::Span;
use crate::core::stop::Stop;
use crate::core::{SharedClock, Timestamp};
use crate::store::{self, Batch, Key, Range, Record, SharedStore};

/// So many are kept in the store; at ten minutes each, a week.
pub const KEPT: u64 = 1_008;

/// `access.checkpoints:` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// How often the chains' ends are signed.
    pub every: Span,
    /// The signing key; `audit-key` in the data folder when missing. Made if it is not there.
    pub key_path: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { every: Span::from_secs(600), key_path: None }
    }
}

/// Where all chains ended at one moment, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Its number, from 1.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Each chain's last place and the hash there.
    pub heads: Vec<Checkpoint>,
    /// Digest of the checkpoint before this one; empty for the first.
    pub previous: String,
    /// Who signed: `ed25519:…`.
    pub key: String,
    /// Of all the above.
    pub signature: String,
}
impl Record for Signed {}

impl Signed {
    fn text(&self) -> String {
        let (number, at) = (self.number.to_be_bytes(), self.at.as_nanosecond().to_be_bytes());
        let mut parts: Vec<Vec<u8>> = vec![b"mayday audit checkpoint 1".to_vec(), number.to_vec(), at.to_vec()];
        parts.push(self.previous.clone().into_bytes());
        for head in &self.heads {
            parts.extend([head.chain.clone().into_bytes(), head.seq.to_be_bytes().to_vec(), head.hash.clone().into()]);
        }
        digest::of_parts(parts.iter().map(Vec::as_slice))
    }

    /// Whether its own key signed it as it is.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        is_signed(&self.key, &self.text(), &self.signature)
    }
}

/// What is wrong with a file of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// A line is no checkpoint.
    #[error("line {0} is no checkpoint; hand in what `mayday audit export --checkpoints` printed")]
    NoCheckpoint(usize),
    /// The signature does not fit.
    #[error("line {line}: checkpoint {number} was changed after it was signed")]
    Changed {
        /// Where.
        line: usize,
        /// Which.
        number: u64,
    },
    /// Signed with a key that is not the one expected.
    #[error("line {line}: checkpoint {number} was signed with {found}, not with {wanted}")]
    OtherKey {
        /// Where.
        line: usize,
        /// Which.
        number: u64,
        /// With which.
        found: String,
        /// With which it should be.
        wanted: String,
    },
    /// There is none.
    #[error("there is no checkpoint in it")]
    Empty,
}

/// The chains' ends out of a file with one checkpoint a line: of each chain and place once.
///
/// # Errors
/// [`Untrusted`]. Without `key`, the first line's key is expected of all.
pub fn trusted(file: &str, key: Option<&str>) -> Result<Vec<Checkpoint>, Untrusted> {
    let mut wanted = key.map(str::to_owned);
    let mut heads: BTreeMap<(String, u64), Checkpoint> = BTreeMap::new();
    for (index, text) in file.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let line = index + 1;
        let signed: Signed = serde_json::from_str(text).map_err(|_| Untrusted::NoCheckpoint(line))?;
        let wanted = wanted.get_or_insert_with(|| signed.key.clone());
        if *wanted != signed.key {
            let wanted = wanted.clone();
            return Err(Untrusted::OtherKey { line, number: signed.number, found: signed.key, wanted });
        }
        if !signed.is_signed() {
            return Err(Untrusted::Changed { line, number: signed.number });
        }
        heads.extend(signed.heads.into_iter().map(|head| ((head.chain.clone(), head.seq), head)));
    }
    if heads.is_empty() { Err(Untrusted::Empty) } else { Ok(heads.into_values().collect()) }
}

fn key(number: u64) -> Key {
    Key::of(["audit-checkpoint", &format!("{number:012}")])
}

/// Signed checkpoints, oldest first, after the number `after`; at most `limit`.
///
/// # Errors
/// The store's.
pub async fn list(store: &SharedStore, after: u64, limit: usize) -> Result<Vec<Signed>, store::Error> {
    let range = Range::under(&Key::of(["audit-checkpoint"]), limit).past(&key(after));
    store.scan(&range).await?.iter().map(store::Entry::decode).collect()
}

/// The newest one.
///
/// # Errors
/// The store's.
pub async fn newest(store: &SharedStore) -> Result<Option<Signed>, store::Error> {
    let range = Range::under(&Key::of(["audit-checkpoint"]), 1).backward();
    store.scan(&range).await?.first().map(store::Entry::decode).transpose()
}

/// Makes checkpoints.
pub struct Service {
    store: SharedStore,
    clock: SharedClock,
    signer: Signer,
    every: Span,
}

impl Service {
    /// Over the chains of this store.
    #[must_use]
    pub fn new(store: SharedStore, clock: SharedClock, signer: Signer, options: &Options) -> Self {
        Self { store, clock, signer, every: options.every }
    }

    /// Makes one whenever it is time, and a last one at the end.
    pub async fn run(self: std::sync::Arc<Self>, stop: Stop) {
        loop {
            if let Err(error) = self.make(self.every).await {
                tracing::warn!(%error, "the audit's ends can't be signed now");
            }
            tokio::select! {
                () = stop.wait() => break,
                () = self.clock.sleep(self.every.0) => {}
            }
        }
        if let Err(error) = self.make(Span::from_secs(0)).await {
            tracing::warn!(%error, "the audit's ends could not be signed at the end");
        }
    }

    /// Signs where the chains end now; none if nothing was written since the last one, or that one is younger than
    /// `spacing`, or another replica was first.
    ///
    /// # Errors
    /// The store's.
    pub async fn make(&self, spacing: Span) -> Result<Option<Signed>, store::Error> {
        let entries = self.store.scan(&Range::under(&Key::of(["audit-head"]), usize::from(u16::MAX))).await?;
        let mut heads = Vec::with_capacity(entries.len());
        for entry in &entries {
            let Head { seq, hash, .. } = entry.decode()?;
            heads.push(Checkpoint { chain: entry.key.last().to_owned(), seq, hash });
        }
        let (now, last) = (self.clock.now(), newest(&self.store).await?);
        let young = |last: &Signed| last.at.checked_add(spacing.0).is_ok_and(|due| due > now);
        if heads.is_empty() || last.as_ref().is_some_and(|last| last.heads == heads || young(last)) {
            return Ok(None);
        }
        let number = last.as_ref().map_or(0, |last| last.number) + 1;
        let previous = last.map(|last| digest::hex(last.signature.as_bytes())).unwrap_or_default();
        let key_text = self.signer.public().to_owned();
        let mut signed = Signed { number, at: now, heads, previous, key: key_text, signature: String::new() };
        let signature = self.signer.sign(&signed.text());
        signed.signature = signature.map_err(|error| store::Error::Unavailable(error.to_string()))?;
        let mut batch = Batch::new();
        batch.require_absent(key(number)).put(key(number), &signed)?;
        if number > KEPT {
            batch.delete(key(number - KEPT));
        }
        match self.store.commit(batch).await {
            Ok(_) => Ok(Some(signed)),
            Err(store::Error::Conflict(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
